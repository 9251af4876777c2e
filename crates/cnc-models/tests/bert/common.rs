//! Tiny models and texts by the formulas of `tests/fixtures/make_bert_fixtures.py`.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use cnc_models::{Bert, BertConfig, Inputs, Model, Pooling, TextOptions, unpadded};

use super::shared::noise;

pub const VOCABULARY: u32 = 40;

pub const BERT: &str = r#"{
    "model_type": "bert", "vocab_size": 40, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
    "intermediate_size": 20, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 9, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
    "pad_token_id": 0, "classifier_dropout": null, "architectures": ["BertForSequenceClassification"]
}"#;

pub const DISTILBERT: &str = r#"{
    "model_type": "distilbert", "vocab_size": 40, "dim": 12, "n_layers": 2, "n_heads": 3, "hidden_dim": 20,
    "activation": "gelu", "dropout": 0.1, "attention_dropout": 0.1, "seq_classif_dropout": 0.2,
    "max_position_embeddings": 9, "initializer_range": 0.02, "pad_token_id": 0,
    "architectures": ["DistilBertForSequenceClassification"]
}"#;

pub fn options(config: &str, pooling: Pooling) -> TextOptions {
    TextOptions { pooling, ..TextOptions::new(BertConfig::parse(config).unwrap()) }
}

pub fn fresh(options: &TextOptions) -> Bert {
    Bert::new(2, 0, &Device::Cpu, options).unwrap()
}

/// The model with the weights of the fixtures.
pub fn filled(options: &TextOptions) -> Bert {
    let model = fresh(options);
    let weights = model.parameters().trainable().into_iter().enumerate().map(|(salt, (name, var))| {
        let is_norm = name.to_lowercase().replace('_', "").ends_with("layernorm.weight");
        let weight = noise(salt as u64, var.dims(), 0.3);
        (name, if is_norm { (weight + 1.0).unwrap() } else { weight })
    });
    model.parameters().load(&weights.collect()).unwrap();
    model
}

/// Texts of these lengths, padded to the longest and by `extra` more: ids, mask and segments.
pub fn padded_tensors(lengths: &[usize], shift: usize, extra: usize) -> [Tensor; 3] {
    let longest = lengths.iter().max().unwrap() + extra;
    let (mut ids, mut mask, mut types) = (Vec::new(), Vec::new(), Vec::new());
    for (b, length) in lengths.iter().enumerate() {
        for t in 0..longest {
            let id = 1 + (7 * b + 5 * t + 3 * shift) as u32 % (VOCABULARY - 1);
            let there = t < *length;
            ids.push(if there { id } else { 0 });
            mask.push(u32::from(there));
            types.push(u32::from(there && t >= 3));
        }
    }
    let tensor = |values| Tensor::from_vec(values, (lengths.len(), longest), &Device::Cpu).unwrap();
    [tensor(ids), tensor(mask), tensor(types)]
}

pub fn padded(lengths: &[usize], shift: usize, extra: usize) -> Inputs {
    let [ids, mask, types] = padded_tensors(lengths, shift, extra);
    unpadded(&ids, &mask, &types).unwrap()
}

pub fn texts(lengths: &[usize], shift: usize) -> Inputs {
    padded(lengths, shift, 0)
}

/// Where tests leave files.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference, as a share of the largest value expected.
pub fn difference(ours: &Tensor, expected: &Tensor) -> f32 {
    assert_eq!(ours.dims(), expected.dims());
    let (ours, expected) = (values(ours), values(expected));
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0f32, |largest, value| largest.max(value.abs()));
    let apart = largest(&mut ours.iter().zip(&expected).map(|(ours, expected)| ours - expected));
    assert!(ours.iter().all(|value| value.is_finite()));
    apart / largest(&mut expected.iter().copied()).max(f32::MIN_POSITIVE)
}
