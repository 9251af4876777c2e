//! Names of variables: those of Hugging Face's sequence classifiers, and what checkpoints call them.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;

use super::config::Architecture;

/// How an architecture calls its parts; those of a layer stand under the layer's own prefix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    /// Prefix of all but the head.
    pub body: &'static str,
    /// Prefix of the layers, within the body.
    pub layers: &'static str,
    pub projections: [&'static str; 3],
    pub attention_output: &'static str,
    pub attention_norm: &'static str,
    pub first: &'static str,
    pub second: &'static str,
    pub norm: &'static str,
    /// The map from the first token to the representation, with the prefix of the body if it is part of it.
    pub pooler: &'static str,
}

const BERT: Names = Names {
    body: "bert",
    layers: "encoder.layer",
    projections: ["attention.self.query", "attention.self.key", "attention.self.value"],
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    first: "intermediate.dense",
    second: "output.dense",
    norm: "output.LayerNorm",
    pooler: "bert.pooler.dense",
};

const DISTILBERT: Names = Names {
    body: "distilbert",
    layers: "transformer.layer",
    projections: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    attention_output: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    first: "ffn.lin1",
    second: "ffn.lin2",
    norm: "output_layer_norm",
    pooler: "pre_classifier",
};

/// Prefix of the classifier, in both.
pub(super) const CLASSIFIER: &str = "classifier";

/// What the heads of pretraining and of other tasks start with.
const OTHER_HEADS: [&str; 5] = ["cls.", "vocab_transform.", "vocab_layer_norm.", "vocab_projector.", "qa_outputs."];
/// A table of the numbers 0, 1, 2, ... that old checkpoints hold.
const POSITION_IDS: &str = "embeddings.position_ids";

/// What others put around a whole model, and so in front of all its names. Others than these are names of architectures,
/// many of which call their parts as BERT does: without its `roberta.` a RoBERTa would pass for one.
const WRAPPERS: [&str; 16] = [
    "module",
    "_orig_mod",
    "model",
    "net",
    "network",
    "backbone",
    "encoder",
    "text_encoder",
    "auto_model",
    "base_model",
    "bert_model",
    "body",
    "lm",
    "language_model",
    "transformer",
    "0",
];

impl Names {
    /// Whether a part in front of all names says nothing of the architecture.
    pub fn is_wrapper(part: &str) -> bool {
        WRAPPERS.contains(&part)
    }

    pub fn of(architecture: Architecture) -> &'static Self {
        match architecture {
            Architecture::Bert => &BERT,
            Architecture::DistilBert => &DISTILBERT,
        }
    }

    /// A name without the prefix of the body.
    pub fn within<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(self.body).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name)
    }

    /// A name within the body, with `weight` and `bias` for the `gamma` and `beta` of the first checkpoints.
    pub fn modern(&self, name: &str) -> String {
        let within = self.within(name);
        match within.rsplit_once('.') {
            Some((layer, "gamma")) => format!("{layer}.weight"),
            Some((layer, "beta")) => format!("{layer}.bias"),
            _ => within.to_owned(),
        }
    }

    /// A checkpoint's tensors by the names of `known`: with the prefix of the body or without it, with `weight` and `bias` or
    /// the `gamma` and `beta` of the first checkpoints. Also returns the names that stand for none of these, without
    /// those of other heads.
    pub fn translate(
        &self,
        known: &BTreeSet<String>,
        tensors: BTreeMap<String, Tensor>,
    ) -> (BTreeMap<String, Tensor>, Vec<String>) {
        let known: BTreeMap<&str, &String> = known.iter().map(|name| (self.within(name), name)).collect();
        let (mut found, mut unknown) = (BTreeMap::new(), Vec::new());
        for (name, tensor) in tensors {
            let modern = self.modern(&name);
            match known.get(modern.as_str()) {
                Some(ours) if !found.contains_key(*ours) => {
                    found.insert((*ours).clone(), tensor);
                }
                None if modern == POSITION_IDS || OTHER_HEADS.iter().any(|head| modern.starts_with(head)) => {}
                _ => unknown.push(name),
            }
        }
        (found, unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn all_namings_of_checkpoints_are_understood() {
        let names = Names::of(Architecture::Bert);
        let known = ["bert.embeddings.LayerNorm.bias", "bert.pooler.dense.weight", "classifier.bias"];
        let known: BTreeSet<String> = known.map(String::from).into();
        let tensors = [
            "embeddings.LayerNorm.beta",
            "bert.pooler.dense.weight",
            "cls.predictions.bias",
            "embeddings.position_ids",
            "bert.embeddings.position_ids",
            "pooler.dense.weight",
            "extra.weight",
        ];
        let tensors = tensors.map(|name| (name.to_owned(), Tensor::new(0f32, &Device::Cpu).unwrap()));
        let (found, unknown) = names.translate(&known, tensors.into());
        assert_eq!(
            found.into_keys().collect::<Vec<_>>(),
            ["bert.embeddings.LayerNorm.bias", "bert.pooler.dense.weight"]
        );
        assert_eq!(unknown, ["extra.weight", "pooler.dense.weight"]);
    }
}
