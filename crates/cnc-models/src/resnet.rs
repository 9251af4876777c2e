//! Residual networks for photographs.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use cnc_base::inputs::Inputs;
use cnc_nn::layers::{ConvNorm, Linear, Mode, Residual, Stem, global_average_pool};
use cnc_nn::{Parameters, recompute};

use crate::error::{Error, Result};
use crate::model::Model;

/// Channels after the stem, and of the narrow convolutions of the first layer; they double from layer to layer.
const WIDTH: usize = 64;
/// Side of the stem's kernel, of stride 2.
const STEM_KERNEL: usize = 7;

/// The three sizes.
pub(crate) const RESNET18: Architecture = Architecture { name: "resnet18", kind: Kind::Basic, blocks: [2, 2, 2, 2] };
pub(crate) const RESNET34: Architecture = Architecture { name: "resnet34", kind: Kind::Basic, blocks: [3, 4, 6, 3] };
pub(crate) const RESNET50: Architecture =
    Architecture { name: "resnet50", kind: Kind::Bottleneck, blocks: [3, 4, 6, 3] };

/// What the sizes differ in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Architecture {
    pub(crate) name: &'static str,
    kind: Kind,
    /// Residual blocks of each layer.
    blocks: [usize; 4],
}

/// What a residual block is made of.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// 3x3, 3x3.
    Basic,
    /// 1x1 to fewer channels, 3x3, 1x1 to four times as many; the 3x3 convolution has the stride (torchvision's
    /// "v1.5").
    Bottleneck,
}

impl Kind {
    /// Channels of a block's result for each channel of its 3x3 convolution.
    fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }

    /// A block from `inputs` channels to `width` times the expansion, under torchvision's names.
    fn block(self, inputs: usize, width: usize, stride: usize, builder: &VarBuilder) -> Result<Residual> {
        let outputs = width * self.expansion();
        let stage = |index: usize, inputs, outputs, kernel, stride| {
            let (conv, norm) = (builder.pp(format!("conv{index}")), builder.pp(format!("bn{index}")));
            ConvNorm::new(inputs, outputs, kernel, stride, conv, norm)
        };
        let branch = match self {
            Self::Basic => vec![stage(1, inputs, width, 3, stride)?, stage(2, width, width, 3, 1)?],
            Self::Bottleneck => vec![
                stage(1, inputs, width, 1, 1)?,
                stage(2, width, width, 3, stride)?,
                stage(3, width, outputs, 1, 1)?,
            ],
        };
        let shortcut = if stride != 1 || inputs != outputs {
            let builder = builder.pp("downsample");
            Some(ConvNorm::new(inputs, outputs, 1, stride, builder.pp(0), builder.pp(1))?)
        } else {
            None
        };
        Ok(Residual::new(branch, shortcut))
    }
}

/// ResNet-18, -34 or -50 (He et al. 2016, "Deep residual learning for image recognition", table 1) as torchvision has it,
/// for images `(batch, 3, height, width)`; the representation is the mean of the last feature maps over all pixels, 512
/// units of ResNet-18 and -34 and 2048 of ResNet-50.
///
/// ```text
/// conv1, bn1  3 -> 64, 7x7, stride 2   ReLU   max pool 3, stride 2
/// layer1..4   residual blocks of 64, 128, 256, 512 channels (ResNet-50: times 4), layer2..4 with stride 2
/// mean over all pixels                        the representation
/// fc          -> classes
/// ```
///
/// Names of parameters and buffers, and initial values, are torchvision's. In training mode batch norm normalises by the
/// batch and updates its running statistics; in evaluation mode it uses them, and gradients reach every parameter all the
/// same.
#[derive(Debug)]
pub struct ResNet {
    name: &'static str,
    stem: Stem,
    blocks: Vec<Residual>,
    activations: Activations,
    dim: usize,
    fc: Linear,
    classes: usize,
    parameters: Parameters,
}

/// What a training step keeps for its backward pass.
#[derive(Debug, Clone, Copy)]
enum Activations {
    /// Everything.
    Kept,
    /// The input of each block; the rest is computed again.
    Recomputed,
}

