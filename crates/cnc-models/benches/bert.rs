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
//!
//! The last two lines are forward and backward passes over comments as long as CivilComments' are, on an encoder as small as
//! MiniLM: in length buckets, and padded to 300 tokens with the padding computed as any token.

use std::time::Instant;

use candle_core::{Device, Tensor};
use candle_transformers::models::bert::Config;
use cnc_core::{Contrast, ContrastiveLoss, ContrastiveOptions, Parts, Sides, cross_entropy};
use cnc_models::{Bert, BertConfig, Inputs, Mode, Model, TextOptions};
use cnc_nn::optim::{AdamW, AdamWOptions, Gradients, Optimizer, ParameterGroup};
use cnc_nn::{InstructionSet, no_grad};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const TRAIN: Mode = Mode::Train { seed: 0 };
const RATE: f64 = 1e-5;

fn main() -> Result<()> {
    cnc_nn::keep_freed_memory();
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let runs = std::env::var("RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(4).max(1);
    println!("{} threads, {}, {runs} runs", rayon::current_num_threads(), InstructionSet::current());
    println!("{:<44}{:>10}{:>10}{:>10}{:>10}", "", "median ms", "least ms", "GFLOP/s", "peak MiB");
    let lines = Lines { wanted, runs };
    for (batch, length) in [(8, 128), (4, 300)] {
        for recomputed in [false, true] {
            let suffix = if recomputed { ", recomputed" } else { "" };
            lines.line(&format!("bert-base step, {batch} x {length}{suffix}"), batch, length, 3, || {
                let mut model = Trained::new()?;
                if recomputed {
                    model.bert.recompute_activations()?;
                }
                let (inputs, labels) = (texts(batch, length), labels(batch)?);
                Ok(move || {
                    let z = model.bert.encode(&inputs, TRAIN)?;
                    let loss = cross_entropy(&model.bert.classify(&z, TRAIN)?, &labels)?;
                    model.descend(&loss)
                })
            })?;
        }
        lines.line(&format!("bert-base evaluation, {batch} x {length}"), batch, length, 1, || {
            let (model, inputs) = (bert()?, texts(batch, length));
            Ok(move || {
                no_grad(|| model.classify(&model.encode(&inputs, Mode::Eval)?, Mode::Eval))?;
                Ok(())
            })
        })?;
    }
    lines.line("bert-base contrastive batch, 4 x 2 of 128", 8, 128, 3, || {
        let options = ContrastiveOptions { temperature: 0.05, sides: Sides::Two, contrast: Contrast::Published };
        let (model, inputs, labels) = (bert()?, texts(8, 128), labels(8)?);
        let contrast = ContrastiveLoss::new(options)?;
        Ok(move || {
            let z = model.encode(&inputs, Mode::Eval)?;
            let logits = model.classify(&z, TRAIN)?;
            let contrast = contrast.forward(&Parts::split(&z, [2; 4])?)?;
            let loss = ((contrast * 0.75)? + (cross_entropy(&logits, &labels)? * 0.25)?)?;
            Gradients::of(&loss, &model.trainable())?;
            Ok(())
        })
    })?;
    lines.comments()
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

/// Comments of the last two lines, and of a batch of them.
const COMMENTS: usize = 128;
const COMMENTS_A_BATCH: usize = 16;
/// The recipe's length, in tokens.
const LONGEST: usize = 300;

impl Lines {
    /// Comments a second, in length buckets and padded.
    fn comments(&self) -> Result<()> {
        if !"comments".contains(&self.wanted) {
            return Ok(());
        }
        let config = Config { hidden_size: 384, num_hidden_layers: 6, intermediate_size: 1536, ..Config::default() };
        let model = Bert::new(2, 0, &Device::Cpu, &TextOptions::new(BertConfig::bert(&config, 0.1)?))?;
        let mut lengths: Vec<usize> = (0..COMMENTS).map(comment).collect();
        lengths.sort_unstable();
        let mut rates = Vec::new();
        for (name, padded) in [("comments in length buckets", false), ("comments padded to 300", true)] {
            let batches = lengths.chunks(COMMENTS_A_BATCH).map(|lengths| {
                let inputs = if padded { texts(lengths.len(), LONGEST) } else { texts_of(lengths) };
                Ok((inputs, labels(lengths.len())?))
            });
            let batches = batches.collect::<Result<Vec<_>>>()?;
            let mut least = f64::INFINITY;
            for _ in 0..self.runs {
                let start = Instant::now();
                for (inputs, labels) in &batches {
                    let z = model.encode(inputs, TRAIN)?;
                    Gradients::of(&cross_entropy(&model.classify(&z, TRAIN)?, labels)?, &model.trainable())?;
                }
                least = least.min(start.elapsed().as_secs_f64());
            }
            rates.push(COMMENTS as f64 / least);
            println!("{name:<44}{:>10.1} comments a second", COMMENTS as f64 / least);
        }
        println!("{:<44}{:>10.2}", "times as many in buckets", rates[0] / rates[1]);
        Ok(())
    }
}

/// Tokens of a comment: the logarithm of its words is about normal (median 36, deviation 0.85), 1.3 tokens a word, and
/// the two at the ends.
fn comment(number: usize) -> usize {
    let uniform = |i: usize| {
        let hash = ((number * 12 + i) as u32).wrapping_mul(2_654_435_761);
        f64::from((hash ^ (hash >> 15)).wrapping_mul(2_246_822_519) >> 8) / f64::from(1 << 24)
    };
    let normal = (0..12).map(uniform).sum::<f64>() - 6.0;
    let words = (36.0 * (0.85 * normal).exp()).max(1.0);
    ((1.3 * words) as usize + 2).min(LONGEST)
}

/// Texts of these lengths.
fn texts_of(lengths: &[usize]) -> Inputs {
    let text = |(row, length): (usize, &usize)| (row * LONGEST..row * LONGEST + length).map(id);
    Inputs::Tokens(lengths.iter().enumerate().map(text).collect())
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

fn bert() -> Result<Bert> {
    let config = BertConfig::bert(&Config::default(), 0.1)?;
    Ok(Bert::new(2, 0, &Device::Cpu, &TextOptions::new(config))?)
}

/// The number of a token.
fn id(place: usize) -> u32 {
    5 + (place * place * 7 + place * 13) as u32 % 29_995
}

fn texts(batch: usize, length: usize) -> Inputs {
    texts_of(&vec![length; batch])
}

fn labels(batch: usize) -> Result<Tensor> {
    Ok(Tensor::from_iter((0..batch as u32).map(|i| i % 2), &Device::Cpu)?)
}

struct Trained {
    bert: Bert,
    optimizer: AdamW,
}

impl Trained {
    fn new() -> Result<Self> {
        let bert = bert()?;
        let group = ParameterGroup { parameters: bert.trainable(), weight_decay: 0.01, lr_scale: 1.0 };
        Ok(Self { optimizer: AdamW::new(vec![group], AdamWOptions::default())?, bert })
    }

    fn descend(&mut self, loss: &Tensor) -> Result<()> {
        let gradients = Gradients::of(loss, &self.bert.trainable())?;
        Ok(self.optimizer.step(&gradients, RATE)?)
    }
}
