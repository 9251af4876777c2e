//! Contrastive batches.
//!
//! A contrastive batch belongs to an anchor of class s in slice s. Of M rows each (Zhang et al. 2022, arXiv 2203.01517):
//!
//! - *anchors*: the anchor itself, then other anchors of the slice;
//! - *positives* of class s;
//! - *negatives* of slice s;
//! - *easy negatives*: anchors of the slice that the first positive came from. Where that slice is s itself or has no
//!   anchors: anchors of the next slice after s, cyclically, that has some; where s is the only slice with anchors:
//!   negatives of s. So easy negatives are never of class s.
//!
//! Rows are drawn without replacement where the pool holds M, else with; [`ContrastiveSampler::notes`] says where.
//! (The published implementation lowers M of the whole run to its smallest pool instead.)

use std::sync::Arc;

use rand::RngCore;

use super::notes::{Role, SmallPool};
use super::slices::{Pool, Slices};
use crate::draws::{below, distinct, indices, shuffled};
use crate::error::{Error, Result};

/// The rows of one contrastive batch; each part has the same number of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContrastiveBatch {
    /// The slice, which is also the class of anchors and positives.
    pub slice: u32,
    /// A; the first is the anchor of the batch.
    pub anchors: Vec<u32>,
    /// P.
    pub positives: Vec<u32>,
    /// N.
    pub negatives: Vec<u32>,
    /// E.
    pub easy_negatives: Vec<u32>,
}

impl ContrastiveBatch {
    /// All rows, A ∪ P ∪ N ∪ E in this order, to be encoded at once.
    #[must_use]
    pub fn rows(&self) -> Vec<u32> {
        [&self.anchors[..], &self.positives, &self.negatives, &self.easy_negatives].concat()
    }

    /// Number of rows of each part, in the order of [`ContrastiveBatch::rows`]; for [`crate::Parts::split`].
    #[must_use]
    pub fn sizes(&self) -> [usize; 4] {
        [self.anchors.len(), self.positives.len(), self.negatives.len(), self.easy_negatives.len()]
    }
}

/// An anchor that leads a contrastive batch; see [`ContrastiveSampler::epoch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead {
    /// Its slice.
    pub slice: u32,
    /// Its row.
    pub anchor: u32,
}

/// Draws contrastive batches from [`Slices`]. It holds no generator: all of its state is the caller's generator.
///
/// ```
/// use cnc_core::{ContrastiveSampler, Slices};
/// use rand::SeedableRng;
///
/// # fn main() -> cnc_core::Result<()> {
/// let slices = Slices::from_predictions(&[0, 0, 0, 1, 1, 1], &[0, 0, 1, 1, 1, 0], 2)?;
/// let sampler = ContrastiveSampler::new(slices, 2)?;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let batch = sampler.draw(0, &mut rng)?;
/// assert_eq!(batch.positives, [2, 2]); // class 0 predicted as 1: one row, so drawn with replacement
/// assert_eq!(batch.negatives, [5, 5]); // class 1 predicted as 0
/// assert_eq!(sampler.notes().len(), 4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ContrastiveSampler {
    slices: Arc<Slices>,
    per_part: usize,
    drawable: Vec<u32>,
    notes: Vec<SmallPool>,
}

impl ContrastiveSampler {
    /// A sampler of batches with `per_part` rows in each of the four parts (M in the paper).
    ///
    /// # Errors
    /// [`Error::ZeroSize`] when `per_part` is 0, [`Error::NoAnchors`] when no slice has an anchor.
    pub fn new(slices: impl Into<Arc<Slices>>, per_part: usize) -> Result<Self> {
        let slices = slices.into();
        if per_part == 0 {
            return Err(Error::ZeroSize { option: "per_part" });
        }
        let drawable = slices.with_anchors();
        if drawable.is_empty() {
            return Err(Error::NoAnchors { samples: slices.rows() });
        }
        let notes = small_pools(&slices, &drawable, per_part);
        Ok(Self { slices, per_part, drawable, notes })
    }

    /// The slices drawn from.
    #[must_use]
    pub fn slices(&self) -> &Slices {
        &self.slices
    }

    /// Slices that batches can be drawn for, ascending: those with anchors.
    #[must_use]
    pub fn drawable(&self) -> &[u32] {
        &self.drawable
    }

    /// Pools smaller than a part, which are drawn from with replacement; for the log.
    #[must_use]
    pub fn notes(&self) -> &[SmallPool] {
        &self.notes
    }

    /// Contrastive batches in an epoch: slices with anchors, times the smallest number of anchors of any of them.
    #[must_use]
    pub fn batches_per_epoch(&self) -> usize {
        self.drawable.len() * self.leads_per_slice()
    }

