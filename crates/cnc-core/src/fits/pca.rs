//! Principal components.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::features::Features;
use super::vectors::dot;
use crate::draws::standard_normals;
use crate::error::{Error, Result};

/// Directions that are followed beside those asked for: the more, the sooner the others converge.
const SPARE: usize = 8;
/// Largest residual of an eigenvector, relative to the largest eigenvalue.
const TOLERANCE: f64 = 1e-10;
/// Most iterations; where they are needed, the last components hardly differ in variance and are a matter of choice.
const ITERATIONS: usize = 1000;
/// Most sweeps of Jacobi's method, which converges quadratically.
const SWEEPS: usize = 50;

/// The settings of a fit.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// use cnc_core::Features;
/// use cnc_core::fits::PcaOptions;
/// let features = Features::new(&[0.0, 0.0, 3.0, 4.0, 6.0, 8.0], 2)?; // on a line
/// let pca = PcaOptions { components: 1 }.fit(&features)?;
/// let along = pca.project(&features)?;
/// assert!((along[2] - 5.0).abs() < 1e-12 && (pca.explained()[0] - 1.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PcaOptions {
    /// How many of the axes along which the features vary most.
    pub components: usize,
}

/// The axes along which features vary most.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    means: Vec<f64>,
    /// Of each axis and its opposite, the one whose largest component is positive.
    axes: Vec<Vec<f64>>,
    variances: Vec<f64>,
    /// Of all features together.
    total: f64,
}

impl Pca {
    /// The features along the axes, `(rows, components)` in row-major order; those that were fitted to have mean 0.
    ///
    /// # Errors
    /// [`Error::Shape`] when they are not as wide as those that were fitted to.
    pub fn project(&self, features: &Features<'_>) -> Result<Vec<f64>> {
        if features.dim() != self.means.len() {
            let expected = format!("(rows, {}), as the features of the fit", self.means.len());
            return Err(Error::Shape { what: "features", expected, found: vec![features.rows(), features.dim()] });
        }
        let centred = centred(features, &self.means);
        let rows = centred.chunks_exact(self.means.len());
        Ok(rows.flat_map(|x| self.axes.iter().map(move |axis| dot(x, axis))).collect())
    }

    /// The variance along each axis (over rows - 1), descending.
    #[must_use]
    pub fn variances(&self) -> &[f64] {
        &self.variances
    }

    /// The share of all variance that is along each axis; 0 where nothing varies.
    #[must_use]
    pub fn explained(&self) -> Vec<f64> {
        let share = |variance: &f64| if self.total > 0.0 { variance / self.total } else { 0.0 };
        self.variances.iter().map(share).collect()
    }
}

impl PcaOptions {
    /// The first principal components, by orthogonal iteration (Golub and Van Loan, "Matrix Computations").
    ///
    /// # Errors
    /// [`Error::Setting`] when there are not 1 to `dim` components.
    pub fn fit(&self, features: &Features<'_>) -> Result<Pca> {
        let &Self { components } = self;
        let (rows, dim) = (features.rows(), features.dim());
        if components == 0 || components > dim {
            let expected = "at least 1 and at most the dimension of the features";
            return Err(Error::Setting { option: "components", expected, given: components as f64 });
        }
        let mut means = vec![0.0; dim];
        for x in features.iter() {
            means.iter_mut().zip(x).for_each(|(mean, x)| *mean += f64::from(*x) / rows as f64);
        }
        let scale = 1.0 / rows.saturating_sub(1).max(1) as f64;
        let centred = centred(features, &means);
        let total = dot(&centred, &centred) * scale;
        let (axes, variances) = principal_axes(&centred, dim, components, scale);
        Ok(Pca { means, axes, variances, total })
    }
}

fn centred(features: &Features<'_>, means: &[f64]) -> Vec<f64> {
    features.iter().flat_map(|x| x.iter().zip(means).map(|(x, mean)| f64::from(*x) - mean)).collect()
}

