//! Fits to plain slices of numbers, without tensors: what the methods on a frozen encoder, and slices by clusters, need.
//!
//! [`features`] are the representations that are fitted to, and a linear head on them. [`logistic`] regression, [`pca`],
//! Gaussian [`mixture`]s and [`clusters`] have one shape: options, which `fit` named inputs and give what `predict`s.
//! [`matching`] tells which cluster is which class. Everything is computed in f64, and deterministic.

pub mod clusters;
pub mod features;
pub mod logistic;
pub mod matching;
mod minimise;
pub mod mixture;
pub mod pca;
pub(crate) mod softmax;
pub(crate) mod vectors;

pub use clusters::{ClusterOptions, Clusters};
pub use features::{Features, Labelled, LinearHead};
pub use logistic::{LogisticOptions, Penalty};
pub use matching::classes_of_clusters;
pub use mixture::{Component, GaussianMixture, MixtureOptions, Points};
pub use pca::{Pca, PcaOptions};
