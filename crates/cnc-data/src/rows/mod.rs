//! Which rows a dataset has: `table` reads the files, `read` deals their rows to the splits, `groups` says which belong together.

mod counts;
mod fractions;
mod groups;
mod read;
mod row;
mod shares;
mod sources;
mod table;

pub use groups::Group;
pub(crate) use groups::Groups;
pub(crate) use read::SplitRows;
pub(crate) use row::{Row, Rows};
pub use sources::Source;
pub(crate) use sources::{Files, Sources};
pub(crate) use table::Table;
