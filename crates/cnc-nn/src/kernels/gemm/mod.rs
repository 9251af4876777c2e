//! Matrix products of slices: on the calling thread by the `gemm` crate, or cut into tiles that the threads share. The
//! right-hand factor of a large shared product is packed once for all tiles, which are the
//! [`microkernel`](crate::kernels::microkernel)'s.

mod matrix;
mod packed;

use std::ops::Range;

use gemm::Parallelism;
use rayon::prelude::*;

use crate::kernels::microkernel::STRIP;
use crate::kernels::simd::shape;

pub(crate) use matrix::{Destination, Matrix, MatrixMut};
use packed::Panels;

/// Tiles of a shared product at most: enough for several threads.
const MOST_TILES: usize = 16;
/// Multiplications of a tile at least.
const SMALLEST_TILE: usize = 1 << 19;
/// Rows and columns of a tile at least.
const SHORTEST_SIDE: usize = 16;
/// Multiplications of a product that is worth packing.
const WORTH_PACKING: usize = 1 << 17;

/// `destination (+)= lhs · rhs`.
pub(crate) fn multiply(destination: MatrixMut<'_>, lhs: Matrix<'_>, rhs: Matrix<'_>, mode: Destination) {
    scaled_multiply(destination, 1.0, lhs, rhs, mode);
}

/// `destination (+)= scale · lhs · rhs`.
pub(crate) fn scaled_multiply(
    destination: MatrixMut<'_>,
    scale: f32,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    mode: Destination,
) {
    let (m, n, k) = (destination.rows, destination.columns, lhs.columns);
    assert_eq!((lhs.rows, rhs.rows, rhs.columns), (m, k, n), "shapes of a matrix product");
    // SAFETY: each matrix was cut to what its rows, columns and strides reach, the shapes fit together, and the destination
    // is a view of its own, so nothing else reads it.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            destination.data,
            1,
            destination.row_stride as isize,
            mode == Destination::Add,
            lhs.data.as_ptr(),
            lhs.column_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.column_stride as isize,
            rhs.row_stride as isize,
            1.0f32,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Whether a product of these shapes is worth packing its factors.
fn worth_packing(rows: usize, columns: usize, depth: usize) -> bool {
    rows >= 2 * STRIP && columns >= shape().panel && rows * columns * depth >= WORTH_PACKING
}

/// How the result of a product is cut into tiles: by the shapes alone.
struct Tiles {
    rows: Vec<usize>,
    columns: Vec<usize>,
}

impl Tiles {
    /// Tiles of a `rows` x `columns` result of sums of `depth` products.
    fn new(rows: usize, columns: usize, depth: usize) -> Self {
        let most = (rows * columns * depth / SMALLEST_TILE).clamp(1, MOST_TILES);
        let (row_unit, column_unit, row_side, column_side) = if worth_packing(rows, columns, depth) {
            (STRIP, shape().panel, 4 * STRIP, shape().panel)
        } else {
            (1, 1, SHORTEST_SIDE, SHORTEST_SIDE)
        };
        let fits = |cuts: usize, side: usize, shortest: usize| cuts == 1 || side / cuts >= shortest;
        let grids = (0..=most.ilog2()).flat_map(|power| (0..=power).map(move |p| (power, 1 << p, 1 << (power - p))));
        let fitting = grids.filter(|(_, r, c)| fits(*r, rows, row_side) && fits(*c, columns, column_side));
        // As many tiles as possible; among these the grid that packs the fewest values.
        let best = fitting.min_by_key(|(power, r, c)| {
            (std::cmp::Reverse(*power), c * rows + r * columns * usize::from(row_unit == 1))
        });
        let (_, row_cuts, column_cuts) = best.unwrap_or((0, 1, 1));
        let bounds = |cuts: usize, side: usize, unit: usize| {
            let units = side.div_ceil(unit);
            (0..=cuts).map(|i| (i * units / cuts * unit).min(side)).collect()
        };
        Self { rows: bounds(row_cuts, rows, row_unit), columns: bounds(column_cuts, columns, column_unit) }
    }

    /// Cuts a matrix of the result's shape.
    fn cut<'a>(&self, matrix: MatrixMut<'a>) -> Vec<MatrixMut<'a>> {
        matrix.cut(&self.rows, &self.columns)
    }

    /// Rows and columns of each tile, in the order of [`cut`](Self::cut).
    fn places(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let ranges = |bounds: &[usize]| bounds.windows(2).map(|pair| pair[0]..pair[1]).collect::<Vec<_>>();
        let columns = ranges(&self.columns);
        ranges(&self.rows).into_iter().flat_map(|r| columns.iter().map(move |c| (r.clone(), c.clone()))).collect()
    }
}

