//! The CPU kernels of the parts of a transformer against their composed forms on random shapes: values and gradients, with
//! the same dropout.

use candle_core::{DType, Device, Tensor, Var};
use cnc_nn::ops::{
    Activation, Mask, OpError, Sequences, activate, add_norm, dropout, embedding, feed_forward, layer_norm, linear,
    pad, self_attention, softmax, unpad,
};
use cnc_nn::oracle::blocks::{Attention, Join, attention_sublayer, feed_forward_sublayer};
use cnc_nn::{InstructionSet, oracle};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Op<'a> = &'a (dyn Fn(&[Tensor]) -> Result<Tensor, OpError> + Sync);

const ACTIVATIONS: [Activation; 3] = [Activation::Gelu, Activation::GeluTanh, Activation::Relu];

fn draw(shape: &[usize], generator: &mut ChaCha8Rng) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| generator.random_range(-0.75..0.75)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Value of `op` and the gradients of its arguments, the result's own being drawn.
fn run(op: Op, arguments: &[Tensor], seed: u64) -> Vec<Tensor> {
    let variables: Vec<Var> = arguments.iter().map(|argument| Var::from_tensor(argument).unwrap()).collect();
    let tensors: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
    let y = op(&tensors).unwrap();
    let dy = draw(y.dims(), &mut ChaCha8Rng::seed_from_u64(seed));
    let gradients = (&y * dy).unwrap().sum_all().unwrap().backward().unwrap();
    let gradients = variables.iter().map(|variable| gradients.get(variable).unwrap().clone());
    std::iter::once(y.clone()).chain(gradients).collect()
}

/// With each set of instructions.
fn assert_agreement(kernel: Op, composed: Op, shapes: &[&[usize]], seed: u64) {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let arguments: Vec<Tensor> = shapes.iter().map(|shape| draw(shape, &mut generator)).collect();
    let oracle = run(composed, &arguments, seed);
    for set in InstructionSet::available() {
        let ours = set.install(|| run(kernel, &arguments, seed)).unwrap();
        for (i, (ours, oracle)) in ours.iter().zip(&oracle).enumerate() {
            assert_eq!(ours.dims(), oracle.dims());
            if oracle.elem_count() == 0 {
                continue;
            }
            let largest = |tensor: &Tensor| tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            let difference = largest(&(ours - oracle).unwrap()) / largest(oracle).max(1.0);
            assert!(difference < 5e-5, "{set}: tensor {i} (0: value, then gradients) differs by {difference}");
        }
    }
}

fn mask(share: u8, key: u64) -> Option<Mask> {
    Mask::new(f64::from(share) / 10.0, key).unwrap()
}

type AttentionOp = fn(&Tensor, Attention, &Sequences, Join) -> Result<Tensor, OpError>;

/// Of the arguments weight and bias of the norm are the last. Rows of two or three values that are almost the same, which
/// narrow draws have, would make their rounding hundreds of times larger if less were added to the variance.
fn join(a: &[Tensor], mask: Option<Mask>) -> Join<'_> {
    Join { mask, weight: &a[a.len() - 2], bias: &a[a.len() - 1], epsilon: 0.1 }
}

