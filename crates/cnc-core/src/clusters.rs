//! Slices by clustering the representations of a first, biased model.
//!
//! The published implementation of Correct-N-Contrast slices by clusters rather than by predictions: representations are
//! brought to two dimensions, a Gaussian mixture with as many components as classes is fitted, and components are matched
//! to classes by the best permutation. There the two dimensions are UMAP's; here they are principal components.

use rand::RngCore;

use crate::error::Result;
use crate::features::Features;
use crate::matching::classes_of_clusters;
use crate::mixture::GaussianMixture;
use crate::pca::principal_components;
use crate::slices::Slices;

/// The cluster of each row, below `clusters`, by a Gaussian mixture on the first `components` principal components (on all
/// of them where the features have no more).
///
/// # Errors
/// [`Error::Setting`](crate::Error::Setting) when there are no components, or not 1 to rows clusters.
pub fn clusters<R: RngCore + ?Sized>(
    features: &Features<'_>,
    clusters: usize,
    components: usize,
    rng: &mut R,
) -> Result<Vec<u32>> {
    let components = components.min(features.dim());
    let projection = principal_components(features, components)?;
    Ok(GaussianMixture::fit(&projection.values, components, clusters, rng)?.predict(&projection.values))
}

impl Slices {
    /// Slices by cluster: each cluster, numbered below `classes`, is the slice of the class that the best one-to-one
    /// assignment gives it. Where that leaves a class in the cluster of another, these samples are negatives there.
    ///
    /// # Errors
    /// As for [`Slices::from_predictions`].
    ///
    /// ```
    /// # fn main() -> cnc_core::Result<()> {
    /// // Cluster 1 is mostly class 0, cluster 0 mostly class 1; rows 2 and 5 are in the other class' cluster.
    /// let slices = cnc_core::Slices::from_clusters(&[0, 0, 0, 1, 1, 1], &[1, 1, 0, 0, 0, 1], 2)?;
    /// assert_eq!(slices.errors(), [2, 5]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_clusters(labels: &[u32], clusters: &[u32], classes: usize) -> Result<Self> {
        let class_of = classes_of_clusters(labels, clusters, classes)?;
        let slices: Vec<u32> = clusters.iter().filter_map(|&cluster| class_of.get(cluster as usize)).copied().collect();
        Self::from_predictions(labels, &slices, classes)
    }
}
