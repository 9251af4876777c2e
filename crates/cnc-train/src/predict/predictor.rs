//! The model of a finished run, asked about inputs of any number.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use candle_core::Device;
use cnc_data::image::decode::MAX_PIXELS;
use cnc_data::{ImageInputs, Prefetch, Preparation, TextInputs, read_ahead};
use cnc_models::{Kind, Model, Registry};

use super::input::{Chunk, Given, Input, Preparer, Unreadable};
use crate::config::device;
use crate::methods::{Known, MethodInfo};
use crate::record::FinishedRun;
use crate::record::interface::{INTERFACE, Interface};
use crate::training::evaluate::probabilities;

/// Chunks that the reader may be ahead of the model.
const AHEAD: usize = 3;

/// What a model says of an input.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The input: the path of a file, the name of a picture, or the text.
    pub input: String,
    /// Name of the class.
    pub class: String,
    /// Its index among the [`classes`](Predictor::classes).
    pub index: u32,
    /// Its probability.
    pub probability: f32,
    /// The probability of each class, in their order.
    pub probabilities: Vec<f32>,
    /// Of a text that is longer than those that the model was trained on: its number of tokens, of which the model saw
    /// only the first.
    pub cut_from: Option<usize>,
}

/// What a trained model predicts with.
pub struct Predictor {
    model: Box<dyn Model>,
    device: Device,
    classes: Arc<[String]>,
    preparer: Arc<Preparer>,
}

impl Predictor {
    /// The model of a finished run, on the CPU. Nothing but the run's folder is needed.
    ///
    /// ```no_run
    /// # fn main() -> anyhow::Result<()> {
    /// use cnc_train::{Input, Predictor};
    ///
    /// let predictor = Predictor::load("runs/waterbirds-cnc-0")?;
    /// for answer in predictor.predict([Input::File("bird.jpg".into())])? {
    ///     match answer {
    ///         Ok(found) => println!("{}: {} ({:.0} %)", found.input, found.class, 100.0 * found.probability),
    ///         Err(problem) => println!("{problem}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the folder holds no finished run, or a file of it is missing, damaged or of another model.
    pub fn load(run: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(run, "cpu", [], Registry::builtin())
    }

    /// The model of a finished run on this device (`auto`, `cpu`, `cuda`, `cuda:1`, `metal`), where its method and
    /// its model may be of the program's own.
    ///
    /// # Errors
    /// As [`load`](Self::load), and when there is no such device.
    pub fn load_with(
        run: impl AsRef<Path>,
        device: &str,
        methods: impl IntoIterator<Item = MethodInfo>,
        models: Registry,
    ) -> Result<Self> {
        let mut known = Known { models, ..Known::default() };
        methods.into_iter().for_each(|info| known.methods.register(info));
        Self::open(&FinishedRun::open(run.as_ref())?, &known, device::open(device)?, None)
    }

    /// The model of a finished run. `max_pixels` is the largest number of pixels of an image, where it is not the run's.
    pub(crate) fn open(finished: &FinishedRun, known: &Known, device: Device, max_pixels: Option<u64>) -> Result<Self> {
        let (run, config) = (finished.folder(), finished.config()?);
        let Interface { classes, inputs } = finished.interface()?;
        let file = || run.join(INTERFACE).display().to_string();
        let preparer = match (inputs, known.models.kind(&config.model)? == Kind::Text) {
            (Preparation::Image(preparation), false) => {
                let max_pixels = max_pixels.or(config.data.max_pixels).unwrap_or(MAX_PIXELS);
                Preparer::Images(ImageInputs::new(&preparation, max_pixels).with_context(file)?)
            }
            (Preparation::Text(preparation), true) => {
                let texts = Box::new(TextInputs::open(run, &preparation)?);
                Preparer::Texts { column: preparation.column, texts }
            }
            (Preparation::Tensor, _) => {
                bail!("{}: the model was trained on tensors that a program held, and reads no files", file());
            }
            (_, is_text) => {
                let (of_model, of_file) = if is_text { ("texts", "images") } else { ("images", "texts") };
                bail!("{}: prepares {of_file}, and model `{}` takes {of_model}", file(), config.model);
            }
        };
        let model = finished.model(known, classes.len(), &device)?;
        Ok(Self { model, device, classes: classes.into(), preparer: Arc::new(preparer) })
    }

    /// Names of the classes, by their index.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Most tokens of a text that the model sees; nothing where it takes images.
    #[must_use]
    pub(crate) fn max_length(&self) -> Option<usize> {
        match &*self.preparer {
            Preparer::Images(_) => None,
            Preparer::Texts { texts, .. } => Some(texts.preparation().max_length),
        }
    }

