//! How the C library treats memory that is freed.

/// Asks the C library to keep freed memory for later instead of giving it back to the system: for programs that train. A
/// training step frees and asks for the same gigabytes again and again, and memory that comes fresh from the system is
/// handed over page by page, which costs as much time as computing. It holds for the whole process, and takes effect
/// for what is allocated from then on; elsewhere than with glibc on Linux it does nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// `M_TRIM_THRESHOLD` of `malloc.h`: free memory at the end of the heap above which it is given back, in bytes.
        const TRIM_THRESHOLD: i32 = -1;
        /// `M_MMAP_MAX` of `malloc.h`: how many allocations may have a mapping of their own, which is given back at once.
        const MMAP_MAX: i32 = -4;
        unsafe extern "C" {
            safe fn mallopt(parameter: i32, value: i32) -> i32;
        }
        // -1: never.
        mallopt(TRIM_THRESHOLD, -1);
        mallopt(MMAP_MAX, 0);
    }
}
