//! Tables of rows, whatever file they come from: one reader a format.
//!
//! `parquet`, `text` (CSV and its kin, by `records`) and `jsonl` give columns; `stream` gives the texts of a file that does not fit into
//! memory, one after the other.

mod cell;
mod column;
mod encoding;
mod file;
mod guarded;
pub mod jsonl;
mod pages;
pub mod parquet;
mod records;
pub mod stream;
pub mod text;
mod texts;

pub use cell::Cell;
pub use column::Reading;
pub use file::{DataFile, Location};

pub use texts::Texts;
