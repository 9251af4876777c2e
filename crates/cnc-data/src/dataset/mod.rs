//! An open dataset: three splits of labelled rows, their groups, and batches of them.
//!
//! `open` makes one of what a manifest names, `memory` of what a program holds; `split` is what both end in.

mod duplicates;
mod memory;
mod open;
mod split;

pub use duplicates::{Duplicate, Duplicates};
pub use open::Dataset;
pub use split::{Batch, Split};