/// The right-hand factor of products whose tiles the threads share.
pub(crate) enum Shared<'a> {
    /// As it is.
    Plain(Matrix<'a>),
    /// Packed once for all tiles.
    Packed(Panels),
}

impl<'a> Shared<'a> {
    /// `rhs`, for left-hand factors of `rows` rows.
    pub fn new(rows: usize, rhs: Matrix<'a>) -> Self {
        if worth_packing(rows, rhs.columns, rhs.rows) { Self::Packed(Panels::new(rhs)) } else { Self::Plain(rhs) }
    }

    fn columns(&self) -> usize {
        match self {
            Self::Plain(rhs) => rhs.columns,
            Self::Packed(panels) => panels.columns(),
        }
    }

    /// `lhs` times this on all threads.
    pub fn product(&self, lhs: Matrix<'_>) -> Vec<f32> {
        let [values] = products(lhs, self, |_, _, _| {});
        values
    }

    /// `tile (+)= lhs · columns`, on the calling thread.
    fn multiply(&self, tile: MatrixMut<'_>, lhs: Matrix<'_>, columns: &Range<usize>, mode: Destination) {
        match self {
            Self::Plain(rhs) => multiply(tile, lhs, rhs.some_columns(columns), mode),
            Self::Packed(panels) => panels.multiply(tile, lhs, columns, mode),
        }
    }
}

/// `out (+)= lhs · rhs` on all threads.
pub(crate) fn multiply_shared(out: MatrixMut<'_>, lhs: Matrix<'_>, rhs: Matrix<'_>, mode: Destination) {
    multiply_tiles([out], lhs, &Shared::new(lhs.rows, rhs), mode, |_, _, _| {});
}

/// `lhs · rhs` on all threads; `then(values, row, columns)` follows for the values of each row that are in some of the
/// columns, while they are still in the cache.
pub(crate) fn product(
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    then: impl Fn(&mut [f32], usize, &Range<usize>) + Sync,
) -> Vec<f32> {
    let rhs = Shared::new(lhs.rows, rhs);
    let [values] = products(lhs, &rhs, |[values], row, columns| then(values, row, columns));
    values
}

/// `lhs · rhs`, and a copy of it; `then([values, copy], row, columns)` as in [`product`].
pub(crate) fn product_and_copy(
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    then: impl Fn([&mut [f32]; 2], usize, &Range<usize>) + Sync,
) -> [Vec<f32>; 2] {
    products(lhs, &Shared::new(lhs.rows, rhs), then)
}

/// The result in new memory, `N` times.
fn products<const N: usize>(
    lhs: Matrix<'_>,
    rhs: &Shared<'_>,
    then: impl Fn([&mut [f32]; N], usize, &Range<usize>) + Sync,
) -> [Vec<f32>; N] {
    let (rows, columns) = (lhs.rows, rhs.columns());
    let mut results = [(); N].map(|()| Vec::with_capacity(rows * columns));
    let outs = results.each_mut().map(|values| {
        // SAFETY: the first is overwritten with the product before anything reads it, the others with the first.
        unsafe { MatrixMut::unwritten(&mut values.spare_capacity_mut()[..rows * columns], rows, columns) }
    });
    multiply_tiles(outs, lhs, rhs, Destination::Overwrite, then);
    // SAFETY: tiles are all of the values.
    results.iter_mut().for_each(|values| unsafe { values.set_len(rows * columns) });
    results
}