    /// One epoch: as many anchors of every slice as the smallest has, each once, in random order, one slice after the
    /// other in turn. The first tenth is a balanced epoch of a tenth of the anchors.
    pub fn epoch<R: RngCore + ?Sized>(&self, rng: &mut R) -> Vec<Lead> {
        let leads_per_slice = self.leads_per_slice();
        let orders: Vec<(u32, Vec<u32>)> = self
            .drawable
            .iter()
            .map(|&slice| {
                let anchors = self.slices.anchors(slice);
                let order = shuffled(length(anchors.len()), rng);
                (slice, order.iter().filter_map(|&at| anchors.get(at as usize)).copied().collect())
            })
            .collect();
        (0..leads_per_slice)
            .flat_map(|turn| {
                orders.iter().filter_map(move |(slice, order)| {
                    let &anchor = order.get(turn)?;
                    Some(Lead { slice: *slice, anchor })
                })
            })
            .collect()
    }

    /// A batch of `slice`, led by a uniformly drawn anchor. Takes time for the rows drawn only, whatever the pools.
    ///
    /// # Errors
    /// [`Error::SliceWithoutAnchors`] when the slice has none or does not exist.
    pub fn draw<R: RngCore + ?Sized>(&self, slice: u32, rng: &mut R) -> Result<ContrastiveBatch> {
        let anchors = self.anchors(slice)?;
        let first = below(length(anchors.len()), rng) as usize;
        self.assemble(slice, anchors, first, rng)
    }

    /// A batch led by a given anchor.
    ///
    /// # Errors
    /// [`Error::SliceWithoutAnchors`] as in [`ContrastiveSampler::draw`], [`Error::NotAnAnchor`] when the row is not
    /// an anchor of the slice.
    pub fn draw_for<R: RngCore + ?Sized>(&self, lead: Lead, rng: &mut R) -> Result<ContrastiveBatch> {
        let Lead { slice, anchor } = lead;
        let anchors = self.anchors(slice)?;
        let first = anchors.binary_search(&anchor).map_err(|_| Error::NotAnAnchor { row: anchor, slice })?;
        self.assemble(slice, anchors, first, rng)
    }

    fn assemble<R: RngCore + ?Sized>(
        &self,
        slice: u32,
        anchors: &[u32],
        first: usize,
        rng: &mut R,
    ) -> Result<ContrastiveBatch> {
        let others = self.per_part - 1;
        let mut places = vec![first];
        if anchors.len() >= self.per_part {
            // Of the other anchors: those from the first one's place on are shifted by it.
            let rest = distinct(length(anchors.len()).saturating_sub(1), others, rng);
            places.extend(rest.into_iter().map(|at| at as usize).map(|at| if at >= first { at + 1 } else { at }));
        } else {
            places.extend((0..others).map(|_| below(length(anchors.len()), rng) as usize));
        }
        let anchors = places.into_iter().filter_map(|at| anchors.get(at)).copied().collect();
        let positives = self.take(self.slices.positives(slice).into(), rng);
        let negatives = self.take(self.slices.negatives(slice), rng);
        let first_positive = positives.first().and_then(|&row| self.slices.slice_of(row)).unwrap_or(slice);
        let easy_negatives = self.take(self.easy_negatives(slice, first_positive), rng);
        Ok(ContrastiveBatch { slice, anchors, positives, negatives, easy_negatives })
    }

    /// The pool of easy negatives for anchors of `slice` and a positive that came from slice `other`.
    fn easy_negatives(&self, slice: u32, other: u32) -> Pool<'_> {
        if other != slice && !self.slices.anchors(other).is_empty() {
            return self.slices.anchors(other).into();
        }
        let next = self.drawable.iter().find(|&&next| next > slice).or(self.drawable.first());
        match next {
            Some(&next) if next != slice => self.slices.anchors(next).into(),
            _ => self.slices.negatives(slice),
        }
    }

    fn take<R: RngCore + ?Sized>(&self, pool: Pool<'_>, rng: &mut R) -> Vec<u32> {
        indices(length(pool.len()), self.per_part, rng).into_iter().filter_map(|at| pool.get(at as usize)).collect()
    }

    fn anchors(&self, slice: u32) -> Result<&[u32]> {
        match self.slices.anchors(slice) {
            [] => Err(Error::SliceWithoutAnchors { slice, drawable: self.drawable.clone() }),
            anchors => Ok(anchors),
        }
    }

    fn leads_per_slice(&self) -> usize {
        self.drawable.iter().map(|&slice| self.slices.anchors(slice).len()).min().unwrap_or(0)
    }
}

/// Length of a pool; [`Slices`] holds no more rows than fit.
fn length(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

fn small_pools(slices: &Slices, drawable: &[u32], per_part: usize) -> Vec<SmallPool> {
    drawable
        .iter()
        .flat_map(|&slice| {
            [
                (Role::Anchors, slices.anchors(slice).len()),
                (Role::Positives, slices.positives(slice).len()),
                (Role::Negatives, slices.negatives(slice).len()),
            ]
            .into_iter()
            .filter(|&(_, size)| size < per_part)
            .map(move |(role, size)| SmallPool { slice, role, size, per_part })
        })
        .collect()
}
