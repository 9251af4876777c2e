//! How a dataset is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::hub::HubCache;
use crate::image::decode::MAX_PIXELS;

/// More than all of CMNIST*'s images take, little of a usual machine's memory.
const IN_MEMORY: u64 = 512 << 20;

/// How to open a dataset.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Only the first so many rows of each split, for a smoke run.
    pub limit: Option<usize>,
    /// Seed of splits by fraction and of colours, where the manifest does not fix it.
    pub seed: u64,
    /// Where files of the hub are.
    pub hub: HubCache,
    /// Go on where the numbers of rows are not those that the manifest expects.
    pub allow_count_mismatch: bool,
    /// Leave out the rows whose images cannot be read, instead of stopping at the first.
    pub skip_unreadable: bool,
    /// Width times height of the largest image that is read.
    pub max_pixels: u64,
    /// Bytes of decoded images that are kept in memory; those of a dataset with more are decoded whenever they are needed.
    pub in_memory: u64,
    /// Whether training takes [resized crops](crate::RandomView::ResizedCrop), whatever the manifest says: then the decoded images are
    /// at hand, and not only the resized ones.
    pub resized_crops: bool,
    /// For text, the tokenizer of the model: a folder with its `tokenizer.json` or `vocab.txt`, or one of these files.
    /// Without one texts can be looked at, but there are no batches of them.
    pub tokenizer: Option<PathBuf>,
    /// For text, the most tokens of one, in place of the manifest's `max_length`.
    pub max_length: Option<usize>,
    /// Is told while texts are tokenised.
    pub progress: Option<Progress>,
}

/// Is told how far long work is: how many are done, of how many.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(usize, usize) + Send + Sync>);

impl Progress {
    /// Tells this function.
    #[must_use]
    pub fn new(told: impl Fn(usize, usize) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }

    /// So many are done.
    pub(crate) fn tell(&self, done: usize, total: usize) {
        (self.0)(done, total);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

impl Default for OpenOptions {
    /// Everything, with the hub's cache where the environment says.
    fn default() -> Self {
        Self {
            limit: None,
            seed: 0,
            hub: HubCache::from_env(),
            allow_count_mismatch: false,
            skip_unreadable: false,
            max_pixels: MAX_PIXELS,
            in_memory: IN_MEMORY,
            resized_crops: false,
            tokenizer: None,
            max_length: None,
            progress: None,
        }
    }
}
