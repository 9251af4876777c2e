//! Batch norm, stem and residual blocks against PyTorch (see `fixtures/make_residual_fixtures.py`): values, gradients and
//! running statistics; and the same blocks with recomputation.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor, Var};
use cnc_nn::layers::{BatchNorm2d, ConvNorm, Mode, Residual, Stem, global_average_pool};
use cnc_nn::{Error, Parameters, Result, no_grad, recompute};

const TRAIN: Mode = Mode::Train { seed: 0 };

struct Fixtures(HashMap<String, Tensor>);

impl Fixtures {
    fn load() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/residual.safetensors");
        Self(candle_core::safetensors::load(path, &Device::Cpu).expect("the fixture is part of the repository"))
    }

    fn get(&self, key: &str) -> &Tensor {
        self.0.get(key).unwrap_or_else(|| panic!("no {key} in the fixtures"))
    }

    fn with_prefix(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let entries =
            self.0.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())));
        let entries: BTreeMap<_, _> = entries.collect();
        assert!(!entries.is_empty(), "nothing starts with {prefix}");
        entries
    }

    /// Runs the module that `build` makes on a case in both modes, from and to the given layouts of images.
    fn check<M>(
        &self,
        case: &str,
        layouts: [Layout; 2],
        build: impl Fn(&Parameters) -> M,
        forward: impl Fn(&M, &Tensor, Mode) -> Result<Tensor>,
    ) {
        for (mode, name) in [(TRAIN, "train"), (Mode::Eval, "eval")] {
            let parameters = Parameters::new(0, &Device::Cpu);
            let module = build(&parameters);
            parameters.load(&self.with_prefix(&format!("{case}.before."))).unwrap();
            let x = Var::from_tensor(&layouts[0].arrange(self.get(&format!("{case}.x")))).unwrap();
            let y = forward(&module, x.as_tensor(), mode).unwrap();
            let key = format!("{case}.{name}");
            assert_close(&layouts[1].restore(&y), self.get(&format!("{key}.y")), &format!("{key}: value"));
            let dy = layouts[1].arrange(self.get(&format!("{case}.dy")));
            let gradients = (y * dy).unwrap().sum_all().unwrap().backward().unwrap();
            let dx = layouts[0].restore(gradients.get(&x).unwrap());
            assert_close(&dx, self.get(&format!("{key}.dx")), &format!("{key}: dx"));
            for (parameter, var) in parameters.trainable() {
                let gradient = gradients.get(&var).unwrap_or_else(|| panic!("{key}: no gradient of {parameter}"));
                assert_close(gradient, self.get(&format!("{key}.d.{parameter}")), &format!("{key}: {parameter}"));
            }
            let named = parameters.named().unwrap();
            let buffers = self.with_prefix(&format!("{case}.{}.", if mode == TRAIN { "after" } else { "before" }));
            for (buffer, expected) in buffers.iter().filter(|(buffer, _)| !buffer.contains("num_batches")) {
                assert_close(&named[buffer], expected, &format!("{key}: {buffer}"));
            }
            for (buffer, count) in named.iter().filter(|(buffer, _)| buffer.ends_with("num_batches_tracked")) {
                assert_eq!((count.dtype(), count.dims()), (DType::I64, &[][..]), "{buffer}");
                assert_eq!(count.to_scalar::<i64>().unwrap(), i64::from(mode == TRAIN), "{buffer}");
            }
        }
    }
}

/// Where the channels are.
#[derive(Clone, Copy)]
enum Layout {
    First,
    Last,
}

impl Layout {
    fn arrange(self, images: &Tensor) -> Tensor {
        match self {
            Self::First => images.clone(),
            Self::Last => images.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap(),
        }
    }

    fn restore(self, images: &Tensor) -> Tensor {
        match self {
            Self::First => images.clone(),
            Self::Last => images.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap(),
        }
    }
}

fn assert_close(ours: &Tensor, pytorch: &Tensor, what: &str) {
    assert_eq!(ours.dims(), pytorch.dims(), "{what}");
    let scale = pytorch.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap().max(1e-3);
    let difference = (ours - pytorch).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() / scale;
    assert!(difference < 2e-5, "{what}: differs by {difference} of the largest value");
}

