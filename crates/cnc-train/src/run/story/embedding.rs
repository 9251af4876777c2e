//! Principal components: the plane in which samples lie furthest apart.
//!
//! Linear, so that what looks near is near, and without chance, so that the same run gives the same picture.

use cnc_core::Features;
use cnc_core::fits::PcaOptions;

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

/// The plane of `rows` (`(n, dim)`, row by row). Values that are not finite count as 0.
///
/// The sign of each component is such that the sample furthest out is on its positive side.
pub(super) fn plane(rows: &[f32], dim: usize) -> cnc_core::Result<Plane> {
    let rows: Vec<f32> = rows.iter().map(|value| if value.is_finite() { *value } else { 0.0 }).collect();
    if rows.is_empty() {
        return Ok(Plane { x: vec![], y: vec![], explained: [0.0; 2] });
    }
    let features = Features::new(&rows, dim)?;
    let components = dim.min(2);
    let pca = PcaOptions { components }.fit(&features)?;
    let projected = pca.project(&features)?;
    let explained = pca.explained();
    let axis = |at: usize| -> Vec<f64> {
        let Some(_) = explained.get(at) else { return vec![0.0; features.rows()] };
        let mut scores: Vec<f64> = projected.iter().skip(at).step_by(components).copied().collect();
        let furthest =
            scores.iter().copied().fold(0.0, |far: f64, score| if score.abs() > far.abs() { score } else { far });
        if furthest < 0.0 {
            scores.iter_mut().for_each(|score| *score = -*score);
        }
        scores
    };
    let share = |at: usize| explained.get(at).copied().unwrap_or(0.0);
    Ok(Plane { x: axis(0), y: axis(1), explained: [share(0), share(1)] })
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
        let product: f64 = ours.iter().zip(&theirs).map(|(ours, theirs)| ours * f64::from(*theirs)).sum();
        let sign = if product < 0.0 { -1.0 } else { 1.0 };
        for (a, b) in ours.iter().zip(theirs) {
            assert!((sign * a - f64::from(b)).abs() < 1e-4, "{a} {b}");
        }
    }

    #[test]
    fn the_plane_is_that_of_scikit_learn_for_many_rows_and_for_few() {
        let bytes = include_bytes!("../../../tests/fixtures/pca.safetensors");
        let fixtures = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).unwrap();
        for case in ["tall", "wide"] {
            let rows = &fixtures[&format!("{case}.rows")];
            let plane = plane(&values(rows), rows.dims()[1]).unwrap();
            agrees(&plane.x, values(&fixtures[&format!("{case}.x")]));
            agrees(&plane.y, values(&fixtures[&format!("{case}.y")]));
            for (ours, theirs) in plane.explained.iter().zip(values(&fixtures[&format!("{case}.explained")])) {
                assert!((ours - f64::from(theirs)).abs() < 1e-6, "{ours} {theirs}");
            }
        }
    }

    #[test]
    fn points_on_a_line_have_one_component() {
        let plane = plane(&[0.0, 0.0, 3.0, 4.0, 6.0, 8.0], 2).unwrap();
        for (ours, right) in plane.x.iter().zip([-5.0, 0.0, 5.0]) {
            assert!((ours.abs() - f64::abs(right)).abs() < 1e-9);
        }
        assert!((plane.explained[0] - 1.0).abs() < 1e-9);
        assert!(plane.y.iter().all(|y| y.abs() < 1e-6));
    }

    #[test]
    fn nothing_varies_or_nothing_is_there() {
        assert_eq!(plane(&[1.0; 6], 2).unwrap(), Plane { x: vec![0.0; 3], y: vec![0.0; 3], explained: [0.0; 2] });
        assert_eq!(plane(&[], 4).unwrap().x, Vec::<f64>::new());
        assert_eq!(plane(&[], 0).unwrap().explained, [0.0; 2]);
        assert!(plane(&[f32::NAN, 1.0, 2.0, f32::INFINITY], 2).unwrap().x.iter().all(|x| x.is_finite()));
    }
}
