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
    /// Mean of the classes' accuracies: no group labels.
    BalancedAccuracy,
    /// Accuracy of the worst slice, class with whether the method's own plain model, which has not seen the validation split,
    /// errs: no group labels.
    WorstSlice,
    /// Plain average accuracy: no group labels.
    Average,
}

impl Selection {
    /// All rules.
    pub(crate) const ALL: [Self; 5] =
        [Self::WorstGroup, Self::WorstClass, Self::BalancedAccuracy, Self::WorstSlice, Self::Average];

    /// Value of the metric; 0 where nothing can be measured (no group, no class has samples), and for a model that predicts one
    /// of several classes for everything. The groups of the evaluation are the slices where the rule is of slices.
    #[must_use]
    pub(crate) fn score(self, evaluation: &Evaluation) -> f64 {
        let classes = evaluation.classes();
        if evaluation.only_prediction().is_some() && classes.len() > 1 {
            return 0.0;
        }
        let value = match self {
            Self::BalancedAccuracy => {
                let sum: f64 = classes.iter().filter_map(|class| class.accuracy.accuracy()).sum();
                (!classes.is_empty()).then(|| sum / classes.len() as f64)
            }
            Self::WorstGroup | Self::WorstSlice => evaluation.worst_group().and_then(|(_, worst)| worst.accuracy()),
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
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::WorstSlice => "worst_slice_accuracy",
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
            Self::BalancedAccuracy => {
                "checkpoint with the highest mean of the classes' accuracies on validation, then the higher plain average, \
                 then the later"
            }
            Self::WorstSlice => {
                "checkpoint with the highest accuracy on validation in the worst slice (class with whether the method's plain \
                 model errs), then the higher plain average, then the later; where it is 0 throughout, the last"
            }
            Self::Average => "checkpoint with the highest plain average accuracy on validation, then the later",
        }
    }

    /// The rule that this one is on a dataset, where a group is a class without an attribute, and for a method, where slices are
    /// made of the errors of a plain model.
    #[must_use]
    pub(crate) fn on(self, dataset: &Dataset, has_plain_model: bool) -> Self {
        match self {
            Self::WorstGroup if dataset.attributes.is_empty() => Self::WorstClass,
            Self::WorstSlice if !has_plain_model => Self::WorstClass,
            rule => rule,
        }
    }

    /// The rule in a sentence, as it is on a dataset and for a method.
    #[must_use]
    pub(crate) fn rule_on(self, dataset: &Dataset, has_plain_model: bool) -> String {
        let on = self.on(dataset, has_plain_model);
        let reason = match self {
            _ if on == self => "",
            Self::WorstSlice => "; the method trains no plain model first, whose errors would make slices",
            _ => "; the data name no attribute, so there are no groups but the classes",
        };
        format!("{}{reason}", on.rule())
    }

    /// Whether the rule looks at group labels of the validation split.
    #[must_use]
    pub(crate) fn uses_groups(self) -> bool {
        self == Self::WorstGroup
    }
}

#[cfg(test)]
mod tests {
    use cnc_core::Groups;

    use super::*;

    #[test]
    fn a_model_that_predicts_one_class_for_everything_scores_0_by_every_rule() {
        let groups = Groups::of_rows(&[0, 1, 0, 1], 2).unwrap();
        let score = |rule: Selection, predictions: &[u32]| {
            rule.score(&Evaluation::new(&[0, 0, 0, 1], predictions, &groups).unwrap())
        };
        for rule in [Selection::WorstGroup, Selection::WorstSlice, Selection::WorstClass] {
            assert_eq!(score(rule, &[0; 4]), 0.0);
        }
        assert_eq!(score(Selection::Average, &[0; 4]), 0.0);
        assert_eq!(score(Selection::BalancedAccuracy, &[0; 4]), 0.0);
        assert_eq!(score(Selection::Average, &[0, 0, 1, 1]), 0.75);
        assert!((score(Selection::BalancedAccuracy, &[0, 0, 1, 1]) - 5.0 / 6.0).abs() < 1e-12);
        assert_eq!(score(Selection::WorstSlice, &[0, 0, 1, 1]), 0.5);
    }
}
