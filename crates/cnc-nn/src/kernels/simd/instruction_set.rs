//! Which set of vector instructions the kernels run with.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::OnceLock;

use rayon::ThreadPoolBuilder;

/// The environment variable that names the set to use.
const VARIABLE: &str = "CNC_SIMD";

thread_local! {
    /// What [`InstructionSet::install`] says.
    static INSTALLED: Cell<Option<InstructionSet>> = const { Cell::new(None) };
}

/// A set of vector instructions. The kernels use the best one that the processor has, unless the environment variable
/// `CNC_SIMD` names another (`portable`, `avx2`, `avx512`): so a machine with AVX-512 measures AVX2 too. Results may differ
/// between sets in how they are rounded. Products of small matrices, which are the `gemm` crate's, always take the best set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// Plain arrays, of which the compiler makes the target's own vectors.
    Portable,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512F, besides AVX2 and FMA.
    Avx512,
}

impl InstructionSet {
    /// From the slowest to the quickest.
    const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::avx2::Avx2::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::Avx512::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The sets that this processor has, the best one last.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|set| set.is_available()).collect()
    }

    /// The set that kernels use which are called from this thread. A value of `CNC_SIMD` that names no set of this processor
    /// is noted on standard error, once, and the best set is used.
    #[inline]
    pub fn current() -> Self {
        static CHOSEN: OnceLock<InstructionSet> = OnceLock::new();
        INSTALLED.get().unwrap_or_else(|| {
            *CHOSEN.get_or_init(|| {
                let wanted = std::env::var_os(VARIABLE).map(|name| name.to_string_lossy().into_owned());
                let (set, note) = Self::choose(wanted.as_deref(), &Self::available());
                if let Some(note) = note {
                    eprintln!("note: {note}");
                }
                set
            })
        })
    }

    /// The set for what the variable says, and what is to be noted about it; `available` has the best one last.
    fn choose(wanted: Option<&str>, available: &[Self]) -> (Self, Option<String>) {
        let best = available.last().copied().unwrap_or(Self::Portable);
        let Some(wanted) = wanted else { return (best, None) };
        match Self::ALL.into_iter().find(|set| set.name() == wanted) {
            Some(set) if available.contains(&set) => (set, None),
            Some(_) => (best, Some(format!("{VARIABLE}={wanted}: this processor does not have it; using {best}"))),
            None => {
                let names = Self::ALL.map(Self::name).join(", ");
                (best, Some(format!("{VARIABLE}={wanted}: none of {names}; using {best}")))
            }
        }
    }

    /// Runs `work` on threads of its own, as many as there are, on which kernels use this set: for tests and benches.
    ///
    /// # Errors
    /// The system gives no threads.
    ///
    /// # Panics
    /// The processor does not have the set.
    pub fn install<R: Send>(self, work: impl FnOnce() -> R + Send) -> io::Result<R> {
        assert!(self.is_available(), "{self} is none of this processor's instruction sets");
        let threads = ThreadPoolBuilder::new().num_threads(rayon::current_num_threads());
        let pool = threads.start_handler(move |_| INSTALLED.set(Some(self))).build().map_err(io::Error::other)?;
        Ok(pool.install(work))
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_is_not_there_is_noted_and_the_best_one_is_used() {
        let available = [InstructionSet::Portable, InstructionSet::Avx2];
        let choose = |wanted| InstructionSet::choose(wanted, &available);
        assert_eq!(choose(None), (InstructionSet::Avx2, None));
        assert_eq!(choose(Some("portable")), (InstructionSet::Portable, None));
        let note = "CNC_SIMD=avx512: this processor does not have it; using avx2";
        assert_eq!(choose(Some("avx512")), (InstructionSet::Avx2, Some(note.to_owned())));
        let note = "CNC_SIMD=sse: none of portable, avx2, avx512; using avx2";
        assert_eq!(choose(Some("sse")), (InstructionSet::Avx2, Some(note.to_owned())));
    }

    #[test]
    fn an_installed_set_is_that_of_all_its_threads() {
        for set in InstructionSet::available() {
            let sets = set.install(|| rayon::broadcast(|_| InstructionSet::current())).unwrap();
            assert!(sets.iter().all(|other| *other == set));
        }
    }
}
