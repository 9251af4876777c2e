//! The `cnc-train` command; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    cnc_train::cli::main()
}
