//! The pictures of a run, picked by plain rules that the report states beside them.
//!
//! [`collect`] picks the samples, `embedding` lays representations out in a plane, `picture` makes small PNGs of images. What
//! comes of it is a [`Story`](crate::record::Story), which the run's folder holds.

mod collect;
mod embedding;
mod picture;

pub(crate) use collect::{StageView, TrainingView, collect};