impl ResNet {
    /// ResNet-18 with fresh weights: 11,177,538 parameters with two classes.
    ///
    /// # Errors
    /// [`Error::TooFewClasses`] for less than two classes.
    pub fn resnet18(classes: usize, seed: u64, device: &Device) -> Result<Self> {
        Self::new(RESNET18, classes, seed, device)
    }

    /// ResNet-34 with fresh weights: 21,285,698 parameters with two classes.
    ///
    /// # Errors
    /// [`Error::TooFewClasses`] for less than two classes.
    pub fn resnet34(classes: usize, seed: u64, device: &Device) -> Result<Self> {
        Self::new(RESNET34, classes, seed, device)
    }

    /// ResNet-50 with fresh weights: 23,512,130 parameters with two classes.
    ///
    /// # Errors
    /// [`Error::TooFewClasses`] for less than two classes.
    pub fn resnet50(classes: usize, seed: u64, device: &Device) -> Result<Self> {
        Self::new(RESNET50, classes, seed, device)
    }

    fn new(architecture: Architecture, classes: usize, seed: u64, device: &Device) -> Result<Self> {
        if classes < 2 {
            return Err(Error::TooFewClasses { found: classes });
        }
        let Architecture { name, kind, blocks: sizes } = architecture;
        let parameters = Parameters::new(seed, device);
        let builder = parameters.builder();
        let stem = Stem::new(ConvNorm::new(3, WIDTH, STEM_KERNEL, 2, builder.pp("conv1"), builder.pp("bn1"))?);
        let (mut blocks, mut channels) = (Vec::new(), WIDTH);
        for (layer, size) in sizes.into_iter().enumerate() {
            let width = WIDTH << layer;
            for index in 0..size {
                let stride = if layer > 0 && index == 0 { 2 } else { 1 };
                let builder = builder.pp(format!("layer{}.{index}", layer + 1));
                blocks.push(kind.block(channels, width, stride, &builder)?);
                channels = width * kind.expansion();
            }
        }
        let fc = Linear::new(channels, classes, builder.pp("fc"))?;
        Ok(Self { name, stem, blocks, activations: Activations::Kept, dim: channels, fc, classes, parameters })
    }

    fn shape_error(&self, images: &Tensor) -> Error {
        let expected = "(batch, 3, height, width) with at least one pixel";
        Error::ImageShape { model: self.name, expected, found: images.dims().to_vec() }
    }

    /// Feature maps `(batch, height / 32, width / 32, dim)`, rounded up.
    fn features(&self, images: &Tensor, mode: Mode) -> cnc_nn::Result<Tensor> {
        match self.activations {
            Activations::Kept => Residual::forward_all(&self.blocks, &self.stem.forward(images, mode)?, mode),
            Activations::Recomputed => {
                let stem = self.stem.clone();
                let x = recompute(images, &self.stem.parameters(), move |x| stem.forward(x, mode))?;
                self.blocks.iter().try_fold(x, |x, block| {
                    let parameters = block.parameters();
                    let block = block.clone();
                    recompute(&x, &parameters, move |x| block.forward(x, mode))
                })
            }
        }
    }
}

impl Model for ResNet {
    fn encode(&self, inputs: &Inputs, mode: Mode) -> Result<Tensor> {
        let Inputs::Images(images) = inputs else {
            return Err(Error::InputKind { model: self.name, expected: "images", found: inputs.kind() });
        };
        let &[batch, 3, height, width] = images.dims() else { return Err(self.shape_error(images)) };
        if height == 0 || width == 0 {
            return Err(self.shape_error(images));
        }
        if batch == 0 && mode == Mode::Eval {
            return Ok(Tensor::zeros((0, self.dim), DType::F32, images.device())?);
        }
        Ok(global_average_pool(&self.features(images, mode)?, self.dim)?)
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
        self.dim
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn recompute_activations(&mut self) -> Result<()> {
        self.activations = Activations::Recomputed;
        Ok(())
    }
}
