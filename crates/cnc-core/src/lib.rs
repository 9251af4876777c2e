#![doc = include_str!("../README.md")]

pub mod afr;
pub mod alignment;
pub mod bootstrap;
pub mod clusters;
pub mod contrastive;
pub mod cross_entropy;
pub mod cvar;
pub mod dfr;
pub mod dpe;
mod draws;
pub mod environments;
mod error;
pub mod features;
#[cfg(test)]
#[path = "../tests/parity/common.rs"]
mod fixtures;
pub mod folds;
pub mod group_dro;
pub mod intervals;
pub mod lff;
pub mod logistic_regression;
pub mod matching;
pub mod metrics;
mod minimise;
pub mod mixture;
pub mod pca;
mod per_sample;
pub mod reweighting;
pub mod sampler;
pub mod slices;
mod softmax;
mod vectors;

pub use afr::{Afr, AfrOptions};
pub use alignment::{Alignment, ClassAlignment, ClassGroup, Lengths};
pub use bootstrap::{Difference, PairedDifference, paired_bootstrap};
pub use clusters::clusters;
pub use contrastive::{Contrast, ContrastiveLoss, ContrastiveOptions, Parts, Sides};
pub use cross_entropy::{
    class_balanced_cross_entropy, cross_entropy, cross_entropy_per_sample, focal_loss_per_sample,
    mixed_cross_entropy_per_sample, smoothed_cross_entropy_per_sample, weighted_mean,
};
pub use cvar::cvar;
pub use dfr::{DfrOptions, dfr};
pub use dpe::{DpeOptions, PrototypeEnsemble, Prototypes, dpe};
pub use draws::{shuffled, shuffled_batches};
pub use environments::{
    EiilOptions, eiil, environment_groups, flip_probability, irm_penalty, scale_gradients, soft_environments,
};
pub use error::{Error, Result};
pub use features::{Features, LinearHead};
pub use folds::folds;
pub use group_dro::{GroupDro, GroupDroOptions};
pub use intervals::{Interval, Proportion};
pub use lff::{LossAverages, difficulty, generalised_cross_entropy_per_sample};
pub use logistic_regression::{LogisticRegression, Penalty};
pub use matching::classes_of_clusters;
pub use metrics::{ClassAccuracy, CounterfactualFlips, Evaluation};
pub use mixture::GaussianMixture;
pub use pca::{Projection, principal_components};
pub use reweighting::{BalancedSampler, class_weights, subsample, upsampled};
pub use sampler::{ContrastiveBatch, ContrastiveSampler, Lead, Role, SmallPool};
pub use slices::{Fallback, Pool, SliceCounts, Slices};
