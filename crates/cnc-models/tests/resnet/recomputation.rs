//! Training with recomputed activations.

use candle_core::{DType, Device, Tensor};
use cnc_models::{Error, Mode, build};
use cnc_nn::optim::Gradients;

use crate::formula::images;

/// Loss, gradients, and all variables after a step forward and backward, as bits.
fn step(architecture: &str, recompute: bool, mode: Mode) -> Vec<(String, Vec<u32>)> {
    let mut model = build(architecture, 2, 0, &Device::Cpu).unwrap();
    if recompute {
        model.recompute_activations().unwrap();
    }
    let logits = model.classify(&model.encode(&images(0, 2), mode).unwrap(), mode).unwrap();
    let labels = Tensor::new(&[0u32, 1], &Device::Cpu).unwrap();
    let loss = candle_nn::loss::cross_entropy(&logits, &labels).unwrap();
    let parameters = model.parameters().trainable();
    let gradients = Gradients::of(&loss, &parameters).unwrap();
    let bits = |tensor: &Tensor| -> Vec<u32> {
        let values = tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.into_iter().map(f32::to_bits).collect()
    };
    let of_parameters = parameters.iter().map(|(name, _)| (name.clone(), bits(&gradients.get(name).unwrap().unwrap())));
    let variables = model.parameters().named().unwrap().into_iter().map(|(name, value)| (name, bits(&value)));
    std::iter::once(("loss".to_owned(), bits(&loss))).chain(of_parameters).chain(variables).collect()
}

#[test]
fn gradients_and_running_statistics_are_those_of_kept_activations_to_the_last_bit() {
    for architecture in ["resnet18", "resnet50"] {
        for mode in [Mode::Train { seed: 0 }, Mode::Eval] {
            for ((name, kept), (_, recomputed)) in
                step(architecture, false, mode).into_iter().zip(step(architecture, true, mode))
            {
                assert!(kept == recomputed, "{name} of {architecture} in {mode:?}");
            }
        }
    }
}

#[test]
fn a_model_that_cannot_recompute_says_so() {
    let mut lenet = build("lenet", 2, 0, &Device::Cpu).unwrap();
    assert!(matches!(lenet.recompute_activations(), Err(Error::NotRecomputed)));
}
