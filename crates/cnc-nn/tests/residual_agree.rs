//! The CPU kernels of residual blocks and stems against their composed forms on random shapes, and what they promise besides
//! their values: results that do not depend on threads, errors that name what is wrong.

use candle_core::{DType, Device, Tensor, Var};
use cnc_nn::ops::{OpError, global_average_pool};
use cnc_nn::oracle::blocks::{BatchMoments, Block, Stage, Statistics, residual, stem};
use cnc_nn::{InstructionSet, no_grad, oracle};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn draw(shape: &[usize], scale: f32, generator: &mut ChaCha8Rng) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| generator.random_range(-scale..scale)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Kernel, stride and channels of a stage.
#[derive(Debug, Clone, Copy)]
struct Shape {
    kernel: usize,
    stride: usize,
    inputs: usize,
    outputs: usize,
}

fn stage(shape: Shape, stored: bool, generator: &mut ChaCha8Rng) -> Stage {
    let Shape { kernel, stride, inputs, outputs } = shape;
    let spread = 1.0 / ((inputs * kernel * kernel) as f32).sqrt();
    let variable = |tensor: Tensor| Var::from_tensor(&tensor).unwrap().into_inner();
    let mut by_channel = |low: f32| (draw(&[outputs], 1.0, generator).abs().unwrap() + f64::from(low)).unwrap();
    let statistics = if stored {
        Statistics::Stored { mean: (by_channel(0.0) - 0.5).unwrap(), variance: by_channel(0.3) }
    } else {
        Statistics::Batch
    };
    let (scale, shift) = (variable(by_channel(0.2)), variable((by_channel(0.0) - 0.5).unwrap()));
    let weight = variable(draw(&[outputs, inputs, kernel, kernel], spread, generator));
    Stage { weight, stride, scale, shift, statistics, epsilon: 1e-5 }
}

/// Result, moments and gradients of everything that has one.
fn run(
    x: &Tensor,
    stages: &[&Stage],
    op: impl Fn(&Tensor) -> std::result::Result<(Tensor, Vec<BatchMoments>), OpError>,
) -> Vec<Tensor> {
    let x = Var::from_tensor(&x.copy().unwrap()).unwrap();
    let (y, moments) = op(x.as_tensor()).unwrap();
    let dy = draw(y.dims(), 1.0, &mut ChaCha8Rng::seed_from_u64(1));
    let gradients = (&y * dy).unwrap().sum_all().unwrap().backward().unwrap();
    let variables = stages.iter().flat_map(|stage| [&stage.weight, &stage.scale, &stage.shift]);
    let gradients = std::iter::once(x.as_tensor()).chain(variables).map(|v| gradients.get(v).unwrap().clone());
    let moments = moments.into_iter().flat_map(|moments| [moments.mean, moments.variance]);
    std::iter::once(y.clone()).chain(moments).chain(gradients).collect()
}

fn assert_agreement(ours: &[Tensor], oracle: &[Tensor]) {
    assert_eq!(ours.len(), oracle.len());
    for (i, (ours, oracle)) in ours.iter().zip(oracle).enumerate() {
        assert_eq!(ours.dims(), oracle.dims());
        // Some gradients are zero but for rounding: batch norm undoes the scale of the weights before it.
        let scale = oracle.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap().max(0.5);
        let difference = (ours - oracle).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() / scale;
        assert!(difference < 1e-4, "tensor {i} (0: value, then moments and gradients) differs by {difference}");
    }
}

fn bottleneck(generator: &mut ChaCha8Rng, stored: bool, stride: usize, [inputs, middle, outputs]: [usize; 3]) -> Block {
    let mut stage =
        |kernel, stride, inputs, outputs| stage(Shape { kernel, stride, inputs, outputs }, stored, generator);
    let branch = vec![stage(1, 1, inputs, middle), stage(3, stride, middle, middle), stage(1, 1, middle, outputs)];
    Block { branch, shortcut: Some(stage(1, stride, inputs, outputs)) }
}

