//! With the real torchvision, where there is one.

use std::collections::BTreeMap;
use std::process::Command;

use candle_core::{Device, Tensor};
use cnc_models::weights::{Head, load};
use cnc_models::{Inputs, Mode, build};

#[test]
#[ignore = "needs torchvision: set PYTHON to an interpreter that has it"]
fn torchvision_and_this_crate_read_each_others_resnets() {
    let python = std::env::var("PYTHON").expect("PYTHON is an interpreter with torchvision");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let values = (0..3 * 40 * 40).map(|i| (i as f32 * 0.618).fract() - 0.5).collect();
    let images = Tensor::from_vec(values, (1, 3, 40, 40), &Device::Cpu).unwrap();
    let architectures = ["resnet18", "resnet34", "resnet50"];
    for architecture in architectures {
        let model = build(architecture, 2, 0, &Device::Cpu).unwrap();
        model.parameters().save(&file(&format!("{architecture}.safetensors"))).unwrap();
        let representations = model.encode(&Inputs::Images(images.clone()), Mode::Eval).unwrap();
        let logits = model.classify(&representations, Mode::Eval).unwrap();
        let tensors = BTreeMap::from([("images".to_owned(), images.clone()), ("logits".to_owned(), logits)]);
        cnc_nn::files::save(&tensors, &file(&format!("{architecture}.logits.safetensors"))).unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/check_torchvision.py");
    let output = Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.matches("loads with strict=True").count(), architectures.len(), "{text}");
    println!("{text}");
    for architecture in architectures {
        let (ours, theirs) = (build(architecture, 2, 0, &Device::Cpu), build(architecture, 2, 1, &Device::Cpu));
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        assert_eq!(load(&*theirs, &file(&format!("{architecture}.pth"))).unwrap().head, Head::Loaded);
        let (ours, theirs) = (ours.parameters().named().unwrap(), theirs.parameters().named().unwrap());
        for (name, tensor) in ours {
            let bytes = |tensor: &Tensor| {
                let values = tensor.to_dtype(candle_core::DType::F64).unwrap().flatten_all().unwrap();
                values.to_vec1::<f64>().unwrap()
            };
            assert!(bytes(&tensor) == bytes(&theirs[&name]), "{name} of {architecture}");
        }
    }
}
