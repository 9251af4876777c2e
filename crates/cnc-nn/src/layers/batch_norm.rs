//! Batch normalisation with running statistics.

use candle_core::{DType, Tensor, Var};
use candle_nn::{Init, VarBuilder};

use super::mode::{Mode, layer_error};
use crate::autograd::recomputing;
use crate::error::Result;
use crate::ops::batch_norm::{BatchMoments, batch_norm_eval, batch_norm_train};
use crate::ops::residual::{Stage, Statistics};

/// Added to the variance (PyTorch's default).
const EPSILON: f64 = 1e-5;
/// Share of the newest batch in the running statistics (PyTorch's default).
const MOMENTUM: f64 = 0.1;

/// Normalises each channel of images `(batch, channels, height, width)` to mean 0 and variance 1, then to a learnt mean and scale
/// (Ioffe and Szegedy 2015).
///
/// In training by the mean and variance of the batch, which also enter the running statistics with weight 0.1 (the variance
/// divided by one less than the count); in evaluation by the running statistics. In evaluation gradients reach weight, bias
/// and input too.
///
/// Variables as `torch.nn.BatchNorm2d`: `weight` and `bias`; not trained `running_mean`, `running_var`, all `(channels,)`,
/// and `num_batches_tracked`, a single i64.
#[derive(Debug, Clone)]
pub struct BatchNorm2d {
    name: String,
    weight: Tensor,
    bias: Tensor,
    running_mean: Var,
    running_var: Var,
    batches: Var,
}

impl BatchNorm2d {
    /// A layer for images of `channels`, its variables under the prefix of `builder`. It starts as the identity on data of
    /// mean 0 and variance 1.
    ///
    /// # Errors
    /// When the variables exist already with another shape.
    pub fn new(channels: usize, builder: VarBuilder) -> Result<Self> {
        let variable = |name, value| builder.get_with_hints(channels, name, Init::Const(value));
        let batches = builder.get_with_hints_dtype((), "num_batches_tracked", Init::Const(0.0), DType::I64)?;
        Ok(Self {
            name: builder.prefix(),
            weight: variable("weight", 1.0)?,
            bias: variable("bias", 0.0)?,
            running_mean: Var::from_tensor(&variable("running_mean", 0.0)?)?,
            running_var: Var::from_tensor(&variable("running_var", 1.0)?)?,
            batches: Var::from_tensor(&batches)?,
        })
    }

    /// `(batch, channels, height, width)` to the same shape.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) for another rank or number of channels, and in training for a batch with fewer
    /// than two values a channel.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let Self { weight, bias, .. } = self;
        match mode {
            Mode::Train { .. } => {
                let (y, moments) = batch_norm_train(images, weight, bias, EPSILON).map_err(layer_error(&self.name))?;
                self.track(&moments)?;
                Ok(y)
            }
            Mode::Eval => {
                let (mean, variance) = (self.running_mean.as_tensor(), self.running_var.as_tensor());
                batch_norm_eval(images, weight, bias, mean, variance, EPSILON).map_err(layer_error(&self.name))
            }
        }
    }

    /// This layer after a convolution with `weight`, in one.
    pub(super) fn stage(&self, weight: Tensor, stride: usize, mode: Mode) -> Stage {
        let statistics = match mode {
            Mode::Train { .. } => Statistics::Batch,
            Mode::Eval => Statistics::Stored {
                mean: self.running_mean.as_detached_tensor(),
                variance: self.running_var.as_detached_tensor(),
            },
        };
        let (scale, shift) = (self.weight.clone(), self.bias.clone());
        Stage { weight, stride, scale, shift, statistics, epsilon: EPSILON }
    }

    pub(super) fn parameters(&self) -> [Tensor; 2] {
        [self.weight.clone(), self.bias.clone()]
    }

    /// Takes the statistics of a training batch in.
    pub(super) fn track(&self, moments: &BatchMoments) -> Result<()> {
        if recomputing() {
            return Ok(());
        }
        let mix = |old: &Var, new: &Tensor, share: f64| -> Result<()> {
            let mixed = (old.as_tensor().detach().affine(1.0 - MOMENTUM, 0.0)? + new.affine(share, 0.0)?)?;
            Ok(old.set(&mixed)?)
        };
        let count = moments.count as f64;
        mix(&self.running_mean, &moments.mean, MOMENTUM)?;
        mix(&self.running_var, &moments.variance, MOMENTUM * count / (count - 1.0))?;
        let batches = self.batches.to_scalar::<i64>()? + 1;
        Ok(self.batches.set(&Tensor::new(batches, self.batches.device())?)?)
    }
}
