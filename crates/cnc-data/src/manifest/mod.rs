//! What a dataset is, as data: a `dataset.toml`, checked once and then trusted.
//!
//! ```toml
//! name = "cmnist"                # names the run folder
//! kind = "image"                 # or "text"
//! seed = 0                       # of splits by fraction and of colours; the run's own where left out
//!
//! [source]                       # left out: the files lie beside the manifest
//! hub = "ylecun/mnist"           # a dataset repository of the Hugging Face hub
//! revision = "77f327..."         # a commit, or a branch or tag
//!
//! [input]
//! column = "image"               # of parquet: the images; of CSV and lists: their file names ...
//! folder = "images"              # ... in this folder; left out: beside the manifest
//! # of texts: column = "comment_text"; max_length = 300   tokens, [CLS] and [SEP] among them; 256 where left out
//!
//! [class]
//! column = "label"
//! names = ["even", "odd"]
//! values = [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]   # left out: 0, 1, ... or the names themselves
//! # or threshold = 0.5           # of two classes: the column holds shares in [0, 1], those from here on are the second
//!
//! [attribute]                    # the spurious attribute, if a column holds it ...
//! column = "place"
//! names = ["land", "water"]
//!
//! [attributes]                   # ... or several, of which a row may have any number: a column of shares each ...
//! columns = ["male", "female"]
//! names = ["men", "women"]       # left out: the columns
//! threshold = 0.5                # a row has those with so much of it, or of each its own: [0.5, 0.6]; an empty cell: not
//! none = "no gender"             # training groups must not overlap: each class without any of them ...
//! any = "gender"                 # ... and with any; evaluation groups are each class with each of them, and overlap
//!
//! [colour]                       # ... or if it is made: see `colour`
//! names = ["red", "blue"]
//! rgb = ["#ff0000", "#0000ff"]
//! threshold = 120
//! probability = 0.995
//! validation = "uniform"         # or "every" (image in every colour), or "as-training"
//! test = "uniform"
//!
//! [splits]
//! train = { files = ["data/train-*.parquet"], rows = 54_000, groups = [...] }   # numbers: checked where given
//! validation = { of = "train", fraction = 0.1 }
//! test = { files = ["data/test.parquet"] }
//! # a fraction is drawn within each class and attribute: stratify = false draws from all rows alike; and
//! # keep_together = "patient" keeps the rows of one value of that column in one split
//! # or, by a column: column = "split", files = ["metadata.csv"], train = { values = [0] }, ...
//!
//! [join]                         # further columns of the same rows, found by the input's column; rarely needed
//! file = "partition.txt"
//! columns = ["image_id", "partition"]   # their names, where the file has no header
//!
//! [transform]                    # of images
//! square = true                  # first the centre square of the shorter side; left out: false
//! resize = 40                    # to 40x40; left out: as it is
//! crop = 32                      # after that, in the centre; left out: none
//! augment = "crop"               # what training draws: the place of the crop; or "resized-crop"; or "none"
//! scale = [0.7, 1.0]             # of resized-crop: its share of the area ...
//! ratio = [0.75, 1.333]          # ... and its width over its height
//! flip = true                    # training mirrors every second image; left out: false
//! mean = [0.5, 0.5, 0.5]         # of values in [0, 1]; 0.5 and 0.5, which give [-1, 1], where left out
//! std = [0.5, 0.5, 0.5]
//!
//! [archive]                      # the same data as their authors publish them: a folder that the user names
//! input = { column = "img_filename" }
//! class = { column = "y" }
//! attribute = { column = "place" }
//! splits = { column = "split", files = ["metadata.csv"], train = { values = [0] }, ... }
//! ```
//!
//! Files may be patterns, see [`crate::patterns`]. Names that end in `.parquet` are parquet, those in `.jsonl` or `.ndjson`
//! JSON Lines, see [`crate::table::jsonl`], all others text: see [`crate::table::text`].

mod check;
mod files;
mod model;
mod open;
mod raw;

pub(crate) use model::{Attribute, Colouring, Content, Labels, Origin, Rule};
pub use model::{Manifest, NamedText, SplitName};