/// The same cases each time: now and then a random one has a ReLU so near its bend that rounding decides about a gradient.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(0), ..ProptestConfig::default() }
}

fn stages(blocks: &[Block]) -> Vec<&Stage> {
    blocks.iter().flat_map(|block| block.branch.iter().chain(&block.shortcut)).collect()
}

/// Runs `ours` with each set of instructions.
fn with_each_set<R: Send>(ours: impl Fn() -> R + Sync) -> Vec<R> {
    InstructionSet::available().into_iter().map(|set| set.install(&ours).unwrap()).collect()
}

/// With gradients and without.
fn assert_blocks_agree(x: &Tensor, blocks: &[Block]) {
    let stages = stages(blocks);
    let oracle = run(x, &stages, |x| oracle::residual(x, blocks));
    let tracked = || run(x, &stages, |x| residual(x, blocks));
    let untracked = || no_grad(|| residual(x, blocks)).unwrap().0;
    for (tracked, untracked) in with_each_set(|| (tracked(), untracked())) {
        assert_agreement(&tracked, &oracle);
        assert_agreement(&[untracked], &tracked[..1]);
    }
}

proptest! {
    #![proptest_config(config(40))]

    #[test]
    fn blocks_with_a_shortcut_agree(
        batch in 1usize..6, height in 3usize..20, width in 3usize..20, stride in 1usize..4, inputs in 1usize..40,
        middle in 1usize..20, outputs in 1usize..40, stored: bool, seed: u64,
    ) {
        prop_assume!(stored || batch * height.div_ceil(stride) * width.div_ceil(stride) > 12);
        let generator = &mut ChaCha8Rng::seed_from_u64(seed);
        let blocks = [bottleneck(generator, stored, stride, [inputs, middle, outputs])];
        assert_blocks_agree(&draw(&[batch, height, width, inputs], 1.0, generator), &blocks);
    }

    #[test]
    fn blocks_without_a_shortcut_agree(
        batch in 1usize..6, height in 3usize..20, width in 3usize..20, channels in 1usize..40, kernel in 0usize..4,
        count in 1usize..4, stored: bool, seed: u64,
    ) {
        let (generator, kernel) = (&mut ChaCha8Rng::seed_from_u64(seed), 2 * kernel + 1);
        let shape = Shape { kernel, stride: 1, inputs: channels, outputs: channels };
        let mut block = |count| {
            Block { branch: (0..count).map(|_| stage(shape, stored, generator)).collect(), shortcut: None }
        };
        let blocks = [block(count), block(4 - count)];
        assert_blocks_agree(&draw(&[batch, height, width, channels], 1.0, generator), &blocks);
    }

    #[test]
    fn stored_and_measured_statistics_agree_side_by_side(
        batch in 2usize..5, height in 4usize..10, width in 4usize..10, channels in 1usize..40, stored: [bool; 6], seed: u64,
    ) {
        let generator = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut stages = stored.map(|stored| {
            stage(Shape { kernel: 1, stride: 1, inputs: channels, outputs: channels }, stored, generator)
        }).into_iter();
        let mut block = || Block { branch: stages.by_ref().take(2).collect(), shortcut: stages.next() };
        let blocks = [block(), block()];
        assert_blocks_agree(&draw(&[batch, height, width, channels], 1.0, generator), &blocks);
    }

    #[test]
    fn stems_agree(
        batch in 1usize..5, height in 5usize..40, width in 5usize..40, inputs in 1usize..5, outputs in 1usize..30,
        kernel in 1usize..4, stride in 1usize..3, stored: bool, seed: u64,
    ) {
        let generator = &mut ChaCha8Rng::seed_from_u64(seed);
        let stage = stage(Shape { kernel: 2 * kernel + 1, stride, inputs, outputs }, stored, generator);
        let x = draw(&[batch, inputs, height, width], 1.0, generator);
        let as_list = |(y, moments): (Tensor, Option<BatchMoments>)| (y, moments.into_iter().collect());
        let oracle = run(&x, &[&stage], |x| oracle::stem(x, &stage).map(as_list));
        let ours = with_each_set(|| run(&x, &[&stage], |x| stem(x, &stage).map(as_list)));
        ours.iter().for_each(|ours| assert_agreement(ours, &oracle));
    }
}

