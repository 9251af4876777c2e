//! Names, sizes, and what a ResNet refuses.

use candle_core::{DType, Device, Tensor};
use cnc_models::{Error, Inputs, Mode, Model, ResNet, build};

const TRAIN: Mode = Mode::Train { seed: 0 };

fn resnet18() -> ResNet {
    ResNet::resnet18(2, 0, &Device::Cpu).unwrap()
}

fn zeros(shape: &[usize]) -> Inputs {
    Inputs::Images(Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap())
}

#[test]
fn names_and_sizes_are_those_of_torchvision() {
    for (architecture, dim, variables, parameters) in
        [("resnet18", 512, 122, 11_177_538), ("resnet34", 512, 218, 21_285_698), ("resnet50", 2048, 320, 23_512_130)]
    {
        let model = build(architecture, 2, 0, &Device::Cpu).unwrap();
        assert_eq!((model.dim(), model.classes(), model.classifier()), (dim, 2, "fc"));
        assert_eq!(model.parameters().named().unwrap().len(), variables);
        let trainable = model.parameters().trainable();
        assert_eq!(trainable.iter().map(|(_, var)| var.elem_count()).sum::<usize>(), parameters);
    }
    let named = resnet18().parameters().named().unwrap();
    for (name, shape) in [
        ("conv1.weight", &[64, 3, 7, 7][..]),
        ("bn1.running_mean", &[64]),
        ("bn1.num_batches_tracked", &[]),
        ("layer1.0.conv1.weight", &[64, 64, 3, 3]),
        ("layer2.0.downsample.0.weight", &[128, 64, 1, 1]),
        ("layer2.0.downsample.1.running_var", &[128]),
        ("layer4.1.bn2.bias", &[512]),
        ("fc.weight", &[2, 512]),
    ] {
        assert_eq!(named[name].dims(), shape, "{name}");
    }
}

#[test]
fn fresh_weights_are_drawn_as_torchvision_draws_them() {
    let named = resnet18().parameters().named().unwrap();
    let deviation = |name: &str| {
        let values = named[name].flatten_all().unwrap();
        values.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap().sqrt()
    };
    // He's normal initialiser by outputs: 64 x 7 x 7 and 512 x 3 x 3.
    assert!((deviation("conv1.weight") / (2f32 / 3136.0).sqrt() - 1.0).abs() < 0.05);
    assert!((deviation("layer4.1.conv2.weight") / (2f32 / 4608.0).sqrt() - 1.0).abs() < 0.01);
    for (name, value) in [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)] {
        let values = named[&format!("layer3.1.bn2.{name}")].to_vec1::<f32>().unwrap();
        assert!(values.iter().all(|v| *v == value), "{name}");
    }
}

#[test]
fn images_of_any_size_are_taken_and_gray_or_empty_ones_refused_by_name() {
    let model = resnet18();
    for shape in [[2, 3, 1, 1], [1, 3, 33, 70]] {
        assert_eq!(model.encode(&zeros(&shape), Mode::Eval).unwrap().dims(), [shape[0], 512]);
    }
    for shape in [&[2, 1, 64, 64][..], &[2, 3, 0, 64], &[2, 3, 64, 0], &[3, 64, 64], &[]] {
        assert_eq!(
            model.encode(&zeros(shape), TRAIN).unwrap_err().to_string(),
            format!(
                "resnet18 takes images of shape (batch, 3, height, width) with at least one pixel, found {shape:?}; change \
                 the dataset's transform or the model"
            )
        );
    }
}

#[test]
fn text_is_refused() {
    let inputs = Inputs::Tokens([vec![0; 4]].into_iter().collect());
    let error = resnet18().encode(&inputs, Mode::Eval).unwrap_err();
    assert_eq!(error.to_string(), "resnet18 takes images, found text; choose a model for this kind of data");
}

#[test]
fn images_too_small_to_be_normalised_by_their_batch_are_refused_with_the_layer() {
    let message = resnet18().encode(&zeros(&[1, 3, 32, 32]), TRAIN).unwrap_err().to_string();
    assert!(message.contains("layer4.0.conv1") || message.contains("layer1.0.conv1"), "{message}");
    assert!(message.contains("at least 2 values a channel") && message.contains("larger images"), "{message}");
}

#[test]
fn no_image_at_all_is_a_batch_in_evaluation() {
    let model = resnet18();
    let representations = model.encode(&zeros(&[0, 3, 32, 32]), Mode::Eval).unwrap();
    assert_eq!(model.classify(&representations, Mode::Eval).unwrap().dims(), [0, 2]);
}

#[test]
fn one_class_is_not_enough() {
    assert!(matches!(ResNet::resnet50(1, 0, &Device::Cpu), Err(Error::TooFewClasses { found: 1 })));
}
