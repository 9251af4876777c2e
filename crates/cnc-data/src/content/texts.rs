//! The texts of a dataset with their tokens, and batches of them.

use std::sync::Arc;

use cnc_base::inputs::Tokens;
use sha2::{Digest, Sha256};

use crate::manifest::Manifest;
use crate::rows::{Row, Rows, SplitRows};
use crate::table::Texts;
use crate::text::TextTokenizer;
use crate::text::cache::{Hash, TokenCache};
use crate::text::store::TokenStore;
use crate::{DataError, OpenOptions};

/// The texts that the splits of a dataset use, in the order of the files.
struct Corpus {
    files: Vec<Texts>,
    /// File and row of each text.
    places: Vec<(u32, u32)>,
    /// None where the dataset was opened without a tokenizer.
    tokens: Option<TokenStore>,
}

/// The texts of a split.
pub(crate) struct TextRows {
    corpus: Arc<Corpus>,
    /// For each row its text in the corpus.
    rows: Vec<u32>,
}

impl TextRows {
    /// The texts of the three splits, tokenised where there is a tokenizer. The tables of `rows` are used up.
    pub(crate) fn open(
        manifest: &Manifest,
        rows: &mut SplitRows,
        tokenizer: Option<&TextTokenizer>,
        options: &OpenOptions,
    ) -> Result<[Self; 3], DataError> {
        let place = |row: &Row| (row.file as u32, row.row as u32);
        let mut places: Vec<(u32, u32)> = rows.splits.iter().flat_map(|rows| rows.rows.iter().map(place)).collect();
        places.sort_unstable();
        let column = &manifest.layout.input.column;
        let tables = std::mem::take(&mut rows.files);
        let files = tables.into_iter().map(|table| table.into_texts(column)).collect::<Result<_, DataError>>()?;
        let mut corpus = Corpus { files, places, tokens: None };
        match tokenizer {
            None => {
                let problem = "the texts were not tokenised: no tokenizer was given".to_string();
                rows.notes.push(problem);
            }
            Some(tokenizer) => corpus.tokens = Some(corpus.tokenise(manifest, tokenizer, options, &mut rows.notes)?),
        }
        let corpus = Arc::new(corpus);
        let of_split = |rows: &Rows| {
            // Every row is there: the list was made of them.
            let find = |row| corpus.places.binary_search(&place(row)).unwrap_or_default() as u32;
            Self { corpus: Arc::clone(&corpus), rows: rows.rows.iter().map(find).collect() }
        };
        Ok([of_split(&rows.splits[0]), of_split(&rows.splits[1]), of_split(&rows.splits[2])])
    }

    /// Texts that a program holds, tokenised.
    pub(crate) fn of_texts(texts: Texts, tokenizer: &TextTokenizer) -> Result<Self, DataError> {
        let tokens = tokenizer.tokenise(texts.len(), |place| texts.get(place), |_| {})?;
        let rows: Vec<u32> = (0..texts.len() as u32).collect();
        let places = rows.iter().map(|row| (0, *row)).collect();
        Ok(Self { corpus: Arc::new(Corpus { files: vec![texts], places, tokens: Some(tokens) }), rows })
    }

    /// A row's text.
    pub(crate) fn text(&self, row: u32) -> Option<&str> {
        self.corpus.text(*self.rows.get(row as usize)? as usize)
    }

    /// What the texts and their tokens are: see [`Split::tell`](crate::Split::tell).
    pub(crate) fn tell(&self, digest: &mut dyn FnMut(&[u8])) {
        for place in &self.rows {
            let text = self.corpus.text(*place as usize).unwrap_or_default();
            digest(&(text.len() as u64).to_le_bytes());
            digest(text.as_bytes());
            let tokens = self.corpus.tokens.as_ref().and_then(|tokens| tokens.get(*place as usize));
            tokens.into_iter().flatten().for_each(|token| digest(&token.to_le_bytes()));
        }
    }

    /// Number of tokens of a row's text, where there are tokens.
    pub(crate) fn length(&self, row: u32) -> Option<usize> {
        self.corpus.tokens.as_ref()?.length(*self.rows.get(row as usize)? as usize)
    }

    /// The tokens of `rows`; nothing where there are no tokens.
    pub(crate) fn batch(&self, rows: &[u32]) -> Option<Tokens> {
        let tokens = self.corpus.tokens.as_ref()?;
        let place = |row: &u32| self.rows.get(*row as usize).map_or(0, |place| *place as usize);
        let places: Vec<usize> = rows.iter().map(place).collect();
        Some(tokens.batch(&places))
    }
}

impl Corpus {
    fn text(&self, place: usize) -> Option<&str> {
        let (file, row) = *self.places.get(place)?;
        self.files.get(file as usize)?.get(row as usize)
    }

    /// The tokens of all texts, from the cache where they are in it; and what a user should know of them.
    fn tokenise(
        &self,
        manifest: &Manifest,
        tokenizer: &TextTokenizer,
        options: &OpenOptions,
        notes: &mut Vec<String>,
    ) -> Result<TokenStore, DataError> {
        let count = self.places.len();
        let cache = TokenCache::new(&options.hub, manifest.name(), self.key(tokenizer));
        let tokens = match cache.load(count) {
            Some(tokens) => tokens,
            None => {
                let progress = |done| {
                    if let Some(progress) = &options.progress {
                        progress.tell(done, count);
                    }
                };
                let tokens = tokenizer.tokenise(count, |place| self.text(place), progress)?;
                if let Err(e) = cache.store(&tokens) {
                    notes.push(format!("the tokens could not be kept, the next start will make them again ({e})"));
                }
                tokens
            }
        };
        notes.extend(tokenizer.notes(&tokens));
        Ok(tokens)
    }

    /// A hash of the tokenizer and of all texts.
    fn key(&self, tokenizer: &TextTokenizer) -> Hash {
        let mut key = Sha256::new();
        key.update(tokenizer.identity());
        for place in 0..self.places.len() {
            let text = self.text(place).unwrap_or_default();
            key.update((text.len() as u64).to_le_bytes());
            key.update(text);
        }
        key.finalize().into()
    }
}
