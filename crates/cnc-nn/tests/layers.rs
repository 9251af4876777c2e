//! Layers: names and sizes of variables, what they refuse, and dropout's masks.

use candle_core::{DType, Device, Tensor, Var};
use cnc_nn::init::Init;
use cnc_nn::layers::{
    AddNorm, Conv2d, Conv2dOptions, ConvReluPool, Dropout, Embedding, FeedForward, LayerNorm, Linear, MaxPool2d, Mode,
    SelfAttention, relu,
};
use cnc_nn::ops::{Activation, Sequences};
use cnc_nn::{Error, Parameters};

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

fn options(bias: bool) -> Conv2dOptions {
    Conv2dOptions { kernel: 3, stride: 2, padding: 1, bias }
}

#[test]
fn variables_have_the_names_and_shapes_of_pytorch() {
    let parameters = Parameters::new(0, &Device::Cpu);
    Linear::new(6, 5, parameters.builder().pp("fc")).unwrap();
    Conv2d::new(3, 4, options(true), parameters.builder().pp("conv")).unwrap();
    Conv2d::new(3, 4, options(false), parameters.builder().pp("plain")).unwrap();
    ConvReluPool::new(3, 4, 5, 2, parameters.builder().pp("block")).unwrap();
    let shapes: Vec<(String, Vec<usize>)> =
        parameters.trainable().into_iter().map(|(name, var)| (name, var.dims().to_vec())).collect();
    let expected = [
        ("block.bias", vec![4]),
        ("block.weight", vec![4, 3, 5, 5]),
        ("conv.bias", vec![4]),
        ("conv.weight", vec![4, 3, 3, 3]),
        ("fc.bias", vec![5]),
        ("fc.weight", vec![5, 6]),
        ("plain.weight", vec![4, 3, 3, 3]),
    ];
    assert_eq!(shapes, expected.map(|(name, shape)| (name.to_owned(), shape)));
}

fn linear(parameters: &Parameters, name: &str, inputs: usize, outputs: usize) -> Linear {
    Linear::new(inputs, outputs, parameters.builder().pp(name)).unwrap()
}

#[test]
fn parts_of_transformers_have_the_variables_of_pytorch_and_name_themselves_in_errors() {
    let parameters = Parameters::new(0, &Device::Cpu);
    let words = Embedding::new(7, 6, Init::Randn { mean: 0.0, stdev: 1.0 }, parameters.builder().pp("words")).unwrap();
    let norm = LayerNorm::new(6, 1e-5, parameters.builder().pp("norm")).unwrap();
    let maps = ["query", "key", "value"].map(|name| linear(&parameters, name, 6, 6));
    let attention = SelfAttention::new(maps, 3, Dropout::new(0.5, "attention").unwrap());
    let feed_forward =
        FeedForward::new(linear(&parameters, "first", 6, 10), Activation::Gelu, linear(&parameters, "second", 10, 6));
    let names: Vec<String> = parameters.trainable().into_iter().map(|(name, _)| name).collect();
    let both = |name: &str| [format!("{name}.bias"), format!("{name}.weight")];
    let mut expected: Vec<String> =
        ["first", "key", "norm", "query", "second", "value"].into_iter().flat_map(both).collect();
    expected.push("words.weight".to_owned());
    assert_eq!(names, expected);

    let x = norm.forward(&words.forward(&[6, 0, 3]).unwrap()).unwrap();
    let rows = x.to_vec2::<f32>().unwrap();
    assert!(rows.iter().all(|row| row.iter().sum::<f32>().abs() < 1e-5));
    let sequences = Sequences::new(&[2, 1]);
    let attend = |mode| attention.forward(&x, &sequences, mode).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(attend(TRAIN), attend(TRAIN));
    assert_ne!(attend(TRAIN), attend(Mode::Eval));
    assert_eq!(norm.forward_sum(&x, &feed_forward.forward(&x).unwrap(), None).unwrap().dims(), [3, 6]);

    // Both branches as ops of their own, and with their sum and normalisation in one.
    let join = AddNorm::new(Dropout::new(0.5, "join").unwrap(), norm.clone());
    let output = linear(&parameters, "output", 6, 6);
    let heads = attention.forward(&x, &sequences, TRAIN).unwrap();
    let parts = join.forward(&x, &output.forward(&heads).unwrap(), TRAIN).unwrap();
    let whole = attention.sublayer(&x, &sequences, &output, &join, TRAIN).unwrap();
    assert_eq!(whole.to_vec2::<f32>().unwrap(), parts.to_vec2::<f32>().unwrap());
    let parts = join.forward(&x, &feed_forward.forward(&x).unwrap(), TRAIN).unwrap();
    let whole = feed_forward.sublayer(&x, &join, TRAIN).unwrap();
    assert_eq!(whole.to_vec2::<f32>().unwrap(), parts.to_vec2::<f32>().unwrap());

    for (layer, result) in [
        ("words", words.forward(&[7])),
        ("norm", norm.forward(&zeros(&[3, 5]))),
        ("norm", norm.forward_sum(&x, &zeros(&[2, 6]), None)),
        ("query", attention.forward(&x, &Sequences::new(&[2]), Mode::Eval)),
        ("query", attention.sublayer(&x, &Sequences::new(&[2]), &output, &join, Mode::Eval)),
        ("first", feed_forward.forward(&zeros(&[3, 5]))),
        ("first", feed_forward.sublayer(&zeros(&[3, 5]), &join, Mode::Eval)),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::Layer { layer: name, .. } if name == layer), "{error}");
    }
}