/// The axes of the largest variance of `centred` rows, `(rows, dim)`, and these variances: `scale` times the squares.
fn principal_axes(centred: &[f64], dim: usize, components: usize, scale: f64) -> (Vec<Vec<f64>>, Vec<f64>) {
    let covariance_times = |axis: &Vec<f64>| {
        let mut product = vec![0.0; dim];
        for x in centred.chunks_exact(dim) {
            let along = dot(x, axis) * scale;
            product.iter_mut().zip(x).for_each(|(product, x)| *product += along * x);
        }
        product
    };

    // Where the iteration starts makes no difference to where it ends.
    let start = standard_normals(dim * (components + SPARE).min(dim), &mut ChaCha8Rng::seed_from_u64(0));
    let mut axes = orthonormal(start.chunks_exact(dim).map(<[f64]>::to_vec).collect());
    let mut variances = Vec::new();
    for _ in 0..ITERATIONS {
        let products: Vec<Vec<f64>> = axes.iter().map(covariance_times).collect();
        let small = axes.iter().map(|axis| products.iter().map(|product| dot(axis, product)).collect()).collect();
        let (values, vectors) = symmetric_eigen(small);
        let (rotated, images) = (combine(&axes, &vectors), combine(&products, &vectors));
        let largest = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let residual = |((axis, image), value): ((&Vec<f64>, &Vec<f64>), &f64)| {
            axis.iter().zip(image).map(|(axis, image)| (image - value * axis).powi(2)).sum::<f64>().sqrt()
        };
        let worst = rotated.iter().zip(&images).zip(&values).take(components).map(residual).fold(0.0, f64::max);
        variances = values;
        if worst <= TOLERANCE * largest {
            axes = rotated;
            break;
        }
        axes = orthonormal(images);
    }
    axes.truncate(components);
    variances.truncate(components);
    for axis in &mut axes {
        let largest =
            axis.iter().copied().fold(0.0, |largest: f64, x| if x.abs() > largest.abs() { x } else { largest });
        axis.iter_mut().for_each(|x| *x *= largest.signum());
    }
    (axes, variances)
}

/// The vectors made orthonormal one after the other (Gram-Schmidt, twice for rounding); one without a part of its own
/// becomes 0.
fn orthonormal(vectors: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let mut done: Vec<Vec<f64>> = Vec::with_capacity(vectors.len());
    for mut vector in vectors {
        let before = dot(&vector, &vector).sqrt();
        for _ in 0..2 {
            for other in &done {
                let along = dot(&vector, other);
                vector.iter_mut().zip(other).for_each(|(x, other)| *x -= along * other);
            }
        }
        let length = dot(&vector, &vector).sqrt();
        let keep = if length > f64::EPSILON * before { 1.0 / length } else { 0.0 };
        vector.iter_mut().for_each(|x| *x *= keep);
        done.push(vector);
    }
    done
}

/// For each list of weights, the sum of the vectors by these weights.
fn combine(vectors: &[Vec<f64>], weights: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let sum = |weights: &Vec<f64>| {
        let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
        for (vector, weight) in vectors.iter().zip(weights) {
            sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += weight * x);
        }
        sum
    };
    weights.iter().map(sum).collect()
}

/// Eigenvalues, descending, and eigenvectors of a small symmetric matrix, by Jacobi's rotations.
fn symmetric_eigen(mut matrix: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let size = matrix.len();
    let mut vectors: Vec<Vec<f64>> =
        (0..size).map(|row| (0..size).map(|column| f64::from(u8::from(row == column))).collect()).collect();
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..size {
            for q in p + 1..size {
                let off = matrix[p][q];
                if off.abs() <= f64::EPSILON * (matrix[p][p] * matrix[q][q]).abs().sqrt() || off == 0.0 {
                    continue;
                }
                rotated = true;
                let half = (matrix[q][q] - matrix[p][p]) / (2.0 * off);
                let tangent = half.signum() / (half.abs() + (half * half + 1.0).sqrt());
                let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
                let sine = tangent * cosine;
                for row in &mut matrix {
                    (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
                }
                rotate(&mut matrix, [p, q], cosine, sine);
                rotate(&mut vectors, [p, q], cosine, sine);
            }
        }
        if !rotated {
            break;
        }
    }
    let mut pairs: Vec<(f64, Vec<f64>)> =
        vectors.into_iter().enumerate().map(|(at, vector)| (matrix[at][at], vector)).collect();
    pairs.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    pairs.into_iter().unzip()
}

/// Turns two rows, the first above the second, into each other.
fn rotate(rows: &mut [Vec<f64>], [p, q]: [usize; 2], cosine: f64, sine: f64) {
    let (head, tail) = rows.split_at_mut(q);
    for (above, below) in head[p].iter_mut().zip(&mut tail[0]) {
        (*above, *below) = (cosine * *above - sine * *below, sine * *above + cosine * *below);
    }
}
