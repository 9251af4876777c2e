//! Gaussian mixtures by expectation and maximisation.
//!
//! As in scikit-learn's `GaussianMixture` with full covariances: k-means (started by k-means++, Arthur and Vassilvitskii
//! 2007) gives the first assignment, and 1e-6 is added to every variance.

use rand::RngCore;

use super::features::largest_of_rows;
use super::softmax::softmax;
use super::vectors::square_distance;
use crate::draws::{below, unit};
use crate::error::{Error, Result};

/// Added to every variance, so that a component of equal points keeps a density.
const REGULARISATION: f64 = 1e-6;
/// Starts of k-means, of which the tightest clusters are taken.
const STARTS: usize = 10;
/// Most steps of k-means, and of the expectation and maximisation after it.
const STEPS: usize = 1000;
/// The fit stops where the mean log-likelihood changes by less.
const TOLERANCE: f64 = 1e-9;

/// The settings of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MixtureOptions {
    /// Number of Gaussians.
    pub components: usize,
}

/// What a mixture is fitted to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Points<'a> {
    /// `(rows, dim)` in row-major order.
    pub values: &'a [f64],
    /// Length of a row.
    pub dim: usize,
}

/// Weights, means and covariances of the components.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianMixture {
    dim: usize,
    components: Vec<Component>,
}

/// One component of a mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Its share of the points.
    pub weight: f64,
    /// `(dim,)`.
    pub mean: Vec<f64>,
    /// `(dim, dim)` in row-major order.
    pub covariance: Vec<f64>,
    /// Lower triangle L with L·Lᵀ = covariance, `(dim, dim)` in row-major order.
    cholesky: Vec<f64>,
}

impl MixtureOptions {
    /// Fits the mixture to points.
    ///
    /// # Errors
    /// [`Error::Shape`] when the points are not whole rows, [`Error::NotFiniteRow`] when one is NaN or infinite,
    /// [`Error::Setting`] when there are not 1 to rows components.
    pub fn fit<R: RngCore + ?Sized>(&self, points: Points<'_>, rng: &mut R) -> Result<GaussianMixture> {
        let &Self { components } = self;
        let Points { values: points, dim } = points;
        if dim == 0 || !points.len().is_multiple_of(dim) {
            let expected = format!("(rows, {dim})");
            return Err(Error::Shape { what: "points", expected, found: vec![points.len()] });
        }
        let rows = points.len() / dim;
        if let Some((at, &value)) = points.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(Error::NotFiniteRow { what: "a point", row: at / dim, value });
        }
        let Some(number) = u32::try_from(rows).ok().filter(|_| (1..=rows).contains(&components)) else {
            let expected = "at least 1 and at most the number of points";
            return Err(Error::Setting { option: "components", expected, given: components as f64 });
        };
        let points: Vec<&[f64]> = points.chunks_exact(dim).collect();
        let starts = (0..STARTS).map(|_| k_means(&points, start(&points, number, components, rng)));
        let tightest = starts.reduce(|best, next| if next.0 < best.0 { next } else { best });
        let of_points = tightest.map(|(_, clusters)| clusters).unwrap_or_default();
        let one_hot = |cluster: usize| (0..components).map(|at| f64::from(u8::from(at == cluster))).collect();
        let mut mixture =
            GaussianMixture::maximise(&points, dim, &of_points.into_iter().map(one_hot).collect::<Vec<_>>());
        let mut before = f64::NEG_INFINITY;
        for _ in 0..STEPS {
            let (likelihood, responsibilities) = mixture.expect(&points);
            mixture = GaussianMixture::maximise(&points, dim, &responsibilities);
            if (likelihood - before).abs() < TOLERANCE {
                break;
            }
            before = likelihood;
        }
        Ok(mixture)
    }
}

impl GaussianMixture {
    /// The components.
    #[must_use]
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// Mean log-likelihood of `points`, `(rows, dim)`, and the likelihood of each component given each point,
    /// `(rows, components)` in row-major order.
    #[must_use]
    pub fn likelihoods(&self, points: &[f64]) -> (f64, Vec<f64>) {
        let (likelihood, responsibilities) = self.expect(&points.chunks_exact(self.dim).collect::<Vec<_>>());
        (likelihood, responsibilities.concat())
    }

    /// The likeliest component of each point, the first of equals.
    #[must_use]
    pub fn predict(&self, points: &[f64]) -> Vec<u32> {
        largest_of_rows(&self.likelihoods(points).1, self.components.len())
    }

    fn expect(&self, points: &[&[f64]]) -> (f64, Vec<Vec<f64>>) {
        let mut total = 0.0;
        let responsibilities = points
            .iter()
            .map(|point| {
                let mut scores: Vec<f64> =
                    self.components.iter().map(|component| component.log_density(point)).collect();
                let first = scores.first().copied().unwrap_or(0.0);
                // -log of the first one's share, and so the log of the sum of all.
                total += softmax(&mut scores, 0) + first;
                scores
            })
            .collect();
        (total / points.len() as f64, responsibilities)
    }

