//! Panics of others' code on others' bytes, as errors.
//!
//! The parquet crate takes some things for granted that a damaged file does not keep, for example that a page which
//! refers to a dictionary comes after one, and panics where it finds them missing. What it says then is about the file.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside [`guarded`]: a panic there is told by whoever gets the error.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `read` and turns a panic in it into what it said. What `read` has borrowed must not be used after that.
pub(super) fn guarded<T>(read: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !INSIDE.get() {
                before(panic);
            }
        }));
    });
    INSIDE.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(read));
    INSIDE.set(false);
    outcome.map_err(|panic| said(&*panic))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the reader gave up").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_says_what_the_panic_said() {
        assert_eq!(guarded(|| 7), Ok(7));
        assert_eq!(guarded(|| -> u32 { panic!("no dictionary") }), Err("no dictionary".to_string()));
        let page = 3;
        assert_eq!(guarded(|| -> u32 { panic!("page {page}") }), Err("page 3".to_string()));
    }
}
