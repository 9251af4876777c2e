//! Minimisation of a smooth convex function plus an L1 penalty.
//!
//! L-BFGS (Liu and Nocedal 1989), and with a penalty its orthant-wise form OWL-QN (Andrew and Gao, "Scalable Training of
//! L1-Regularized Log-Linear Models", ICML 2007): within one orthant the penalty is linear, so a step is projected to
//! the orthant that the steepest descent points into.

use std::collections::VecDeque;

use super::vectors::dot;

/// Steps that the curvature is estimated from.
const MEMORY: usize = 10;
/// Share of the decrease promised by the gradient that a step must bring (Armijo).
const SUFFICIENT: f64 = 1e-4;
/// Halvings of a step before it is given up.
const HALVINGS: usize = 30;
/// Changes of the value below this share of it are rounding, which is no reason to shorten a step: near the minimum the
/// gradient still tells where it is.
const ROUNDING: f64 = 1e-14;

/// Where to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Largest component of the gradient that counts as zero.
    pub(crate) gradient: f64,
    /// Most steps.
    pub(crate) steps: usize,
}

/// Minimises `smooth(x) + l1 · Σ |x_i|` over the first `penalised` components from `start`. Stops at a zero gradient,
/// where rounding leaves no step that makes it smaller, or after the most steps.
pub(crate) fn minimise(
    smooth: impl Fn(&[f64]) -> (f64, Vec<f64>),
    l1: f64,
    penalised: usize,
    start: Vec<f64>,
    limits: Limits,
) -> Vec<f64> {
    let absolute = |x: &[f64]| l1 * x.iter().take(penalised).map(|x| x.abs()).sum::<f64>();
    let mut x = start;
    let (mut value, mut gradient) = smooth(&x);
    value += absolute(&x);
    let mut memory = Memory(VecDeque::new());
    for _ in 0..limits.steps {
        let steepest = pseudo_gradient(&x, &gradient, l1, penalised);
        if steepest.iter().all(|component| component.abs() <= limits.gradient) {
            break;
        }
        let mut direction = memory.direction(&steepest);
        if l1 > 0.0 {
            for (direction, steepest) in direction.iter_mut().zip(&steepest).take(penalised) {
                if *direction * steepest >= 0.0 {
                    *direction = 0.0;
                }
            }
        }
        let mut step = if memory.0.is_empty() { 1.0 / dot(&steepest, &steepest).sqrt() } else { 1.0 };
        let mut found = None;
        for _ in 0..HALVINGS {
            let next = walk(&x, &direction, &steepest, step, if l1 > 0.0 { penalised } else { 0 });
            let promised: f64 = next.iter().zip(&x).zip(&steepest).map(|((next, x), slope)| (next - x) * slope).sum();
            let (next_value, next_gradient) = smooth(&next);
            let next_value = next_value + absolute(&next);
            if promised < 0.0 && next_value <= value + SUFFICIENT * promised + ROUNDING * value.abs() {
                found = Some((next, next_value, next_gradient));
                break;
            }
            step /= 2.0;
        }
        let Some((next, next_value, next_gradient)) = found else {
            if memory.0.is_empty() {
                break;
            }
            memory.0.clear(); // once more along the steepest descent
            continue;
        };
        memory.remember(difference(&next, &x), difference(&next_gradient, &gradient));
        (x, value, gradient) = (next, next_value, next_gradient);
    }
    x
}

/// The gradient including the penalty; at zero, of the side that descends, if one does.
fn pseudo_gradient(x: &[f64], gradient: &[f64], l1: f64, penalised: usize) -> Vec<f64> {
    let component = |(at, (&x, &slope)): (usize, (&f64, &f64))| {
        if at >= penalised {
            slope
        } else if x != 0.0 {
            slope + l1 * x.signum()
        } else {
            // Of zero where |slope| <= l1.
            slope.signum() * (slope.abs() - l1).max(0.0)
        }
    };
    x.iter().zip(gradient).enumerate().map(component).collect()
}

/// A step, of which the penalised components stop at zero rather than change their sign.
fn walk(x: &[f64], direction: &[f64], steepest: &[f64], step: f64, penalised: usize) -> Vec<f64> {
    let component = |(at, ((&x, direction), slope)): (usize, ((&f64, &f64), &f64))| {
        let next = x + step * direction;
        let side = if x != 0.0 { x } else { -slope };
        if at < penalised && next * side <= 0.0 { 0.0 } else { next }
    };
    x.iter().zip(direction).zip(steepest).enumerate().map(component).collect()
}

/// The last steps and the changes of the gradient along them.
struct Memory(VecDeque<(Vec<f64>, Vec<f64>, f64)>);

impl Memory {
    fn remember(&mut self, step: Vec<f64>, change: Vec<f64>) {
        let curvature = dot(&step, &change);
        // The estimate stays positive definite only with curvature that is.
        if curvature <= f64::EPSILON * dot(&change, &change) {
            return;
        }
        if self.0.len() == MEMORY {
            self.0.pop_front();
        }
        self.0.push_back((step, change, curvature));
    }

    /// Minus the estimated inverse Hessian times the gradient, by the two-loop recursion.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut direction: Vec<f64> = gradient.iter().map(|component| -component).collect();
        let mut shares = Vec::with_capacity(self.0.len());
        for (step, change, curvature) in self.0.iter().rev() {
            let share = dot(step, &direction) / curvature;
            add(&mut direction, change, -share);
            shares.push(share);
        }
        if let Some((_, change, curvature)) = self.0.back() {
            let scale = curvature / dot(change, change);
            direction.iter_mut().for_each(|component| *component *= scale);
        }
        for ((step, change, curvature), share) in self.0.iter().zip(shares.into_iter().rev()) {
            let correction = share - dot(change, &direction) / curvature;
            add(&mut direction, step, correction);
        }
        direction
    }
}

fn add(to: &mut [f64], what: &[f64], times: f64) {
    for (to, what) in to.iter_mut().zip(what) {
        *to += times * what;
    }
}

fn difference(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter().zip(right).map(|(left, right)| left - right).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { gradient: 1e-9, steps: 500 };

    /// Rosenbrock's valley, which is not even convex: its minimum is at (1, 1).
    #[test]
    fn a_curved_valley_is_followed_to_its_end() {
        let valley = |x: &[f64]| {
            let across = x[1] - x[0] * x[0];
            let gradient = vec![-2.0 * (1.0 - x[0]) - 400.0 * x[0] * across, 200.0 * across];
            ((1.0 - x[0]).powi(2) + 100.0 * across * across, gradient)
        };
        let found = minimise(valley, 0.0, 2, vec![-1.2, 1.0], LIMITS);
        assert!(found.iter().all(|component| (component - 1.0).abs() < 1e-7), "{found:?}");
    }

    /// ½ Σ (x - a)² + Σ |x| is least where a is drawn towards zero by 1, and zero where |a| is below.
    #[test]
    fn the_penalty_makes_small_components_exactly_zero_and_leaves_the_unpenalised_alone() {
        let targets = [3.0, -0.5, 0.9, -2.0, 0.3];
        let bowl = |x: &[f64]| {
            let gradient = difference(x, &targets);
            (0.5 * dot(&gradient, &gradient), gradient)
        };
        let found = minimise(bowl, 1.0, 4, vec![0.0; 5], LIMITS);
        assert!(difference(&found, &[2.0, 0.0, 0.0, -1.0, 0.3]).iter().all(|off| off.abs() < 1e-8), "{found:?}");
        assert_eq!(found[1..3], [0.0, 0.0]);
    }
}
