//! The CPU kernels against the composed forms on random shapes: values and gradients.

use candle_core::{DType, Device, Tensor, Var};
use cnc_nn::ops::{OpError, conv_relu_pool, linear, relu};
use cnc_nn::{InstructionSet, oracle};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Op<'a> = &'a (dyn Fn(&[Tensor]) -> Result<Tensor, OpError> + Sync);

/// Eighths between -2 and 2: no sum of products of these is rounded, so that what is equal or zero is so for both forms.
fn draw(shape: &[usize], generator: &mut ChaCha8Rng) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| generator.random_range(-16..17) as f32 / 8.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Value of `op` and the gradients of its arguments, the result's own being `dy`.
fn run(op: Op, arguments: &[Tensor], dy: &mut Option<Tensor>, generator: &mut ChaCha8Rng) -> Vec<Tensor> {
    let variables: Vec<Var> = arguments.iter().map(|argument| Var::from_tensor(argument).unwrap()).collect();
    let tensors: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
    let y = op(&tensors).unwrap();
    let dy = dy.get_or_insert_with(|| draw(y.dims(), generator));
    let gradients = (&y * &*dy).unwrap().sum_all().unwrap().backward().unwrap();
    let gradients = variables.iter().map(|variable| gradients.get(variable).unwrap().clone());
    std::iter::once(y.clone()).chain(gradients).collect()
}

/// With each set of instructions.
fn assert_agreement(kernel: Op, composed: Op, shapes: &[&[usize]], seed: u64) {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let arguments: Vec<Tensor> = shapes.iter().map(|shape| draw(shape, &mut generator)).collect();
    let mut dy = None;
    let oracle = run(composed, &arguments, &mut dy, &mut generator);
    for set in InstructionSet::available() {
        let ours = set.install(|| run(kernel, &arguments, &mut dy, &mut generator)).unwrap();
        for (i, (ours, oracle)) in ours.iter().zip(&oracle).enumerate() {
            assert_eq!(ours.dims(), oracle.dims());
            let largest = |tensor: Tensor| tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            let difference = largest((ours - oracle).unwrap()) / largest(oracle.clone()).max(1.0);
            assert!(difference < 2e-5, "{set}: tensor {i} (0: value, then gradients) differs by {difference}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn relu_agrees(rows in 1usize..300, columns in 1usize..300, seed: u64) {
        assert_agreement(&|a| relu(&a[0]), &|a| oracle::relu(&a[0]), &[&[rows, columns]], seed);
    }

    #[test]
    fn linear_agrees(rows in 1usize..200, inputs in 1usize..70, outputs in 1usize..70, seed: u64) {
        assert_agreement(
            &|a| linear(&a[0], &a[1], Some(&a[2])),
            &|a| oracle::linear(&a[0], &a[1], Some(&a[2])),
            &[&[rows, inputs], &[outputs, inputs], &[outputs]],
            seed,
        );
    }

    #[test]
    fn conv_relu_pool_agrees(
        batch in 1usize..40, inputs in 1usize..5, outputs in 1usize..20, height in 2usize..20, width in 2usize..40,
        kernel_height in 1usize..6, kernel_width in 1usize..10, pool in 1usize..4, seed: u64,
    ) {
        prop_assume!(height + 1 >= kernel_height + pool && width + 1 >= kernel_width + pool);
        assert_agreement(
            &|a| conv_relu_pool(&a[0], &a[1], Some(&a[2]), pool),
            &|a| oracle::conv_relu_pool(&a[0], &a[1], Some(&a[2]), pool),
            &[&[batch, inputs, height, width], &[outputs, inputs, kernel_height, kernel_width], &[outputs]],
            seed,
        );
    }
}

#[test]
fn other_types_than_f32_take_the_composed_form() {
    let x = Tensor::arange(0f64, 64.0, &Device::Cpu).unwrap().reshape((1, 1, 8, 8)).unwrap();
    let weight = Tensor::ones((2, 1, 3, 3), DType::F64, &Device::Cpu).unwrap();
    let y = conv_relu_pool(&x, &weight, None, 2).unwrap();
    assert_eq!((y.dtype(), y.dims()), (DType::F64, &[1, 2, 3, 3][..]));
    // The sum of rows 1 to 3 and columns 1 to 3: nine times the value in the middle.
    assert_eq!(y.flatten_all().unwrap().to_vec1::<f64>().unwrap()[0], 9.0 * 18.0);
}
