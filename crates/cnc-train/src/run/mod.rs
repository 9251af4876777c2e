//! A run: one dataset, one method, one seed, one folder. What is kept of it, and how it is gone on with.
//!
//! [`job`] is a run from checked settings to a finished folder. [`folder`] says how far one got, [`checkpoint`] and [`log`] hold
//! what an unfinished one goes on from, and [`story`] picks the pictures of its report. What a finished one is read by is the
//! next room, [`record`](crate::record).

pub(crate) mod checkpoint;
pub(crate) mod configure;
pub(crate) mod data;
mod encoder;
pub(crate) mod folder;
pub(crate) mod job;
pub(crate) mod log;
pub(crate) mod memory;
pub(crate) mod opened;
pub(crate) mod recorder;
pub(crate) mod reopen;
pub(crate) mod source;
pub(crate) mod start;
pub(crate) mod story;
