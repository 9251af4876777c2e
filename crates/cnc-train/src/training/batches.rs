//! The plain batches of methods that differ in which rows they draw, not in how a batch is made.

use std::sync::Arc;

use anyhow::Result;
use cnc_base::seeds::Seeds;
use cnc_core::draws::shuffled;
use cnc_core::methods::{BalancedSampler, subsample};
use cnc_data::{Augment, Draw, Split};

use crate::config::settings::ViewSettings;

/// Which rows make a batch.
#[derive(Clone)]
pub enum Order {
    /// All of these rows in random order, again and again; a row may stand in them more than once.
    Epochs(Arc<[u32]>),
    /// A key (a group, a class) uniformly, then a row of it uniformly, with replacement.
    Balanced(Arc<BalancedSampler>),
    /// Subsets with as many rows of every key as the rarest has, in random order; another one each time.
    Subsets(Arc<[u32]>),
}

impl Order {
    /// All rows of a split, once an epoch.
    #[must_use]
    pub fn all(rows: usize) -> Self {
        Self::Epochs((0..rows as u32).collect())
    }

    /// Rows balanced over their keys, one key a row.
    ///
    /// # Errors
    /// When there is no row.
    pub fn balanced(keys: &[u32]) -> Result<Self> {
        Ok(Self::Balanced(Arc::new(BalancedSampler::new(keys)?)))
    }

    /// Balanced subsets: a fresh one each time, or one that is drawn once.
    ///
    /// # Errors
    /// When there is no row.
    pub fn subsets(keys: &[u32], fresh: bool, seeds: Seeds) -> Result<Self> {
        // Drawn in any case: it says whether the keys are good.
        let once = subsample(keys, &mut seeds.purpose("subset").generator())?;
        Ok(if fresh { Self::Subsets(keys.into()) } else { Self::Epochs(once.into()) })
    }

    /// The rows of the `epoch`-th pass in their order; none where rows are drawn one by one.
    fn pass(&self, epoch: u64, seeds: Seeds) -> Vec<u32> {
        let mut generator = seeds.at(epoch).generator();
        match self {
            Self::Epochs(rows) => {
                let order = shuffled(rows.len() as u32, &mut generator);
                order.iter().filter_map(|place| rows.get(*place as usize)).copied().collect()
            }
            Self::Subsets(keys) => subsample(keys, &mut generator).unwrap_or_default(),
            Self::Balanced(_) => Vec::new(),
        }
    }

    /// Rows of one pass; none where rows are drawn one by one.
    fn rows_per_pass(&self, seeds: Seeds) -> u64 {
        match self {
            Self::Epochs(rows) => rows.len() as u64,
            Self::Subsets(_) => self.pass(0, seeds).len() as u64,
            Self::Balanced(_) => 0,
        }
    }
}

/// Batches of one pass over so many rows. A last one of a single row goes into the one before: batch norm has no variance of
/// one row, and this way every row is seen.
pub(super) fn batches_per_pass(rows: u64, size: u64) -> u64 {
    let whole = rows / size.max(1);
    (whole + u64::from(rows - whole * size.max(1) > 1)).max(1)
}

/// Batches of so many rows in an order: a function of the step alone.
#[derive(Clone)]
pub struct Batches {
    split: Arc<Split>,
    order: Order,
    size: u64,
    seeds: Seeds,
    views: Option<ViewSettings>,
}

impl Batches {
    /// Batches of `size` rows of a split, where texts of like length go together; the last one of a pass may be shorter, and
    /// has one row more where the next would have that row alone. The seeds are for order and crops.
    #[must_use]
    pub(crate) fn new(split: Arc<Split>, order: Order, size: u64, seeds: Seeds) -> Self {
        Self { split, order, size, seeds, views: None }
    }

    /// The same with these views of images, where the manifest's were.
    #[must_use]
    pub(crate) fn shown(self, views: ViewSettings) -> Self {
        Self { views: Some(views), ..self }
    }

    /// Rows of one pass; none where rows are drawn one by one.
    #[must_use]
    pub(crate) fn rows_per_pass(&self) -> Option<usize> {
        Some(self.order.rows_per_pass(self.seeds.purpose("order")) as usize).filter(|rows| *rows > 0)
    }

    /// Whether the last batch of a pass has one row more than the others, and how many it has.
    #[must_use]
    pub(crate) fn merged(&self) -> Option<u64> {
        let rows = self.order.rows_per_pass(self.seeds.purpose("order"));
        (self.size > 1 && rows > self.size && rows % self.size == 1).then_some(self.size + 1)
    }

