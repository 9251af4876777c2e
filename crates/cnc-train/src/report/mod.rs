//! `report.html` and the tables of a terminal: a run's figures for people.
//!
//! [`render`] makes the page, a pure function of what a run's folder holds ([`RunView`]), so that it can be rebuilt at any
//! time, also for several runs side by side; each section has a file of its own. [`table`] is the same for a terminal, [`format`]
//! how a figure is written, and [`document`] the frame of a page.

mod charts;
mod columns;
mod curves;
pub(crate) mod format;
mod gallery;
mod groups;
mod headline;
mod page;
mod representations;
mod settings;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use page::{document, render};
pub(crate) use view::RunView;