#[test]
fn weight_and_bias_start_within_one_over_the_root_of_the_inputs() {
    let parameters = Parameters::new(0, &Device::Cpu);
    Conv2d::new(4, 64, options(true), parameters.builder()).unwrap();
    let bound = 1.0 / (4.0f32 * 9.0).sqrt();
    for (name, var) in parameters.trainable() {
        let largest = var.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(largest <= bound && largest > 0.9 * bound, "{name}: {largest} {bound}");
    }
}

#[test]
fn shapes_come_out_as_documented() {
    let parameters = Parameters::new(0, &Device::Cpu);
    let conv = Conv2d::new(3, 4, options(true), parameters.builder().pp("conv")).unwrap();
    assert_eq!(conv.forward(&zeros(&[2, 3, 7, 9])).unwrap().dims(), [2, 4, 4, 5]);
    let pool = MaxPool2d { kernel: 3, stride: 2, padding: 1 };
    assert_eq!(pool.forward(&zeros(&[2, 3, 7, 9])).unwrap().dims(), [2, 3, 4, 5]);
    let block = ConvReluPool::new(3, 4, 3, 2, parameters.builder().pp("block")).unwrap();
    assert_eq!(block.forward(&zeros(&[2, 3, 7, 9])).unwrap().dims(), [2, 4, 2, 3]);
    let fc = Linear::new(6, 5, parameters.builder().pp("fc")).unwrap();
    assert_eq!(fc.forward(&zeros(&[2, 6])).unwrap().dims(), [2, 5]);
}

#[test]
fn a_linear_layer_is_the_product_plus_the_bias() {
    let parameters = Parameters::new(0, &Device::Cpu);
    let fc = Linear::new(2, 1, parameters.builder().pp("fc")).unwrap();
    let weights = [("fc.bias", vec![10f32], vec![1]), ("fc.weight", vec![1.0, 2.0], vec![1, 2])];
    let weights = weights.map(|(name, v, shape)| (name.to_owned(), Tensor::from_vec(v, shape, &Device::Cpu).unwrap()));
    parameters.load(&weights.into()).unwrap();
    let y = fc.forward(&Tensor::new(&[[3f32, 4.0]], &Device::Cpu).unwrap()).unwrap();
    assert_eq!(y.to_vec2::<f32>().unwrap(), [[21.0]]);
}

#[test]
fn a_linear_layer_without_bias_has_one_variable_and_the_values_and_gradients_of_pytorch() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ops.safetensors");
    let fixtures = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let fixture = |key: &str| &fixtures[&format!("linear_no_bias.{key}")];
    let parameters = Parameters::new(0, &Device::Cpu);
    let fc = Linear::without_bias(6, 2, parameters.builder().pp("fc")).unwrap();
    parameters.load(&[("fc.weight".to_owned(), fixture("weight").clone())].into()).unwrap();
    let x = Var::from_tensor(fixture("x")).unwrap();
    let y = fc.forward(&x).unwrap();
    let gradients = (&y * fixture("dy")).unwrap().sum_all().unwrap().backward().unwrap();
    let weight = gradients.get(fc.weight()).unwrap();
    for (ours, key) in [(&y, "y"), (gradients.get(&x).unwrap(), "dx"), (weight, "dweight")] {
        let difference = (ours - fixture(key)).unwrap().abs().unwrap().max_all().unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-5, "{key}");
    }
}