/// `outs[0] (+)= lhs · rhs` on all threads, the others are copies of it; `then` follows as in [`product`].
fn multiply_tiles<const N: usize>(
    outs: [MatrixMut<'_>; N],
    lhs: Matrix<'_>,
    rhs: &Shared<'_>,
    mode: Destination,
    then: impl Fn([&mut [f32]; N], usize, &Range<usize>) + Sync,
) {
    let tiles = Tiles::new(lhs.rows, rhs.columns(), lhs.columns);
    let work = |(mut outs, (rows, columns)): ([MatrixMut<'_>; N], (Range<usize>, Range<usize>))| {
        if let [first, ..] = &mut outs[..] {
            rhs.multiply(first.reborrow(), lhs.some_rows(&rows), &columns, mode);
        }
        for (i, row) in rows.enumerate() {
            if let [first, others @ ..] = &mut outs[..] {
                others.iter_mut().for_each(|other| other.copy_row(first, i));
            }
            then(outs.each_mut().map(|out| out.row(i)), row, &columns);
        }
    };
    let mut cut = outs.map(|out| tiles.cut(out).into_iter());
    let places = tiles.places();
    let parts: Vec<_> = places.into_iter().filter_map(|place| Some((next_of_each(&mut cut)?, place))).collect();
    if parts.len() == 1 {
        parts.into_iter().for_each(work);
    } else {
        parts.into_par_iter().for_each(work);
    }
}

/// The next item of each iterator.
fn next_of_each<T, I: Iterator<Item = T>, const N: usize>(iterators: &mut [I; N]) -> Option<[T; N]> {
    iterators.iter_mut().map_while(Iterator::next).collect::<Vec<_>>().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::with_each_set;

    #[test]
    fn a_transposed_factor_and_a_strided_destination_land_where_they_should() {
        // [[1, 2], [3, 4]]ᵀ · [[1, 0], [1, 1]] = [[4, 3], [6, 4]]
        let (lhs, rhs) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 1.0, 1.0]);
        let mut out = [9.0, 9.0, 9.0, 1.0, 1.0];
        let product = |out: &mut [f32], mode| {
            let lhs = Matrix::new(&lhs, 2, 2).transposed();
            multiply(MatrixMut::strided(out, 2, 2, 3), lhs, Matrix::new(&rhs, 2, 2), mode);
        };
        product(&mut out, Destination::Overwrite);
        assert_eq!(out, [4.0, 3.0, 9.0, 6.0, 4.0]);
        product(&mut out, Destination::Add);
        assert_eq!(out, [8.0, 6.0, 9.0, 12.0, 8.0]);
    }

    #[test]
    fn a_shared_product_is_the_product_of_whole_numbers_at_every_size() {
        with_each_set(|| {
            for (m, n, k) in
                [(1, 1, 1), (0, 3, 2), (3, 2, 0), (40, 500, 90), (300, 17, 200), (129, 257, 130), (530, 33, 801)]
            {
                let number = |i: usize| ((i * 7 + i / 5) % 13) as f32 - 6.0;
                let (a, b): (Vec<f32>, Vec<f32>) = ((0..m * k).map(number).collect(), (0..k * n).map(number).collect());
                // The epilogue sees each value once: it adds its place.
                let place = |[values, copy]: [&mut [f32]; 2], row: usize, columns: &Range<usize>| {
                    values.iter_mut().zip(columns.clone()).for_each(|(v, column)| *v += (row * n + column) as f32);
                    copy.iter_mut().for_each(|v| *v += 1.0);
                };
                let (lhs, rhs) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
                let [out, copy] = product_and_copy(lhs, rhs, place);
                let mut added = vec![2.0; m * n];
                multiply_shared(MatrixMut::new(&mut added, m, n), lhs, rhs, Destination::Add);
                assert_eq!((out.len(), copy.len()), (m * n, m * n));
                for (i, ((value, copy), added)) in out.iter().zip(&copy).zip(&added).enumerate() {
                    let sum: f32 = (0..k).map(|d| a[i / n * k + d] * b[d * n + i % n]).sum();
                    assert_eq!(
                        [*value, *copy, *added],
                        [sum + i as f32, sum + 1.0, sum + 2.0],
                        "{m} x {n} x {k}, value {i}"
                    );
                }
            }
        });
    }

    #[test]
    fn a_shared_product_of_transposed_factors_is_the_product() {
        with_each_set(|| {
            let (m, n, k) = (61, 70, 391);
            let number = |i: usize| ((i * 7 + i / 5) % 13) as f32 - 6.0;
            let (a, b): (Vec<f32>, Vec<f32>) = ((0..m * k).map(number).collect(), (0..k * n).map(number).collect());
            let (lhs, rhs) = (Matrix::new(&a, k, m).transposed(), Matrix::new(&b, n, k).transposed());
            for (i, value) in product(lhs, rhs, |_, _, _| {}).into_iter().enumerate() {
                let sum: f32 = (0..k).map(|d| a[d * m + i / n] * b[(i % n) * k + d]).sum();
                assert_eq!(value, sum, "value {i}");
            }
        });
    }

    #[test]
    fn tiles_are_few_and_of_whole_strips_and_panels() {
        let tiles = Tiles::new(1024, 3072, 768);
        assert_eq!((tiles.rows.len() - 1, tiles.columns.len() - 1), (16, 1));
        assert!(tiles.rows[..16].iter().all(|row| row.is_multiple_of(STRIP)));
        let tiles = Tiles::new(100, 3072, 768);
        assert_eq!((tiles.rows.len() - 1, tiles.columns.len() - 1), (2, 8));
        assert!(tiles.columns[..8].iter().all(|column| column.is_multiple_of(shape().panel)));
        assert_eq!(Tiles::new(8, 2, 768).places(), [(0..8, 0..2)]);
    }
}
