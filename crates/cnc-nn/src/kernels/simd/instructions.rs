//! What a set of vector instructions can do.

/// Lanes of a vector.
pub(crate) const LANES: usize = 8;
/// Lanes of a wide vector.
pub(crate) const WIDE: usize = 2 * LANES;

/// The shapes of packed products. How sums are rounded depends on `depth`: so it is of the instruction set, and not of the
/// machine's caches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Columns of a panel: those of a tile of sums.
    pub panel: usize,
    /// Depth of a block of two packed factors, at most.
    pub depth: usize,
}

/// One set of vector instructions. A value of the type proves that the processor has it.
pub(crate) trait Simd: Copy {
    /// Eight `f32`.
    type Vector: Copy;

    /// Sixteen `f32`.
    type Wide: Copy;

    /// Whether there are registers for two dozen of [`Wide`](Self::Wide) and what they are made of; else for half a dozen.
    const TALL: bool;

    /// Panels are one tile of sums wide. A panel of 16 columns and this depth, and the strip that it meets, stay in a
    /// first-level cache of 32 KiB, for a panel meets the strip in two halves; one of 32 meets it at once, and the strip
    /// alone stays.
    const SHAPE: Shape =
        if Self::TALL { Shape { panel: 2 * WIDE, depth: 512 } } else { Shape { panel: WIDE, depth: 256 } };

    /// All lanes equal to `value`.
    fn splat(self, value: f32) -> Self::Vector;

    /// `a * b + c`.
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// Sixteen lanes equal to `value`.
    fn wide_splat(self, value: f32) -> Self::Wide;

    /// `a * b + c`.
    fn wide_multiply_add(self, a: Self::Wide, b: Self::Wide, c: Self::Wide) -> Self::Wide;

    /// The sixteen values from `from[at]` on.
    ///
    /// # Safety
    /// `at + 2 * LANES <= from.len()`.
    unsafe fn wide_load(self, from: &[f32], at: usize) -> Self::Wide;

    /// Sixteen lanes equal to `from[at]`.
    ///
    /// # Safety
    /// `at < from.len()`.
    #[inline(always)]
    unsafe fn wide_broadcast(self, from: &[f32], at: usize) -> Self::Wide {
        debug_assert!(at < from.len());
        // SAFETY: the caller keeps `at` within the slice.
        self.wide_splat(unsafe { *from.get_unchecked(at) })
    }

    /// Writes the sixteen values from `to[at]` on.
    ///
    /// # Safety
    /// `at + 2 * LANES <= to.len()`.
    unsafe fn wide_store(self, value: Self::Wide, to: &mut [f32], at: usize);

    /// `value`, computed before anything behind it is read from memory: what keeps a tile of sums in few registers, where
    /// the compiler would rather read all factors first.
    #[inline(always)]
    fn wide_in_turn(self, value: Self::Wide) -> Self::Wide {
        value
    }

    /// Prefetches the value, where the processor can be asked to: any address will do.
    #[inline(always)]
    fn prefetch(self, _from: *const f32) {}

    /// Lane by lane: `(value, place)` where `value` is larger than `best.0` or NaN, which is larger than everything, as in
    /// PyTorch's pooling; else `best`.
    fn keep_larger(
        self,
        best: (Self::Vector, Self::Vector),
        value: Self::Vector,
        place: Self::Vector,
    ) -> (Self::Vector, Self::Vector);

    /// Lane by lane: `(0, dead)` where `best.0` is not positive; else `best`.
    fn rectify(self, best: (Self::Vector, Self::Vector), dead: Self::Vector) -> (Self::Vector, Self::Vector);

    /// The lanes at even places of `a` followed by `b`, and those at odd places.
    fn deinterleave(self, a: Self::Vector, b: Self::Vector) -> (Self::Vector, Self::Vector);

    /// The lanes, whole numbers from 0 to 255, as bytes.
    fn bytes(self, value: Self::Vector) -> [u8; LANES];

    /// The lanes.
    fn array(self, value: Self::Vector) -> [f32; LANES];

    /// The eight values from `from[at]` on.
    ///
    /// # Safety
    /// `at + LANES <= from.len()`.
    unsafe fn load(self, from: &[f32], at: usize) -> Self::Vector;

    /// All lanes equal to `from[at]`.
    ///
    /// # Safety
    /// `at < from.len()`.
    #[inline(always)]
    unsafe fn broadcast(self, from: &[f32], at: usize) -> Self::Vector {
        debug_assert!(at < from.len());
        // SAFETY: the caller keeps `at` within the slice.
        self.splat(unsafe { *from.get_unchecked(at) })
    }

    /// Writes the eight values from `to[at]` on.
    ///
    /// # Safety
    /// `at + LANES <= to.len()`.
    unsafe fn store(self, value: Self::Vector, to: &mut [f32], at: usize);
}

/// Work written once for all instruction sets; `run` and all that it calls must be `#[inline(always)]`, so that it is
/// compiled for the instructions in question.
pub(crate) trait Kernel {
    /// Does the work.
    fn run<S: Simd>(self, simd: S);
}

/// Sixteen lanes as two vectors of eight.
macro_rules! wide_as_two_vectors {
    () => {
        type Wide = [Self::Vector; 2];

        const TALL: bool = false;

        #[inline(always)]
        fn wide_splat(self, value: f32) -> Self::Wide {
            [self.splat(value); 2]
        }

        #[inline(always)]
        fn wide_multiply_add(self, a: Self::Wide, b: Self::Wide, c: Self::Wide) -> Self::Wide {
            [self.multiply_add(a[0], b[0], c[0]), self.multiply_add(a[1], b[1], c[1])]
        }

        #[inline(always)]
        unsafe fn wide_load(self, from: &[f32], at: usize) -> Self::Wide {
            // SAFETY: the caller keeps `at + 2 * LANES` within the slice.
            unsafe { [self.load(from, at), self.load(from, at + LANES)] }
        }

        #[inline(always)]
        unsafe fn wide_store(self, value: Self::Wide, to: &mut [f32], at: usize) {
            // SAFETY: the caller keeps `at + 2 * LANES` within the slice.
            unsafe {
                self.store(value[0], to, at);
                self.store(value[1], to, at + LANES);
            }
        }
    };
}

pub(super) use wide_as_two_vectors;
