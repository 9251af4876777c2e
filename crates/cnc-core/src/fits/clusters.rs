//! Clusters of the representations of a first, biased model.
//!
//! The published implementation of Correct-N-Contrast slices by clusters rather than by predictions: representations are
//! brought to two dimensions, a Gaussian mixture with as many components as classes is fitted, and components are matched
//! to classes by the best permutation ([`Slices::from_clusters`](crate::Slices::from_clusters)). There the two dimensions
//! are UMAP's; here they are principal components.

use rand::RngCore;

use super::features::Features;
use super::mixture::{GaussianMixture, MixtureOptions, Points};
use super::pca::{Pca, PcaOptions};
use crate::error::Result;

/// The settings of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterOptions {
    /// Number of clusters.
    pub clusters: usize,
    /// Principal components that features are brought to before they are clustered; all where there are no more.
    pub components: usize,
}

/// A Gaussian mixture on principal components.
#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    pca: Pca,
    mixture: GaussianMixture,
}

impl ClusterOptions {
    /// Fits clusters to features.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) when there are no components, or not 1 to rows clusters.
    pub fn fit<R: RngCore + ?Sized>(&self, features: &Features<'_>, rng: &mut R) -> Result<Clusters> {
        let dim = self.components.min(features.dim());
        let pca = PcaOptions { components: dim }.fit(features)?;
        let values = &pca.project(features)?;
        let mixture = MixtureOptions { components: self.clusters }.fit(Points { values, dim }, rng)?;
        Ok(Clusters { pca, mixture })
    }
}

impl Clusters {
    /// The cluster of each row, from 0.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) when the features are not as wide as those of the fit.
    pub fn predict(&self, features: &Features<'_>) -> Result<Vec<u32>> {
        Ok(self.mixture.predict(&self.pca.project(features)?))
    }
}
