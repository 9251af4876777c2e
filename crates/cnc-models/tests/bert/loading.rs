//! Checkpoints in all their namings, and what is saved.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use cnc_models::{Bert, Error, Mode, Model, Notice, Pooling};

use super::common::{BERT, DISTILBERT, filled, folder, fresh, options, texts, values};

type Tensors = BTreeMap<String, Tensor>;

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

/// The weights of `model` under other names; those without a new name are left out.
fn renamed(model: &Bert, name: impl Fn(&str) -> Option<String>) -> Tensors {
    let tensors = model.parameters().named().unwrap().into_iter();
    tensors.filter_map(|(old, tensor)| Some((name(&old)?, tensor))).collect()
}

fn logits(model: &Bert) -> Vec<f32> {
    let z = model.encode(&texts(&[7, 4, 1], 0), Mode::Eval).unwrap();
    values(&model.classify(&z, Mode::Eval).unwrap())
}

fn mismatch(result: cnc_models::Result<Notice>) -> cnc_nn::Mismatch {
    match result.unwrap_err() {
        Error::Layer(cnc_nn::Error::Mismatch { mismatch, .. }) => *mismatch,
        other => panic!("another error: {other}"),
    }
}

#[test]
fn checkpoints_of_every_naming_load_to_the_same_model() {
    let options = options(BERT, Pooling::Pooler);
    let source = filled(&options);
    let modern = |name: &str| Some(name.to_owned());
    let without_prefix = |name: &str| Some(name.strip_prefix("bert.").unwrap_or(name).to_owned());
    let first = |name: &str| {
        let name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        Some(name)
    };
    for tensors in [renamed(&source, modern), renamed(&source, without_prefix), renamed(&source, first)] {
        let model = fresh(&options);
        assert_ne!(logits(&model), logits(&source));
        assert_eq!(model.load_pretrained(tensors).unwrap(), Notice::default());
        assert_eq!(logits(&model), logits(&source));
    }
}

#[test]
fn a_checkpoint_of_pretraining_leaves_the_classifier_fresh_and_its_own_heads_aside() {
    let (source, model) = (filled(&options(BERT, Pooling::Pooler)), fresh(&options(BERT, Pooling::Pooler)));
    let mut tensors = renamed(&source, |name| (!name.starts_with("classifier")).then(|| name.to_owned()));
    for head in ["cls.predictions.bias", "cls.seq_relationship.weight", "bert.embeddings.position_ids", "odd.weight"] {
        tensors.insert(head.to_owned(), zeros(&[2]));
    }
    let notice = model.load_pretrained(tensors).unwrap();
    assert_eq!(notice.fresh, ["classifier.bias", "classifier.weight"]);
    assert_eq!(notice.unknown, ["odd.weight"]);
    let encoded = |model: &Bert| values(&model.encode(&texts(&[7, 4, 1], 0), Mode::Eval).unwrap());
    assert_eq!(encoded(&model), encoded(&source));
}

#[test]
fn a_classifier_for_other_classes_is_left_aside() {
    let (source, model) = (filled(&options(BERT, Pooling::Pooler)), fresh(&options(BERT, Pooling::Pooler)));
    let mut tensors = renamed(&source, |name| Some(name.to_owned()));
    tensors.insert("classifier.weight".to_owned(), zeros(&[5, 12]));
    tensors.insert("classifier.bias".to_owned(), zeros(&[5]));
    assert_eq!(model.load_pretrained(tensors).unwrap().fresh, ["classifier.bias", "classifier.weight"]);
}

#[test]
fn a_missing_layer_is_listed_name_by_name_and_nothing_changes() {
    let (source, model) = (filled(&options(BERT, Pooling::Pooler)), fresh(&options(BERT, Pooling::Pooler)));
    let before = logits(&model);
    let mut tensors =
        renamed(&source, |name| (!name.contains("layer.1.") && !name.contains("pooler")).then(|| name.into()));
    tensors.insert("bert.embeddings.word_embeddings.weight".to_owned(), zeros(&[41, 12]));
    let mismatch = mismatch(model.load_pretrained(tensors));
    assert_eq!(mismatch.missing.len(), 16 + 2);
    assert_eq!(mismatch.missing[0], "bert.encoder.layer.1.attention.output.LayerNorm.bias");
    assert_eq!(mismatch.misshapen[0].found, [41, 12]);
    assert_eq!(logits(&model), before);
}

#[test]
fn a_pooler_that_nobody_asks_may_be_missing() {
    let source = filled(&options(BERT, Pooling::Mean));
    let body = renamed(&source, |name| (!name.contains("pooler")).then(|| name.to_owned()));
    let notice = fresh(&options(BERT, Pooling::Mean)).load_pretrained(body.clone()).unwrap();
    assert_eq!(notice.fresh, ["bert.pooler.dense.bias", "bert.pooler.dense.weight"]);
    assert_eq!(mismatch(fresh(&options(BERT, Pooling::Pooler)).load_pretrained(body)).missing, notice.fresh);
    // DistilBERT's is part of its head.
    let source = filled(&options(DISTILBERT, Pooling::Pooler));
    let body = renamed(&source, |name| name.strip_prefix("distilbert.").map(String::from));
    let notice = fresh(&options(DISTILBERT, Pooling::Pooler)).load_pretrained(body).unwrap();
    assert_eq!(notice.fresh, ["classifier.bias", "classifier.weight", "pre_classifier.bias", "pre_classifier.weight"]);
}

