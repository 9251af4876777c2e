//! Milliseconds, GFLOP/s and share of the machine's peak of the parts of ResNet-50, and of whole steps, at 224 x 224 pixels.
//!
//!     cargo bench -p cnc-nn --bench resnet                 all
//!     cargo bench -p cnc-nn --bench resnet -- layer3       lines whose name contains "layer3"
//!
//! The first line measures the peak: matrix products of 512 x 512, one a thread, side by side. Operations are counted as
//! those of the direct convolution. The median of all runs is shown, and the quickest one.

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor, Var};
use cnc_nn::layers::{ConvNorm, Linear, Mode, Residual, Stem, global_average_pool};
use cnc_nn::optim::{Gradients, Optimizer, ParameterGroup, Sgd, SgdOptions};
use cnc_nn::{Parameters, Result, no_grad};
use rayon::prelude::*;

const TRAIN: Mode = Mode::Train { seed: 0 };
const RUNS: usize = 5;
/// Images of a batch.
const BATCH: usize = 16;

fn main() -> Result<()> {
    cnc_nn::keep_freed_memory();
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let bench = Bench { wanted, peak: peak() };
    println!(
        "{} threads, {:.1} GFLOP/s in matrix products side by side",
        rayon::current_num_threads(),
        bench.peak / 1e9
    );
    println!("{:<42}{:>10}{:>10}{:>10}{:>8}", "", "median ms", "least ms", "GFLOP/s", "peak %");
    bench.parts()?;
    bench.steps()
}

fn peak() -> f64 {
    const N: usize = 512;
    let threads = rayon::current_num_threads();
    let (a, b) = (vec![1.0f32; N * N], vec![1.0f32; N * N]);
    let mut results = vec![vec![0.0f32; N * N]; threads];
    let mut once = || {
        let start = Instant::now();
        results.par_iter_mut().for_each(|c| {
            let (n, step, none) = (N, N as isize, gemm::Parallelism::None);
            // SAFETY: all three matrices have N rows of N values.
            unsafe {
                let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
                gemm::gemm(n, n, n, c, 1, step, false, a, 1, step, b, 1, step, 0.0, 1.0, false, false, false, none);
            }
        });
        start.elapsed().as_secs_f64()
    };
    let quickest = (0..20).map(|_| once()).fold(f64::INFINITY, f64::min);
    (2 * N * N * N * threads) as f64 / quickest
}

struct Bench {
    wanted: String,
    /// Operations a second.
    peak: f64,
}

impl Bench {
    /// Runs `work`, which returns one duration a line, and prints the lines.
    fn lines<const N: usize>(
        &self,
        lines: [(String, usize); N],
        mut work: impl FnMut() -> Result<[Duration; N]>,
    ) -> Result<()> {
        if !lines.iter().any(|(name, _)| name.contains(&self.wanted)) {
            return Ok(());
        }
        work()?;
        let runs = (0..RUNS).map(|_| work()).collect::<Result<Vec<_>>>()?;
        for (i, (name, operations)) in lines.iter().enumerate() {
            let mut times: Vec<f64> = runs.iter().map(|run| run[i].as_secs_f64()).collect();
            times.sort_by(f64::total_cmp);
            let (median, least) = (times[RUNS / 2], times[0]);
            let rate = *operations as f64 / median;
            let share = 100.0 * rate / self.peak;
            println!("{name:<42}{:>10.1}{:>10.1}{:>10.1}{share:>8.0}", median * 1e3, least * 1e3, rate / 1e9);
        }
        Ok(())
    }

    /// One part forward and backward in both modes, and without gradients.
    fn part(
        &self,
        name: &str,
        x: &Tensor,
        operations: usize,
        input_gradient: bool,
        forward: impl Fn(&Tensor, Mode) -> Result<Tensor>,
    ) -> Result<()> {
        let backward = operations * if input_gradient { 2 } else { 1 };
        let x = if input_gradient { Var::from_tensor(x)?.into_inner() } else { x.clone() };
        for (mode, mode_name) in [(TRAIN, "train"), (Mode::Eval, "stored")] {
            let lines = [
                (format!("{name}, {mode_name}, forward"), operations),
                (format!("{name}, {mode_name}, backward"), backward),
            ];
            self.lines(lines, || {
                let start = Instant::now();
                let y = forward(&x, mode)?;
                let forward = start.elapsed();
                let start = Instant::now();
                let gradients = y.backward()?;
                let backward = start.elapsed();
                drop(gradients);
                Ok([forward, backward])
            })?;
        }
        self.lines([(format!("{name}, inference"), operations)], || {
            let start = Instant::now();
            no_grad(|| forward(&x, Mode::Eval))?;
            Ok([start.elapsed()])
        })
    }

    fn parts(&self) -> Result<()> {
        let net = ResNet50::new()?;
        let images = draw(&[BATCH, 3, 224, 224])?;
        let stem = 2 * BATCH * 112 * 112 * 64 * 147;
        self.part("stem", &images, stem, false, |x, mode| net.stem.forward(x, mode))?;
        for (layer, Size { side, inputs, middle, outputs, stride, .. }) in SIZES.iter().enumerate() {
            let (in_pixels, out_pixels) = (BATCH * side * side, BATCH * (side / stride).pow(2));
            let first =
                in_pixels * inputs * middle + out_pixels * (9 * middle * middle + middle * outputs + inputs * outputs);
            let x = draw(&[BATCH, *side, *side, *inputs])?;
            let blocks = &net.layers[layer];
            self.part(&format!("layer{}.0", layer + 1), &x, 2 * first, true, |x, mode| blocks[0].forward(x, mode))?;
            let other = out_pixels * (2 * outputs * middle + 9 * middle * middle);
            let x = draw(&[BATCH, side / stride, side / stride, *outputs])?;
            self.part(&format!("layer{}.1", layer + 1), &x, 2 * other, true, |x, mode| blocks[1].forward(x, mode))?;
        }
        Ok(())
    }