    fn maximise(points: &[&[f64]], dim: usize, responsibilities: &[Vec<f64>]) -> Self {
        let number = responsibilities.first().map_or(0, Vec::len);
        let component = |at: usize| {
            let shares = || responsibilities.iter().map(|of_point| of_point.get(at).copied().unwrap_or(0.0));
            let sum = shares().sum::<f64>() + 10.0 * f64::EPSILON;
            let mut mean = vec![0.0; dim];
            for (point, share) in points.iter().zip(shares()) {
                mean.iter_mut().zip(*point).for_each(|(mean, x)| *mean += share * x / sum);
            }
            let mut covariance = vec![0.0; dim * dim];
            for (point, share) in points.iter().zip(shares()) {
                let off: Vec<f64> = point.iter().zip(&mean).map(|(x, mean)| x - mean).collect();
                for (row, left) in covariance.chunks_exact_mut(dim).zip(&off) {
                    row.iter_mut().zip(&off).for_each(|(cell, right)| *cell += share * left * right / sum);
                }
            }
            covariance.iter_mut().step_by(dim + 1).for_each(|variance| *variance += REGULARISATION);
            let cholesky = cholesky(&covariance, dim);
            Component { weight: sum / points.len() as f64, mean, covariance, cholesky }
        };
        Self { dim, components: (0..number).map(component).collect() }
    }
}

impl Component {
    /// Log of weight times density.
    fn log_density(&self, point: &[f64]) -> f64 {
        let dim = self.mean.len();
        let mut solved = Vec::with_capacity(dim); // L⁻¹ (x - mean)
        let mut log_determinant = 0.0;
        for ((row, lower), (x, mean)) in self.cholesky.chunks_exact(dim).enumerate().zip(point.iter().zip(&self.mean)) {
            let known: f64 = lower.iter().zip(&solved).map(|(cell, solved)| cell * solved).sum();
            let pivot = lower.get(row).copied().unwrap_or(1.0);
            solved.push((x - mean - known) / pivot);
            log_determinant += pivot.ln();
        }
        let squares: f64 = solved.iter().map(|x| x * x).sum();
        self.weight.ln() - 0.5 * (squares + dim as f64 * std::f64::consts::TAU.ln()) - log_determinant
    }
}

/// The lower triangle L with L·Lᵀ = `matrix`. A pivot that rounding makes too small is that of the regularisation.
fn cholesky(matrix: &[f64], dim: usize) -> Vec<f64> {
    let mut lower = vec![0.0; dim * dim];
    for row in 0..dim {
        for column in 0..=row {
            let known: f64 = (0..column).map(|at| lower[row * dim + at] * lower[column * dim + at]).sum();
            let rest = matrix[row * dim + column] - known;
            lower[row * dim + column] =
                if row == column { rest.max(REGULARISATION).sqrt() } else { rest / lower[column * dim + column] };
        }
    }
    lower
}

/// Centres by k-means++: each further one is a point drawn with a probability proportional to the squared distance to
/// the nearest centre so far.
fn start<R: RngCore + ?Sized>(points: &[&[f64]], rows: u32, components: usize, rng: &mut R) -> Vec<Vec<f64>> {
    let mut centres: Vec<Vec<f64>> = Vec::with_capacity(components);
    let mut nearest = vec![f64::INFINITY; points.len()];
    for _ in 0..components {
        let total: f64 = nearest.iter().sum();
        let at = if centres.is_empty() || total <= 0.0 {
            below(rows, rng) as usize
        } else {
            let mut left = unit(rng) * total;
            let reached = nearest.iter().position(|square| {
                left -= square;
                left <= 0.0 && *square > 0.0
            });
            reached.unwrap_or(points.len() - 1)
        };
        let Some(centre) = points.get(at) else { break };
        for (nearest, point) in nearest.iter_mut().zip(points) {
            *nearest = nearest.min(square_distance(point, centre));
        }
        centres.push(centre.to_vec());
    }
    centres
}

/// The sum of squared distances to the nearest centre, and that centre of each point, after k-means (Lloyd 1982).
fn k_means(points: &[&[f64]], mut centres: Vec<Vec<f64>>) -> (f64, Vec<usize>) {
    let mut clusters = Vec::new();
    let mut inertia = f64::INFINITY;
    for _ in 0..STEPS {
        let nearest: Vec<(usize, f64)> = points.iter().map(|point| nearest_centre(point, &centres)).collect();
        inertia = nearest.iter().map(|(_, square)| square).sum();
        let now: Vec<usize> = nearest.into_iter().map(|(cluster, _)| cluster).collect();
        if now == clusters {
            break;
        }
        clusters = now;
        for (at, centre) in centres.iter_mut().enumerate() {
            let members = || points.iter().zip(&clusters).filter(move |(_, cluster)| **cluster == at);
            let size = members().count();
            if size == 0 {
                continue; // a centre without points stays where it is
            }
            centre.iter_mut().for_each(|x| *x = 0.0);
            for (point, _) in members() {
                centre.iter_mut().zip(*point).for_each(|(centre, x)| *centre += x / size as f64);
            }
        }
    }
    (inertia, clusters)
}

fn nearest_centre(point: &[f64], centres: &[Vec<f64>]) -> (usize, f64) {
    let mut best = (0, f64::INFINITY);
    for (at, centre) in centres.iter().enumerate() {
        let square = square_distance(point, centre);
        if square < best.1 {
            best = (at, square);
        }
    }
    best
}
