//! Which checkpoint a run reports: one rule for all methods, applied to the validation split only.

use cnc_core::Evaluation;
use cnc_data::Dataset;
use serde::{Deserialize, Serialize};

/// The metric on the validation split that the reported checkpoint maximises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Accuracy of the worst group: the rule of the papers. Uses group labels of the validation split.
    WorstGroup,
    /// Accuracy of the worst class: no group labels.
    WorstClass,
    /// Plain average accuracy: no group labels.
    Average,
}

impl Selection {
    /// Value of the metric; 0 where nothing can be measured (no group, no class has samples).
    #[must_use]
    pub(crate) fn score(self, evaluation: &Evaluation) -> f64 {
        let value = match self {
            Self::WorstGroup => evaluation.worst_group().and_then(|(_, worst)| worst.accuracy()),
            Self::WorstClass => evaluation.worst_class().and_then(|(_, worst)| worst.accuracy()),
            Self::Average => evaluation.average().accuracy(),
        };
        value.unwrap_or(0.0)
    }

    /// Name of the metric in files.
    #[must_use]
    pub(crate) fn metric(self) -> &'static str {
        match self {
            Self::WorstGroup => "worst_group_accuracy",
            Self::WorstClass => "worst_class_accuracy",
            Self::Average => "average_accuracy",
        }
    }

    /// The rule in a sentence.
    #[must_use]
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::WorstGroup => {
                "checkpoint with the highest worst-group accuracy on validation, then the higher plain average, \
                 then the later; where it is 0 throughout, the last"
            }
            Self::WorstClass => {
                "checkpoint with the highest worst-class accuracy on validation, then the higher plain average, \
                 then the later; where it is 0 throughout, the last"
            }
            Self::Average => "checkpoint with the highest plain average accuracy on validation, then the later",
        }
    }

    /// The rule that this one is on a dataset: without an attribute a group is a class.
    #[must_use]
    pub(crate) fn on(self, dataset: &Dataset) -> Self {
        if self == Self::WorstGroup && dataset.attributes.is_empty() { Self::WorstClass } else { self }
    }

    /// The rule in a sentence, as it is on a dataset.
    #[must_use]
    pub(crate) fn rule_on(self, dataset: &Dataset) -> String {
        let on = self.on(dataset);
        let reason =
            if on == self { "" } else { "; the data name no attribute, so there are no groups but the classes" };
        format!("{}{reason}", on.rule())
    }

    /// Whether the rule looks at group labels of the validation split.
    #[must_use]
    pub(crate) fn uses_groups(self) -> bool {
        self == Self::WorstGroup
    }
}