proptest! {
    #![proptest_config(config(8))]

    #[test]
    fn wide_blocks_on_larger_images_agree(
        batch in 4usize..6, height in 13usize..19, width in 13usize..19, inputs in 2usize..4, outputs in 2usize..4,
        seed: u64,
    ) {
        // Wide enough for minimal filtering; the second block adds its gradient to that of the shortcut.
        let (generator, inputs, outputs) = (&mut ChaCha8Rng::seed_from_u64(seed), 16 * inputs, 16 * outputs);
        let x = draw(&[batch, height, width, inputs], 1.0, generator);
        for stored in [false, true] {
            // Shifts far from zero: no ReLU is so near its bend that rounding decides about a gradient.
            let mut stage = |inputs, outputs| {
                let stage = stage(Shape { kernel: 3, stride: 1, inputs, outputs }, stored, generator);
                let shift: Vec<f32> = (0..outputs).map(|channel| if channel % 3 == 0 { -9.0 } else { 9.0 }).collect();
                let shift = Var::from_vec(shift, outputs, &Device::Cpu).unwrap().into_inner();
                Stage { shift, ..stage }
            };
            let first = Block { branch: vec![stage(inputs, outputs), stage(outputs, inputs)], shortcut: None };
            let second = Block { branch: vec![stage(inputs, outputs)], shortcut: Some(stage(inputs, outputs)) };
            let blocks = [first, second];
            let stages = stages(&blocks);
            let oracle = run(&x, &stages, |x| oracle::residual(x, &blocks));
            let tracked = || run(&x, &stages, |x| residual(x, &blocks));
            let untracked = || no_grad(|| residual(&x, &blocks)).unwrap().0;
            for (tracked, untracked) in with_each_set(|| (tracked(), untracked())) {
                if stored {
                    assert_agreement(&tracked[..1], &oracle[..1]);
                    assert_agreement(&[untracked], &tracked[..1]);
                } else {
                    assert_agreement(&tracked, &oracle);
                }
            }
        }
    }
}

#[test]
fn one_and_several_threads_give_the_same_bits() {
    let bits = |set: InstructionSet, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let network = || {
            let generator = &mut ChaCha8Rng::seed_from_u64(0);
            let first = stage(Shape { kernel: 7, stride: 2, inputs: 3, outputs: 16 }, false, generator);
            let blocks = [bottleneck(generator, false, 2, [16, 24, 40]), bottleneck(generator, false, 1, [40, 32, 40])];
            let images = draw(&[5, 3, 112, 100], 1.0, generator);
            let stages: Vec<&Stage> = std::iter::once(&first).chain(stages(&blocks)).collect();
            run(&images, &stages, |images| {
                let (x, mut moments) = stem(images, &first).map(|(x, m)| (x, Vec::from_iter(m)))?;
                let (y, more) = residual(&x, &blocks)?;
                moments.extend(more);
                Ok((global_average_pool(&y, 40)?, moments))
            })
        };
        let tensors = pool.install(|| set.install(network)).unwrap();
        let values = tensors.into_iter().flat_map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        values.map(f32::to_bits).collect::<Vec<_>>()
    };
    for set in InstructionSet::available() {
        let one = bits(set, 1);
        assert_eq!(one, bits(set, 2), "{set}");
        assert_eq!(one, bits(set, 5), "{set}");
    }
}

