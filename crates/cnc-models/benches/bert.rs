//! Training steps of BERT-base (random weights and tokens): milliseconds, GFLOP/s and peak memory.
//!
//!     cargo bench -p cnc-models -- bert             all
//!     cargo bench -p cnc-models -- "4 x 300"        lines whose name contains "4 x 300"
//!     RUNS=10 cargo bench -p cnc-models
//!
//! A step is forward, cross-entropy, backward and AdamW in training mode; a contrastive batch is 4 x 2 texts of published
//! Correct-N-Contrast in evaluation mode, without the optimiser. Operations are those of the matrix products, and those of
//! the backward pass are twice those of the forward pass. The median of all runs is shown, and the quickest one; memory
//! is the most that the process has had so far, so that a single line wants a process of its own.

use std::time::Instant;

use candle_core::{Device, Tensor};
use candle_transformers::models::bert::Config;
use cnc_core::{Contrast, ContrastiveLoss, ContrastiveOptions, Parts, Sides, cross_entropy};
use cnc_models::{Activations, Bert, BertConfig, Inputs, Mode, Model, TextOptions};
use cnc_nn::no_grad;
use cnc_nn::optim::{AdamW, AdamWOptions, Gradients, Optimizer, ParameterGroup};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const TRAIN: Mode = Mode::Train { seed: 0 };
const RATE: f64 = 1e-5;

fn main() -> Result<()> {
    cnc_nn::keep_freed_memory();
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let runs = std::env::var("RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(4).max(1);
    println!("{} threads, {runs} runs", rayon::current_num_threads());
    println!("{:<44}{:>10}{:>10}{:>10}{:>10}", "", "median ms", "least ms", "GFLOP/s", "peak MiB");
    let lines = Lines { wanted, runs };
    for (batch, length) in [(8, 128), (4, 300)] {
        for activations in [Activations::Kept, Activations::Recomputed] {
            let suffix = if activations == Activations::Kept { "" } else { ", recomputed" };
            lines.line(&format!("bert-base step, {batch} x {length}{suffix}"), batch, length, 3, || {
                let mut model = Trained::new(activations)?;
                let (inputs, labels) = (texts(batch, length)?, labels(batch)?);
                Ok(move || {
                    let z = model.bert.encode(&inputs, TRAIN)?;
                    let loss = cross_entropy(&model.bert.classify(&z, TRAIN)?, &labels)?;
                    model.descend(&loss)
                })
            })?;
        }
        lines.line(&format!("bert-base evaluation, {batch} x {length}"), batch, length, 1, || {
            let (model, inputs) = (bert(Activations::Kept)?, texts(batch, length)?);
            Ok(move || {
                no_grad(|| model.classify(&model.encode(&inputs, Mode::Eval)?, Mode::Eval))?;
                Ok(())
            })
        })?;
    }
    lines.line("bert-base contrastive batch, 4 x 2 of 128", 8, 128, 3, || {
        let options = ContrastiveOptions { temperature: 0.05, sides: Sides::Two, contrast: Contrast::Published };
        let (model, inputs, labels) = (bert(Activations::Kept)?, texts(8, 128)?, labels(8)?);
        let contrast = ContrastiveLoss::new(options)?;
        Ok(move || {
            let z = model.encode(&inputs, Mode::Eval)?;
            let logits = model.classify(&z, TRAIN)?;
            let contrast = contrast.forward(&Parts::split(&z, [2; 4])?)?;
            ((contrast * 0.75)? + (cross_entropy(&logits, &labels)? * 0.25)?)?.backward()?;
            Ok(())
        })
    })
}

struct Lines {
    wanted: String,
    runs: usize,
}

impl Lines {
    /// Runs what `prepare` returns, `passes` times the operations of a forward pass each, and prints a line.
    fn line<W: FnMut() -> Result<()>>(
        &self,
        name: &str,
        batch: usize,
        length: usize,
        passes: usize,
        prepare: impl FnOnce() -> Result<W>,
    ) -> Result<()> {
        if !name.contains(&self.wanted) {
            return Ok(());
        }
        let mut work = prepare()?;
        work()?;
        let mut times = Vec::new();
        for _ in 0..self.runs {
            let start = Instant::now();
            work()?;
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let (median, least) = (times[times.len() / 2], times[0]);
        let rate = (passes * operations(batch, length)) as f64 / median / 1e9;
        let memory = peak_memory().map_or("-".to_owned(), |mib| mib.to_string());
        println!("{name:<44}{:>10.0}{:>10.0}{rate:>10.1}{memory:>10}", median * 1e3, least * 1e3);
        Ok(())
    }
}

/// Of the products of a forward pass.
fn operations(batch: usize, length: usize) -> usize {
    let Config { hidden_size: width, intermediate_size: hidden, num_hidden_layers: layers, .. } = Config::default();
    let maps = 4 * width * width + 2 * width * hidden;
    2 * layers * batch * length * (maps + 2 * length * width)
}

/// The most memory that the process has had, in MiB, where the system tells (Linux).
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? / 1024)
}

fn bert(activations: Activations) -> Result<Bert> {
    let config = BertConfig::bert(&Config::default(), 0.1)?;
    let options = TextOptions { activations, ..TextOptions::new(config) };
    Ok(Bert::new(2, 0, &Device::Cpu, &options)?)
}

fn texts(batch: usize, length: usize) -> Result<Inputs> {
    let ids: Vec<u32> = (0..batch * length).map(|i| 5 + (i * i * 7 + i * 13) as u32 % 29_995).collect();
    let ids = Tensor::from_vec(ids, (batch, length), &Device::Cpu)?;
    Ok(Inputs::Tokens { mask: ids.ones_like()?, type_ids: ids.zeros_like()?, ids })
}

fn labels(batch: usize) -> Result<Tensor> {
    Ok(Tensor::from_iter((0..batch as u32).map(|i| i % 2), &Device::Cpu)?)
}

struct Trained {
    bert: Bert,
    optimizer: AdamW,
}

impl Trained {
    fn new(activations: Activations) -> Result<Self> {
        let bert = bert(activations)?;
        let group = ParameterGroup { parameters: bert.trainable(), weight_decay: 0.01, lr_scale: 1.0 };
        Ok(Self { optimizer: AdamW::new(vec![group], AdamWOptions::default())?, bert })
    }

    fn descend(&mut self, loss: &Tensor) -> Result<()> {
        let gradients = Gradients::collect(&loss.backward()?, &self.bert.trainable())?;
        Ok(self.optimizer.step(&gradients, RATE)?)
    }
}
