//! Batches made ahead of the trainer, on a thread of their own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::DataError;
use crate::dataset::{Augment, Batch, Split};

/// What to put into one batch. `tag` comes back with it.
#[derive(Debug, Clone, PartialEq, Eq)]
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
) -> Prefetch<T> {
    // A channel of size 0 would make each batch only when it is asked for.
    let (sender, receiver) = sync_channel(depth.max(1));
    let spawned = std::thread::Builder::new().name("loader".to_string()).spawn(move || fill(&split, draws, &sender));
    match spawned {
        Ok(thread) => Prefetch { receiver: Some(receiver), thread: Some(thread), failure: None },
        Err(e) => Prefetch { receiver: None, thread: None, failure: Some(DataError::Loader(e.to_string())) },
    }
}

type Item<T> = Result<(Batch, T), DataError>;

fn fill<T>(split: &Split, draws: impl Iterator<Item = Draw<T>>, sender: &SyncSender<Item<T>>) {
    for Draw { rows, augment, tag } in draws {
        let item = split.batch(&rows, augment).map(|batch| (batch, tag));
        let last = item.is_err();
        // The receiver is gone when the iterator was dropped early.
        if sender.send(item).is_err() || last {
            return;
        }
    }
}

/// The iterator of [`prefetch`].
#[derive(Debug)]
pub struct Prefetch<T> {
    receiver: Option<Receiver<Item<T>>>,
    thread: Option<JoinHandle<()>>,
    failure: Option<DataError>,
}

impl<T> Prefetch<T> {
    /// Waits for the thread's end; an error where it was a panic.
    fn join(&mut self) -> Option<DataError> {
        let panic = self.thread.take()?.join().err()?;
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Some(DataError::Loader(text.unwrap_or_else(|| "it panicked".to_string())))
    }
}

impl<T> Iterator for Prefetch<T> {
    type Item = Item<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(failure) = self.failure.take() {
            return Some(Err(failure));
        }
        match self.receiver.as_ref()?.recv() {
            Ok(item) => Some(item),
            Err(_) => {
                self.receiver = None;
                self.join().map(Err)
            }
        }
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        // First the receiver: a thread that waits to send would never end.
        self.receiver = None;
        // A panic in a loader whose batches nobody wants any more changes nothing.
        let _ = self.join();
    }
}
