//! Batches and other items made ahead of whoever takes them, on a thread of their own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::DataError;
use crate::content::Augment;
use crate::dataset::{Batch, Split};

/// What to put into one batch. `tag` comes back with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw<T> {
    /// Rows of the split.
    pub rows: Vec<u32>,
    /// Random or centre crop.
    pub augment: Augment,
    /// Whatever the receiver needs to know about the batch.
    pub tag: T,
}

/// Makes the batches of `draws`, in their order, up to `depth` of them ahead of whoever takes them.
///
/// `draws` itself runs on the loader's thread, so sampling costs the trainer no time either. An error comes out in the
/// place of its batch and is the last item. Dropping the iterator stops the thread and waits for the batch in hand.
///
/// ```
/// use cnc_data::{Augment, Dataset, Draw, Manifest, OpenOptions, prefetch};
///
/// let options = OpenOptions { limit: Some(8), ..OpenOptions::default() };
/// let dataset = Dataset::open(&Manifest::open("digits")?, &options)?;
/// let draws = (0..3).map(|step| Draw { rows: vec![0, 1, 2], augment: Augment::Random { seed: step }, tag: step });
/// for item in prefetch(dataset.train, draws, 2) {
///     let (batch, step) = item?;
///     assert_eq!(batch.labels.dims(), [3]);
///     assert!(step < 3);
/// }
/// # Ok::<(), cnc_data::DataError>(())
/// ```
pub fn prefetch<T: Send + 'static>(
    split: Arc<Split>,
    draws: impl Iterator<Item = Draw<T>> + Send + 'static,
    depth: usize,
) -> Prefetch<(Batch, T)> {
    let batch = move |Draw { rows, augment, tag }| Ok((split.batch(&rows, augment)?, tag));
    read_ahead(draws.map(batch), depth)
}

/// Makes `items` in their order, up to `depth` of them ahead of whoever takes them, as [`prefetch`] makes batches.
///
/// ```
/// let squares = cnc_data::read_ahead((0..3).map(|n| Ok::<_, cnc_data::DataError>(n * n)), 2);
/// assert_eq!(squares.collect::<Result<Vec<_>, _>>()?, [0, 1, 4]);
/// # Ok::<(), cnc_data::DataError>(())
/// ```
pub fn read_ahead<T: Send + 'static, E: From<DataError> + Send + 'static>(
    items: impl Iterator<Item = Result<T, E>> + Send + 'static,
    depth: usize,
) -> Prefetch<T, E> {
    // A channel of size 0 would make each item only when it is asked for.
    let (sender, receiver) = sync_channel(depth.max(1));
    let spawned = std::thread::Builder::new().name("loader".to_string()).spawn(move || fill(items, &sender));
    match spawned {
        Ok(thread) => Prefetch { receiver: Some(receiver), thread: Some(thread), failure: None },
        Err(e) => Prefetch { receiver: None, thread: None, failure: Some(DataError::Loader(e.to_string())) },
    }
}

fn fill<T, E>(items: impl Iterator<Item = Result<T, E>>, sender: &SyncSender<Result<T, E>>) {
    for item in items {
        let last = item.is_err();
        // The receiver is gone when the iterator was dropped early.
        if sender.send(item).is_err() || last {
            return;
        }
    }
}

/// The iterator of [`prefetch`] and [`read_ahead`].
#[derive(Debug)]
pub struct Prefetch<T, E = DataError> {
    receiver: Option<Receiver<Result<T, E>>>,
    thread: Option<JoinHandle<()>>,
    failure: Option<DataError>,
}

impl<T, E> Prefetch<T, E> {
    /// Leaves the thread to itself, for items that may never come, as lines that a user has yet to type. Nothing comes out any
    /// more, and dropping the iterator waits for nothing.
    pub fn detach(&mut self) {
        self.receiver = None;
        self.thread = None;
    }

    /// Waits for the thread's end; an error where it was a panic.
    fn join(&mut self) -> Option<DataError> {
        let panic = self.thread.take()?.join().err()?;
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Some(DataError::Loader(text.unwrap_or_else(|| "it panicked".to_string())))
    }
}

impl<T, E: From<DataError>> Iterator for Prefetch<T, E> {
    type Item = Result<T, E>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(failure) = self.failure.take() {
            return Some(Err(failure.into()));
        }
        match self.receiver.as_ref()?.recv() {
            Ok(item) => Some(item),
            Err(_) => {
                self.receiver = None;
                self.join().map(|failure| Err(failure.into()))
            }
        }
    }
}

impl<T, E> Drop for Prefetch<T, E> {
    fn drop(&mut self) {
        // First the receiver: a thread that waits to send would never end.
        self.receiver = None;
        // A panic in a loader whose batches nobody wants any more changes nothing.
        let _ = self.join();
    }
}
