//! Milliseconds and GFLOP/s of every op, forward and backward, and of whole LeNet steps.
//!
//!     cargo bench -p cnc-nn                     all
//!     cargo bench -p cnc-nn -- lenet            lines whose name contains "lenet"
//!     RAYON_NUM_THREADS=1 cargo bench -p cnc-nn
//!     CNC_SIMD=avx2 cargo bench -p cnc-nn       with AVX2 where there is AVX-512 too (`portable`, `avx2`, `avx512`)
//!
//! Operations are counted as if every gradient were dense, so that a backward pass that skips zeros can show more than
//! the processor's peak, which the first line measures: multiplications and additions in registers, on all threads. The
//! median of all runs is shown, and the quickest one.

mod peak;

use std::time::{Duration, Instant};

use candle_core::{D, Device, IndexOp, Result, Tensor, Var};
use cnc_nn::InstructionSet;
use cnc_nn::ops::{conv_relu_pool, linear, relu};
use cnc_nn::optim::{Gradients, Optimizer, ParameterGroup, Sgd, SgdOptions};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Time that one line may take, warming up included.
const BUDGET: Duration = Duration::from_millis(1500);
const WARM_UP: usize = 3;

fn main() -> Result<()> {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let generator = std::cell::RefCell::new(ChaCha8Rng::seed_from_u64(0));
    let bench = Bench { wanted, generator, peak: peak::peak() };
    let (threads, set) = (rayon::current_num_threads(), InstructionSet::current());
    println!("{threads} threads, {set}, {:.1} GFLOP/s at most", bench.peak / 1e9);
    println!("{:<46}{:>10}{:>10}{:>10}{:>8}", "", "median ms", "least ms", "GFLOP/s", "peak %");
    bench.blocks()?;
    bench.others()?;
    bench.lenet()
}

struct Bench {
    wanted: String,
    generator: std::cell::RefCell<ChaCha8Rng>,
    /// Operations a second.
    peak: f64,
}

impl Bench {
    fn draw(&self, shape: &[usize]) -> Result<Tensor> {
        let mut generator = self.generator.borrow_mut();
        let scale = 1.0 / (shape.iter().skip(1).product::<usize>() as f32).sqrt();
        let values = (0..shape.iter().product()).map(|_| generator.random_range(-1.0..1.0f32) * scale.max(0.05));
        Tensor::from_vec(values.collect::<Vec<f32>>(), shape, &Device::Cpu)
    }

    fn variable(&self, shape: &[usize]) -> Result<Var> {
        Var::from_tensor(&self.draw(shape)?)
    }

    /// Runs `work`, which returns one duration a line, until the budget is used up, and prints the lines.
    fn lines<const N: usize>(
        &self,
        names: [String; N],
        operations: [usize; N],
        mut work: impl FnMut() -> Result<[Duration; N]>,
    ) -> Result<()> {
        if !names.iter().any(|name| name.contains(&self.wanted)) {
            return Ok(());
        }
        let start = Instant::now();
        let mut runs: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
        for run in 0.. {
            let took = work()?;
            if run >= WARM_UP {
                runs.iter_mut().zip(took).for_each(|(runs, took)| runs.push(took.as_secs_f64()));
            }
            if run > WARM_UP && start.elapsed() > BUDGET {
                break;
            }
        }
        for ((name, operations), mut runs) in names.iter().zip(operations).zip(runs) {
            runs.sort_by(f64::total_cmp);
            let (median, least) = (runs[runs.len() / 2], runs[0]);
            print!("{name:<46}{:>10.3}{:>10.3}", median * 1e3, least * 1e3);
            match operations {
                0 => println!(),
                _ => {
                    let rate = operations as f64 / median;
                    println!("{:>10.1}{:>8.0}", rate / 1e9, 100.0 * rate / self.peak);
                }
            }
        }
        Ok(())
    }

    /// Forward and backward of `op` on variables and constants of the given shapes.
    fn op(
        &self,
        name: &str,
        operations: [usize; 2],
        op: impl Fn() -> std::result::Result<Tensor, cnc_nn::ops::OpError>,
    ) -> Result<()> {
        self.lines([format!("{name}, forward"), format!("{name}, backward")], operations, || {
            let start = Instant::now();
            let y = op()?;
            let forward = start.elapsed();
            let start = Instant::now();
            // From a gradient of ones; Candle adds each gradient to zeros, which is part of what a step costs.
            let gradients = y.backward()?;
            let backward = start.elapsed();
            drop(gradients);
            Ok([forward, backward])
        })
    }

    fn blocks(&self) -> Result<()> {
        for (name, batch, inputs, side, outputs, image_gradient) in
            [("lenet block 1 of 128", 128, 3, 32, 6, false), ("lenet block 2 of 128", 128, 6, 14, 16, true)]
        {
            let x = self.draw(&[batch, inputs, side, side])?;
            let x = if image_gradient { Var::from_tensor(&x)?.into_inner() } else { x };
            let (weight, bias) = (self.variable(&[outputs, inputs, 5, 5])?, self.variable(&[outputs])?);
            let operations = 2 * batch * outputs * (side - 4) * (side - 4) * inputs * 25;
            let backward = operations * if image_gradient { 2 } else { 1 };
            self.op(name, [operations, backward], || conv_relu_pool(&x, &weight, Some(&bias), 2))?;
        }
        Ok(())
    }

