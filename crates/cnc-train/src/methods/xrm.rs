//! Cross-risk minimisation (Pezeshki et al. 2023, "Discovering environments with XRM"): two networks, each trained on a
//! random half of the training split, with labels that drift towards what the other network, which has not seen the
//! sample, is sure of. What either of them gets wrong in the end is the second environment (as in the authors' code,
//! algorithms.py:129-141), or what that one does (as in the paper); Group DRO trains on class and environment. No group label
//! anywhere.

use anyhow::{Context, Result};
use candle_core::{D, DType, Device, Tensor, Var};

use cnc_core::methods::{class_balanced_cross_entropy, environment_groups, flip_probability};
use cnc_data::{Batch, Draw};
use cnc_models::{Mode, Model};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::errors::{answers_on_training, training_errors};
use super::group_dro::{GroupDroSettings, on_groups};
use super::{GroupLabels, Method, MethodInfo};
use crate::config::recipe::checked;
use crate::config::settings::TrainingSettings;
use crate::training::beside::Beside;
use crate::training::evaluate::{View, predict};
use crate::training::{Batches, Objective, Order, StagePlan, Tensors, TrainedStage, Trainer};
use cnc_base::seeds::Seeds;

/// The registry's entry.
pub(crate) const INFO: MethodInfo = MethodInfo {
    name: "xrm",
    title: "XRM",
    source: "Discovering environments with XRM, Pezeshki et al., 2023",
    stages: &["twins", "xrm"],
    groups: GroupLabels::None,
    settings: "",
    build: |settings| {
        let settings: XrmSettings = checked("xrm", settings)?;
        settings.twins.check("twins.")?;
        settings.dro.check("")?;
        Ok(Box::new(settings))
    },
};

/// Settings of XRM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct XrmSettings {
    /// How the two networks train that find the environments.
    pub twins: TrainingSettings,
    /// Whose mistakes make the second environment.
    pub environments: Mistakes,
    /// Group DRO on class and environment.
    #[serde(flatten)]
    pub dro: GroupDroSettings,
}

/// Whose mistakes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mistakes {
    /// Those of either network.
    Either,
    /// Those of the network that has not seen the sample.
    HeldOut,
}

impl Mistakes {
    /// What counts as the prediction of a sample of this class: a mistake where there is one that counts.
    fn counted(self, label: u32, held_in: u32, held_out: u32) -> u32 {
        if self == Self::Either && held_out == label { held_in } else { held_out }
    }
}

impl Method for XrmSettings {
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let train = &trainer.dataset.train;
        let mut halves = trainer.seeds.purpose("twins").purpose("halves").generator();
        let mut objective = Twins {
            batches: trainer.batches(Order::all(train.len()), &self.twins, "twins"),
            second: Beside::new(trainer.fresh_model("second twin")?, SECOND),
            of_first: train.labels().iter().map(|_| halves.random()).collect(),
            labels: train.labels().to_vec(),
            device: trainer.device.clone(),
        };
        let plan = StagePlan::new(&self.twins, "twins", "twins", train.len()).first();
        let mut twins = trainer.stage(&plan, &mut objective)?;

        // Of the weights after the last step: which are the best by group needs group labels to know.
        let first = answers_on_training(trainer, &twins)?.classes;
        let second = predict(&*objective.second.model, train, View::Centre, &trainer.device)?.classes;
        let pairs = objective.of_first.iter().zip(first.into_iter().zip(second));
        let counted = pairs.zip(train.labels()).map(|((of_first, (first, second)), label)| {
            let (held_in, held_out) = if *of_first { (first, second) } else { (second, first) };
            self.environments.counted(*label, held_in, held_out)
        });
        let counted: Vec<u32> = counted.collect();
        training_errors(trainer, &mut twins.result, &counted);
        let wrong: Vec<bool> = counted.iter().zip(train.labels()).map(|(counted, label)| counted != label).collect();
        let groups = environment_groups(train.labels(), &wrong)?;
        self.slice_validation(trainer, &twins, &*objective.second.model)?;
        let count = 2 * trainer.dataset.classes.len();
        let trained = on_groups(trainer, &self.dro, ("xrm", "XRM"), groups, count)?;
        Ok(vec![twins, trained])
    }
}

