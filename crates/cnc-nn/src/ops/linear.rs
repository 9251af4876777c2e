//! Linear map `y = x wᵀ + b`.

use candle_core::Tensor;

use super::OpError;

const OP: &str = "linear";

/// `y = x wᵀ + b` for `x` of shape `(..., in)`, `weight` of shape `(out, in)` and `bias` of shape `(out)`.
///
/// # Errors
/// Wrong number of dimensions, or sizes that do not fit together.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, OpError> {
    check(x, weight, bias)?;
    composed(x, weight, bias)
}

/// [`linear`] in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, OpError> {
    let y = x.broadcast_matmul(&weight.t()?)?;
    match bias {
        Some(bias) => Ok(y.broadcast_add(bias)?),
        None => Ok(y),
    }
}

fn check(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<(), OpError> {
    let &[outputs, features] = weight.dims() else {
        return Err(OpError::Rank { op: OP, argument: "weight", expected: "(out, in)", shape: weight.dims().to_vec() });
    };
    let Some(&input) = x.dims().last().filter(|_| x.rank() >= 2) else {
        return Err(OpError::Rank { op: OP, argument: "x", expected: "(..., in)", shape: x.dims().to_vec() });
    };
    if input != features {
        return Err(OpError::Channels { op: OP, input, weight: features });
    }
    super::check_bias(OP, bias, outputs)
}
