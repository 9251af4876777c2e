//! Principal components: the plane in which samples lie furthest apart.
//!
//! Linear, so that what looks near is near, and without chance, so that the same run gives the same picture.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Samples in the plane of their two principal components.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plane {
    /// Coordinates along the first component.
    pub x: Vec<f64>,
    /// Coordinates along the second component.
    pub y: Vec<f64>,
    /// Share of the variance along each of the two.
    pub explained: [f64; 2],
}

/// Iterations of the eigenvector search at most; only nearly equal eigenvalues need so many.
const ITERATIONS: usize = 2000;

/// Change of an entry of an eigenvector at which the search ends.
const TOLERANCE: f64 = 1e-10;

/// The plane of `rows` (`(n, dim)`, row by row). Values that are not finite count as 0.
///
/// The sign of each component is such that the sample furthest out is on its positive side.
pub(super) fn plane(rows: &[f32], dim: usize) -> Plane {
    let count = rows.len().checked_div(dim).unwrap_or(0);
    let centred = centred(rows, dim, count);
    let total: f64 = centred.iter().map(|value| value * value).sum();
    // The smaller of covariance (dim x dim) and inner products (n x n) has the same non-zero eigenvalues.
    let by_column = dim <= count;
    let side = dim.min(count);
    let matrix = products(&centred, dim, count, by_column);
    let pairs = eigenvectors(&matrix, side);
    let mut axes = pairs.iter().map(|(value, vector)| {
        let mut scores: Vec<f64> = if by_column {
            centred.chunks_exact(dim).map(|row| dot(row, vector)).collect()
        } else {
            vector.iter().map(|share| share * value.max(0.0).sqrt()).collect()
        };
        let furthest =
            scores.iter().copied().fold(0.0, |far: f64, score| if score.abs() > far.abs() { score } else { far });
        if furthest < 0.0 {
            scores.iter_mut().for_each(|score| *score = -*score);
        }
        (scores, if total > 0.0 { value.max(0.0) / total } else { 0.0 })
    });
    let (x, first) = axes.next().unwrap_or((vec![0.0; count], 0.0));
    let (y, second) = axes.next().unwrap_or((vec![0.0; count], 0.0));
    Plane { x, y, explained: [first, second] }
}

fn centred(rows: &[f32], dim: usize, count: usize) -> Vec<f64> {
    let mut values: Vec<f64> =
        rows.iter().take(count * dim).map(|value| if value.is_finite() { f64::from(*value) } else { 0.0 }).collect();
    for column in 0..dim {
        let mean = values.iter().skip(column).step_by(dim).sum::<f64>() / count.max(1) as f64;
        values.iter_mut().skip(column).step_by(dim).for_each(|value| *value -= mean);
    }
    values
}

/// `XᵀX` by column, or `XXᵀ` by row.
fn products(centred: &[f64], dim: usize, count: usize, by_column: bool) -> Vec<f64> {
    let vectors: Vec<Vec<f64>> = if by_column {
        (0..dim).map(|column| centred.iter().skip(column).step_by(dim).copied().collect()).collect()
    } else {
        centred.chunks_exact(dim.max(1)).take(count).map(<[f64]>::to_vec).collect()
    };
    vectors.iter().flat_map(|a| vectors.iter().map(move |b| dot(a, b))).collect()
}

/// The two largest eigenvalues of a symmetric positive matrix with their eigenvectors, by orthogonal iteration.
fn eigenvectors(matrix: &[f64], side: usize) -> Vec<(f64, Vec<f64>)> {
    if side == 0 {
        return Vec::new();
    }
    // Any start that is not orthogonal to the answer will do.
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut vectors: Vec<Vec<f64>> =
        (0..side.min(2)).map(|_| (0..side).map(|_| rng.random::<f64>() - 0.5).collect()).collect();
    orthonormalise(&mut vectors);
    for _ in 0..ITERATIONS {
        let mut next: Vec<Vec<f64>> = vectors.iter().map(|vector| times(matrix, vector)).collect();
        orthonormalise(&mut next);
        let entries = vectors.iter().flatten().zip(next.iter().flatten());
        let change = entries.map(|(before, after)| (before - after).abs()).fold(0.0, f64::max);
        vectors = next;
        if change < TOLERANCE {
            break;
        }
    }
    vectors.into_iter().map(|vector| (dot(&vector, &times(matrix, &vector)), vector)).collect()
}

/// Gram-Schmidt, twice for accuracy. A vector that vanishes stays zero.
fn orthonormalise(vectors: &mut [Vec<f64>]) {
    for index in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(index);
        let Some(vector) = rest.first_mut() else { continue };
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(vector, other);
                vector.iter_mut().zip(other).for_each(|(value, direction)| *value -= along * direction);
            }
        }
        let length = dot(vector, vector).sqrt();
        if length > f64::MIN_POSITIVE {
            vector.iter_mut().for_each(|value| *value /= length);
        }
    }
}

fn times(matrix: &[f64], vector: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(vector.len().max(1)).map(|row| dot(row, vector)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Equal up to the sign of each component, which scikit-learn chooses by another rule.
    fn agrees(ours: &[f64], theirs: Vec<f32>) {
        let sign = if dot(ours, &theirs.iter().map(|v| f64::from(*v)).collect::<Vec<_>>()) < 0.0 { -1.0 } else { 1.0 };
        for (a, b) in ours.iter().zip(theirs) {
            assert!((sign * a - f64::from(b)).abs() < 1e-4, "{a} {b}");
        }
    }

    #[test]
    fn the_plane_is_that_of_scikit_learn_for_many_rows_and_for_few() {
        let bytes = include_bytes!("../../tests/fixtures/pca.safetensors");
        let fixtures = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).unwrap();
        for case in ["tall", "wide"] {
            let rows = &fixtures[&format!("{case}.rows")];
            let plane = plane(&values(rows), rows.dims()[1]);
            agrees(&plane.x, values(&fixtures[&format!("{case}.x")]));
            agrees(&plane.y, values(&fixtures[&format!("{case}.y")]));
            for (ours, theirs) in plane.explained.iter().zip(values(&fixtures[&format!("{case}.explained")])) {
                assert!((ours - f64::from(theirs)).abs() < 1e-6, "{ours} {theirs}");
            }
        }
    }

    #[test]
    fn points_on_a_line_have_one_component() {
        let plane = plane(&[0.0, 0.0, 3.0, 4.0, 6.0, 8.0], 2);
        for (ours, right) in plane.x.iter().zip([-5.0, 0.0, 5.0]) {
            assert!((ours.abs() - f64::abs(right)).abs() < 1e-9);
        }
        assert!((plane.explained[0] - 1.0).abs() < 1e-9);
        assert!(plane.y.iter().all(|y| y.abs() < 1e-6));
    }

    #[test]
    fn nothing_varies_or_nothing_is_there() {
        assert_eq!(plane(&[1.0; 6], 2), Plane { x: vec![0.0; 3], y: vec![0.0; 3], explained: [0.0; 2] });
        assert_eq!(plane(&[], 4).x, Vec::<f64>::new());
        assert_eq!(plane(&[], 0).explained, [0.0; 2]);
        assert!(plane(&[f32::NAN, 1.0, 2.0, f32::INFINITY], 2).x.iter().all(|x| x.is_finite()));
    }
}
