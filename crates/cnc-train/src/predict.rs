//! Predictions of inputs that are in no dataset: what they are made into is what evaluation makes of a row, by the same
//! code, and the model is the one that the run saved.
//!
//! Inputs are read, prepared and predicted a few batches at a time, so that a million of them need no more memory than a
//! hundred: a thread of its own reads ahead of the model.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, bail};
use candle_core::Device;
use cnc_data::image::decode::MAX_PIXELS;
use cnc_data::{ImageInputs, Inputs, Preparation, TextInputs};
use cnc_models::Model;

use crate::evaluate::{batch_size, probabilities};
use crate::run_folder::{INTERFACE, Interface};
use crate::trained::Trained;

mod output;
mod sources;

pub use output::{Format, Output};
pub use sources::{Images, Texts};

/// Chunks that the reader may be ahead of the model.
const AHEAD: usize = 3;
/// Texts of a chunk, at most: those of like length come into the same batch.
const TEXTS: usize = 4096;
/// Bytes of the texts of a chunk, from which on no further text is added.
const TEXT_BYTES: usize = 16 << 20;

/// An input, or what is wrong in its place: a message that names it.
pub type Input<T> = Result<T, String>;

/// What a trained model predicts with.
pub struct Predictor {
    model: Box<dyn Model>,
    device: Device,
    classes: Vec<String>,
    preparer: Preparer,
}

enum Preparer {
    Images(ImageInputs),
    Texts { column: String, texts: TextInputs },
}

/// What came of all inputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Inputs with a prediction.
    pub predicted: u64,
    /// Inputs that cannot be read.
    pub unreadable: u64,
}

/// Some inputs as the model takes them.
struct Chunk {
    /// For each input what the output calls it, or what is wrong with it.
    names: Vec<Input<String>>,
    /// Batches, and the places of their inputs among `names`.
    batches: Vec<(Vec<usize>, Inputs)>,
}

impl Predictor {
    /// The model of a finished run. Nothing but the run's folder is needed. `max_pixels` is the largest number of pixels of
    /// an image, where it is not the run's.
    ///
    /// # Errors
    /// When the folder holds no finished run, or a file of it is missing, damaged or of another model.
    pub fn open(run: &Path, device: Device, max_pixels: Option<u64>) -> Result<Self> {
        let trained = Trained::open(run)?;
        let Interface { classes, inputs } = Interface::read(run)?;
        let file = || run.join(INTERFACE).display().to_string();
        let preparer = match (inputs, trained.is_text()) {
            (Preparation::Image(preparation), false) => {
                let max_pixels = max_pixels.or(trained.config.data.max_pixels).unwrap_or(MAX_PIXELS);
                Preparer::Images(ImageInputs::new(&preparation, max_pixels).with_context(file)?)
            }
            (Preparation::Text(preparation), true) => {
                let texts = TextInputs::open(run, &preparation)?;
                Preparer::Texts { column: preparation.column, texts }
            }
            (_, is_text) => {
                let (of_model, of_file) = if is_text { ("texts", "images") } else { ("images", "texts") };
                bail!("{}: prepares {of_file}, and model `{}` takes {of_model}", file(), trained.config.model);
            }
        };
        let model = trained.model(classes.len(), &device)?;
        Ok(Self { model, device, classes, preparer })
    }

    /// Names of the classes, in the order of the output.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The column of the texts that the model was trained on; nothing where it takes images.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        match &self.preparer {
            Preparer::Images(_) => None,
            Preparer::Texts { column, .. } => Some(column),
        }
    }

    /// Predict image files, in their order, into `output`. An unreadable one is told to `unreadable`, which says whether to
    /// go on; `progress` is told how many are done.
    ///
    /// # Errors
    /// When `unreadable` stops, the output cannot be written, or the model takes texts.
    pub fn images(
        self,
        images: impl Iterator<Item = Result<Input<PathBuf>>> + Send + 'static,
        output: &mut Output,
        unreadable: impl FnMut(&str) -> Result<()>,
        progress: impl FnMut(Counts),
    ) -> Result<Counts> {
        let Preparer::Images(preparer) = self.preparer else { bail!("the model takes texts, not images") };
        let size = batch_size(Some(preparer.shape()));
        let rest = Rest { model: self.model, device: self.device, classes: self.classes };
        let prepare = move |inputs: Vec<Input<PathBuf>>| {
            let places: Vec<usize> =
                (0..inputs.len()).filter(|place| inputs.get(*place).is_some_and(Result::is_ok)).collect();
            let files: Vec<PathBuf> = inputs.iter().flatten().cloned().collect();
            let prepared = preparer.batch(&files)?;
            let mut problems = prepared.problems.into_iter();
            let name = |input: Input<PathBuf>| {
                let file = input?.display().to_string();
                match problems.next().flatten() {
                    None => Ok(file),
                    Some(problem) => Err(format!("{file}: {problem}")),
                }
            };
            let names: Vec<Input<String>> = inputs.into_iter().map(name).collect();
            let places = places.into_iter().filter(|place| names.get(*place).is_some_and(Result::is_ok)).collect();
            Ok(Chunk { names, batches: prepared.inputs.map(|inputs| (places, inputs)).into_iter().collect() })
        };
        rest.predict(read_ahead(images, size, |_| 0, prepare)?, output, unreadable, progress)
    }

    /// Predict texts, as [`images`](Self::images) does images.
    ///
    /// # Errors
    /// When `unreadable` stops, the output cannot be written, or the model takes images.
    pub fn texts(
        self,
        texts: impl Iterator<Item = Result<Input<String>>> + Send + 'static,
        output: &mut Output,
        unreadable: impl FnMut(&str) -> Result<()>,
        progress: impl FnMut(Counts),
    ) -> Result<Counts> {
        let Preparer::Texts { texts: preparer, .. } = self.preparer else { bail!("the model takes images, not texts") };
        let rest = Rest { model: self.model, device: self.device, classes: self.classes };
        let prepare = move |names: Vec<Input<String>>| {
            let places: Vec<usize> =
                (0..names.len()).filter(|place| names.get(*place).is_some_and(Result::is_ok)).collect();
            let good: Vec<String> = names.iter().flatten().cloned().collect();
            let batches = preparer.batches(&good, batch_size(None))?.into_iter().map(|(of_batch, inputs)| {
                (of_batch.into_iter().filter_map(|place| places.get(place)).copied().collect(), inputs)
            });
            let batches = batches.collect();
            Ok(Chunk { names, batches })
        };
        rest.predict(read_ahead(texts, TEXTS, String::len, prepare)?, output, unreadable, progress)
    }
}

