//! Layer normalisation (Ba et al. 2016): each row is shifted and scaled to mean 0 and variance 1, then by a learnt weight and
//! bias. Transformers normalise sums: [`add_norm`] is the sum, its dropout and its normalisation in one pass.
//!
//! `y = weight * (s - mean(s)) / sqrt(variance(s) + epsilon) + bias`, row by row; of a sum `s = x + dropout(branch)`.

use candle_core::{D, Tensor};

use super::dropout;
use crate::autograd::{Pass, apply, on_cpu_f32};
use crate::kernels::dropout::Mask;
use crate::kernels::layer_norm::{Norm, NormGradients};
use crate::op_error::OpError;

const OP: &str = "layer_norm";

/// Normalises each row of `x`, shape `(..., width)`; `weight` and `bias` are `(width)`.
///
/// # Errors
/// Wrong shapes.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Tensor, OpError> {
    let width = check(x, weight, bias)?;
    if !on_cpu_f32(&[x, weight, bias]) {
        return composed(x, weight, bias, epsilon);
    }
    let norm = Norm { width, epsilon, mask: None };
    let forward = |[x, weight, bias]: [&[f32]; 3]| (norm.forward(x, &[], weight, bias), ());
    Ok(apply(OP, [x, weight, bias], x.shape(), forward, move |(), Pass { arguments: [x, weight, _], dy, .. }| {
        let gradients = norm.gradients(x, &[], weight, dy, false);
        [Some(gradients.sum), Some(gradients.weight), Some(gradients.bias)]
    })?)
}

/// [`layer_norm`] of `x + dropout(branch)`, both of shape `(..., width)`; without a mask nothing is dropped.
///
/// # Errors
/// Wrong shapes.
pub fn add_norm(
    x: &Tensor,
    branch: &Tensor,
    mask: Option<Mask>,
    weight: &Tensor,
    bias: &Tensor,
    epsilon: f64,
) -> Result<Tensor, OpError> {
    let width = check(x, weight, bias)?;
    if x.dims() != branch.dims() {
        return Err(OpError::Branch { op: OP, x: x.dims().to_vec(), branch: branch.dims().to_vec() });
    }
    if !on_cpu_f32(&[x, branch, weight, bias]) {
        return composed_add_norm(x, branch, mask, weight, bias, epsilon);
    }
    let norm = Norm { width, epsilon, mask };
    let forward = |[x, weight, bias, branch]: [&[f32]; 4]| (norm.forward(x, branch, weight, bias), ());
    let backward = move |(): &(), pass: Pass<[&[f32]; 4], [bool; 4]>| {
        let [x, weight, _, branch] = pass.arguments;
        let gradients = norm.gradients(x, branch, weight, pass.dy, pass.wanted[3]);
        let NormGradients { sum, branch, weight, bias } = gradients;
        let of_branch = pass.wanted[3].then(|| if branch.is_empty() { sum.clone() } else { branch });
        [Some(sum), Some(weight), Some(bias), of_branch]
    };
    Ok(apply(OP, [x, weight, bias, branch], x.shape(), forward, backward)?)
}

/// [`layer_norm`](crate::ops::layer_norm) in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Tensor, OpError> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + epsilon)?.sqrt()?)?;
    Ok(normal.broadcast_mul(weight)?.broadcast_add(bias)?)
}

/// [`add_norm`](crate::ops::add_norm) in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed_add_norm(
    x: &Tensor,
    branch: &Tensor,
    mask: Option<Mask>,
    weight: &Tensor,
    bias: &Tensor,
    epsilon: f64,
) -> Result<Tensor, OpError> {
    let branch = match mask {
        Some(mask) => dropout::composed(branch, mask)?,
        None => branch.clone(),
    };
    composed(&(x + branch)?, weight, bias, epsilon)
}

/// The width, if the shapes fit together.
pub(super) fn check(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<usize, OpError> {
    let Some(&width) = x.dims().last().filter(|width| **width > 0) else {
        return Err(OpError::Rank { op: OP, argument: "x", expected: "(..., width)", shape: x.dims().to_vec() });
    };
    match [weight, bias].into_iter().find(|argument| argument.dims() != [width]) {
        Some(argument) => Err(OpError::ByFeature { op: OP, width, shape: argument.dims().to_vec() }),
        None => Ok(width),
    }
}
