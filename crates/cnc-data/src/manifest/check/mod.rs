//! From what is written to what is meant: every rule that one manifest alone can break. A file for each section, and
//! `whole`, which brings them together.

mod attributes;
mod colour;
mod content;
mod fault;
mod labels;
mod splits;
mod whole;
