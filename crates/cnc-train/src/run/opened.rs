//! The data of a run, opened, with all that a user should know of them said.

use std::sync::Arc;

use anyhow::Result;
use candle_core::Device;
use cnc_data::{Dataset, SplitName};

use super::source::Source;
use crate::config::network::Network;
use crate::config::run_config::RunConfig;
use crate::config::settings::takes_resized_crops;
use crate::training::{Event, Listener};

/// Below this many samples, the accuracy of a group has an interval of more than 40 points.
const FEW: usize = 20;

/// Names that a warning lists.
const LISTED: usize = 6;

/// The dataset of one seed, which several runs may share, and the device that they run on.
pub(crate) struct Opened {
    /// The data.
    pub(crate) dataset: Arc<Dataset>,
    /// Where tensors live.
    pub(crate) device: Device,
    seed: u64,
    /// Whether resized crops can be taken of its images.
    resized_crops: bool,
}

impl Opened {
    /// Open the dataset of a run, and say what the run is about to do.
    ///
    /// # Errors
    /// When a row is not valid.
    pub(crate) fn open(
        config: &RunConfig,
        network: &Network,
        source: &Source,
        device: Device,
        listener: &Listener,
    ) -> Result<Self> {
        let dataset = source.open(config, listener)?;
        for line in described(config, network, &dataset) {
            listener(&Event::Note(&line));
        }
        Ok(Self { dataset, device, seed: config.seed, resized_crops: takes_resized_crops(&config.settings) })
    }

    /// Whether a run with these settings is on the same data.
    pub(crate) fn is_of(&self, config: &RunConfig) -> bool {
        self.seed == config.seed && (self.resized_crops || !takes_resized_crops(&config.settings))
    }
}

/// What a run is about to do, line by line.
fn described(config: &RunConfig, network: &Network, dataset: &Dataset) -> Vec<String> {
    let mut lines = vec![format!(
        "{}: {} training, {} validation, {} test samples; {} classes, {} groups",
        dataset.name,
        dataset.train.len(),
        dataset.validation.len(),
        dataset.test.len(),
        dataset.classes.len(),
        dataset.train.groups().len()
    )];
    if dataset.train.groups() != dataset.train.training_groups() {
        let count = dataset.train.training_groups().len();
        lines.push(format!("groups of evaluation overlap; methods that are told groups train on {count} that do not"));
    }
    if dataset.attributes.is_empty() {
        lines.push(
            "note: no attribute is named, so there are no groups: the worst group is the worst class, and no group labels are used"
                .to_owned(),
        );
    }
    lines.push(format!(
        "method {}, model {}, seed {}, device {} (f32), {} threads",
        config.method, config.model, config.seed, config.device, config.threads
    ));
    lines.push(network.origin());
    lines.extend(few_samples(dataset).into_iter().map(|warning| format!("warning: {warning}")));
    lines
}

/// Warnings of classes and groups that are too small in a split for their accuracy to mean much. Nothing is decoded for
/// them: a training run gives them as well.
pub(crate) fn few_samples(dataset: &Dataset) -> Vec<String> {
    let mut warnings = Vec::new();
    for split in [&dataset.train, &dataset.validation, &dataset.test] {
        let name = split.name();
        let of_class = |index: usize| split.labels().iter().filter(|label| **label as usize == index).count();
        let classes: Vec<(&str, usize)> =
            dataset.classes.iter().enumerate().map(|(index, class)| (class.as_str(), of_class(index))).collect();
        let groups: Vec<(&str, usize)> =
            split.groups().iter().map(|group| (group.name.as_str(), group.rows.len())).collect();
        let mut warn = |what: &str, counts: &[(&str, usize)], none: &str| {
            let (empty, few): (Vec<_>, Vec<_>) =
                counts.iter().filter(|(_, count)| *count < FEW).partition(|(_, count)| *count == 0);
            if !empty.is_empty() {
                let names = listed(empty.iter().map(|(name, _)| format!("`{name}`")));
                warnings.push(format!("{what} without any {name} sample{none}: {names}"));
            }
            if !few.is_empty() {
                let names = listed(few.iter().map(|(name, count)| format!("`{name}` {count}")));
                warnings.push(format!("{what} with fewer than {FEW} {name} samples: {names}"));
            }
        };
        warn("classes", &classes, "");
        if !dataset.attributes.is_empty() {
            let none = if name == SplitName::Train { "" } else { ", which are left out of the worst group" };
            warn("groups", &groups, none);
        }
    }
    warnings
}

/// The first names of a list, and how many more there are.
fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let mut text = names.take(LISTED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}
