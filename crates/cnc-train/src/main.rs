//! The `cnc-train` command; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Candle's pool for elementwise operations spins while it waits, on cores that our kernels want; and without a number
    // of threads Candle reads /proc/cpuinfo again for every matrix product.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    default_variable("CANDLE_NUM_THREADS", 1);
    default_variable("RAYON_NUM_THREADS", cores);
    cnc_nn::keep_freed_memory();
    cnc_train::cli::main()
}

fn default_variable(name: &str, value: usize) {
    if std::env::var_os(name).is_none() {
        // SAFETY: `main` calls this first; no other thread exists yet that could read the environment.
        unsafe { std::env::set_var(name, value.to_string()) };
    }
}
