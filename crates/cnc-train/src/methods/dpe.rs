//! Diverse prototypical ensembles (To et al. 2025): the encoder of a plain model, and in the place of its last layer an
//! ensemble of prototypes, each fitted to another class-balanced subset of the validation split. No group labels, but for what
//! selects: the plain model sees every class as often, and each member is kept as it was after its best epoch, by the run's rule.

use std::time::Instant;

use anyhow::{Result, bail};
use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use cnc_core::Evaluation;
use cnc_core::Features;
use cnc_core::fits::Labelled;
use cnc_core::methods::{Balanced, DpeOptions, PrototypeEnsemble, Prototypes};
use cnc_models::{Inputs, Mode, Model};
use cnc_nn::Parameters;
use serde::{Deserialize, Serialize};

use super::dfr::fitted_on_validation;
use super::erm::plain;
use super::{GroupLabels, Method, MethodInfo};
use crate::config::recipe::checked;
use crate::config::settings::{TrainingSettings, at_least_one, positive, within};
use crate::training::features::{FeatureCache, features};
use crate::training::stage::Fit;
use crate::training::{Order, StagePlan, TrainedStage, Trainer};

/// The registry's entry.
pub(crate) const INFO: MethodInfo = MethodInfo {
    name: "dpe",
    title: "DPE",
    source: "Diverse prototypical ensembles, To et al., ICML 2025",
    stages: &["erm", "dpe"],
    groups: GroupLabels::ValidationClasses,
    settings: "",
    build: |settings| {
        let settings: DpeSettings = checked("dpe", settings)?;
        settings.stage1.check("stage1.")?;
        at_least_one("members", settings.members)?;
        at_least_one("epochs", settings.epochs)?;
        at_least_one("batch_size", settings.batch_size)?;
        positive("learning_rate", settings.learning_rate)?;
        within("similarity", settings.similarity, 0.0, f64::MAX)?;
        within("length", settings.length, 0.0, f64::MAX)?;
        Ok(Box::new(settings))
    },
};

/// Settings of DPE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DpeSettings {
    /// The plain model whose encoder is kept, as it is after its last step.
    pub stage1: TrainingSettings,
    /// Members of the ensemble.
    pub members: u64,
    /// Passes of each member over its subset.
    pub epochs: u64,
    /// Samples a step.
    pub batch_size: u64,
    /// Learning rate of the prototypes.
    pub learning_rate: f64,
    /// λ of the penalty on similarity to the members before.
    pub similarity: f64,
    /// μ of the penalty on the prototypes' lengths.
    pub length: f64,
}

impl Method for DpeSettings {
    fn refits(&self) -> bool {
        true
    }

    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let train = &trainer.dataset.train;
        let batches = trainer.batches(Order::balanced(train.labels())?, &self.stage1, "erm");
        let plan = StagePlan::new(&self.stage1, "erm", "ERM, classes balanced", train.len()).first();
        let plain = trainer.stage(&plan, &mut plain(trainer, batches))?;
        let start = Instant::now();
        let encoder = trainer.last_model(&plain)?;
        let cache = FeatureCache::new(trainer, &*encoder);
        let labels = trainer.dataset.validation.labels();
        let options = DpeOptions {
            members: self.members as usize,
            epochs: self.epochs as usize,
            batch: self.batch_size as usize,
            learning_rate: self.learning_rate,
            similarity: self.similarity,
            length: self.length,
        };
        let classes = trainer.dataset.classes.len();
        let representations = features(cache.validation()?)?;
        let samples = Labelled { features: representations, labels, classes };
        let samples = Balanced { samples, keys: labels };
        let groups = trainer.judged_groups()?;
        let worth = |member: &Prototypes| {
            let alone = PrototypeEnsemble { classes, members: vec![member.clone()] };
            let evaluation = Evaluation::new(labels, &alone.predict(&representations)?, &groups)?;
            Ok(trainer.selection.score(&evaluation))
        };
        let ensemble = options.fit(&samples, &mut trainer.seeds.purpose("dpe").generator(), worth)?;
        let model = OnPrototypes::new(trainer.last_model(&plain)?, ensemble.members.len())?;
        model.set(&ensemble)?;
        let fit = Fit { name: "dpe", title: "DPE", step: 0, value: None, start, notes: vec![fitted_on_validation()] };
        let fitted = trainer.fitted(fit, Box::new(model), cache.encoded()?)?;
        Ok(vec![plain, fitted])
    }

    fn model(&self, encoder: Box<dyn Model>) -> Result<Box<dyn Model>> {
        Ok(Box::new(OnPrototypes::new(encoder, self.members as usize)?))
    }
}

/// An encoder with an ensemble of prototypes in the place of its classifier, which is for prediction only. The variables
/// of both are one set, and one file: `prototypes.weight` `(members, classes, dim)` and `prototypes.scale` `(members,)`
/// beside those of the encoder.
struct OnPrototypes {
    encoder: Box<dyn Model>,
    members: usize,
}