    fn others(&self) -> Result<()> {
        let x = self.variable(&[4, 64, 112, 112])?;
        self.op("relu of 4x64x112x112", [0, 0], || relu(&x))?;
        for (rows, inputs, outputs) in [(128, 400, 120), (1024, 768, 768)] {
            let (x, weight) = (self.variable(&[rows, inputs])?, self.variable(&[outputs, inputs])?);
            let bias = self.variable(&[outputs])?;
            let operations = 2 * rows * inputs * outputs;
            let name = format!("linear {inputs}->{outputs} of {rows}");
            self.op(&name, [operations, 2 * operations], || linear(&x, &weight, Some(&bias)))?;
        }
        Ok(())
    }

    fn lenet(&self) -> Result<()> {
        let mut net = LeNet::new(self)?;
        let (images, labels) =
            (self.draw(&[128, 3, 32, 32])?, Tensor::from_iter((0..128u32).map(|i| i % 5), &Device::Cpu)?);
        self.lines(["lenet step, erm, 128".into()], [0], || {
            timed(|| {
                let logits = net.classify(&net.encode(&images)?)?;
                net.descend(&candle_nn::loss::cross_entropy(&logits, &labels)?)
            })
        })?;
        self.lines(["lenet published contrastive batch, 4 x 32".into()], [0], || {
            timed(|| {
                let z = net.encode(&images)?;
                let contrast = (side(&z, 0, 32, 64)? + side(&z, 32, 0, 96)?)?;
                let cross_entropy = candle_nn::loss::cross_entropy(&net.classify(&z)?, &labels)?;
                ((contrast * 0.75)? + (cross_entropy * 0.25)?)?.backward().map(drop)
            })
        })?;
        net.detach();
        self.lines(["lenet evaluation, 128".into()], [0], || timed(|| net.classify(&net.encode(&images)?).map(drop)))
    }
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<[Duration; 1]> {
    let start = Instant::now();
    work()?;
    Ok([start.elapsed()])
}

/// Contrast of sample `anchor` of `z` with the 32 positives and 32 negatives that start at the given rows.
fn side(z: &Tensor, anchor: usize, positives: usize, negatives: usize) -> Result<Tensor> {
    let z = z.broadcast_div(&z.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)?;
    let others = Tensor::cat(&[z.narrow(0, positives, 32)?, z.narrow(0, negatives, 32)?], 0)?;
    let similarities = (others.matmul(&z.i(anchor)?.unsqueeze(1)?)?.squeeze(1)? / 0.05)?;
    similarities.log_sum_exp(0)? - similarities.narrow(0, 0, 32)?.mean_all()?
}

/// LeNet-5 for 3x32x32 images.
struct LeNet {
    weights: Vec<Tensor>,
    biases: Vec<Tensor>,
    variables: Vec<(String, Var)>,
    optimizer: Sgd,
}

impl LeNet {
    fn new(bench: &Bench) -> Result<Self> {
        let shapes: [&[usize]; 5] = [&[6, 3, 5, 5], &[16, 6, 5, 5], &[120, 400], &[84, 120], &[5, 84]];
        let weights = shapes.iter().map(|shape| bench.variable(shape)).collect::<Result<Vec<_>>>()?;
        let biases = shapes.iter().map(|shape| bench.variable(&shape[..1])).collect::<Result<Vec<_>>>()?;
        let tensors = |variables: &[Var]| variables.iter().map(|variable| variable.as_tensor().clone()).collect();
        let (weight_tensors, bias_tensors) = (tensors(&weights), tensors(&biases));
        let variables = weights.into_iter().chain(biases).enumerate();
        let variables: Vec<_> = variables.map(|(i, variable)| (format!("{i}"), variable)).collect();
        let group = ParameterGroup { parameters: variables.clone(), weight_decay: 1e-4, lr_scale: 1.0 };
        let optimizer = Sgd::new(vec![group], SgdOptions { momentum: 0.9, nesterov: false });
        let optimizer = optimizer.map_err(candle_core::Error::wrap)?;
        Ok(Self { weights: weight_tensors, biases: bias_tensors, variables, optimizer })
    }

    /// The same weights, not tracked.
    fn detach(&mut self) {
        for tensor in self.weights.iter_mut().chain(&mut self.biases) {
            *tensor = tensor.detach();
        }
    }

    fn encode(&self, images: &Tensor) -> Result<Tensor> {
        let x = conv_relu_pool(images, &self.weights[0], Some(&self.biases[0]), 2)?;
        let x = conv_relu_pool(&x, &self.weights[1], Some(&self.biases[1]), 2)?.flatten_from(1)?;
        let x = relu(&linear(&x, &self.weights[2], Some(&self.biases[2]))?)?;
        Ok(relu(&linear(&x, &self.weights[3], Some(&self.biases[3]))?)?)
    }

    fn classify(&self, z: &Tensor) -> Result<Tensor> {
        Ok(linear(z, &self.weights[4], Some(&self.biases[4]))?)
    }

    fn descend(&mut self, loss: &Tensor) -> Result<()> {
        let mut step = || {
            let gradients = Gradients::of(loss, &self.variables)?;
            self.optimizer.step(&gradients, 1e-3)
        };
        step().map_err(candle_core::Error::wrap)
    }
}