/// Chunks that come from a thread of their own.
struct Ahead {
    chunks: Receiver<Result<Chunk>>,
    thread: JoinHandle<()>,
}

/// What is left on this thread.
struct Rest {
    model: Box<dyn Model>,
    device: Device,
    classes: Vec<String>,
}

impl Rest {
    fn predict(
        &self,
        ahead: Ahead,
        output: &mut Output,
        mut unreadable: impl FnMut(&str) -> Result<()>,
        mut progress: impl FnMut(Counts),
    ) -> Result<Counts> {
        let mut counts = Counts::default();
        let classes = self.classes.len();
        for chunk in ahead.chunks {
            let Chunk { names, batches } = chunk?;
            let mut answers: Vec<f32> = vec![f32::NAN; names.len() * classes];
            for (places, inputs) in batches {
                let found = probabilities(&*self.model, inputs, &self.device)?;
                for (place, row) in places.into_iter().zip(found.chunks(classes.max(1))) {
                    if let Some(answer) = answers.get_mut(place * classes..(place + 1) * classes) {
                        answer.copy_from_slice(row);
                    }
                }
            }
            for (name, answer) in names.iter().zip(answers.chunks(classes.max(1))) {
                match name {
                    Ok(name) if answer.iter().all(|probability| probability.is_finite()) => {
                        output.write(name, answer)?;
                        counts.predicted += 1;
                    }
                    Ok(name) => bail!("{name}: the model's answer is not a number: is its model.safetensors damaged?"),
                    Err(problem) => {
                        unreadable(problem)?;
                        counts.unreadable += 1;
                    }
                }
            }
            output.flush()?;
            progress(counts);
        }
        // A reader that panicked has not read everything.
        ahead.thread.join().map_err(|_| anyhow!("the inputs cannot be read: their reader stopped before the end"))?;
        Ok(counts)
    }
}

/// Reads inputs and prepares them on a thread of its own, at most `most` at a time. `bytes` is what one takes in memory.
fn read_ahead<T: Send + 'static>(
    mut inputs: impl Iterator<Item = Result<Input<T>>> + Send + 'static,
    most: usize,
    bytes: impl Fn(&T) -> usize + Send + 'static,
    prepare: impl Fn(Vec<Input<T>>) -> Result<Chunk> + Send + 'static,
) -> Result<Ahead> {
    let (sender, receiver) = sync_channel(AHEAD);
    let read = move || {
        loop {
            let (mut taken, mut held, mut failure) = (Vec::new(), 0, None);
            while taken.len() < most && held < TEXT_BYTES {
                match inputs.next() {
                    None => break,
                    Some(Ok(input)) => {
                        held += input.as_ref().map_or(0, &bytes);
                        taken.push(input);
                    }
                    Some(Err(error)) => {
                        failure = Some(error);
                        break;
                    }
                }
            }
            // What came before an error is predicted all the same. The receiver is gone where it met an error of its own.
            let is_last = taken.is_empty() || failure.is_some();
            if !taken.is_empty() && sender.send(prepare(taken)).is_err() {
                return;
            }
            if let Some(error) = failure {
                let _ = sender.send(Err(error));
            }
            if is_last {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(read)
        .map_err(|e| anyhow!("no thread can be started: {e}"))?;
    Ok(Ahead { chunks: receiver, thread })
}
