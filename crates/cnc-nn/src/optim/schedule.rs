//! How the learning rate changes over a run.

use std::f64::consts::PI;

/// The learning rate of a step as a multiple of the base rate. A function of the step alone, so that a resumed run needs
/// nothing but its step number.
///
/// Steps count from 0; the first one trains with `factor(0)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// Always the base rate.
    Constant,
    /// Multiplied with `gamma` after every `every` steps (`torch.optim.lr_scheduler.StepLR`).
    Step {
        /// Steps at one rate.
        every: u64,
        /// What the rate is multiplied with.
        gamma: f64,
    },
    /// From the base rate to 0 along half a cosine, `(1 + cos(pi step / steps)) / 2` (`CosineAnnealingLR`); 0 after
    /// the last step.
    Cosine {
        /// Steps of the run.
        steps: u64,
    },
    /// Up from 0 to the base rate in a straight line over `warmup` steps, then down to 0 along half a cosine
    /// (`transformers.get_cosine_schedule_with_warmup`); 0 after the last step.
    CosineWithWarmup {
        /// Steps on the way up; may be 0.
        warmup: u64,
        /// Steps of the run, those on the way up included.
        steps: u64,
    },
    /// Up from 0 to the base rate in a straight line over `warmup` steps, then down to 0 in another
    /// (`transformers.get_linear_schedule_with_warmup`).
    LinearWithWarmup {
        /// Steps on the way up; may be 0.
        warmup: u64,
        /// Steps of the run, those on the way up included.
        steps: u64,
    },
}

impl Schedule {
    /// The factor of step `step`, counted from 0.
    #[must_use]
    pub fn factor(&self, step: u64) -> f64 {
        match *self {
            Self::Constant => 1.0,
            Self::Step { every, gamma } => gamma.powf((step / every.max(1)) as f64),
            Self::CosineWithWarmup { warmup, .. } | Self::LinearWithWarmup { warmup, .. } if step < warmup => {
                ratio(step, warmup)
            }
            Self::Cosine { steps } => half_cosine(step, steps),
            Self::CosineWithWarmup { warmup, steps } => half_cosine(step - warmup, steps.saturating_sub(warmup)),
            Self::LinearWithWarmup { warmup, steps } => {
                ratio(steps.saturating_sub(step), steps.saturating_sub(warmup)).min(1.0)
            }
        }
    }
}

/// From 1 to 0 over `steps`; 0 after that.
fn half_cosine(step: u64, steps: u64) -> f64 {
    if step >= steps { 0.0 } else { (1.0 + (PI * ratio(step, steps)).cos()) / 2.0 }
}

fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(schedule: Schedule, steps: u64) -> Vec<f64> {
        (0..steps).map(|step| schedule.factor(step)).collect()
    }

    #[test]
    fn a_constant_rate_stays() {
        assert_eq!(factors(Schedule::Constant, 3), [1.0, 1.0, 1.0]);
    }

    #[test]
    fn steps_multiply_the_rate_after_every_few_steps() {
        assert_eq!(factors(Schedule::Step { every: 2, gamma: 0.5 }, 5), [1.0, 1.0, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn a_cosine_is_at_half_the_rate_in_the_middle_and_at_zero_from_the_end_on() {
        let factors = factors(Schedule::Cosine { steps: 4 }, 6);
        let expected = [1.0, (1.0 + 0.5f64.sqrt()) / 2.0, 0.5, (1.0 - 0.5f64.sqrt()) / 2.0, 0.0, 0.0];
        for (factor, expected) in factors.iter().zip(expected) {
            assert!((factor - expected).abs() < 1e-12, "{factor} {expected}");
        }
    }

    #[test]
    fn warm_up_starts_at_zero_reaches_the_rate_and_falls_to_zero() {
        let schedule = Schedule::LinearWithWarmup { warmup: 2, steps: 6 };
        assert_eq!(factors(schedule, 8), [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]);
        assert_eq!(factors(Schedule::LinearWithWarmup { warmup: 0, steps: 2 }, 3), [1.0, 0.5, 0.0]);
    }

    #[test]
    fn a_cosine_after_warm_up_falls_from_the_rate_to_zero() {
        let factors = factors(Schedule::CosineWithWarmup { warmup: 2, steps: 6 }, 8);
        let expected = [0.0, 0.5, 1.0, (1.0 + 0.5f64.sqrt()) / 2.0, 0.5, (1.0 - 0.5f64.sqrt()) / 2.0, 0.0, 0.0];
        for (factor, expected) in factors.iter().zip(expected) {
            assert!((factor - expected).abs() < 1e-12, "{factor} {expected}");
        }
        let schedule = Schedule::CosineWithWarmup { warmup: 0, steps: 9 };
        assert!((0..12).all(|step| schedule.factor(step) == Schedule::Cosine { steps: 9 }.factor(step)));
    }

    #[test]
    fn a_run_of_no_steps_does_not_divide_by_zero() {
        let schedules = [
            Schedule::Step { every: 0, gamma: 0.1 },
            Schedule::Cosine { steps: 0 },
            Schedule::CosineWithWarmup { warmup: 0, steps: 0 },
            Schedule::LinearWithWarmup { warmup: 0, steps: 0 },
        ];
        assert!(schedules.iter().all(|schedule| schedule.factor(0).is_finite()));
    }
}
