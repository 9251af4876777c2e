//! Several runs side by side: methods over seeds, and combinations of settings.
//!
//! [`Plan`] says which runs a comparison has and which combination of each method counts; [`series`] obtains runs one after
//! another, finished ones from their folders; [`search`] tells trials apart by validation. `comparison` holds the means, the
//! deviations and whether a difference is one, `paper` the published figures, and [`render`] shows them.

mod comparison;
mod paper;
mod plan;
pub(crate) mod render;
pub(crate) mod search;
pub(crate) mod series;

pub(crate) use plan::Plan;
