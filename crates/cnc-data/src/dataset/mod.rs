//! An open dataset: three splits of labelled rows, their groups, and batches of them.
//!
//! `open` makes one of what a manifest names, `memory` of what a program holds; `split` is what both end in.

mod memory;
mod near;
mod open;
mod split;

pub use near::NearDuplicate;
pub use open::Dataset;
pub use split::{Batch, Split};
