//! What every op promises besides its values: results that do not depend on threads, views as arguments, errors that name
//! what is wrong.

mod common;

use candle_core::{DType, Device, Tensor, Var};
use cnc_nn::ops::{OpError, conv_relu_pool, conv2d, linear, max_pool2d, relu};

use common::assert_same_bits_on_any_number_of_threads;

/// Values without a pattern that a sum could hide: the fractional parts of multiples of the golden ratio, minus a half.
fn draw(shape: &[usize]) -> Tensor {
    let len: usize = shape.iter().product();
    let values: Vec<f32> = (0..len).map(|i| (i as f64 * 0.618_033_988_749_895).fract() as f32 - 0.5).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

/// Value and gradients of a small network with every op in it.
fn network() -> Vec<Vec<f32>> {
    let variable = |shape: &[usize]| Var::from_tensor(&draw(shape)).unwrap();
    let x = variable(&[33, 3, 17, 20]);
    let weights = [variable(&[6, 3, 5, 5]), variable(&[8, 6, 3, 3]), variable(&[10, 24])];
    let biases = [variable(&[6]), variable(&[8]), variable(&[10])];
    let y = conv_relu_pool(&x, &weights[0], Some(&biases[0]), 2).unwrap();
    let y = relu(&conv2d(&y, &weights[1], Some(&biases[1]), 1, 1).unwrap()).unwrap();
    let y = max_pool2d(&y, 3, 2, 1).unwrap().narrow(2, 0, 3).unwrap().narrow(3, 0, 1).unwrap();
    let y = linear(&y.flatten_from(1).unwrap(), &weights[2], Some(&biases[2])).unwrap();
    let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let variables = std::iter::once(&x).chain(&weights).chain(&biases);
    let gradients = variables.map(|variable| gradients.get(variable).unwrap().clone());
    let values = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    std::iter::once(y.clone()).chain(gradients).map(values).collect()
}

#[test]
fn one_and_several_threads_give_the_same_bits() {
    assert_same_bits_on_any_number_of_threads(network);
}

#[test]
fn views_are_as_good_as_copies() {
    let wide = draw(&[4, 3, 12, 20]);
    let view = wide.narrow(3, 2, 11).unwrap().transpose(2, 3).unwrap();
    let copy = view.copy().unwrap();
    assert!(!view.is_contiguous());
    let weight = draw(&[3, 6, 3, 3]).transpose(0, 1).unwrap();
    let bias = draw(&[6, 2]).narrow(1, 1, 1).unwrap().squeeze(1).unwrap();
    let outputs = |x: &Tensor| {
        let matrix = x.narrow(1, 0, 1).unwrap().squeeze(1).unwrap();
        [
            conv_relu_pool(x, &weight, Some(&bias), 2).unwrap(),
            conv2d(x, &weight, Some(&bias), 2, 1).unwrap(),
            max_pool2d(x, 3, 2, 1).unwrap(),
            relu(x).unwrap(),
            linear(&matrix, &draw(&[12, 7]).t().unwrap(), None).unwrap(),
        ]
        .map(|y| y.flatten_all().unwrap().to_vec1::<f32>().unwrap())
    };
    assert_eq!(outputs(&view), outputs(&copy));
}

#[test]
fn a_gradient_passes_through_a_view() {
    let x = Var::from_tensor(&draw(&[5, 4])).unwrap();
    let y = relu(&x.t().unwrap()).unwrap().sum_all().unwrap();
    let gradient = y.backward().unwrap().get(&x).unwrap().to_vec2::<f32>().unwrap();
    let expected = x.gt(0.0).unwrap().to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(gradient, expected);
}

#[test]
fn images_get_no_gradient_when_nobody_tracks_them() {
    let (x, weight) = (draw(&[2, 1, 8, 8]), Var::from_tensor(&draw(&[2, 1, 3, 3])).unwrap());
    let gradients = conv_relu_pool(&x, &weight, None, 2).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(gradients.get(&x).is_none());
    assert!(gradients.get(&weight).is_some());
}

#[test]
fn an_empty_batch_gives_an_empty_result_and_zero_gradients() {
    let (x, weight) = (zeros(&[0, 1, 8, 8]), Var::from_tensor(&draw(&[2, 1, 3, 3])).unwrap());
    for y in [conv_relu_pool(&x, &weight, None, 2).unwrap(), conv2d(&x, &weight, None, 1, 0).unwrap()] {
        assert_eq!(y.dims()[..2], [0, 2]);
        let gradients = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.get(&weight).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap(), 0.0);
    }
}