const CLASSIFIER: &str = "prototypes";
const WEIGHT: &str = "prototypes.weight";
const SCALE: &str = "prototypes.scale";

impl OnPrototypes {
    /// An ensemble that is all zero.
    fn new(encoder: Box<dyn Model>, members: usize) -> Result<Self> {
        let builder = encoder.parameters().builder().pp(CLASSIFIER);
        builder.get_with_hints((members, encoder.classes(), encoder.dim()), "weight", Init::Const(0.0))?;
        builder.get_with_hints(members, "scale", Init::Const(0.0))?;
        Ok(Self { encoder, members })
    }

    fn set(&self, ensemble: &PrototypeEnsemble) -> Result<()> {
        let (members, classes, dim) = (self.members, self.encoder.classes(), self.encoder.dim());
        let weight: Vec<f32> = ensemble.members.iter().flat_map(|member| &member.prototypes).copied().collect();
        let scale: Vec<f32> = ensemble.members.iter().map(|member| member.scale).collect();
        let mut named = self.parameters().named()?;
        named.insert(WEIGHT.to_owned(), Tensor::from_vec(weight, (members, classes, dim), &Device::Cpu)?);
        named.insert(SCALE.to_owned(), Tensor::from_vec(scale, members, &Device::Cpu)?);
        Ok(self.parameters().load(&named)?)
    }

    fn ensemble(&self) -> Result<PrototypeEnsemble> {
        let named = self.parameters().named()?;
        let values = |name: &str| -> Result<Vec<f32>> {
            let Some(tensor) = named.get(name) else { bail!("the model has no `{name}`") };
            Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
        };
        let (classes, weight) = (self.encoder.classes(), values(WEIGHT)?);
        let prototypes = weight.chunks((classes * self.encoder.dim()).max(1)).map(<[f32]>::to_vec);
        let members = prototypes.zip(values(SCALE)?).map(|(prototypes, scale)| Prototypes { prototypes, scale });
        Ok(PrototypeEnsemble { classes, members: members.collect() })
    }

    /// Logarithms of the likelihoods, which are logits.
    fn logits(&self, representations: &Tensor) -> Result<Tensor> {
        let (rows, dim) = representations.dims2()?;
        let values = representations.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let likelihoods = self.ensemble()?.likelihoods(&Features::new(&values, dim)?)?;
        let logits: Vec<f32> =
            likelihoods.into_iter().map(|p| p.max(f64::from(f32::MIN_POSITIVE)).ln() as f32).collect();
        Ok(Tensor::from_vec(logits, (rows, self.encoder.classes()), representations.device())?)
    }
}

impl Model for OnPrototypes {
    fn encode(&self, inputs: &Inputs, mode: Mode) -> cnc_models::Result<Tensor> {
        self.encoder.encode(inputs, mode)
    }

    fn classify(&self, representations: &Tensor, _mode: Mode) -> cnc_models::Result<Tensor> {
        let failed = |error: anyhow::Error| candle_core::Error::Msg(format!("{error:#}"));
        self.logits(representations).map_err(|error| cnc_nn::Error::from(failed(error)).into())
    }

    fn classifier(&self) -> &'static str {
        CLASSIFIER
    }

    fn parameters(&self) -> &Parameters {
        self.encoder.parameters()
    }

    fn dim(&self) -> usize {
        self.encoder.dim()
    }

    fn classes(&self) -> usize {
        self.encoder.classes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_predicts_what_the_ensemble_does_and_still_does_when_it_is_read_from_a_file() {
        let member = |shift: usize| Prototypes {
            prototypes: (0..3 * 84).map(|i| ((i * 7 + shift) % 11) as f32 - 5.0).collect(),
            scale: 2.0 + shift as f32,
        };
        let ensemble = PrototypeEnsemble { classes: 3, members: vec![member(0), member(4)] };
        let encoder = || cnc_models::build("lenet", 3, 0, &Device::Cpu).unwrap();
        let model = OnPrototypes::new(encoder(), 2).unwrap();
        model.set(&ensemble).unwrap();
        let values: Vec<f32> = (0..5 * 84).map(|i| ((i * 13) % 17) as f32 / 17.0).collect();
        let expected = ensemble.likelihoods(&Features::new(&values, 84).unwrap()).unwrap();

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        model.parameters().save(&path).unwrap();
        let read = OnPrototypes::new(encoder(), 2).unwrap();
        read.parameters().read(&path).unwrap();
        let representations = Tensor::from_slice(&values, (5, 84), &Device::Cpu).unwrap();
        for model in [model, read] {
            let logits = model.classify(&representations, Mode::Eval).unwrap();
            let found = logits.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                assert!((f64::from(found.exp()) - expected).abs() < 1e-6, "{} is not {expected}", found.exp());
            }
        }
        assert!(
            OnPrototypes::new(encoder(), 3).unwrap().parameters().read(&path).is_err(),
            "another number of members"
        );
    }
}
