//! What a `config.json` says of a model's sizes.

use std::path::Path;

use candle_transformers::models::bert;
use cnc_nn::ops::Activation;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// The architectures that are told apart by the `model_type` of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding".
    Bert,
    /// Sanh et al. 2019, "DistilBERT, a distilled version of BERT": no segments, another head, other names.
    DistilBert,
}

/// The sizes of a model of text; what comes out of [`read`](Self::read) can be built.
#[derive(Debug, Clone, PartialEq)]
pub struct BertConfig {
    architecture: Architecture,
    pub(super) vocabulary: usize,
    /// Units of a token.
    pub(super) width: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// Units between the two maps of a feed-forward part.
    pub(super) hidden: usize,
    pub(super) activation: Activation,
    /// Tokens of the longest text.
    pub(super) positions: usize,
    /// Kinds of segments; none with DistilBERT.
    pub(super) types: usize,
    pub(super) epsilon: f64,
    /// Standard deviation of fresh weights.
    pub(super) deviation: f64,
    pub(super) hidden_dropout: f64,
    pub(super) attention_dropout: f64,
    pub(super) classifier_dropout: f64,
    notes: Vec<String>,
}

/// What candle-transformers' `Config` of BERT leaves out, with the value that Hugging Face takes where it is not given.
#[derive(Deserialize)]
struct AttentionDropout {
    #[serde(default = "tenth")]
    attention_probs_dropout_prob: f64,
}

fn tenth() -> f64 {
    0.1
}

/// A `config.json` of DistilBERT.
#[derive(Deserialize)]
struct DistilBert {
    vocab_size: usize,
    dim: usize,
    n_layers: usize,
    n_heads: usize,
    hidden_dim: usize,
    max_position_embeddings: usize,
    initializer_range: f64,
    dropout: f64,
    attention_dropout: f64,
    seq_classif_dropout: f64,
}

/// Weights of the largest model: 8 GiB of them. BERT-large has a sixth of it.
const MOST_WEIGHTS: usize = 1 << 31;

/// The epsilon of DistilBERT's layer norms, which its configuration does not name.
const DISTILBERT_EPSILON: f64 = 1e-12;

/// The epsilon of BERT's layer norms, where a configuration is older than the key.
const BERT_EPSILON: f64 = 1e-12;
/// The standard deviation of BERT's fresh weights, where a configuration does not say it.
const BERT_DEVIATION: f64 = 0.02;

impl BertConfig {
    /// The sizes in the `config.json` of a checkpoint.
    ///
    /// # Errors
    /// [`Error::ReadConfig`] and [`Error::ParseConfig`] for a file that is not there or no configuration,
    /// [`Error::Config`] names a setting that no model can be built with.
    pub fn read(path: &Path) -> Result<Self> {
        let json =
            std::fs::read_to_string(path).map_err(|source| Error::ReadConfig { path: path.to_owned(), source })?;
        Self::parse(&json).map_err(|error| match error {
            Error::ParseConfig { reason, .. } => Error::ParseConfig { path: path.to_owned(), reason },
            Error::Config { key, found, expected, .. } => Error::Config { path: path.to_owned(), key, found, expected },
            other => other,
        })
    }

