//! What the page must be for everybody: complete, escaped, without gaps, readable without colour or pointer.

mod access;
mod content;
mod figures;
mod folder;
mod runs;