/// A block with torchvision's names: kernels, strides and channels of its stages.
fn block(parameters: &Parameters, stages: &[(usize, usize, usize, usize)], shortcut: Option<[usize; 3]>) -> Residual {
    let builder = parameters.builder();
    let stage = |(i, &(inputs, outputs, kernel, stride)): (usize, &(usize, usize, usize, usize))| {
        let (conv, norm) = (builder.pp(format!("conv{}", i + 1)), builder.pp(format!("bn{}", i + 1)));
        ConvNorm::new(inputs, outputs, kernel, stride, conv, norm).unwrap()
    };
    let shortcut = shortcut.map(|[inputs, outputs, stride]| {
        let builder = builder.pp("downsample");
        ConvNorm::new(inputs, outputs, 1, stride, builder.pp(0), builder.pp(1)).unwrap()
    });
    Residual::new(stages.iter().enumerate().map(stage).collect(), shortcut)
}

fn bottleneck_with_shortcut(parameters: &Parameters) -> Residual {
    block(parameters, &[(4, 3, 1, 1), (3, 3, 3, 2), (3, 12, 1, 1)], Some([4, 12, 2]))
}

#[test]
fn batch_norm_has_the_values_gradients_and_running_statistics_of_pytorch() {
    let layouts = [Layout::First, Layout::First];
    let build = |parameters: &Parameters| BatchNorm2d::new(3, parameters.builder()).unwrap();
    Fixtures::load().check("norm", layouts, build, |norm, x, mode| norm.forward(x, mode));
}

#[test]
fn a_stem_has_the_values_gradients_and_running_statistics_of_pytorch() {
    let build = |parameters: &Parameters| {
        let builder = parameters.builder();
        Stem::new(ConvNorm::new(3, 4, 7, 2, builder.pp("conv1"), builder.pp("bn1")).unwrap())
    };
    Fixtures::load().check("stem", [Layout::First, Layout::Last], build, |stem, x, mode| stem.forward(x, mode));
}

#[test]
fn residual_blocks_have_the_values_gradients_and_running_statistics_of_pytorch() {
    let fixtures = Fixtures::load();
    let check = |case: &str, build: &dyn Fn(&Parameters) -> Residual| {
        fixtures.check(case, [Layout::Last; 2], build, |block, x, mode| block.forward(x, mode));
        fixtures.check(case, [Layout::Last; 2], build, |block, x, mode| {
            let again = block.clone();
            recompute(x, &block.parameters(), move |x| again.forward(x, mode))
        });
    };
    check("bottleneck", &|p| block(p, &[(8, 2, 1, 1), (2, 2, 3, 1), (2, 8, 1, 1)], None));
    check("bottleneck_shortcut", &bottleneck_with_shortcut);
    check("basic", &|p| block(p, &[(3, 3, 3, 1), (3, 3, 3, 1)], None));
    check("basic_shortcut", &|p| block(p, &[(3, 5, 3, 2), (5, 5, 3, 1)], Some([3, 5, 2])));
}