    /// The sizes in the text of a `config.json`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(json: &str) -> Result<Self> {
        let unreadable =
            |error: serde_json::Error| Error::ParseConfig { path: "config.json".into(), reason: error.to_string() };
        let mut value: Value = serde_json::from_str(json).map_err(unreadable)?;
        let (architecture, note) = architecture(&value)?;
        refuse_other_meanings(&value)?;
        let config = match architecture {
            Architecture::Bert => {
                // Padding is not computed, whatever its number; the others are Hugging Face's own values.
                value["pad_token_id"] = 0.into();
                for (key, default) in [("layer_norm_eps", BERT_EPSILON), ("initializer_range", BERT_DEVIATION)] {
                    if value.get(key).is_none_or(Value::is_null) {
                        value[key] = default.into();
                    }
                }
                let activation = activation(&value, "hidden_act")?;
                // The spelling of candle-transformers.
                value["hidden_act"] = match activation {
                    Activation::Gelu => "gelu",
                    Activation::GeluTanh => "geluapproximate",
                    Activation::Relu => "relu",
                }
                .into();
                let dropout: AttentionDropout = serde_json::from_value(value.clone()).map_err(unreadable)?;
                let config: bert::Config = serde_json::from_value(value).map_err(unreadable)?;
                Self::bert(&config, dropout.attention_probs_dropout_prob)
            }
            Architecture::DistilBert => {
                let activation = activation(&value, "activation")?;
                let config: DistilBert = serde_json::from_value(value).map_err(unreadable)?;
                Self::distilbert(&config, activation)
            }
        }?;
        Ok(Self { notes: note.into_iter().collect(), ..config })
    }

    /// What a user should know of how the file was read.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The sizes in a configuration of candle-transformers, which does not say what share of attention probabilities is
    /// dropped.
    ///
    /// # Errors
    /// [`Error::Config`] names a setting that no model can be built with.
    pub fn bert(config: &bert::Config, attention_dropout: f64) -> Result<Self> {
        Self {
            architecture: Architecture::Bert,
            vocabulary: config.vocab_size,
            width: config.hidden_size,
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            hidden: config.intermediate_size,
            activation: match config.hidden_act {
                bert::HiddenAct::Gelu => Activation::Gelu,
                bert::HiddenAct::GeluApproximate => Activation::GeluTanh,
                bert::HiddenAct::Relu => Activation::Relu,
            },
            positions: config.max_position_embeddings,
            types: config.type_vocab_size,
            epsilon: config.layer_norm_eps,
            deviation: config.initializer_range,
            hidden_dropout: config.hidden_dropout_prob,
            attention_dropout,
            classifier_dropout: config.classifier_dropout.unwrap_or(config.hidden_dropout_prob),
            notes: Vec::new(),
        }
        .checked()
    }

    fn distilbert(config: &DistilBert, activation: Activation) -> Result<Self> {
        Self {
            architecture: Architecture::DistilBert,
            vocabulary: config.vocab_size,
            width: config.dim,
            layers: config.n_layers,
            heads: config.n_heads,
            hidden: config.hidden_dim,
            activation,
            positions: config.max_position_embeddings,
            types: 0,
            epsilon: DISTILBERT_EPSILON,
            deviation: config.initializer_range,
            hidden_dropout: config.dropout,
            attention_dropout: config.attention_dropout,
            classifier_dropout: config.seq_classif_dropout,
            notes: Vec::new(),
        }
        .checked()
    }

    fn checked(self) -> Result<Self> {
        let [vocabulary, width, layers, heads, hidden, positions, types] = match self.architecture {
            Architecture::Bert => [
                "vocab_size",
                "hidden_size",
                "num_hidden_layers",
                "num_attention_heads",
                "intermediate_size",
                "max_position_embeddings",
                "type_vocab_size",
            ],
            Architecture::DistilBert => {
                ["vocab_size", "dim", "n_layers", "n_heads", "hidden_dim", "max_position_embeddings", ""]
            }
        };
        let sizes = [
            (vocabulary, self.vocabulary),
            (width, self.width),
            (layers, self.layers),
            (heads, self.heads),
            (hidden, self.hidden),
            (positions, self.positions),
        ];
        let types = (self.architecture == Architecture::Bert).then_some((types, self.types));
        if let Some((key, _)) = sizes.into_iter().chain(types).find(|(_, size)| *size == 0) {
            return Err(wrong(key, "0", "1 or more"));
        }
        if !self.width.is_multiple_of(self.heads) {
            let expected = format!("a number that divides the {} units of {width}", self.width);
            return Err(wrong(heads, &self.heads.to_string(), &expected));
        }
        let weights = self.weights();
        if weights > MOST_WEIGHTS {
            let expected = format!("sizes that make at most {MOST_WEIGHTS}");
            return Err(wrong("the number of weights that its sizes make", &weights.to_string(), &expected));
        }
        for dropout in [self.hidden_dropout, self.attention_dropout, self.classifier_dropout] {
            if !(0.0..1.0).contains(&dropout) {
                return Err(wrong("a dropout probability", &dropout.to_string(), "at least 0 and below 1"));
            }
        }
        if !(self.epsilon >= 0.0 && self.deviation >= 0.0 && self.epsilon.is_finite() && self.deviation.is_finite()) {
            let found = format!("{} and {}", self.epsilon, self.deviation);
            let key = "layer_norm_eps and initializer_range";
            return Err(wrong(key, &found, "finite numbers of 0 or more"));
        }
        Ok(self)
    }

    /// Number of weights, without biases; no less than it is where there is no number for it.
    fn weights(&self) -> usize {
        let rows = self.vocabulary.saturating_add(self.positions).saturating_add(self.types);
        let layer = self.width.saturating_mul(4).saturating_add(self.hidden.saturating_mul(2));
        let per_unit = rows.saturating_add(layer.saturating_mul(self.layers));
        per_unit.saturating_mul(self.width)
    }

    /// Which architecture it is.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Tokens of the longest text that the model takes.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Number of tokens that the model knows.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }
}