#[test]
fn a_value_that_is_no_number_is_not_hidden() {
    let mut values = vec![1.0f32; 128];
    values[40] = f32::NAN;
    let x = Tensor::from_vec(values, (1, 1, 8, 16), &Device::Cpu).unwrap();
    let weight = Tensor::ones((1, 1, 1, 1), DType::F32, &Device::Cpu).unwrap();
    for y in [relu(&x).unwrap(), max_pool2d(&x, 2, 2, 0).unwrap(), conv_relu_pool(&x, &weight, None, 2).unwrap()] {
        let values = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values.iter().filter(|value| value.is_nan()).count(), 1);
    }
}

#[test]
fn arguments_that_do_not_fit_are_named() {
    let (x, weight) = (zeros(&[2, 3, 8, 8]), zeros(&[4, 3, 3, 3]));
    let message = |result: Result<Tensor, OpError>| result.unwrap_err().to_string();
    assert_eq!(
        message(conv2d(&x, &zeros(&[4, 3, 9, 3]), None, 1, 0)),
        "conv2d: a kernel of 9 x 3 does not fit into an input of 8 x 8 (padding included): use larger images or a \
         smaller kernel"
    );
    assert_eq!(
        message(conv2d(&x, &zeros(&[4, 2, 3, 3]), None, 1, 0)),
        "conv2d: the input has 3 channels or features, but the weight is for 2"
    );
    assert!(matches!(conv2d(&x, &weight, None, 0, 0), Err(OpError::Zero { option: "stride", .. })));
    assert!(matches!(conv2d(&x, &zeros(&[4, 3, 0, 3]), None, 1, 0), Err(OpError::Zero { option: "kernel", .. })));
    assert!(matches!(conv2d(&x, &weight, Some(&zeros(&[3])), 1, 0), Err(OpError::Bias { expected: 4, .. })));
    assert!(matches!(conv2d(&zeros(&[3, 8, 8]), &weight, None, 1, 0), Err(OpError::Rank { argument: "x", .. })));
    assert!(matches!(conv2d(&x, &zeros(&[4, 27]), None, 1, 0), Err(OpError::Rank { argument: "weight", .. })));

    assert!(matches!(max_pool2d(&x, 9, 1, 0), Err(OpError::KernelTooLarge { height: 8, .. })));
    assert!(matches!(max_pool2d(&x, 2, 0, 0), Err(OpError::Zero { option: "stride", .. })));
    assert!(matches!(max_pool2d(&x, 0, 1, 0), Err(OpError::Zero { option: "kernel", .. })));
    assert!(matches!(max_pool2d(&x, 3, 1, 2), Err(OpError::Padding { padding: 2, kernel: 3, .. })));
    assert!(matches!(max_pool2d(&zeros(&[8, 8]), 2, 2, 0), Err(OpError::Rank { .. })));

    assert!(matches!(conv_relu_pool(&x, &weight, None, 0), Err(OpError::Zero { option: "pool", .. })));
    assert!(matches!(conv_relu_pool(&x, &weight, None, 7), Err(OpError::KernelTooLarge { height: 6, .. })));

    assert!(matches!(
        linear(&zeros(&[2, 3]), &zeros(&[4, 5]), None),
        Err(OpError::Channels { input: 3, weight: 5, .. })
    ));
    assert!(matches!(linear(&zeros(&[3]), &zeros(&[4, 3]), None), Err(OpError::Rank { argument: "x", .. })));
    assert!(matches!(linear(&zeros(&[2, 3]), &zeros(&[4, 3]), Some(&zeros(&[5]))), Err(OpError::Bias { .. })));
}
