//! A dataset of comments that a test writes itself, in the manner of CivilComments.

use std::path::{Path, PathBuf};

use cnc_data::{Augment, DataError, Dataset, HubCache, Inputs, Manifest, OpenOptions, Split};
use tempfile::TempDir;

/// Toxicity of so many annotators makes the class; two identities, of which a comment may mention none or both.
pub const MANIFEST: &str = r#"
name = "comments"
kind = "text"

[input]
column = "comment_text"
max_length = 300

[class]
column = "toxicity"
names = ["civil", "toxic"]
threshold = 0.5

[attributes]
columns = ["male", "black"]
threshold = 0.5
none = "no identity"
any = "any identity"

[splits]
column = "split"
files = ["comments.csv"]
train = { values = ["train"] }
validation = { values = ["val"] }
test = { values = ["test"] }
"#;

pub const HEADER: &str = ",id,comment_text,split,toxicity,male,black";

/// A folder with the manifest, `comments.csv` and an empty cache.
pub struct Comments {
    pub folder: TempDir,
}

impl Comments {
    /// With these rows of the table, without their first two columns; and one civil and one toxic comment for
    /// validation and test.
    pub fn new(rows: &[&str]) -> Self {
        let comments = Self { folder: tempfile::tempdir().unwrap() };
        comments.write("dataset.toml", MANIFEST);
        comments.table(rows);
        comments
    }

    pub fn table(&self, rows: &[&str]) {
        let held_out = ["the film,val,0,,", "bad film,val,1,1,", "the film,test,0.1,0.2,0.9", "bad film,test,0.9,1,1"];
        let mut table = format!("{HEADER}\n");
        for (number, row) in rows.iter().chain(&held_out).enumerate() {
            table += &format!("{number},{},{row}\n", 1000 + number);
        }
        self.write("comments.csv", table);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Replaces a piece of the manifest.
    pub fn edit(&self, from: &str, to: &str) -> &Self {
        let text = std::fs::read_to_string(self.path("dataset.toml")).unwrap();
        assert!(text.contains(from), "{from} is not in the manifest");
        self.write("dataset.toml", text.replacen(from, to, 1));
        self
    }

    pub fn options(&self) -> OpenOptions {
        OpenOptions {
            hub: HubCache::new(self.path("cache")),
            tokenizer: Some(tokenizer("tokenizer.json")),
            ..OpenOptions::default()
        }
    }

    pub fn open_with(&self, options: &OpenOptions) -> Result<Dataset, DataError> {
        Dataset::open(&Manifest::open(self.folder.path().to_str().unwrap())?, options)
    }

    pub fn open(&self) -> Result<Dataset, DataError> {
        self.open_with(&self.options())
    }

    /// The message of the error that opening must end in.
    pub fn refusal(&self) -> String {
        self.open().unwrap_err().to_string()
    }
}

/// A file of the tokenizer fixtures.
pub fn tokenizer(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer").join(file)
}

/// The tokens of a row.
pub fn ids(split: &Split, row: u32) -> Vec<u32> {
    let Inputs::Tokens(tokens) = split.batch(&[row], Augment::None).unwrap().inputs else { panic!("these are texts") };
    tokens.ids().to_vec()
}