#[test]
fn what_a_layer_cannot_take_is_refused_with_its_name() {
    let parameters = Parameters::new(0, &Device::Cpu);
    let conv = Conv2d::new(3, 4, options(true), parameters.builder().pp("stem.conv")).unwrap();
    let block = ConvReluPool::new(3, 4, 3, 2, parameters.builder().pp("block")).unwrap();
    let fc = Linear::new(6, 5, parameters.builder().pp("fc")).unwrap();
    let stride = Conv2dOptions { kernel: 3, stride: 0, padding: 0, bias: true };
    let still = Conv2d::new(3, 4, stride, parameters.builder().pp("still")).unwrap();
    for (layer, result) in [
        ("stem.conv", conv.forward(&zeros(&[2, 1, 8, 8]))),
        ("stem.conv", conv.forward(&zeros(&[3, 8, 8]))),
        ("block", block.forward(&zeros(&[2, 1, 8, 8]))),
        ("block", block.forward(&zeros(&[2, 3, 2, 2]))),
        ("fc", fc.forward(&zeros(&[2, 7]))),
        ("still", still.forward(&zeros(&[2, 3, 8, 8]))),
        ("max pool", MaxPool2d { kernel: 2, stride: 0, padding: 0 }.forward(&zeros(&[2, 3, 8, 8]))),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::Layer { layer: name, .. } if name == layer), "{error}");
        assert!(error.to_string().starts_with(&format!("layer {layer}: ")), "{error}");
    }
}

#[test]
fn relu_has_no_gradient_at_zero() {
    let x = Var::new(&[-1f32, 0.0, 2.0], &Device::Cpu).unwrap();
    let y = relu(&x).unwrap();
    assert_eq!(y.to_vec1::<f32>().unwrap(), [0.0, 0.0, 2.0]);
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(gradients.get(&x).unwrap().to_vec1::<f32>().unwrap(), [0.0, 0.0, 1.0]);
}

const TRAIN: Mode = Mode::Train { seed: 1 };

fn dropped(dropout: &Dropout, mode: Mode) -> Vec<f32> {
    let ones = Tensor::ones((40, 250), DType::F32, &Device::Cpu).unwrap();
    dropout.forward(&ones, mode).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn dropout_drops_its_share_and_scales_the_rest() {
    let values = dropped(&Dropout::new(0.2, "drop").unwrap(), TRAIN);
    assert!(values.iter().all(|v| *v == 0.0 || *v == 1.25));
    let share = values.iter().filter(|v| **v == 0.0).count() as f64 / 10_000.0;
    assert!((share - 0.2).abs() < 0.02, "{share}");
}

#[test]
fn dropout_does_nothing_in_evaluation_and_at_probability_zero() {
    assert!(dropped(&Dropout::new(0.5, "drop").unwrap(), Mode::Eval).iter().all(|v| *v == 1.0));
    assert!(dropped(&Dropout::new(0.0, "drop").unwrap(), TRAIN).iter().all(|v| *v == 1.0));
}

#[test]
fn a_mask_belongs_to_the_step_and_the_layer() {
    let (one, other) = (Dropout::new(0.5, "layer.1").unwrap(), Dropout::new(0.5, "layer.2").unwrap());
    assert_eq!(dropped(&one, TRAIN), dropped(&one, TRAIN));
    assert_ne!(dropped(&one, TRAIN), dropped(&other, TRAIN));
    assert_ne!(dropped(&one, TRAIN), dropped(&one, Mode::Train { seed: 2 }));
}

#[test]
fn the_gradient_of_dropout_is_its_mask() {
    let x = Var::ones(100, DType::F32, &Device::Cpu).unwrap();
    let y = Dropout::new(0.5, "drop").unwrap().forward(&x, TRAIN).unwrap();
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(gradients.get(&x).unwrap().to_vec1::<f32>().unwrap(), y.to_vec1::<f32>().unwrap());
}

#[test]
fn probabilities_outside_their_range_are_refused() {
    for probability in [-0.1, 1.0, f64::NAN] {
        assert!(matches!(Dropout::new(probability, "drop"), Err(Error::InvalidOption { .. })));
    }
}