fn maps(a: &[Tensor]) -> [(&Tensor, &Tensor); 3] {
    [(&a[1], &a[2]), (&a[3], &a[4]), (&a[5], &a[6])]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn activations_agree(rows in 1usize..200, columns in 1usize..300, kind in 0usize..3, seed: u64) {
        let kind = ACTIVATIONS[kind];
        assert_agreement(&|a| activate(&a[0], kind), &|a| oracle::activate(&a[0], kind), &[&[rows, columns]], seed);
    }

    #[test]
    fn dropout_agrees(rows in 1usize..100, columns in 1usize..400, share in 1u8..10, seed: u64) {
        let mask = mask(share, seed).unwrap();
        assert_agreement(&|a| dropout(&a[0], mask), &|a| oracle::dropout(&a[0], mask), &[&[rows, 2, columns]], seed);
    }

    #[test]
    fn embedding_agrees(count in 1usize..50, width in 1usize..70, ids in 0usize..400, seed: u64) {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let ids: Vec<u32> = (0..ids).map(|_| generator.random_range(0..count as u32)).collect();
        assert_agreement(&|a| embedding(&a[0], &ids), &|a| oracle::embedding(&a[0], &ids), &[&[count, width]], seed);
    }

    #[test]
    fn layer_norm_agrees(rows in 1usize..150, width in 2usize..200, seed: u64) {
        assert_agreement(
            &|a| layer_norm(&a[0], &a[1], &a[2], 1e-5),
            &|a| oracle::layer_norm(&a[0], &a[1], &a[2], 1e-5),
            &[&[rows, width], &[width], &[width]],
            seed,
        );
    }

    #[test]
    fn add_norm_agrees(rows in 1usize..150, width in 2usize..200, share in 0u8..8, seed: u64) {
        let mask = mask(share, seed);
        assert_agreement(
            &|a| add_norm(&a[0], &a[1], mask, &a[2], &a[3], 1e-5),
            &|a| oracle::add_norm(&a[0], &a[1], mask, &a[2], &a[3], 1e-5),
            &[&[rows, width], &[rows, width], &[width], &[width]],
            seed,
        );
    }

    #[test]
    fn linear_agrees_in_several_tiles(rows in 60usize..300, inputs in 60usize..200, outputs in 60usize..300, seed: u64) {
        assert_agreement(
            &|a| linear(&a[0], &a[1], Some(&a[2])),
            &|a| oracle::linear(&a[0], &a[1], Some(&a[2])),
            &[&[rows, inputs], &[outputs, inputs], &[outputs]],
            seed,
        );
    }

    #[test]
    fn feed_forward_agrees(
        rows in 1usize..200, inputs in 1usize..50, hidden in 1usize..200, outputs in 1usize..50, kind in 0usize..3,
        seed: u64,
    ) {
        let kind = ACTIVATIONS[kind];
        assert_agreement(
            &|a| feed_forward(&a[0], (&a[1], &a[2]), kind, (&a[3], &a[4])),
            &|a| oracle::feed_forward(&a[0], (&a[1], &a[2]), kind, (&a[3], &a[4])),
            &[&[rows, inputs], &[hidden, inputs], &[hidden], &[outputs, hidden], &[outputs]],
            seed,
        );
    }

    #[test]
    fn self_attention_agrees(
        lengths in proptest::collection::vec(0usize..60, 1..6), heads in 1usize..5, head_width in 1usize..20,
        inputs in 1usize..30, share in 0u8..6, seed: u64,
    ) {
        let (sequences, width, mask) = (Sequences::new(&lengths), heads * head_width, mask(share, seed));
        prop_assume!(sequences.rows() > 0);
        assert_agreement(
            &|a| self_attention(&a[0], maps(a), heads, &sequences, mask),
            &|a| oracle::self_attention(&a[0], maps(a), heads, &sequences, mask),
            &[
                &[sequences.rows(), inputs], &[width, inputs], &[width], &[width, inputs], &[width], &[width, inputs],
                &[width],
            ],
            seed,
        );
    }

    #[test]
    fn attention_sublayer_agrees(
        lengths in proptest::collection::vec(0usize..60, 1..6), heads in 1usize..5, head_width in 1usize..20,
        width in 2usize..40, share in 0u8..6, seed: u64,
    ) {
        let (sequences, inner) = (Sequences::new(&lengths), heads * head_width);
        prop_assume!(sequences.rows() > 0);
        let [probabilities, mask] = [mask(share, seed), mask(share, seed ^ 1)];
        let run = |a: &[Tensor], op: AttentionOp| {
            let branch = Attention { projections: maps(a), heads, mask: probabilities, output: (&a[7], &a[8]) };
            op(&a[0], branch, &sequences, join(a, mask))
        };
        assert_agreement(
            &|a| run(a, attention_sublayer),
            &|a| run(a, oracle::attention_sublayer),
            &[
                &[sequences.rows(), width], &[inner, width], &[inner], &[inner, width], &[inner], &[inner, width],
                &[inner], &[width, inner], &[width], &[width], &[width],
            ],
            seed,
        );
    }

    #[test]
    fn feed_forward_sublayer_agrees(
        rows in 1usize..200, width in 2usize..50, hidden in 1usize..200, kind in 0usize..3, share in 0u8..6, seed: u64,
    ) {
        let (kind, mask) = (ACTIVATIONS[kind], mask(share, seed));
        assert_agreement(
            &|a| feed_forward_sublayer(&a[0], (&a[1], &a[2]), kind, (&a[3], &a[4]), join(a, mask)),
            &|a| oracle::feed_forward_sublayer(&a[0], (&a[1], &a[2]), kind, (&a[3], &a[4]), join(a, mask)),
            &[&[rows, width], &[hidden, width], &[hidden], &[width, hidden], &[width], &[width], &[width]],
            seed,
        );
    }
}

