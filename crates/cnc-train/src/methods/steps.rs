//! Steps of methods against the published updates in PyTorch, on a network of two layers (`tests/fixtures/make_steps.py`).

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use cnc_data::{Batch, Inputs};
use cnc_models::{Mode, Model};
use cnc_nn::Parameters;
use cnc_nn::optim::Gradients;

use crate::config::settings::{OptimizerName, OptimizerSettings, ScheduleName};
use crate::training::{Objective, Tensors};

/// `relu(x · encoder)`, then a linear classifier.
struct TwoLayers(Parameters);

impl TwoLayers {
    fn weight(&self, name: &str) -> cnc_models::Result<Tensor> {
        let (_, var) = self.0.trainable().into_iter().find(|(of, _)| of == name).unwrap();
        Ok(var.as_tensor().clone())
    }
}

fn ours<T>(result: candle_core::Result<T>) -> cnc_models::Result<T> {
    result.map_err(|error| cnc_nn::Error::from(error).into())
}

impl Model for TwoLayers {
    fn encode(&self, inputs: &Inputs, _mode: Mode) -> cnc_models::Result<Tensor> {
        let Inputs::Images(images) = inputs else { panic!("images are expected") };
        let weight = self.weight("encoder.weight")?;
        ours(weight.t().and_then(|weight| images.matmul(&weight)).and_then(|z| z.relu()))
    }

    fn classify(&self, representations: &Tensor, _mode: Mode) -> cnc_models::Result<Tensor> {
        let (weight, bias) = (self.weight("fc.weight")?, self.weight("fc.bias")?);
        ours(weight.t().and_then(|weight| representations.matmul(&weight)).and_then(|z| z.broadcast_add(&bias)))
    }

    fn classifier(&self) -> &'static str {
        "fc"
    }

    fn parameters(&self) -> &Parameters {
        &self.0
    }

    fn dim(&self) -> usize {
        4
    }

    fn classes(&self) -> usize {
        3
    }
}

/// What the script wrote.
pub(super) struct Fixture(Tensors);

impl Fixture {
    pub(super) fn load() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/steps.safetensors");
        Self(candle_core::safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect())
    }

    pub(super) fn numbers(&self, name: &str) -> Vec<u32> {
        self.0[name].to_dtype(DType::U32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    /// A network at the start, every weight times a factor.
    pub(super) fn network(&self, name: &str, scale: f64) -> Box<dyn Model> {
        let parameters = Parameters::new(0, &Device::Cpu);
        let mut weights = BTreeMap::new();
        for (part, shape) in [("encoder.weight", vec![4, 6]), ("fc.weight", vec![3, 4]), ("fc.bias", vec![3])] {
            parameters.builder().get_with_hints(shape, part, Init::Const(0.0)).unwrap();
            let start = self.0[&format!("{name}.{part}")].to_dtype(DType::F32).unwrap();
            weights.insert(part.to_owned(), (start * scale).unwrap());
        }
        parameters.load(&weights).unwrap();
        Box::new(TwoLayers(parameters))
    }

    /// Take the five steps.
    pub(super) fn train<O: Objective>(&self, model: &dyn Model, objective: &mut O, optimizer: &OptimizerSettings) {
        let mut parameters = model.trainable();
        parameters.extend(objective.further_parameters());
        let mut rule = optimizer.build(parameters.clone(), |_| true).unwrap();
        let features = self.0["features"].to_dtype(DType::F32).unwrap();
        let labels = Tensor::new(self.numbers("labels"), &Device::Cpu).unwrap();
        let tag = objective.sampler()(0).remove(0).tag;
        for rows in self.numbers("batches").chunks(8) {
            let at = Tensor::new(rows, &Device::Cpu).unwrap();
            let batch = Batch {
                inputs: Inputs::Images(features.index_select(&at, 0).unwrap()),
                labels: labels.index_select(&at, 0).unwrap(),
                indices: rows.to_vec(),
            };
            let loss = objective.loss(model, batch, &tag, 0).unwrap();
            rule.step(&Gradients::of(&loss, &parameters).unwrap(), optimizer.learning_rate).unwrap();
        }
    }

    /// The weights are those of the published update.
    pub(super) fn check(&self, method: &str, network: &str, model: &dyn Model) {
        for (part, weight) in model.parameters().named().unwrap() {
            let expected = self.0[&format!("{method}.{network}.{part}")].to_dtype(DType::F32).unwrap();
            let off = (weight - expected).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
            let off = off.to_scalar::<f32>().unwrap();
            assert!(off < 1e-4, "{method}, {network} network, {part}: off by {off:e}");
        }
    }
}

/// SGD with a momentum of 0.9, or Adam with its decay as L2.
pub(super) fn rule(name: OptimizerName, learning_rate: f64, weight_decay: f64) -> OptimizerSettings {
    let (schedule, warmup_steps, clip_norm) = (ScheduleName::Constant, 0, f64::INFINITY);
    OptimizerSettings { name, learning_rate, momentum: 0.9, weight_decay, schedule, warmup_steps, clip_norm }
}
