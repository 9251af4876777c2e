//! What papers report on a dataset, as `paper.toml` in its folder holds it.

use std::collections::BTreeMap;

use cnc_data::builtin;
use serde::{Deserialize, Serialize};

use crate::error::UsageError;

/// The published figures on one dataset.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paper {
    /// Where they are from.
    pub source: String,
    /// Which average they are.
    pub average: AverageKind,
    /// The figures by the name of the method.
    pub methods: BTreeMap<String, PaperFigures>,
}

/// The two averages that papers report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AverageKind {
    /// The share of right test samples.
    Plain,
    /// The accuracies of the groups, weighted by their shares of the training split.
    Adjusted,
}

/// Published accuracies of a method, in %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PaperFigures {
    /// Of the worst group.
    pub worst_group: f64,
    /// On average.
    pub average: f64,
}

impl Paper {
    /// What is published on the built-in dataset of that name, where there is something.
    ///
    /// # Errors
    /// When the file is not what it should be.
    pub(crate) fn of(dataset: &str) -> Result<Option<Self>, UsageError> {
        let parse = |text: &str| {
            toml::from_str(text).map_err(|e| UsageError(format!("paper.toml of {dataset}: {}", e.to_string().trim())))
        };
        builtin::paper(dataset).map(parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_figure_is_of_a_method_that_exists() {
        for dataset in builtin::names() {
            let Some(paper) = Paper::of(dataset).unwrap() else { continue };
            assert!(!paper.methods.is_empty() && !paper.source.is_empty());
            for (method, figures) in paper.methods {
                crate::methods::Methods::default().find(&method).unwrap();
                assert!(figures.worst_group <= figures.average && figures.average <= 100.0, "{dataset}: {method}");
            }
        }
    }
}
