//! What predictions and representations are worth, group by group.
//!
//! [`metrics`] counts right predictions by group and by class, [`calibration`] compares them with how sure the model was,
//! [`area_under_roc`] says whether scores tell two classes apart, [`find`] what goes with the errors, [`label_issues`] which labels
//! are likely wrong, [`intervals`] says how sure a proportion is, [`bootstrap`]
//! whether two models differ, and [`alignment`] how far apart a class' groups lie in the space of representations.
//! Nothing here takes part in training, and nothing needs more than plain slices (`alignment` aside, which reads a tensor).

pub mod alignment;
pub mod association;
pub mod bootstrap;
pub mod calibration;
pub mod findings;
pub mod intervals;
mod label_issues;
pub mod metrics;
mod ranking;

pub use alignment::{Alignment, ClassAlignment, Lengths, SAMPLES_PER_GROUP};
pub use association::{Association, Contrast, Errors, Property};
pub use bootstrap::{Difference, DrawnDifferences, PairedBootstrap, PairedDifference, TwoModels, holm};
pub use calibration::Calibration;
pub use findings::{Finding, find};
pub use intervals::{Interval, Proportion};
pub use label_issues::{LabelIssue, label_issues};
pub use metrics::{ClassAccuracy, CounterfactualFlips, Evaluation};
pub use ranking::area_under_roc;