    /// One batch a step, each row in a fresh random view.
    #[must_use]
    pub fn sampler(&self) -> Box<dyn FnMut(u64) -> Vec<Draw<()>> + Send> {
        let (split, order, size) = (Arc::clone(&self.split), self.order.clone(), self.size);
        let (order_seeds, crop_seeds) = (self.seeds.purpose("order"), self.seeds.purpose("crop"));
        let length_seeds = self.seeds.purpose("lengths");
        let views = self.views;
        let steps_per_pass = batches_per_pass(order.rows_per_pass(order_seeds), size);
        let mut current: Option<(u64, Vec<u32>)> = None;
        Box::new(move |step| {
            let rows = if let Order::Balanced(sampler) = &order {
                sampler.draw(size as usize, &mut order_seeds.at(step).generator())
            } else {
                let pass = step / steps_per_pass;
                let rows = match current.take() {
                    Some((of, rows)) if of == pass => rows,
                    _ => split.epoch(order.pass(pass, order_seeds), size as usize, length_seeds.at(pass).value()),
                };
                let of_pass = step % steps_per_pass;
                let count = if of_pass + 1 == steps_per_pass { size.saturating_add(1) } else { size };
                let batch = rows.iter().skip((of_pass * size) as usize).take(count as usize).copied().collect();
                current = Some((pass, rows));
                batch
            };
            let seed = crop_seeds.at(step).value();
            let augment = views.map_or(Augment::Random { seed }, |views| views.augment(seed));
            vec![Draw { rows, augment, tag: () }]
        })
    }
}

/// A few images, for tests of what is done with rows.
#[cfg(test)]
pub(crate) fn images() -> Arc<Split> {
    use cnc_data::{Dataset, Manifest, OpenOptions};

    let options = OpenOptions { limit: Some(9), ..OpenOptions::default() };
    Dataset::open(&Manifest::open("digits").unwrap(), &options).unwrap().train
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(order: Order, size: u64) -> Batches {
        Batches::new(images(), order, size, Seeds::new(3))
    }

    fn rows(sampler: &mut impl FnMut(u64) -> Vec<Draw<()>>, step: u64) -> Vec<u32> {
        sampler(step).remove(0).rows
    }

    fn orders() -> [Order; 4] {
        let keys = [0, 0, 0, 0, 1, 1, 2, 2, 2];
        [
            Order::all(9),
            Order::balanced(&keys).unwrap(),
            Order::subsets(&keys, true, Seeds::new(1)).unwrap(),
            Order::subsets(&keys, false, Seeds::new(1)).unwrap(),
        ]
    }

    #[test]
    fn a_sampler_that_starts_in_the_middle_goes_on_with_the_same_batches() {
        for order in orders() {
            let batches = batches(order, 4);
            let mut whole = batches.sampler();
            let expected: Vec<_> = (0..12).map(|step| rows(&mut whole, step)).collect();
            let mut resumed = batches.sampler();
            let found: Vec<_> = (7..12).map(|step| rows(&mut resumed, step)).collect();
            assert_eq!(found, expected[7..]);
        }
    }

    #[test]
    fn a_pass_shows_every_row_once_and_the_next_one_in_another_order() {
        let mut sampler = batches(Order::all(9), 3).sampler();
        let mut pass =
            |first: u64| -> Vec<u32> { (first..first + 3).flat_map(|step| rows(&mut sampler, step)).collect() };
        let (one, two) = (pass(0), pass(3));
        assert_ne!(one, two);
        for mut pass in [one, two] {
            pass.sort_unstable();
            assert_eq!(pass, (0..9).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_last_row_alone_goes_into_the_batch_before() {
        let sizes = |rows: usize, size: u64| -> Vec<usize> {
            let batches = batches(Order::all(rows), size);
            let mut sampler = batches.sampler();
            let steps = batches_per_pass(rows as u64, size);
            let passes: Vec<Vec<u32>> = (0..2 * steps).map(|step| self::rows(&mut sampler, step)).collect();
            for pass in passes.chunks(steps as usize) {
                let mut seen = pass.concat();
                seen.sort_unstable();
                assert_eq!(seen, (0..rows as u32).collect::<Vec<_>>());
            }
            assert_eq!(batches.merged().is_some(), rows > size as usize && rows as u64 % size == 1 && size > 1);
            passes.iter().take(steps as usize).map(Vec::len).collect()
        };
        assert_eq!(sizes(9, 4), [4, 5]);
        assert_eq!(sizes(9, 8), [9]);
        assert_eq!(sizes(8, 4), [4, 4]);
        assert_eq!(sizes(9, 7), [7, 2]);
        assert_eq!(sizes(5, 2), [2, 3]);
        assert_eq!(sizes(3, 1), [1, 1, 1]);
        assert_eq!(sizes(1, 4), [1]);
    }

    #[test]
    fn subsets_have_as_many_rows_of_every_key_and_only_fresh_ones_change() {
        let keys = [0, 0, 0, 0, 1, 1, 2, 2, 2];
        let passes = |fresh: bool| -> Vec<Vec<u32>> {
            let mut sampler = batches(Order::subsets(&keys, fresh, Seeds::new(1)).unwrap(), 6).sampler();
            let sorted = |step| {
                let mut rows = rows(&mut sampler, step);
                rows.sort_unstable();
                rows
            };
            (0..6).map(sorted).collect()
        };
        for pass in passes(true).iter().chain(&passes(false)) {
            let counts = [0, 1, 2].map(|key| pass.iter().filter(|row| keys[**row as usize] == key).count());
            assert_eq!(counts, [2, 2, 2]);
        }
        assert!(passes(false).windows(2).all(|pair| pair[0] == pair[1]));
        assert!(passes(true).windows(2).any(|pair| pair[0] != pair[1]));
    }
}