impl XrmSettings {
    /// The environments of the validation split, which neither network has seen: as the authors' code has it, a sample is in the
    /// second one where either errs (main.py:50-56), whatever the rule for training.
    fn slice_validation(&self, trainer: &Trainer, twins: &TrainedStage, second: &dyn Model) -> Result<()> {
        let validation = &trainer.dataset.validation;
        let first = predict(&*trainer.last_model(twins)?, validation, View::Centre, &trainer.device)?.classes;
        let second = predict(second, validation, View::Centre, &trainer.device)?.classes;
        let either = first.into_iter().zip(second).zip(validation.labels());
        let counted: Vec<u32> =
            either.map(|((first, second), label)| Mistakes::Either.counted(*label, first, second)).collect();
        trainer.slice_by(&counted)
    }
}

/// The first network is the one that the trainer knows; the second is trained beside it.
struct Twins {
    batches: Batches,
    second: Beside,
    /// Whether the first network is trained on a row, else the second is.
    of_first: Vec<bool>,
    /// The labels as they are by now.
    labels: Vec<u32>,
    device: Device,
}

/// Prefix of the second network's variables, for the optimiser and in a checkpoint.
const SECOND: &str = "second.";
/// Name of the labels in a checkpoint.
const LABELS: &str = "labels";

impl Objective for Twins {
    type Tag = ();

    fn sampler(&self) -> Box<dyn FnMut(u64) -> Vec<Draw<()>> + Send> {
        self.batches.sampler()
    }

    /// Algorithm 1: class-balanced cross-entropy of the network that trains on a row, with the row's label as it is; then labels are
    /// flipped to what the other network says, the more often the surer it is.
    fn loss(&mut self, model: &dyn Model, batch: Batch, (): &(), seed: u64) -> Result<Tensor> {
        let rows: Vec<usize> = batch.indices.iter().map(|row| *row as usize).collect();
        let of_first: Option<Vec<f32>> =
            rows.iter().map(|row| self.of_first.get(*row).map(|of_first| f32::from(u8::from(*of_first)))).collect();
        let labels: Option<Vec<u32>> = rows.iter().map(|row| self.labels.get(*row).copied()).collect();
        let labels = Tensor::new(labels.context("a batch has a row without a label")?, &self.device)?;
        let of_first = of_first.context("a batch has a row of no half")?;

        let mode = Mode::Train { seed };
        let inputs = batch.inputs.on_device(&self.device)?;
        let first = model.classify(&model.encode(&inputs, mode)?, mode)?;
        let second = self.second.model.classify(&self.second.model.encode(&inputs, mode)?, mode)?;
        let of_first = Tensor::new(of_first, &self.device)?.to_dtype(first.dtype())?.unsqueeze(1)?; // (batch, 1)
        let of_second = (1.0 - &of_first)?;
        let held_in = (first.broadcast_mul(&of_first)? + second.broadcast_mul(&of_second)?)?;
        let held_out = (first.broadcast_mul(&of_second)? + second.broadcast_mul(&of_first)?)?.detach();
        let loss = class_balanced_cross_entropy(&held_in, &labels)?;
        self.flip(&rows, &held_out.to_dtype(DType::F32)?, Seeds::new(seed))?;
        Ok(loss)
    }

    fn further_parameters(&self) -> Vec<(String, Var)> {
        self.second.parameters()
    }

    fn state(&self) -> Result<Tensors> {
        let mut state = self.second.state()?;
        state.insert(LABELS.to_owned(), Tensor::from_slice(&self.labels, self.labels.len(), &Device::Cpu)?);
        Ok(state)
    }

    fn load_state(&mut self, state: &Tensors) -> Result<()> {
        self.second.load_state(state)?;
        let labels = state.get(LABELS).context("the checkpoint has no labels")?.to_vec1::<u32>()?;
        anyhow::ensure!(
            labels.len() == self.labels.len(),
            "the checkpoint has {} labels, expected {}",
            labels.len(),
            self.labels.len()
        );
        self.labels = labels;
        Ok(())
    }
}

