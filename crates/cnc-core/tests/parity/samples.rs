//! Samples that more than one fit is tried on.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Two features: a shortcut, large, which agrees with the class in `aligned` samples of a class and not in `breaking`
/// ones, and the core, small, which always does. Labels and groups (2 · class + shortcut) beside it.
pub fn shortcut_features(aligned: usize, breaking: usize) -> (Vec<f32>, Vec<u32>, Vec<u32>) {
    let (mut values, mut labels, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for class in 0..2u32 {
        for sample in 0..aligned + breaking {
            let shortcut = if sample < aligned { class } else { 1 - class };
            let side = |of: u32| if of == 1 { 1.0 } else { -1.0 };
            let noise = (sample % 7) as f32 / 7.0 - 0.43;
            values.extend([3.0 * side(shortcut) + noise, side(class) + 0.5 * noise, noise * noise]);
            labels.push(class);
            groups.push(2 * class + shortcut);
        }
    }
    (values, labels, groups)
}
