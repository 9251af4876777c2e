//! What holds of the models by themselves.

use candle_core::{Device, Tensor};
use cnc_models::{Bert, Kind, Mode, Model, Pooling, Registry, TextOptions, unpadded};
use cnc_nn::optim::Gradients;

use super::common::{BERT, DISTILBERT, filled, fresh, options, padded, texts, values};

const TRAIN: Mode = Mode::Train { seed: 3 };

fn loss(model: &Bert, inputs: &cnc_models::Inputs, mode: Mode) -> Tensor {
    let logits = model.classify(&model.encode(inputs, mode).unwrap(), mode).unwrap();
    cnc_core::cross_entropy(&logits, &Tensor::new(&[0u32, 1, 1], &Device::Cpu).unwrap()).unwrap()
}

fn gradients(model: &Bert, mode: Mode) -> Vec<(String, Vec<f32>)> {
    let parameters = model.trainable();
    let gradients = Gradients::of(&loss(model, &texts(&[7, 4, 2], 0), mode), &parameters).unwrap();
    parameters.into_iter().map(|(name, _)| (name.clone(), values(&gradients.get(&name).unwrap().unwrap()))).collect()
}

#[test]
fn every_trainable_variable_of_a_fresh_network_gets_a_gradient_that_is_not_zero() {
    for (config, pooling, count) in [
        (BERT, Pooling::Pooler, 5 + 2 * 16 + 4),
        (BERT, Pooling::Mean, 5 + 2 * 16 + 2),
        (DISTILBERT, Pooling::Pooler, 4 + 2 * 16 + 4),
        (DISTILBERT, Pooling::Mean, 4 + 2 * 16 + 2),
    ] {
        let gradients = gradients(&fresh(&options(config, pooling)), TRAIN);
        assert_eq!(gradients.len(), count);
        for (name, values) in gradients {
            assert!(values.iter().any(|value| *value != 0.0), "{name} gets no gradient");
        }
    }
}

#[test]
fn dropout_is_the_same_in_the_same_step_and_another_in_another() {
    let model = filled(&options(BERT, Pooling::Pooler));
    let at = |mode| values(&model.encode(&texts(&[7, 4, 2], 0), mode).unwrap());
    assert_eq!(at(TRAIN), at(TRAIN));
    assert_ne!(at(TRAIN), at(Mode::Train { seed: 4 }));
    assert_ne!(at(TRAIN), at(Mode::Eval));
}

#[test]
fn more_padding_changes_nothing() {
    for (config, pooling) in [(BERT, Pooling::Pooler), (BERT, Pooling::Mean), (DISTILBERT, Pooling::Pooler)] {
        let model = filled(&options(config, pooling));
        for mode in [TRAIN, Mode::Eval] {
            let at = |extra| values(&model.encode(&padded(&[7, 4, 2], 0, extra), mode).unwrap());
            assert_eq!(at(0), at(2));
            // Even beyond the positions that the model has.
            assert_eq!(at(0), at(50));
        }
    }
}

#[test]
fn a_text_is_encoded_the_same_alone_and_in_a_batch() {
    let model = filled(&options(BERT, Pooling::Pooler));
    let batch = model.encode(&texts(&[7, 4, 2], 0), Mode::Eval).unwrap().to_vec2::<f32>().unwrap();
    let alone = model.encode(&texts(&[7], 0), Mode::Eval).unwrap().to_vec2::<f32>().unwrap();
    for (ours, expected) in alone[0].iter().zip(&batch[0]) {
        assert!((ours - expected).abs() < 1e-6);
    }
}

#[test]
fn recomputed_activations_give_the_same_gradients_to_the_last_bit() {
    let (kept, mut recomputed) = (filled(&options(BERT, Pooling::Pooler)), filled(&options(BERT, Pooling::Pooler)));
    recomputed.recompute_activations().unwrap();
    for mode in [TRAIN, Mode::Eval] {
        assert_eq!(gradients(&kept, mode), gradients(&recomputed, mode));
    }
}

#[test]
fn what_is_frozen_is_not_trained_and_the_rest_has_the_gradients_that_it_had() {
    let all = options(BERT, Pooling::Pooler);
    for (pattern, stays) in [("embeddings", 36), ("encoder.layer.0-1", 9), ("encoder.layer.1", 25), ("classifier", 39)]
    {
        for recomputed in [false, true] {
            let mut model = filled(&TextOptions { freeze: vec![pattern.to_owned()], ..all.clone() });
            if recomputed {
                model.recompute_activations().unwrap();
            }
            let frozen = gradients(&model, TRAIN);
            assert_eq!(frozen.len(), stays, "{pattern}");
            assert!(frozen.iter().all(|(name, _)| !name.contains(&pattern.replace("0-1", ""))));
            let mut expected = gradients(&filled(&all), TRAIN);
            expected.retain(|(name, _)| frozen.iter().any(|(other, _)| other == name));
            assert_eq!(frozen, expected);
        }
    }
}

#[test]
fn frozen_stages_at_the_start_keep_nothing_for_the_backward_pass() {
    let freeze = vec!["embeddings".to_owned(), "encoder.layer.0-1".to_owned()];
    let model = filled(&TextOptions { freeze, ..options(BERT, Pooling::Pooler) });
    let store = loss(&model, &texts(&[7, 4, 2], 0), TRAIN).backward().unwrap();
    let reached = model.parameters().trainable().into_iter().filter(|(_, var)| store.get(var).is_some());
    let reached: Vec<String> = reached.map(|(name, _)| name).collect();
    let head = ["bert.pooler.dense.bias", "bert.pooler.dense.weight", "classifier.bias", "classifier.weight"];
    assert_eq!(reached, head);
}

#[test]
fn no_text_at_all_is_a_batch_too() {
    let model = filled(&options(BERT, Pooling::Pooler));
    let nothing = Tensor::zeros((0, 5), candle_core::DType::U32, &Device::Cpu).unwrap();
    let inputs = unpadded(&nothing, &nothing, &nothing).unwrap();
    let representations = model.encode(&inputs, Mode::Eval).unwrap();
    assert_eq!(representations.dims(), [0, 12]);
    assert_eq!(model.classify(&representations, Mode::Eval).unwrap().dims(), [0, 2]);
}

#[test]
fn a_model_of_text_is_built_by_name() {
    let models = Registry::builtin();
    assert!(models.names().any(|name| name == "bert") && models.is_sized_by_checkpoint("bert").unwrap());
    assert_eq!(["bert", "lenet"].map(|name| models.kind(name).unwrap()), [Kind::Text, Kind::Images]);
    let model = models.build_text("bert", 3, 0, &Device::Cpu, &options(DISTILBERT, Pooling::Mean)).unwrap();
    assert_eq!((model.dim(), model.classes(), model.classifier()), (12, 3, "classifier"));
}

#[test]
fn weight_decay_leaves_biases_and_layer_norms_alone() {
    for config in [BERT, DISTILBERT] {
        let model = fresh(&options(config, Pooling::Pooler));
        let spared: Vec<String> =
            model.trainable().into_iter().map(|(name, _)| name).filter(|name| !model.decays(name)).collect();
        let (biases, norms): (Vec<_>, Vec<_>) = spared.iter().partition(|name| name.ends_with(".bias"));
        // Two layers of two norms each, and that of the embeddings.
        assert_eq!(norms.len(), 5, "{norms:?}");
        assert!(norms.iter().all(|name| name.to_lowercase().replace('_', "").contains("layernorm")), "{norms:?}");
        let every = model.trainable().iter().filter(|(name, _)| name.ends_with(".bias")).count();
        assert_eq!(biases.len(), every);
    }
}
