//! Milliseconds, GFLOP/s and share of the machine's peak of the parts of ResNet-50, and of whole steps, at 224 x 224 pixels.
//!
//!     cargo bench -p cnc-models --bench resnet                 all
//!     cargo bench -p cnc-models --bench resnet -- layer3       lines whose name contains "layer3"
//!     CNC_SIMD=avx2 cargo bench -p cnc-models --bench resnet   with AVX2 where there is AVX-512 too
//!
//! The first line measures the peak: multiplications and additions in registers, on all threads. Operations are counted as
//! those of the direct convolution. The median of all runs is shown, and the quickest one.

#[path = "../../cnc-nn/benches/peak/mod.rs"]
mod peak;

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor, Var};
use cnc_core::{Contrast, ContrastiveLoss, ContrastiveOptions, Parts, Sides, cross_entropy};
use cnc_models::{Inputs, Mode, Model, ResNet};
use cnc_nn::layers::{ConvNorm, Residual, Stem};
use cnc_nn::optim::{Gradients, Optimizer, ParameterGroup, Sgd, SgdOptions};
use cnc_nn::{InstructionSet, Parameters, no_grad};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const TRAIN: Mode = Mode::Train { seed: 0 };
const RUNS: usize = 5;
/// Images of a batch.
const BATCH: usize = 16;