/// Value, gradients and buffers of two blocks after a step, as bits.
fn step(again: bool, mode: Mode) -> Vec<(String, Vec<u32>)> {
    let parameters = Parameters::new(3, &Device::Cpu);
    let blocks = [block(&parameters.clone(), &[(4, 3, 1, 1), (3, 3, 3, 2), (3, 12, 1, 1)], Some([4, 12, 2])), {
        let builder = parameters.builder().pp("second");
        let stage = ConvNorm::new(12, 12, 3, 1, builder.pp("conv1"), builder.pp("bn1")).unwrap();
        Residual::new(vec![stage], None)
    }];
    let values = (0..2 * 6 * 5 * 4).map(|i| (i as f32 * 0.618).fract() - 0.5).collect();
    let x = Var::from_vec(values, (2, 6, 5, 4), &Device::Cpu).unwrap();
    let mut y = x.as_tensor().clone();
    for block in blocks {
        y = if again {
            recompute(&y, &block.parameters(), move |x| block.forward(x, mode)).unwrap()
        } else {
            block.forward(&y, mode).unwrap()
        };
    }
    let loss = global_average_pool(&y, 12).unwrap().sqr().unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let bits = |tensor: &Tensor| {
        let values = tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let of_parameters = parameters.trainable().into_iter().map(|(name, var)| {
        let gradient = gradients.get(&var).unwrap_or_else(|| panic!("no gradient of {name}"));
        (name, bits(gradient))
    });
    let inputs = [("x".to_owned(), bits(gradients.get(&x).unwrap())), ("loss".to_owned(), bits(&loss))];
    let buffers = parameters.named().unwrap().into_iter().map(|(name, value)| (name, bits(&value)));
    inputs.into_iter().chain(of_parameters).chain(buffers).collect()
}

#[test]
fn recomputation_gives_the_same_gradients_and_statistics_to_the_last_bit() {
    for mode in [TRAIN, Mode::Eval] {
        assert_eq!(step(false, mode), step(true, mode));
    }
}

#[test]
fn one_value_a_channel_cannot_be_normalised_in_training() {
    let parameters = Parameters::new(0, &Device::Cpu);
    let norm = BatchNorm2d::new(4, parameters.builder().pp("bn1")).unwrap();
    let x = Tensor::ones((1, 4, 1, 1), DType::F32, &Device::Cpu).unwrap();
    assert!(norm.forward(&x, Mode::Eval).is_ok());
    assert_eq!(
        norm.forward(&x, TRAIN).unwrap_err().to_string(),
        "layer bn1: batch_norm: training needs at least 2 values a channel, but an input of shape [1, 4, 1, 1] has 1: use \
         a larger batch or larger images, or evaluation mode"
    );
    let block = bottleneck_with_shortcut(&Parameters::new(0, &Device::Cpu));
    let x = x.reshape((1, 1, 1, 4)).unwrap();
    assert!(block.forward(&x, Mode::Eval).is_ok());
    assert!(matches!(block.forward(&x, TRAIN), Err(Error::Layer { layer, .. }) if layer == "conv1"));
    let buffers = parameters.named().unwrap();
    assert_eq!(buffers["bn1.num_batches_tracked"].to_scalar::<i64>().unwrap(), 0);
}

#[test]
fn what_a_block_cannot_take_is_refused() {
    let parameters = Parameters::new(0, &Device::Cpu);
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let block = bottleneck_with_shortcut(&parameters);
    let builder = parameters.builder().pp("stem");
    let stem = Stem::new(ConvNorm::new(3, 4, 7, 2, builder.pp("conv1"), builder.pp("bn1")).unwrap());
    for result in [
        block.forward(&zeros(&[2, 6, 6, 3]), TRAIN),
        block.forward(&zeros(&[6, 6, 4]), TRAIN),
        stem.forward(&zeros(&[2, 1, 32, 32]), TRAIN),
        stem.forward(&zeros(&[2, 3, 0, 32]), TRAIN),
        stem.forward(&zeros(&[3, 32, 32]), TRAIN),
        global_average_pool(&zeros(&[3, 32, 32]), 32),
        global_average_pool(&zeros(&[3, 0, 0, 32]), 32),
        global_average_pool(&zeros(&[1, 3, 4, 4]), 3),
        BatchNorm2d::new(3, parameters.builder().pp("bn")).unwrap().forward(&zeros(&[2, 4, 5, 5]), TRAIN),
    ] {
        assert!(matches!(result, Err(Error::Layer { .. })), "{result:?}");
    }
}

#[test]
fn images_are_not_taken_for_feature_maps() {
    let images = Tensor::ones((1, 3, 4, 4), DType::F32, &Device::Cpu).unwrap();
    let error = global_average_pool(&images, 3).unwrap_err().to_string();
    let expected = "layer global average pool: global_average_pool: feature maps must have the shape (batch, height, width, \
                    3), channels last, but have the shape [1, 3, 4, 4]";
    assert_eq!(error, expected);
    assert_eq!(global_average_pool(&images.permute((0, 2, 3, 1)).unwrap(), 3).unwrap().dims(), [1, 3]);
}

#[test]
fn nothing_is_recorded_without_gradients() {
    let parameters = Parameters::new(0, &Device::Cpu);
    let norm = BatchNorm2d::new(4, parameters.builder().pp("norm")).unwrap();
    let images = Tensor::ones((1, 4, 4, 4), DType::F32, &Device::Cpu).unwrap();
    assert!(norm.forward(&images, Mode::Eval).unwrap().track_op());
    assert!(!no_grad(|| norm.forward(&images, Mode::Eval)).unwrap().track_op(), "also of an op without a kernel");
    let block = bottleneck_with_shortcut(&parameters);
    let x = Tensor::ones((1, 4, 4, 4), DType::F32, &Device::Cpu).unwrap();
    let tracked = block.forward(&x, Mode::Eval).unwrap();
    let untracked = no_grad(|| block.forward(&x, Mode::Eval)).unwrap();
    assert!(tracked.track_op() && !untracked.track_op());
    assert!(block.forward(&x, Mode::Eval).unwrap().track_op(), "recording goes on afterwards");
}