/// The architecture of a configuration: its `model_type`, which its `architectures` must bear out; or these alone, with a
/// note.
fn architecture(value: &Value) -> Result<(Architecture, Option<String>)> {
    let classes = value.get("architectures").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let classes: Vec<&str> = classes.iter().filter_map(Value::as_str).collect();
    let of_class = |class: &str| match class {
        class if class.starts_with("Bert") => Some(Architecture::Bert),
        class if class.starts_with("DistilBert") => Some(Architecture::DistilBert),
        _ => None,
    };
    let of_type = match value.get("model_type") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) if name == "bert" => Some(Architecture::Bert),
        Some(Value::String(name)) if name == "distilbert" => Some(Architecture::DistilBert),
        Some(Value::String(other)) => return Err(wrong("model_type", other, "bert or distilbert")),
        Some(other) => return Err(wrong("model_type", &other.to_string(), "bert or distilbert")),
    };
    let Some(of_type) = of_type else {
        return match classes.first().and_then(|class| Some((*class, of_class(class)?))) {
            Some((class, found)) if classes.iter().all(|class| of_class(class) == Some(found)) => {
                Ok((found, Some(format!("config.json has no model_type; by its architectures it is of {class}"))))
            }
            _ => Err(wrong(
                "model_type",
                "nothing",
                "bert or distilbert; add the line that is true, such as \"model_type\": \"bert\",",
            )),
        };
    };
    match classes.into_iter().find(|class| of_class(class) != Some(of_type)) {
        None => Ok((of_type, None)),
        Some(class) => {
            let (name, expected) = match of_type {
                Architecture::Bert => ("bert", "Bert"),
                Architecture::DistilBert => ("distilbert", "DistilBert"),
            };
            let expected = format!(
                "names that begin with {expected}, as model_type is {name}; take the line out if it is of that type all \
                 the same"
            );
            Err(wrong("architectures", class, &expected))
        }
    }
}

/// Refuse keys by which the same weights mean another function.
fn refuse_other_meanings(value: &Value) -> Result<()> {
    for key in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
        match value.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => {}
            Some(other) => return Err(wrong(key, &other.to_string(), "false: an encoder that sees the whole text")),
        }
    }
    match value.get("position_embedding_type") {
        None | Some(Value::Null) => {}
        Some(Value::String(name)) if name == "absolute" => {}
        Some(other) => {
            let found = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            return Err(wrong("position_embedding_type", &found, "absolute"));
        }
    }
    let is_one = |key: &str| value.get(key).and_then(Value::as_u64) == Some(1);
    if is_one("pad_token_id") && is_one("type_vocab_size") {
        return Err(wrong("type_vocab_size", "1 and pad_token_id 1", "those of BERT: these are RoBERTa's"));
    }
    match value.get("pruned_heads").and_then(Value::as_object).filter(|heads| !heads.is_empty()) {
        None => {}
        Some(_) => return Err(wrong("pruned_heads", "not empty", "none: all heads of all layers")),
    }
    match value.get("quantization_config") {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(wrong("quantization_config", "there", "weights that are not quantised")),
    }
}

fn activation(value: &Value, key: &'static str) -> Result<Activation> {
    match value.get(key).and_then(Value::as_str).unwrap_or("nothing") {
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        other => Err(wrong(key, other, "gelu, gelu_new, gelu_pytorch_tanh or relu")),
    }
}

fn wrong(key: &'static str, found: &str, expected: &str) -> Error {
    Error::Config { path: "config.json".into(), key, found: found.to_owned(), expected: expected.to_owned() }
}
