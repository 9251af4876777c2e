//! How work is cut for the threads: by the shapes alone, never by the number of threads, so that sums are the same to the
//! last bit on any machine with the same instructions.

use std::mem::MaybeUninit;
use std::ops::DerefMut;

use rayon::prelude::*;

/// Blocks of samples at most; enough for the threads of a workstation to share, few enough to add up quickly.
const MOST_BLOCKS: usize = 32;
/// Values of partial sums at most, over all blocks (32 MiB).
const MOST_PARTIAL_VALUES: usize = 8 << 20;
/// Multiplications below which waking a thread costs more than it saves.
pub(crate) const SMALL: usize = 1 << 17;

/// Samples in a block when each block keeps `partial` values of its own to be added up at the end.
pub(crate) fn samples_per_block(batch: usize, partial: usize) -> usize {
    let blocks = (MOST_PARTIAL_VALUES / partial.max(1)).clamp(4, MOST_BLOCKS);
    batch.div_ceil(blocks).max(1)
}

/// Runs `work` on one of the threads that share what is in it: they need not be woken for each of many short pieces.
pub(crate) fn on_a_worker<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::join(work, || ()).0
}

/// `work(i, chunk)` for each run of `len` values of `out`, side by side unless it is `operations` little work in all.
pub(crate) fn for_each_chunk<T: Send>(
    out: &mut [T],
    len: usize,
    operations: usize,
    work: impl Fn(usize, &mut [T]) + Sync + Send,
) {
    let len = len.max(1);
    if operations < SMALL || out.len() <= len {
        out.chunks_mut(len).enumerate().for_each(|(i, chunk)| work(i, chunk));
    } else {
        out.par_chunks_mut(len).enumerate().for_each(|(i, chunk)| work(i, chunk));
    }
}

/// `len` values, zero at first, of which `work(i, chunk)` is given each run of `chunk`; side by side unless it is `operations`
/// little work in all. A thread zeroes what it is about to write, so that no pass over memory is needed for it.
pub(crate) fn written_by_chunks(
    len: usize,
    chunk: usize,
    operations: usize,
    work: impl Fn(usize, &mut [f32]) + Sync + Send,
) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    for_each_chunk(&mut values.spare_capacity_mut()[..len], chunk, operations, |i, chunk| {
        chunk.fill(MaybeUninit::new(0.0));
        // SAFETY: all of the chunk has just been written.
        work(i, unsafe { chunk.assume_init_mut() });
    });
    // SAFETY: chunks are all of the values, and each was written.
    unsafe { values.set_len(len) };
    values
}

/// `len` zeros, written on all threads.
pub(crate) fn zeros(len: usize) -> Vec<f32> {
    const CHUNK: usize = 1 << 16;
    written_by_chunks(len, CHUNK, len, |_, _| {})
}

/// The sum of equally long `partials`, added from the first to the last; empty if there are none.
pub(crate) fn sum_in_order<T: DerefMut<Target = [f32]> + Default + Sync>(partials: Vec<T>) -> T {
    const CHUNK: usize = 1 << 14;
    let mut partials = partials.into_iter();
    let mut total = partials.next().unwrap_or_default();
    let rest: Vec<T> = partials.collect();
    let operations = total.len() * rest.len();
    for_each_chunk(&mut total, CHUNK, operations, |i, chunk| {
        for partial in &rest {
            for (sum, value) in chunk.iter_mut().zip(&partial[i * CHUNK..]) {
                *sum += value;
            }
        }
    });
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_depend_on_the_shapes_alone() {
        assert_eq!(samples_per_block(128, 1000), 4);
        assert_eq!(samples_per_block(3, 1000), 1);
        assert_eq!(samples_per_block(0, 0), 1);
        assert_eq!(samples_per_block(128, 4 << 20), 32);
    }

    #[test]
    fn chunks_are_zero_at_first_and_are_everything() {
        for (len, chunk) in [(0, 3), (10, 3), (9, 3), (300_000, 7)] {
            let values = written_by_chunks(len, chunk, len, |i, chunk| {
                assert!(chunk.iter().all(|value| *value == 0.0));
                chunk.fill(i as f32);
            });
            assert_eq!(values, (0..len).map(|i| (i / chunk) as f32).collect::<Vec<_>>());
        }
        assert_eq!(zeros(200_000), vec![0.0; 200_000]);
    }

    #[test]
    fn partial_sums_add_up() {
        let partials = vec![vec![1.0, 2.0], vec![10.0, 20.0], vec![100.0, 200.0]];
        assert_eq!(sum_in_order(partials), [111.0, 222.0]);
        assert!(sum_in_order(Vec::<Vec<f32>>::new()).is_empty());
    }
}
