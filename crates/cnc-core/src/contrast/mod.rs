//! Correct-N-Contrast: slice, sample, contrast.
//!
//! [`slices`] says which samples of the training set are anchors, positives and negatives, by what a first model makes of
//! them ([`folds`](folds()) for models that have not seen them); [`sampler`] draws batches of these, and [`loss`] contrasts
//! their representations. [`notes`] is what a log should tell of slices and pools. The loss does not know the sampler.

mod folds;
pub mod loss;
pub mod notes;
pub mod sampler;
pub mod slices;

pub use folds::folds;
pub use loss::{Contrast, ContrastiveLoss, ContrastiveOptions, Parts, SMALLEST_TEMPERATURE, Sides};
pub use notes::{Fallback, Role, SliceCounts, SmallPool};
pub use sampler::{ContrastiveBatch, ContrastiveSampler, Lead};
pub use slices::{Pool, Slices};
