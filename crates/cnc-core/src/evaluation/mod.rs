//! What predictions and representations are worth, group by group.
//!
//! [`metrics`] counts right predictions by group and by class, [`intervals`] says how sure a proportion is, [`bootstrap`]
//! whether two models differ, and [`alignment`] how far apart a class' groups lie in the space of representations.
//! Nothing here takes part in training, and nothing needs more than plain slices (`alignment` aside, which reads a tensor).

pub mod alignment;
pub mod bootstrap;
pub mod intervals;
pub mod metrics;

pub use alignment::{Alignment, ClassAlignment, Lengths, SAMPLES_PER_GROUP};
pub use bootstrap::{Difference, DrawnDifferences, PairedBootstrap, PairedDifference, TwoModels, holm};
pub use intervals::{Interval, Proportion};
pub use metrics::{ClassAccuracy, CounterfactualFlips, Evaluation};