impl Twins {
    /// Flip labels of rows to the class of the held-out logits `(rows, classes)`, each with its probability.
    fn flip(&mut self, rows: &[usize], held_out: &Tensor, seeds: Seeds) -> Result<()> {
        let classes = held_out.dim(D::Minus1)?;
        let largest = held_out.max(D::Minus1)?;
        let confidences = (largest - held_out.log_sum_exp(D::Minus1)?)?.exp()?.to_vec1::<f32>()?;
        let predicted = held_out.argmax(D::Minus1)?.to_vec1::<u32>()?;
        let mut generator = seeds.purpose("flip").generator();
        for (row, (class, confidence)) in rows.iter().zip(predicted.into_iter().zip(confidences)) {
            let flips = generator.random::<f64>() < flip_probability(f64::from(confidence), classes);
            if let (true, Some(label)) = (flips, self.labels.get_mut(*row)) {
                *label = class;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::OptimizerName;
    use crate::methods::steps::{Fixture, rule};
    use crate::training::batches::images;

    #[test]
    fn a_label_flips_to_what_the_other_network_is_sure_of_and_stays_where_it_knows_nothing() {
        let seeds = Seeds::new(0);
        let mut twins = Twins {
            batches: Batches::new(images(), Order::all(4), 4, seeds),
            second: Beside::new(cnc_models::build("lenet", 2, 0, &Device::Cpu).unwrap(), SECOND),
            of_first: vec![true; 4],
            labels: vec![0, 0, 1, 0],
            device: Device::Cpu,
        };
        // Rows 3, 1 and 2: sure of class 1, of nothing, of class 1. Row 0 is in no batch.
        let held_out = Tensor::new(&[[-40f32, 40.0], [0.0, 0.0], [-40.0, 40.0]], &Device::Cpu).unwrap();
        for step in 0..20 {
            twins.flip(&[3, 1, 2], &held_out, seeds.at(step)).unwrap();
        }
        assert_eq!(twins.labels, [0, 0, 1, 1]);
    }

    #[test]
    fn a_mistake_of_either_network_counts_or_that_of_the_one_that_has_not_seen_the_sample() {
        // Class 0: only the one that was trained on it errs, only the other one does, neither does.
        for (held_in, held_out, either, of_held_out) in [(2, 0, true, false), (0, 2, true, true), (0, 0, false, false)]
        {
            assert_eq!(Mistakes::Either.counted(0, held_in, held_out) != 0, either);
            assert_eq!(Mistakes::HeldOut.counted(0, held_in, held_out) != 0, of_held_out);
        }
    }

    #[test]
    fn the_labels_and_the_second_network_go_on_from_a_checkpoint() {
        let twins = |seed: u64, labels: Vec<u32>| Twins {
            batches: Batches::new(images(), Order::all(2), 2, Seeds::new(0)),
            second: Beside::new(cnc_models::build("lenet", 2, seed, &Device::Cpu).unwrap(), SECOND),
            of_first: vec![true; 2],
            labels,
            device: Device::Cpu,
        };
        let (before, mut after) = (twins(0, vec![1, 0]), twins(1, vec![0, 0]));
        after.load_state(&before.state().unwrap()).unwrap();
        assert_eq!(after.labels, [1, 0]);
        let weight = |twins: &Twins| {
            twins.second.model.parameters().named().unwrap()["fc.weight"]
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
        };
        assert_eq!(weight(&after), weight(&before));
        let message = twins(0, vec![1, 0, 1]).load_state(&before.state().unwrap()).unwrap_err().to_string();
        assert!(message.contains("2 labels, expected 3"), "{message}");
    }

    #[test]
    fn five_steps_of_both_networks_and_the_labels_are_those_of_the_published_update() {
        let fixture = Fixture::load();
        let mut objective = Twins {
            batches: Batches::new(images(), Order::all(9), 4, Seeds::new(0)),
            second: Beside::new(fixture.network("second", 30.0), SECOND),
            of_first: fixture.numbers("of_first").into_iter().map(|of_first| of_first == 1).collect(),
            labels: fixture.numbers("labels"),
            device: Device::Cpu,
        };
        let model = fixture.network("first", 30.0);
        fixture.train(&*model, &mut objective, &rule(OptimizerName::Sgd, 1e-3, 0.0));
        fixture.check("xrm", "first", &*model);
        fixture.check("xrm", "second", &*objective.second.model);
        assert_eq!(objective.labels, fixture.numbers("xrm.labels"));
    }
}