fn main() -> Result<()> {
    cnc_nn::keep_freed_memory();
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let bench = Bench { wanted, peak: peak::peak() };
    let (threads, set) = (rayon::current_num_threads(), InstructionSet::current());
    println!("{threads} threads, {set}, {:.1} GFLOP/s at most", bench.peak / 1e9);
    println!("{:<42}{:>10}{:>10}{:>10}{:>8}", "", "median ms", "least ms", "GFLOP/s", "peak %");
    bench.parts()?;
    bench.steps()
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
        let parameters = Parameters::new(0, &Device::Cpu);
        let builder = parameters.builder();
        let stem = Stem::new(ConvNorm::new(3, 64, 7, 2, builder.pp("conv1"), builder.pp("bn1"))?);
        let images = draw(&[BATCH, 3, 224, 224])?;
        self.part("stem", &images, 2 * BATCH * 112 * 112 * 64 * 147, false, |x, mode| Ok(stem.forward(x, mode)?))?;
        for (layer, size) in (1..).zip(SIZES) {
            let Size { side, inputs, middle, outputs, stride } = size;
            let (in_pixels, out_pixels) = (BATCH * side * side, BATCH * (side / stride).pow(2));
            let first =
                in_pixels * inputs * middle + out_pixels * (9 * middle * middle + middle * outputs + inputs * outputs);
            let block = size.first(&parameters, layer)?;
            let x = draw(&[BATCH, side, side, inputs])?;
            self.part(&format!("layer{layer}.0"), &x, 2 * first, true, |x, mode| Ok(block.forward(x, mode)?))?;
            let other = out_pixels * (2 * outputs * middle + 9 * middle * middle);
            let block = size.other(&parameters, layer)?;
            let x = draw(&[BATCH, side / stride, side / stride, outputs])?;
            self.part(&format!("layer{layer}.1"), &x, 2 * other, true, |x, mode| Ok(block.forward(x, mode)?))?;
        }
        Ok(())
    }

    fn steps(&self) -> Result<()> {
        /// Multiplications of the convolutions of one image of 224 x 224 pixels, times two.
        const OPERATIONS: usize = 2 * 4_087_136_256;
        let net = ResNet::resnet50(2, 0, &Device::Cpu)?;
        let images = Inputs::Images(draw(&[BATCH, 3, 224, 224])?);
        let labels = Tensor::from_iter((0..BATCH as u32).map(|i| i % 2), &Device::Cpu)?;
        let variables = net.parameters().trainable();
        let group = ParameterGroup { parameters: variables.clone(), weight_decay: 1e-4, lr_scale: 1.0 };
        let mut optimizer = Sgd::new(vec![group], SgdOptions { momentum: 0.9, nesterov: false })?;
        self.lines([("erm step, batch 16".to_owned(), 3 * BATCH * OPERATIONS)], || {
            let start = Instant::now();
            let loss = cross_entropy(&net.classify(&net.encode(&images, TRAIN)?, TRAIN)?, &labels)?;
            let gradients = Gradients::of(&loss, &variables)?;
            drop(loss);
            optimizer.step(&gradients, 1e-5)?;
            Ok([start.elapsed()])
        })?;
        if let Some(megabytes) = peak_memory() {
            println!("peak memory until here {megabytes} MB");
        }
        let options = ContrastiveOptions { temperature: 0.05, sides: Sides::Two, contrast: Contrast::Published };
        let contrastive = ContrastiveLoss::new(options)?;
        self.lines([("cnc batch, 4 x 4".to_owned(), 3 * BATCH * OPERATIONS)], || {
            let start = Instant::now();
            let z = net.encode(&images, Mode::Eval)?;
            let supervised = cross_entropy(&net.classify(&z, TRAIN)?, &labels)?;
            let contrastive = contrastive.forward(&Parts::split(&z, [BATCH / 4; 4])?)?;
            let loss = ((contrastive * 0.75)? + (supervised * 0.25)?)?;
            Gradients::of(&loss, &variables)?;
            Ok([start.elapsed()])
        })?;
        let images = Inputs::Images(draw(&[32, 3, 224, 224])?);
        self.lines([("inference, batch 32".to_owned(), 32 * OPERATIONS)], || {
            let start = Instant::now();
            no_grad(|| net.classify(&net.encode(&images, Mode::Eval)?, Mode::Eval))?;
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

/// The first block of a layer of ResNet-50.
#[derive(Clone, Copy)]
struct Size {
    side: usize,
    inputs: usize,
    middle: usize,
    outputs: usize,
    stride: usize,
}

const SIZES: [Size; 4] = [
    Size { side: 56, inputs: 64, middle: 64, outputs: 256, stride: 1 },
    Size { side: 56, inputs: 256, middle: 128, outputs: 512, stride: 2 },
    Size { side: 28, inputs: 512, middle: 256, outputs: 1024, stride: 2 },
    Size { side: 14, inputs: 1024, middle: 512, outputs: 2048, stride: 2 },
];

impl Size {
    fn first(self, parameters: &Parameters, layer: usize) -> Result<Residual> {
        let name = format!("layer{layer}.0");
        let shortcut = stage(parameters, &name, "shortcut", [self.inputs, self.outputs, 1, self.stride])?;
        Ok(Residual::new(self.branch(parameters, &name, self.inputs, self.stride)?, Some(shortcut)))
    }

    fn other(self, parameters: &Parameters, layer: usize) -> Result<Residual> {
        Ok(Residual::new(self.branch(parameters, &format!("layer{layer}.1"), self.outputs, 1)?, None))
    }

    fn branch(self, parameters: &Parameters, name: &str, inputs: usize, stride: usize) -> Result<Vec<ConvNorm>> {
        Ok(vec![
            stage(parameters, name, "1", [inputs, self.middle, 1, 1])?,
            stage(parameters, name, "2", [self.middle, self.middle, 3, stride])?,
            stage(parameters, name, "3", [self.middle, self.outputs, 1, 1])?,
        ])
    }
}

/// Of inputs, outputs, kernel and stride.
fn stage(parameters: &Parameters, block: &str, name: &str, sizes: [usize; 4]) -> Result<ConvNorm> {
    let builder = parameters.builder().pp(block).pp(name);
    let [inputs, outputs, kernel, stride] = sizes;
    Ok(ConvNorm::new(inputs, outputs, kernel, stride, builder.pp("conv"), builder.pp("bn"))?)
}