#[test]
fn self_attention_agrees_over_several_blocks_of_queries() {
    let sequences = Sequences::new(&[130, 300, 256]);
    let mask = mask(2, 5);
    assert_agreement(
        &|a| self_attention(&a[0], maps(a), 2, &sequences, mask),
        &|a| oracle::self_attention(&a[0], maps(a), 2, &sequences, mask),
        &[&[686, 8], &[80, 8], &[80], &[80, 8], &[80], &[80, 8], &[80]],
        3,
    );
}

#[test]
fn a_padded_batch_is_attended_to_as_its_mask_says() {
    let hidden = [[1u8, 1, 0, 1, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]];
    let mask = Tensor::new(&hidden, &Device::Cpu).unwrap();
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let x = Var::from_tensor(&draw(&[3, 5, 8], &mut generator)).unwrap();
    let (weight, bias) = (draw(&[8, 8], &mut generator), draw(&[8], &mut generator));
    let (rows, sequences) = unpad(&x, &mask).unwrap();
    let y = self_attention(&rows, [(&weight, &bias); 3], 1, &sequences, None).unwrap();

    // One head, one map: softmax of the scores plus the mask, as text books have it.
    let projected = x.broadcast_matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
    let scores = (projected.matmul(&projected.t().unwrap()).unwrap() / 8f64.sqrt()).unwrap();
    let hide = ((mask.to_dtype(DType::F32).unwrap() - 1.0).unwrap() * 1e30).unwrap().unsqueeze(1).unwrap();
    let p = candle_nn::ops::softmax(&scores.broadcast_add(&hide).unwrap(), 2).unwrap();
    let expected = p.matmul(&projected).unwrap();
    let (expected_rows, _) = unpad(&expected, &mask).unwrap();
    let difference =
        |a: &Tensor, b: &Tensor| (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(difference(&y, &expected_rows) < 1e-5);

    let gradient = |y: &Tensor| y.sqr().unwrap().sum_all().unwrap().backward().unwrap().get(&x).unwrap().clone();
    let (ours, theirs) = (gradient(&pad(&y, &sequences).unwrap()), gradient(&expected_rows));
    assert!(difference(&ours, &theirs) < 1e-4);
    assert_eq!(
        ours.get(1).unwrap().narrow(0, 1, 4).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap(),
        0.0
    );

    assert!(unpad(&x, &mask.narrow(1, 0, 4).unwrap()).is_err());
    assert!(pad(&y, &Sequences::new(&[2, 2])).is_err());
}

#[test]
fn other_types_than_f32_take_the_composed_form() {
    let sequences = Sequences::new(&[4, 7]);
    let mask = mask(3, 9);
    let layer = |a: &[Tensor]| {
        let x = layer_norm(&embedding(&a[0], &[3, 1, 4, 1, 5, 0, 2, 6, 5, 3, 5])?, &a[2], &a[2], 1e-5)?;
        let attention = self_attention(&x, [(&a[1], &a[2]); 3], 2, &sequences, mask)?;
        let x = add_norm(&x, &attention, mask, &a[2], &a[2], 1e-5)?;
        let x = feed_forward(&x, (&a[1], &a[2]), Activation::Gelu, (&a[1], &a[2]))?;
        softmax(&activate(&dropout(&x, Mask::new(0.2, 3)?.unwrap())?, Activation::GeluTanh)?)
    };
    let mut generator = ChaCha8Rng::seed_from_u64(0);
    let arguments = [&[7, 6][..], &[6, 6], &[6]].map(|shape| draw(shape, &mut generator));
    let wide = arguments.each_ref().map(|argument| argument.to_dtype(DType::F64).unwrap());
    let (ours, wide) = (layer(&arguments).unwrap(), layer(&wide).unwrap());
    assert_eq!(wide.dtype(), DType::F64);
    let difference = (ours.to_dtype(DType::F64).unwrap() - wide).unwrap().abs().unwrap().max_all().unwrap();
    assert!(difference.to_scalar::<f64>().unwrap() < 1e-6);
}
