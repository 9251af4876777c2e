#![doc = include_str!("../README.md")]

pub mod alignment;
pub mod contrastive;
pub mod cross_entropy;
mod draws;
mod error;
pub mod intervals;
pub mod metrics;
pub mod sampler;
pub mod slices;

pub use alignment::{Alignment, ClassAlignment, ClassGroup, Lengths};
pub use contrastive::{Contrast, ContrastiveLoss, ContrastiveOptions, Parts, Sides};
pub use cross_entropy::{cross_entropy, cross_entropy_per_sample};
pub use draws::{shuffled, shuffled_batches};
pub use error::{Error, Result};
pub use intervals::{Interval, Proportion};
pub use metrics::{ClassAccuracy, CounterfactualFlips, Evaluation};
pub use sampler::{ContrastiveBatch, ContrastiveSampler, Lead, Role, SmallPool};
pub use slices::{Fallback, Pool, SliceCounts, Slices};