    fn steps(&self) -> Result<()> {
        /// Multiplications of the convolutions of one image of 224 x 224 pixels, times two.
        const OPERATIONS: usize = 2 * 4_087_136_256;
        let net = ResNet50::new()?;
        let (images, labels) =
            (draw(&[BATCH, 3, 224, 224])?, Tensor::from_iter((0..BATCH as u32).map(|i| i % 2), &Device::Cpu)?);
        let variables = net.parameters.trainable();
        let group = ParameterGroup { parameters: variables.clone(), weight_decay: 1e-4, lr_scale: 1.0 };
        let mut optimizer = Sgd::new(vec![group], SgdOptions { momentum: 0.9, nesterov: false })?;
        for (name, mode) in [("erm step, batch 16", TRAIN), ("step with stored statistics, batch 16", Mode::Eval)] {
            self.lines([(name.to_owned(), 3 * BATCH * OPERATIONS)], || {
                let start = Instant::now();
                let loss = candle_nn::loss::cross_entropy(&net.head.forward(&net.encode(&images, mode)?)?, &labels)?;
                let gradients = Gradients::collect(&loss.backward()?, &variables)?;
                drop(loss);
                optimizer.step(&gradients, 1e-5)?;
                Ok([start.elapsed()])
            })?;
        }
        if let Some(megabytes) = peak_memory() {
            println!("peak memory until here {megabytes} MB");
        }
        let images = draw(&[32, 3, 224, 224])?;
        self.lines([("inference, batch 32".to_owned(), 32 * OPERATIONS)], || {
            let start = Instant::now();
            no_grad(|| net.head.forward(&net.encode(&images, Mode::Eval)?))?;
            Ok([start.elapsed()])
        })
    }
}

/// Most memory that this process has had, where Linux tells.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<usize>().ok()? / 1000)
}

/// Values between -1 and 1 without a pattern: the fractional parts of multiples of the golden ratio.
fn draw(shape: &[usize]) -> Result<Tensor> {
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|i: usize| (i as f64 * 0.618_033_988_749_895).fract() as f32 * 2.0 - 1.0)
        .collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// The first block of a layer, and how many blocks it has.
struct Size {
    side: usize,
    inputs: usize,
    middle: usize,
    outputs: usize,
    stride: usize,
    blocks: usize,
}

const SIZES: [Size; 4] = [
    Size { side: 56, inputs: 64, middle: 64, outputs: 256, stride: 1, blocks: 3 },
    Size { side: 56, inputs: 256, middle: 128, outputs: 512, stride: 2, blocks: 4 },
    Size { side: 28, inputs: 512, middle: 256, outputs: 1024, stride: 2, blocks: 6 },
    Size { side: 14, inputs: 1024, middle: 512, outputs: 2048, stride: 2, blocks: 3 },
];

struct ResNet50 {
    parameters: Parameters,
    stem: Stem,
    layers: Vec<Vec<Residual>>,
    head: Linear,
}

impl ResNet50 {
    fn new() -> Result<Self> {
        let parameters = Parameters::new(0, &Device::Cpu);
        let builder = parameters.builder();
        let stem = Stem::new(ConvNorm::new(3, 64, 7, 2, builder.pp("conv1"), builder.pp("bn1"))?);
        let mut layers = Vec::new();
        for (layer, size) in SIZES.iter().enumerate() {
            let blocks = (0..size.blocks).map(|i| {
                let builder = builder.pp(format!("layer{}.{i}", layer + 1));
                let (inputs, stride) = if i == 0 { (size.inputs, size.stride) } else { (size.outputs, 1) };
                let stage = |n: usize, inputs, outputs, kernel, stride| {
                    ConvNorm::new(
                        inputs,
                        outputs,
                        kernel,
                        stride,
                        builder.pp(format!("conv{n}")),
                        builder.pp(format!("bn{n}")),
                    )
                };
                let branch = vec![
                    stage(1, inputs, size.middle, 1, 1)?,
                    stage(2, size.middle, size.middle, 3, stride)?,
                    stage(3, size.middle, size.outputs, 1, 1)?,
                ];
                let shortcut = builder.pp("downsample");
                let shortcut =
                    (i == 0).then(|| ConvNorm::new(inputs, size.outputs, 1, stride, shortcut.pp(0), shortcut.pp(1)));
                Ok(Residual::new(branch, shortcut.transpose()?))
            });
            layers.push(blocks.collect::<Result<_>>()?);
        }
        let head = Linear::new(2048, 2, builder.pp("fc"))?;
        Ok(Self { parameters, stem, layers, head })
    }

    fn encode(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        global_average_pool(&Residual::forward_all(&self.layers.concat(), &self.stem.forward(images, mode)?, mode)?)
    }
}
