//! LeNet-5 for small colour images.

use candle_core::{Device, Tensor};
use cnc_base::inputs::Inputs;
use cnc_nn::Parameters;
use cnc_nn::layers::{ConvReluPool, Linear, Mode, relu};

use crate::error::{Error, Result};
use crate::model::Model;

pub(crate) const NAME: &str = "lenet";

/// Side of the square kernels of both convolutions.
const KERNEL: usize = 5;
/// Side of the pooling windows after both.
const POOL: usize = 2;
/// Rows and columns of an image.
const SIDE: usize = 32;
/// Units after the last convolution: 16 channels of 5 x 5.
const FEATURES: usize = 16 * 5 * 5;
/// Units of the representation.
const DIM: usize = 84;

/// LeNet-5 (LeCun et al. 1998, "Gradient-based learning applied to document recognition") with ReLU and max pooling, for
/// images `(batch, 3, 32, 32)`; the representation is the 84 units before the classifier, after ReLU.
///
/// ```text
/// conv1 3 -> 6, 5x5   ReLU  max pool 2   (6, 14, 14)
/// conv2 6 -> 16, 5x5  ReLU  max pool 2   (16, 5, 5) = 400
/// fc1 400 -> 120      ReLU
/// fc2 120 -> 84       ReLU               the representation
/// fc  84 -> classes
/// ```
///
/// 61,581 parameters with five classes.
#[derive(Debug)]
pub struct LeNet {
    conv1: ConvReluPool,
    conv2: ConvReluPool,
    fc1: Linear,
    fc2: Linear,
    fc: Linear,
    classes: usize,
    parameters: Parameters,
}

impl LeNet {
    /// A network with fresh weights.
    ///
    /// # Errors
    /// [`Error::TooFewClasses`] for less than two classes.
    pub fn new(classes: usize, seed: u64, device: &Device) -> Result<Self> {
        if classes < 2 {
            return Err(Error::TooFewClasses { found: classes });
        }
        let parameters = Parameters::new(seed, device);
        let builder = parameters.builder();
        Ok(Self {
            conv1: ConvReluPool::new(3, 6, KERNEL, POOL, builder.pp("conv1"))?,
            conv2: ConvReluPool::new(6, 16, KERNEL, POOL, builder.pp("conv2"))?,
            fc1: Linear::new(FEATURES, 120, builder.pp("fc1"))?,
            fc2: Linear::new(120, DIM, builder.pp("fc2"))?,
            fc: Linear::new(DIM, classes, builder.pp("fc"))?,
            classes,
            parameters,
        })
    }
}

impl Model for LeNet {
    fn encode(&self, inputs: &Inputs, _mode: Mode) -> Result<Tensor> {
        let Inputs::Images(images) = inputs else {
            return Err(Error::InputKind { model: NAME, expected: "images", found: inputs.kind() });
        };
        if !matches!(images.dims(), [_, 3, SIDE, SIDE]) {
            let found = images.dims().to_vec();
            return Err(Error::ImageShape { model: NAME, expected: "(batch, 3, 32, 32)", found });
        }
        let features = self.conv1.forward(images)?; // (batch, 6, 14, 14)
        let features = self.conv2.forward(&features)?.flatten_from(1)?; // (batch, 400)
        let hidden = relu(&self.fc1.forward(&features)?)?; // (batch, 120)
        Ok(relu(&self.fc2.forward(&hidden)?)?)
    }

    fn classify(&self, representations: &Tensor, _mode: Mode) -> Result<Tensor> {
        Ok(self.fc.forward(representations)?)
    }

    fn classifier(&self) -> &'static str {
        "fc"
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn classes(&self) -> usize {
        self.classes
    }
}
