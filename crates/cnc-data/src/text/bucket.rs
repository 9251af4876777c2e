//! Batches of texts of about the same length, so that one batch takes as long as another and needs no more memory.

use rand::Rng;
use rand::seq::SliceRandom;

/// Batches whose texts are sorted among each other: more means lengths nearer to each other, fewer a freer order.
const POOL: usize = 100;
/// Tokens of a batch in evaluation, each text taken to be as long as the longest: enough to fill the cores, small enough for their memory.
const TOKENS: usize = 8192;

/// An epoch's rows in the order in which they are drawn, `size` at a time.
///
/// `order` is a shuffled one. Its texts are sorted by length within pools of some batches, and the batches are shuffled:
/// every row stays once, in a batch with texts that are near it by chance and by length. What does not fill a batch
/// comes last.
pub(crate) fn epoch(mut order: Vec<u32>, size: usize, length: impl Fn(u32) -> usize, rng: &mut impl Rng) -> Vec<u32> {
    let size = size.max(1);
    let rest = order.split_off(order.len() - order.len() % size);
    for pool in order.chunks_mut(POOL * size) {
        // Stable: equal lengths stay in random order.
        pool.sort_by_key(|row| length(*row));
    }
    let mut batches: Vec<&[u32]> = order.chunks(size).collect();
    batches.shuffle(rng);
    let mut drawn = batches.concat();
    drawn.extend(rest);
    drawn
}

/// All rows once in batches for evaluation, the longest first, so that memory that does not suffice is missed at once.
pub(crate) fn evaluation(rows: usize, most: usize, length: impl Fn(usize) -> usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by_key(|row| std::cmp::Reverse(length(*row)));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for row in order {
        match batches.last_mut() {
            Some(batch) if room > 0 => batch.push(row),
            _ => {
                room = (TOKENS / length(row).max(1)).clamp(1, most.max(1));
                batches.push(vec![row]);
            }
        }
        room -= 1;
    }
    batches
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// A long tail, as comments have it.
    fn length(row: u32) -> usize {
        let x = f64::from(row.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24);
        (10.0 / (1.001 - x).sqrt()) as usize
    }

    fn padded(batches: impl Iterator<Item = Vec<u32>>) -> usize {
        batches.map(|batch| batch.len() * batch.iter().map(|row| length(*row)).max().unwrap()).sum()
    }

    fn drawn(count: u32, seed: u64) -> Vec<u32> {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut order: Vec<u32> = (0..count).collect();
        order.shuffle(rng);
        epoch(order, 16, length, rng)
    }

    #[test]
    fn an_epoch_has_every_row_once_in_an_order_that_follows_from_the_seed() {
        let first = drawn(5_003, 1);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..5_003));
        assert_eq!(first, drawn(5_003, 1));
        assert_ne!(first, drawn(5_003, 2));
        assert_eq!(drawn(7, 1).len(), 7, "less than one batch");
    }

    #[test]
    fn batches_hold_little_padding_and_come_in_no_order_of_length() {
        let order = drawn(8_000, 3);
        let tokens: usize = order.iter().map(|row| length(*row)).sum();
        let together = padded(order.chunks(16).map(<[u32]>::to_vec));
        assert!(together as f64 <= 1.15 * tokens as f64, "{together} for {tokens}");
        let rows: Vec<u32> = (0..8_000).collect();
        let apart = padded(rows.chunks(16).map(<[u32]>::to_vec));
        assert!(apart as f64 > 1.5 * tokens as f64, "{apart} for {tokens}");
        let longest: Vec<usize> =
            order.chunks(16).map(|batch| batch.iter().map(|row| length(*row)).max().unwrap()).collect();
        let rises = longest.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((150..350).contains(&rises), "{rises} of {}", longest.len());
    }

    #[test]
    fn evaluation_has_every_row_once_and_no_batch_of_more_tokens_than_meant() {
        let batches = evaluation(3_000, 100, |row| length(row as u32));
        let mut rows = batches.concat();
        assert!(batches.iter().all(|batch| batch.len() <= 100));
        assert!(batches.iter().all(|batch| batch.len() * length(batch[0] as u32) <= TOKENS));
        rows.sort_unstable();
        assert!(rows.into_iter().eq(0..3_000));
        // A text that is longer than all that a batch may hold is one by itself.
        assert_eq!(evaluation(2, 100, |_| 10 * TOKENS), [[0], [1]]);
    }
}
