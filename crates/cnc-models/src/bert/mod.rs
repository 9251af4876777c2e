//! BERT and DistilBERT for the classification of texts.

mod config;
mod encoder;
mod names;
mod sequences;

pub use config::{Architecture, BertConfig};
pub use sequences::unpadded;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use cnc_base::inputs::Inputs;
use cnc_nn::Parameters;
use cnc_nn::layers::{Dropout, Linear, Mode, relu};

use crate::error::{Error, Result};
use crate::freeze::frozen;
use crate::model::Model;
use crate::weights::{self, Partial, Read};
use encoder::{Activations, Encoder};
use names::{CLASSIFIER, Names};
use sequences::Texts;

pub(crate) const NAME: &str = "bert";

/// How the representations of tokens become that of their text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// That of the first token (`[CLS]`), through a linear map and tanh (BERT) or ReLU (DistilBERT).
    #[default]
    Pooler,
    /// The mean over all tokens. The pooler stays as it is, and is saved with the model.
    Mean,
}

/// What a model of text is built from besides its classes.
#[derive(Debug, Clone)]
pub struct TextOptions {
    /// Sizes.
    pub config: BertConfig,
    /// From tokens to texts.
    pub pooling: Pooling,
    /// Patterns of what is not trained: see [`frozen`].
    pub freeze: Vec<String>,
}

impl TextOptions {
    /// All of a model of these sizes is trained, with BERT's own pooler.
    #[must_use]
    pub fn new(config: BertConfig) -> Self {
        Self { config, pooling: Pooling::default(), freeze: Vec::new() }
    }
}

/// What a checkpoint did not say, or said in vain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notice {
    /// Variables that keep their fresh values: those of the classifier, where the checkpoint has none for these classes, and
    /// of a pooler that nobody asks.
    pub fresh: Vec<String>,
    /// Tensors that this model has no place for.
    pub unknown: Vec<String>,
    /// Classes of the checkpoint's own classifier, where they are others and it was left out.
    pub classes_left_out: Option<usize>,
    /// What was taken off in front of all names.
    pub prefix: Option<String>,
    /// Of a file: how many of its tensors were loaded, and which of several state dicts or files it was.
    pub notes: Vec<String>,
}

/// BERT (Devlin et al. 2019) or DistilBERT (Sanh et al. 2019) with a classifier on top; the representation is the output of
/// the pooler, or the mean over the tokens.
///
/// Names of variables are those of Hugging Face's `BertForSequenceClassification` and
/// `DistilBertForSequenceClassification`, which load what [`Parameters::save`] writes. Texts are computed without their
/// padding.
#[derive(Debug)]
pub struct Bert {
    encoder: Encoder,
    pooler: Linear,
    dropout: Dropout,
    classifier: Linear,
    classes: usize,
    options: TextOptions,
    /// Variables that are not trained.
    fixed: BTreeSet<String>,
    /// How many stages from the start on (embeddings, then layers) are frozen as a whole.
    frozen_stages: usize,
    parameters: Parameters,
}

impl Bert {
    /// A network with fresh weights.
    ///
    /// # Errors
    /// [`Error::TooFewClasses`] for less than two classes, [`Error::UnknownPattern`] for a pattern in `freeze` that names
    /// nothing.
    pub fn new(classes: usize, seed: u64, device: &Device, options: &TextOptions) -> Result<Self> {
        if classes < 2 {
            return Err(Error::TooFewClasses { found: classes });
        }
        let (config, parameters) = (&options.config, Parameters::new(seed, device));
        let (names, builder) = (Names::of(config.architecture()), parameters.builder());
        let encoder = Encoder::new(config, names, &builder.pp(names.body))?;
        let pooler = encoder::linear(config.width, config.width, config, builder.pp(names.pooler))?;
        let classifier = encoder::linear(config.width, classes, config, builder.pp(CLASSIFIER))?;
        let all: Vec<String> = parameters.trainable().into_iter().map(|(name, _)| name).collect();
        let mut fixed = frozen(&options.freeze, &all, names.body)?;
        let stages = std::iter::once("embeddings.".to_owned())
            .chain((0..config.layers).map(|i| format!("{}.{i}.", names.layers)));
        let is_fixed =
            |stage: &String| all.iter().filter(|n| names.within(n).starts_with(stage)).all(|n| fixed.contains(n));
        let frozen_stages = stages.take_while(is_fixed).count();
        if options.pooling == Pooling::Mean {
            fixed.extend(all.iter().filter(|name| name.starts_with(names.pooler)).cloned());
        }
        Ok(Self {
            encoder,
            pooler,
            dropout: Dropout::new(config.classifier_dropout, CLASSIFIER)?,
            classifier,
            classes,
            options: options.clone(),
            fixed,
            frozen_stages,
            parameters,
        })
    }

