//! Activations of transformers: GELU (Hendrycks and Gimpel 2016), exact and approximate, and ReLU.
//!
//! ```text
//! gelu(x)      = x Φ(x) = x/2 (1 + erf(x / √2))
//! gelu_tanh(x) = x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))
//! ```

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use super::parallel::for_each_chunk;
use super::simd::{Kernel, Simd, dispatch};
use super::special::{erf, exp, tanh};

/// Values that one thread takes at a time.
const CHUNK: usize = 1 << 13;

/// A function of single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// GELU by the error function: PyTorch's `gelu`.
    Gelu,
    /// GELU by the hyperbolic tangent: PyTorch's `gelu(approximate="tanh")`, the `gelu_new` of Hugging Face.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

/// √(2/π).
const ROOT: f32 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
const CUBIC: f32 = 0.044_715;

impl Activation {
    /// The value and the derivative at `x`.
    #[inline(always)]
    fn at(self, x: f32) -> (f32, f32) {
        match self {
            Self::Gelu => {
                let below = 0.5 * (1.0 + erf(x * FRAC_1_SQRT_2));
                let density = 0.5 * ROOT * exp(-0.5 * x * x);
                (x * below, below + x * density)
            }
            Self::GeluTanh => {
                let t = tanh(ROOT * (x + CUBIC * x * x * x));
                let slope = ROOT * (1.0 + 3.0 * CUBIC * x * x);
                (0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)
            }
            Self::Relu if x <= 0.0 => (0.0, 0.0),
            Self::Relu => (x, 1.0),
        }
    }

    /// Writes the activation of `x` to `y`.
    pub(crate) fn forward(self, x: &[f32], y: &mut [f32]) {
        dispatch(Values { activation: self, x, y });
    }

    /// Multiplies `dy` with the derivative at `x`, and writes the activation of `x` to `y`, unless it is empty.
    pub(crate) fn backward(self, x: &[f32], y: &mut [f32], dy: &mut [f32]) {
        dispatch(Slopes { activation: self, x, y, dy });
    }
}

struct Values<'a> {
    activation: Activation,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Values<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let pairs = self.y.iter_mut().zip(self.x);
        // One loop a function, so that each becomes vector instructions.
        match self.activation {
            Activation::Gelu => pairs.for_each(|(y, x)| *y = Activation::Gelu.at(*x).0),
            Activation::GeluTanh => pairs.for_each(|(y, x)| *y = Activation::GeluTanh.at(*x).0),
            Activation::Relu => pairs.for_each(|(y, x)| *y = Activation::Relu.at(*x).0),
        }
    }
}

struct Slopes<'a> {
    activation: Activation,
    x: &'a [f32],
    y: &'a mut [f32],
    dy: &'a mut [f32],
}

impl Slopes<'_> {
    #[inline(always)]
    fn each(self, activation: Activation) {
        // No closures: they would not be compiled for the instructions in question.
        if self.y.is_empty() {
            for (dy, x) in self.dy.iter_mut().zip(self.x) {
                *dy *= activation.at(*x).1;
            }
        } else {
            for ((dy, x), y) in self.dy.iter_mut().zip(self.x).zip(self.y) {
                let (value, slope) = activation.at(*x);
                (*y, *dy) = (value, *dy * slope);
            }
        }
    }
}

impl Kernel for Slopes<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match self.activation {
            Activation::Gelu => self.each(Activation::Gelu),
            Activation::GeluTanh => self.each(Activation::GeluTanh),
            Activation::Relu => self.each(Activation::Relu),
        }
    }
}

/// The activation of each value.
pub(crate) fn forward(activation: Activation, x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    for_each_chunk(&mut y, CHUNK, x.len(), |i, y| activation.forward(&x[i * CHUNK..][..y.len()], y));
    y
}

/// The gradient of `x` for that of its activation.
pub(crate) fn backward(activation: Activation, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let mut dx = dy.to_vec();
    for_each_chunk(&mut dx, CHUNK, x.len(), |i, dx| activation.backward(&x[i * CHUNK..][..dx.len()], &mut [], dx));
    dx
}
