//! Developer and data chores: `cargo xtask fetch`, `cargo xtask digits`.
fn main() {}