    /// The column of the texts that the model was trained on; nothing where it takes images.
    #[must_use]
    pub(crate) fn column(&self) -> Option<&str> {
        match &*self.preparer {
            Preparer::Images(_) => None,
            Preparer::Texts { column, .. } => Some(column),
        }
    }

    /// What the model says of each input, in their order, or what is wrong with the input.
    ///
    /// # Errors
    /// When an input is of another kind than the model takes, or the model's weights are damaged.
    pub fn predict(&self, inputs: impl IntoIterator<Item = Input>) -> Result<Vec<Result<Prediction, Unreadable>>> {
        let inputs: Vec<Input> = inputs.into_iter().collect();
        let mut answers = Vec::with_capacity(inputs.len());
        for chunk in self.stream(inputs.into_iter().map(|input| Ok(Ok(input)))) {
            answers.extend(chunk?);
        }
        Ok(answers)
    }

    /// The same for inputs that are read as they are needed: the answers on some of them at a time. After an error, which may be
    /// one of `inputs`, nothing comes any more; what comes before it is predicted.
    pub(crate) fn stream(&self, inputs: impl Iterator<Item = Result<Given>> + Send + 'static) -> Answers<'_> {
        let chunks = Chunks { inputs, preparer: Arc::clone(&self.preparer), failure: None };
        Answers { predictor: self, chunks: read_ahead(chunks, AHEAD), waiting: VecDeque::new() }
    }

    /// The answers on a chunk, and after them what is wrong where one of them is not a number.
    fn answers(&self, Chunk { names, batches, cut }: Chunk) -> Result<VecDeque<Result<Vec<Answer>>>> {
        let classes = self.classes.len();
        let mut found: Vec<f32> = vec![f32::NAN; names.len() * classes];
        for (places, inputs) in batches {
            let of_batch = probabilities(&*self.model, inputs, &self.device)?;
            for (place, row) in places.into_iter().zip(of_batch.chunks(classes.max(1))) {
                if let Some(answer) = found.get_mut(place * classes..(place + 1) * classes) {
                    answer.copy_from_slice(row);
                }
            }
        }
        let mut answers = Vec::with_capacity(names.len());
        for (place, (name, found)) in names.into_iter().zip(found.chunks(classes.max(1))).enumerate() {
            match name {
                Ok(name) if found.iter().any(|probability| !probability.is_finite()) => {
                    let error =
                        anyhow!("{name}: the model's answer is not a number: is its model.safetensors damaged?");
                    return Ok([Ok(answers), Err(error)].into());
                }
                Ok(input) => answers.push(Ok(self.prediction(input, found, cut.get(&place).copied()))),
                Err(problem) => answers.push(Err(problem)),
            }
        }
        Ok([Ok(answers)].into())
    }

    fn prediction(&self, input: String, probabilities: &[f32], cut_from: Option<usize>) -> Prediction {
        let best = |(best, highest): (u32, f32), (place, probability): (u32, &f32)| {
            if *probability > highest { (place, *probability) } else { (best, highest) }
        };
        let (index, probability) = (0..).zip(probabilities).fold((0, f32::NEG_INFINITY), best);
        let class = self.classes.get(index as usize).cloned().unwrap_or_default();
        Prediction { input, class, index, probability, probabilities: probabilities.to_vec(), cut_from }
    }
}

/// What a model says of an input, or what is wrong with the input.
type Answer = Result<Prediction, Unreadable>;

/// The answers of [`Predictor::stream`].
pub(crate) struct Answers<'a> {
    predictor: &'a Predictor,
    chunks: Prefetch<Chunk, anyhow::Error>,
    waiting: VecDeque<Result<Vec<Answer>>>,
}

impl Iterator for Answers<'_> {
    type Item = Result<Vec<Answer>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.waiting.is_empty() {
            let answers = self.chunks.next()?.and_then(|chunk| self.predictor.answers(chunk));
            self.waiting = answers.unwrap_or_else(|error| [Err(error)].into());
        }
        let next = self.waiting.pop_front();
        if matches!(next, Some(Err(_))) {
            self.chunks.detach();
        }
        next
    }
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        // The reader may wait for a line that never comes.
        self.chunks.detach();
    }
}

/// Takes inputs and prepares them, some at a time.
struct Chunks<I> {
    inputs: I,
    preparer: Arc<Preparer>,
    failure: Option<anyhow::Error>,
}

impl<I: Iterator<Item = Result<Given>>> Iterator for Chunks<I> {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failure.take() {
            return Some(Err(error));
        }
        let (taken, failure) = self.preparer.take(&mut self.inputs);
        self.failure = failure;
        if taken.is_empty() { self.failure.take().map(Err) } else { Some(self.preparer.prepare(taken)) }
    }
}
