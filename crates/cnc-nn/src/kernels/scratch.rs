//! The buffer of a thread that kernels copy factors of products to. It is taken and put back, so that no borrow of it stands
//! in the way; closures would not be compiled for the instructions in question.

use std::cell::Cell;

thread_local! {
    /// Any values.
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// The thread's buffer, to be [`put`] back, with room for `len` values.
pub(crate) fn take(len: usize) -> Vec<f32> {
    let mut scratch = SCRATCH.take();
    reserve(&mut scratch, len);
    scratch
}

/// Gives the buffer back.
pub(crate) fn put(scratch: Vec<f32>) {
    SCRATCH.set(scratch);
}

/// Room for `len` values.
pub(crate) fn reserve(scratch: &mut Vec<f32>, len: usize) {
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
}
