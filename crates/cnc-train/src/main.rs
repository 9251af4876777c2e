//! The `cnc-train` command.
fn main() {}
