//! What holds on the calling thread for a while: the one thread-local state of the crate.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::{Tensor, TensorId};

/// What holds at the moment.
#[derive(Default)]
pub(super) struct Context {
    /// Ops are not recorded.
    pub untracked: bool,
    /// A segment is being computed again.
    pub recomputing: bool,
    /// The gradients so far of variables whose gradients are collected; without it, all go to Candle's store.
    pub collected: Option<HashMap<TensorId, Option<Tensor>>>,
}

thread_local! {
    static CONTEXT: RefCell<Context> = RefCell::default();
}

/// Looks at the context, or changes it.
pub(super) fn with_context<R>(look: impl FnOnce(&mut Context) -> R) -> R {
    CONTEXT.with_borrow_mut(look)
}

/// A field of the context that has another value until this is dropped, be it by a panic.
pub(super) struct Within<T> {
    /// The value before.
    value: T,
    field: fn(&mut Context) -> &mut T,
}

impl<T> Within<T> {
    pub fn new(value: T, field: fn(&mut Context) -> &mut T) -> Self {
        let mut within = Self { value, field };
        within.swap();
        within
    }

    fn swap(&mut self) {
        with_context(|context| std::mem::swap((self.field)(context), &mut self.value));
    }
}

impl<T> Drop for Within<T> {
    fn drop(&mut self) {
        self.swap();
    }
}
