//! Initial values, as PyTorch draws them, from a generator that can be seeded.
//!
//! Candle describes an initialiser as a value, [`Init`], which layers pass to a `VarBuilder`; but it draws on the CPU
//! from the thread's own generator, which cannot be seeded. [`draw`] takes the same description and a generator, so
//! every Candle layer, ours or another's, starts reproducibly under [`Parameters`](crate::Parameters).

use candle_core::Shape;
pub use candle_nn::init::{FanInOut, Init, NonLinearity, NormalOrUniform};
use rand::Rng;
use rand_distr::StandardNormal;

/// He's normal initialiser over the fan-out with ReLU's gain, `N(0, 2 / fan_out)`: what torchvision's ResNet uses for
/// its convolutions (He et al. 2015, "Delving Deep into Rectifiers", section 2.2).
pub const KAIMING_NORMAL_FAN_OUT: Init =
    Init::Kaiming { dist: NormalOrUniform::Normal, fan: FanInOut::FanOut, non_linearity: NonLinearity::ReLU };

/// PyTorch's default for the weight *and* the bias of `Linear` and `Conv2d`: `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`.
///
/// PyTorch writes the weight's as `kaiming_uniform_(a = sqrt(5))`: gain `sqrt(2 / (1 + 5))`, bound
/// `gain * sqrt(3 / fan_in)`, which is the same interval. `fan_in` is the number of inputs that one output sums over:
/// `in_channels * kernel * kernel` of a convolution.
#[must_use]
pub fn pytorch_default(fan_in: usize) -> Init {
    let bound = if fan_in == 0 { 0.0 } else { 1.0 / (fan_in as f64).sqrt() };
    Init::Uniform { lo: -bound, up: bound }
}

/// Draws the values of a tensor of this shape, in row-major order.
pub fn draw(init: Init, shape: &Shape, generator: &mut impl Rng) -> Vec<f32> {
    let count = shape.elem_count();
    match init {
        Init::Const(value) => vec![value as f32; count],
        Init::Uniform { lo, up } => uniform(lo, up, count, generator),
        Init::Randn { mean, stdev } => normal(mean, stdev, count, generator),
        Init::Kaiming { dist, fan, non_linearity } => {
            let deviation = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
            match dist {
                // A uniform variable on (-b, b) has the deviation b / sqrt(3).
                NormalOrUniform::Uniform => {
                    let bound = 3f64.sqrt() * deviation;
                    uniform(-bound, bound, count, generator)
                }
                NormalOrUniform::Normal => normal(0.0, deviation, count, generator),
            }
        }
    }
}

fn uniform(low: f64, high: f64, count: usize, generator: &mut impl Rng) -> Vec<f32> {
    (0..count).map(|_| (low + (high - low) * f64::from(generator.random::<f32>())) as f32).collect()
}

fn normal(mean: f64, deviation: f64, count: usize, generator: &mut impl Rng) -> Vec<f32> {
    (0..count).map(|_| (mean + deviation * generator.sample::<f64, _>(StandardNormal)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnc_base::seeds::of_parameter;

    const COUNT: usize = 20_000;

    fn drawn(init: Init, shape: impl Into<Shape>) -> Vec<f32> {
        draw(init, &shape.into(), &mut of_parameter(0, "weight"))
    }

    fn mean_and_deviation(values: &[f32]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt())
    }

    #[test]
    fn pytorchs_default_fills_the_interval_evenly() {
        let values = drawn(pytorch_default(100), (200, 100));
        let (mean, deviation) = mean_and_deviation(&values);
        assert!(values.iter().all(|v| (-0.1..=0.1).contains(v)));
        assert!(values.iter().any(|v| *v < -0.0995) && values.iter().any(|v| *v > 0.0995));
        // Five standard errors of each.
        assert!(mean.abs() < 5.0 * 0.0577 / (COUNT as f64).sqrt(), "mean {mean}");
        assert!((deviation - 0.1 / 3f64.sqrt()).abs() < 0.001, "deviation {deviation}");
    }

    #[test]
    fn pytorchs_default_is_kaiming_uniform_with_a_of_sqrt_5() {
        let gain = (2.0f64 / (1.0 + 5.0)).sqrt();
        let kaiming = Init::Kaiming {
            dist: NormalOrUniform::Uniform,
            fan: FanInOut::FanIn,
            non_linearity: NonLinearity::ExplicitGain(gain),
        };
        let (ours, theirs) = (drawn(pytorch_default(6 * 5 * 5), (16, 6, 5, 5)), drawn(kaiming, (16, 6, 5, 5)));
        for (our, their) in ours.iter().zip(&theirs) {
            assert!((our - their).abs() < 1e-7);
        }
    }

    #[test]
    fn normal_draws_have_the_mean_and_deviation_that_were_asked_for() {
        let (mean, deviation) = mean_and_deviation(&drawn(Init::Randn { mean: 1.0, stdev: 0.02 }, COUNT));
        assert!((mean - 1.0).abs() < 5.0 * 0.02 / (COUNT as f64).sqrt(), "mean {mean}");
        assert!((deviation - 0.02).abs() < 0.0006, "deviation {deviation}");
    }

    #[test]
    fn resnets_convolutions_are_scaled_by_their_outputs() {
        // fan_out = 64 * 3 * 3.
        let (mean, deviation) = mean_and_deviation(&drawn(KAIMING_NORMAL_FAN_OUT, (64, 32, 3, 3)));
        let expected = (2.0f64 / 576.0).sqrt();
        assert!(mean.abs() < 5.0 * expected / (18_432f64).sqrt(), "mean {mean}");
        assert!((deviation / expected - 1.0).abs() < 0.03, "deviation {deviation}");
    }

    #[test]
    fn a_constant_is_constant() {
        assert_eq!(drawn(Init::Const(0.5), 3), [0.5; 3]);
    }
}