#[test]
fn the_first_checkpoints_of_pytorch_are_read_pickle_gamma_beta_and_all() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert.bin");
    let (model, source) = (fresh(&options(BERT, Pooling::Pooler)), filled(&options(BERT, Pooling::Pooler)));
    let notice = model.read_pretrained(&path).unwrap();
    assert_eq!(notice.fresh, ["classifier.bias", "classifier.weight"]);
    assert!(notice.unknown.is_empty());
    let encoded = |model: &Bert| values(&model.encode(&texts(&[7, 4, 1], 0), Mode::Eval).unwrap());
    assert_eq!(encoded(&model), encoded(&source));
    // Sizes of another architecture: the file and what it lacks are named.
    let error = fresh(&options(DISTILBERT, Pooling::Mean)).read_pretrained(&path).unwrap_err().to_string();
    assert!(error.contains("bert.bin") && error.contains("distilbert.transformer.layer.0.attention.k_lin.bias"));
}

/// A file with the weights of a small BERT under other names.
fn file(name: impl Fn(&str) -> Option<String>) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    cnc_nn::files::save(&renamed(&filled(&options(BERT, Pooling::Pooler)), name), &path).unwrap();
    (folder, path)
}

#[test]
fn what_a_wrapper_puts_in_front_of_all_names_is_taken_off_and_said() {
    let (model, source) = (fresh(&options(BERT, Pooling::Pooler)), filled(&options(BERT, Pooling::Pooler)));
    for prefix in ["module.", "model.", "_orig_mod.", "module._orig_mod.", "0.auto_model."] {
        let (_folder, path) = file(|name| Some(format!("{prefix}{name}")));
        let notice = model.read_pretrained(&path).unwrap();
        assert_eq!(notice.prefix.as_deref(), Some(prefix));
        assert!(notice.notes[0].ends_with(&format!("loaded, prefix `{prefix}` left out")), "{:?}", notice.notes);
        assert_eq!(logits(&model), logits(&source));
    }
}

#[test]
fn half_a_prefix_is_told_with_names_found_and_expected() {
    let (_folder, path) =
        file(|name| Some(if name.contains("attention") { format!("model.{name}") } else { name.to_owned() }));
    let error = fresh(&options(BERT, Pooling::Pooler)).read_pretrained(&path).unwrap_err();
    assert!(matches!(error, Error::Prefix { .. }), "{error}");
    let message = error.to_string();
    for part in ["20 of 41 tensors have `model.`", "found model.bert.encoder", "expected bert.encoder"] {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn names_of_another_architecture_are_no_prefix() {
    for (from, to) in [("bert.", "roberta."), ("bert.", "electra."), ("bert.", "deberta.")] {
        // With a head, and without one, where all names begin alike.
        for head in [true, false] {
            let (_folder, path) = file(|name| match name.strip_prefix(from) {
                Some(within) => Some(format!("{to}{within}")),
                None => head.then(|| name.to_owned()),
            });
            let message = fresh(&options(BERT, Pooling::Pooler)).read_pretrained(&path).unwrap_err().to_string();
            for part in ["another architecture", to, "BERT and DistilBERT are read", "bert.embeddings."] {
                assert!(message.contains(part), "`{part}` is not in: {message}");
            }
        }
    }
}

#[test]
fn a_classifier_for_other_classes_is_told_with_their_number() {
    let (source, model) = (filled(&options(BERT, Pooling::Pooler)), fresh(&options(BERT, Pooling::Pooler)));
    let mut tensors = renamed(&source, |name| Some(name.to_owned()));
    tensors.insert("classifier.weight".to_owned(), zeros(&[5, 12]));
    tensors.insert("classifier.bias".to_owned(), zeros(&[5]));
    assert_eq!(model.load_pretrained(tensors).unwrap().classes_left_out, Some(5));
}

/// `tests/fixtures/check_bert_loads.py` opens what this leaves behind.
#[test]
fn what_is_saved_is_read_again_to_the_same_bits() {
    for (name, config) in [("bert", BERT), ("distilbert", DISTILBERT)] {
        let (saved, read) = (filled(&options(config, Pooling::Pooler)), fresh(&options(config, Pooling::Pooler)));
        let folder = folder(&format!("saved-{name}"));
        std::fs::write(folder.join("config.json"), config).unwrap();
        let path = folder.join("model.safetensors");
        saved.parameters().save(&path).unwrap();
        read.parameters().read(&path).unwrap();
        assert_eq!(logits(&saved), logits(&read));
        let again = fresh(&options(config, Pooling::Pooler));
        again.load_pretrained(cnc_nn::files::read(&path, &Device::Cpu).unwrap()).unwrap();
        assert_eq!(logits(&saved), logits(&again));
    }
}