#[test]
fn only_what_is_tracked_gets_a_gradient() {
    for stored in [false, true] {
        let generator = &mut ChaCha8Rng::seed_from_u64(0);
        let mut blocks = [bottleneck(generator, stored, 1, [4, 4, 4]), bottleneck(generator, stored, 1, [4, 4, 4])];
        let x = draw(&[2, 5, 5, 4], 1.0, generator);
        let gradients = |blocks: &[Block]| {
            let y = residual(&x, blocks).unwrap().0;
            let gradients = y.sum_all().unwrap().backward().unwrap();
            assert!(gradients.get(&x).is_none());
            let of =
                |tensor: &Tensor| gradients.get(tensor).map(|g| g.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            let stages = stages(blocks).into_iter();
            stages.map(|stage| [&stage.weight, &stage.scale, &stage.shift].map(of)).collect::<Vec<_>>()
        };
        let mut expected = gradients(&blocks);
        assert!(expected.iter().flatten().all(Option::is_some));
        blocks[1].branch[0].weight = blocks[1].branch[0].weight.detach();
        blocks[1].branch[1].weight = blocks[1].branch[1].weight.detach();
        blocks[1].branch[1].scale = blocks[1].branch[1].scale.detach();
        expected[4][0] = None;
        expected[5][..2].fill(None);
        assert_eq!(gradients(&blocks), expected, "stored statistics: {stored}");
        // Nobody in front of the second block asks for a gradient.
        for stage in blocks[0].branch.iter_mut().chain(&mut blocks[0].shortcut) {
            for tensor in [&mut stage.weight, &mut stage.scale, &mut stage.shift] {
                *tensor = tensor.detach();
            }
        }
        expected[..4].fill([const { None }; 3]);
        assert_eq!(gradients(&blocks), expected, "stored statistics: {stored}");
    }
}

#[test]
fn arguments_that_do_not_fit_are_named() {
    let generator = &mut ChaCha8Rng::seed_from_u64(0);
    let block = bottleneck(generator, false, 2, [4, 3, 8]);
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let x = zeros(&[2, 6, 6, 4]);
    let error = residual(&x, &[Block { shortcut: None, ..block.clone() }]).unwrap_err();
    assert_eq!(error.to_string(), "residual: the branch gives the shape [2, 3, 3, 8], but the shortcut [2, 6, 6, 4]");
    let result = |x: &Tensor| residual(x, std::slice::from_ref(&block));
    assert!(matches!(result(&zeros(&[2, 6, 4])), Err(OpError::Rank { argument: "x", .. })));
    assert!(matches!(result(&zeros(&[2, 6, 6, 5])), Err(OpError::Channels { input: 5, weight: 4, .. })));
    assert!(matches!(result(&zeros(&[1, 1, 1, 4])), Err(OpError::TooFewValues { count: 1, .. })));
    assert!(matches!(result(&zeros(&[0, 6, 6, 4])), Err(OpError::TooFewValues { count: 0, .. })));
    let of_one = |stage: Stage| residual(&x, &[Block { branch: vec![stage], shortcut: None }]);
    let broken = Stage { stride: 0, ..block.branch[0].clone() };
    assert!(matches!(of_one(broken), Err(OpError::Zero { option: "stride", .. })));
    let broken = Stage { scale: zeros(&[4]), ..block.branch[0].clone() };
    assert!(matches!(of_one(broken), Err(OpError::ByChannel { channels: 3, .. })));
    let images = zeros(&[2, 4, 0, 6]);
    let broken = Stage { weight: zeros(&[3, 4, 3, 3]), ..block.branch[0].clone() };
    assert!(matches!(stem(&images, &broken), Err(OpError::KernelTooLarge { height: 2, .. })));
}

#[test]
fn other_types_than_f32_take_the_composed_form() {
    let generator = &mut ChaCha8Rng::seed_from_u64(0);
    let double = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap();
    let block = bottleneck(generator, false, 1, [4, 3, 4]);
    let of_stage = |stage: Stage| Stage {
        weight: double(&stage.weight),
        scale: double(&stage.scale),
        shift: double(&stage.shift),
        ..stage
    };
    let branch = block.branch.into_iter().map(of_stage).collect();
    let x = double(&draw(&[2, 5, 5, 4], 1.0, generator));
    let (y, moments) = residual(&x, &[Block { branch, shortcut: None }]).unwrap();
    assert_eq!((y.dtype(), y.dims(), moments.len()), (DType::F64, &[2, 5, 5, 4][..], 3));
}