    /// Takes the weights of a pretrained checkpoint, however it names them. Heads of pretraining are left aside; a classifier
    /// for other classes, or none, leaves the fresh one.
    ///
    /// # Errors
    /// [`cnc_nn::Error::Mismatch`], within [`Error::Layer`], names all tensors that are missing, misshapen or not finite,
    /// [`Error::Roberta`] what tells that they are of that; nothing is changed then.
    pub fn load_pretrained(&self, tensors: BTreeMap<String, Tensor>) -> Result<Notice> {
        let names = Names::of(self.options.config.architecture());
        let mut current = self.parameters.named()?;
        let known: BTreeSet<String> = current.keys().cloned().collect();
        let within: BTreeSet<&str> = known.iter().map(|name| names.within(name)).collect();
        let is_known = |name: &str| within.contains(names.modern(name).as_str());
        let (tensors, prefix) = weights::names::without_prefix(tensors, is_known, |part| names.is_wrapper(part));
        let (mut found, unknown) = names.translate(&known, tensors);
        if let Some(sign) = names.sign_of_roberta(&found, &unknown)? {
            return Err(Error::Roberta { sign });
        }
        let (head, body) = (self.classifier(), names.pooler);
        let fits = |name: &String, tensor: &Tensor| found.get(name).is_some_and(|t| t.shape() == tensor.shape());
        let keeps_classifier = current.iter().filter(|(name, _)| name.starts_with(head)).all(|(n, t)| fits(n, t));
        let rows = |name: &String| found.get(name).and_then(|tensor| tensor.dims().first().copied());
        let mut of_head = current.keys().filter(|name| name.starts_with(head)).filter_map(rows);
        let classes_left_out = of_head.next().filter(|_| !keeps_classifier);
        let needs_pooler = match (self.options.pooling, self.options.config.architecture()) {
            (Pooling::Mean, _) => false,
            (Pooling::Pooler, Architecture::Bert) => true,
            // Part of the head: a checkpoint of pretraining does not have it.
            (Pooling::Pooler, Architecture::DistilBert) => {
                current.keys().any(|name| name.starts_with(body) && found.contains_key(name))
            }
        };
        current.retain(|name, _| match name {
            _ if name.starts_with(head) => !keeps_classifier,
            _ if name.starts_with(body) => !needs_pooler && !found.contains_key(name),
            _ => false,
        });
        let fresh = current.keys().cloned().collect();
        found.extend(current);
        match self.parameters.load(&found) {
            Ok(()) => Ok(Notice { fresh, unknown, classes_left_out, prefix, notes: Vec::new() }),
            Err(cnc_nn::Error::Mismatch { target, mut mismatch }) => {
                mismatch.extra.extend(unknown);
                Err(cnc_nn::Error::Mismatch { target, mismatch }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// [`load_pretrained`](Self::load_pretrained) of the weights that a path stands for: see [`weights::find`].
    ///
    /// # Errors
    /// [`Error::Weights`] names the file and all tensors that do not fit, [`Error::Prefix`] a prefix that only some names
    /// have, [`Error::OtherArchitecture`] one that BERT does not have; those of [`weights::read`] for the file itself.
    pub fn read_pretrained(&self, path: &Path) -> Result<Notice> {
        let (path, Read { tensors, notes }) = weights::read_found(path, self.parameters.device())?;
        let of_file = tensors.len();
        match self.load_pretrained(tensors) {
            Ok(mut notice) => {
                let own = self.parameters.named()?.len() - notice.fresh.len();
                let summary = weights::summary(own, of_file, &path, notice.prefix.as_deref());
                notice.notes = std::iter::once(summary).chain(notes).collect();
                Ok(notice)
            }
            Err(Error::Layer(cnc_nn::Error::Mismatch { mismatch, .. })) => Err(self.refusal(path, mismatch, of_file)),
            Err(other) => Err(other),
        }
    }

    /// Why the tensors of a file are not those of the model.
    fn refusal(&self, path: PathBuf, mismatch: Box<cnc_nn::Mismatch>, of_file: usize) -> Error {
        let names = Names::of(self.options.config.architecture());
        let missing: BTreeSet<&str> = mismatch.missing.iter().map(|name| names.within(name)).collect();
        let known = |name: &str| missing.contains(names.modern(name).as_str());
        match Partial::find_known(&mismatch.extra, known, of_file) {
            Some(partial) if partial.prefix.split_terminator('.').all(|part| names.is_wrapper(part)) => {
                Error::Prefix { path, partial: Box::new(partial) }
            }
            Some(Partial { prefix, found, .. }) => {
                let example = found.into_iter().next().unwrap_or_default();
                Error::OtherArchitecture { path, prefix, example, mismatch }
            }
            None => Error::Weights { path, mismatch },
        }
    }

    /// The representation of each text.
    fn pooled(&self, texts: &Texts<'_>, mode: Mode) -> Result<Tensor> {
        match self.options.pooling {
            Pooling::Mean => {
                let hidden = self.encoder.forward(texts, mode, self.frozen_stages, None)?; // (rows, width)
                Ok(texts.means(&hidden)?.matmul(&hidden)?)
            }
            Pooling::Pooler => {
                if let Some(row) = texts.without_first() {
                    return Err(Error::HiddenFirstToken { row });
                }
                let first = self.encoder.forward(texts, mode, self.frozen_stages, Some(&texts.first()))?;
                let pooled = self.pooler.forward(&first)?;
                match self.options.config.architecture() {
                    Architecture::Bert => Ok(pooled.tanh()?),
                    Architecture::DistilBert => Ok(relu(&pooled)?),
                }
            }
        }
    }
}

impl Model for Bert {
    fn encode(&self, inputs: &Inputs, mode: Mode) -> Result<Tensor> {
        let Inputs::Tokens(tokens) = inputs else {
            return Err(Error::InputKind { model: NAME, expected: "text", found: inputs.kind() });
        };
        let texts = Texts::new(tokens, &self.options.config)?;
        if texts.sequences.count() == 0 {
            return Ok(Tensor::zeros((0, self.dim()), DType::F32, self.parameters.device())?);
        }
        self.pooled(&texts, mode)
    }

    fn classify(&self, representations: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(self.classifier.forward(&self.dropout.forward(representations, mode)?)?)
    }

    fn classifier(&self) -> &'static str {
        CLASSIFIER
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn trainable(&self) -> Vec<(String, Var)> {
        self.parameters.trainable().into_iter().filter(|(name, _)| !self.fixed.contains(name)).collect()
    }

    fn decays(&self, name: &str) -> bool {
        let is_norm = |part: &str| part.eq_ignore_ascii_case("layernorm") || part.ends_with("layer_norm");
        !name.ends_with(".bias") && !name.split('.').any(is_norm)
    }

    fn dim(&self) -> usize {
        self.options.config.width
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn recompute_activations(&mut self) -> Result<()> {
        self.encoder.activations = Activations::Recomputed;
        Ok(())
    }
}
