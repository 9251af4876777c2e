//! Values and gradients are those of `transformers`, values also those of candle-transformers.

use std::collections::HashMap;

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use cnc_models::{Mode, Model, Pooling, unpadded};
use cnc_nn::optim::Gradients;

use super::common::{BERT, DISTILBERT, difference, filled, options, padded_tensors, texts, values};
use super::shared::fixture;

/// The bias of keys adds the same to all scores of a query: its gradient is zero but for rounding.
fn is_key_bias(name: &str) -> bool {
    name.ends_with("key.bias") || name.ends_with("k_lin.bias")
}

#[test]
fn forward_and_every_gradient_are_those_of_transformers_padding_included() {
    let fixture = fixture("bert");
    for (name, config, pooling) in
        [("bert", BERT, Pooling::Pooler), ("mean", BERT, Pooling::Mean), ("distilbert", DISTILBERT, Pooling::Pooler)]
    {
        let model = filled(&options(config, pooling));
        let expected = |key: &str| &fixture[&format!("{name}.{key}")];
        let representations = model.encode(&texts(&[7, 4, 1], 0), Mode::Eval).unwrap();
        let logits = model.classify(&representations, Mode::Eval).unwrap();
        let loss = cnc_core::cross_entropy(&logits, &Tensor::new(&[0u32, 1, 1], &Device::Cpu).unwrap()).unwrap();
        let results = [("representations", &representations), ("logits", &logits), ("loss", &loss.reshape(1).unwrap())];
        for (key, ours) in results {
            let difference = difference(ours, expected(key));
            assert!(difference < 1e-5, "{name}, {key}: differs by {difference}");
        }
        let parameters = model.trainable();
        let gradients = Gradients::of(&loss, &parameters).unwrap();
        for (parameter, _) in parameters {
            let ours = gradients.get(&parameter).unwrap().unwrap();
            let expected = expected(&format!("gradient.{parameter}"));
            if is_key_bias(&parameter) {
                assert!(values(&ours).into_iter().chain(values(expected)).all(|value| value.abs() < 1e-6));
            } else {
                let difference = difference(&ours, expected);
                assert!(difference < 1e-4, "{name}, gradient of {parameter}: differs by {difference}");
            }
        }
    }
}

#[test]
fn every_variable_has_the_name_that_transformers_gives_it() {
    let fixture = fixture("bert");
    for (name, config) in [("bert", BERT), ("distilbert", DISTILBERT)] {
        let prefix = format!("{name}.gradient.");
        let theirs: Vec<&str> = fixture.keys().filter_map(|key| key.strip_prefix(&prefix)).collect();
        let model = filled(&options(config, Pooling::Pooler));
        let ours: Vec<String> = model.parameters().trainable().into_iter().map(|(name, _)| name).collect();
        assert_eq!(ours, theirs);
    }
}

#[test]
fn hidden_states_are_those_of_candle_transformers() {
    let model = filled(&options(BERT, Pooling::Mean));
    let tensors: HashMap<String, Tensor> = model.parameters().named().unwrap().into_iter().collect();
    let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let config: Config = serde_json::from_str(BERT).unwrap();
    let theirs = BertModel::load(builder.pp("bert"), &config).unwrap();
    let lengths = [5, 9, 2];
    let [ids, mask, type_ids] = padded_tensors(&lengths, 4, 0);
    let inputs = unpadded(&ids, &mask, &type_ids).unwrap();
    let hidden = theirs.forward(&ids, &type_ids, Some(&mask)).unwrap();
    let ours = model.encode(&inputs, Mode::Eval).unwrap();
    for (i, length) in lengths.into_iter().enumerate() {
        let expected = hidden.i((i, ..length)).unwrap().mean(0).unwrap();
        let difference = difference(&ours.i(i).unwrap(), &expected);
        assert!(difference < 1e-5, "text {i}: differs by {difference}");
    }
}
