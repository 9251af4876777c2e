//! Names of variables: those of Hugging Face's sequence classifiers, and what checkpoints call them.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};

use super::config::Architecture;
use crate::error::Result;

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

/// What transformers puts before the parts of other encoders (`base_model_prefix`) that call many of them as BERT does:
/// without it they would pass for one. What else stands before all names is what somebody wrapped the model in.
const OTHERS: [&str; 22] = [
    "albert",
    "convbert",
    "data2vec_text",
    "deberta",
    "electra",
    "ernie",
    "esm",
    "ibert",
    "layoutlm",
    "longformer",
    "luke",
    "mobilebert",
    "mpnet",
    "mra",
    "nezha",
    "nystromformer",
    "rembert",
    "roberta",
    "roc_bert",
    "roformer",
    "splinter",
    "yoso",
];

/// The heads of RoBERTa, as far as BERT has none of that name.
const HEADS_OF_ROBERTA: [&str; 3] = ["lm_head.", "classifier.dense.", "classifier.out_proj."];
/// The table of positions, within the body.
const POSITIONS: &str = "embeddings.position_embeddings.weight";
/// RoBERTa's positions begin behind the number of its padding, 1, whose own row is 0.
const ROW_OF_PADDING: usize = 1;

impl Names {
    /// Whether a part in front of all names says nothing of the architecture.
    pub fn is_wrapper(&self, part: &str) -> bool {
        let of_another = [BERT, DISTILBERT].iter().any(|names| names.body == part && names.body != self.body);
        !of_another && !OTHERS.contains(&part)
    }

    /// What tells the tensors of a RoBERTa that go by BERT's names from those of a BERT: `found` by the names of this
    /// model, and those that it does not know.
    pub fn sign_of_roberta(&self, found: &BTreeMap<String, Tensor>, unknown: &[String]) -> Result<Option<String>> {
        let head = unknown.iter().find(|name| HEADS_OF_ROBERTA.iter().any(|head| self.within(name).starts_with(head)));
        if let Some(head) = head {
            return Ok(Some(format!("{head} is of its head")));
        }
        let Some((name, table)) = found.iter().find(|(name, _)| self.within(name) == POSITIONS) else {
            return Ok(None);
        };
        let is_zero = |row: &Tensor| -> Result<bool> {
            let row = row.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.to_vec1::<f32>()?;
            Ok(row.iter().all(|value| *value == 0.0))
        };
        let [rows, _] = *table.dims() else { return Ok(None) };
        if rows <= ROW_OF_PADDING + 1 || !is_zero(&table.get(ROW_OF_PADDING)?)? || is_zero(&table.get(0)?)? {
            return Ok(None);
        }
        Ok(Some(format!("row {ROW_OF_PADDING} of {name} is 0, as that of padding is where positions begin behind it")))
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
