//! From texts to tokens, with the model's own tokenizer.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokenizers::{Encoding, Tokenizer, TruncationParams};

use super::cache::Hash;
use super::length::check_length;
use super::store::TokenStore;
use crate::DataError;

/// Texts that are tokenised side by side.
const AT_ONCE: usize = 4096;
/// The special tokens of BERT; the last two begin and end a text.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[MASK]", "[CLS]", "[SEP]"];

/// A tokenizer that cuts texts to a length.
pub(crate) struct TextTokenizer {
    tokenizer: Tokenizer,
    /// For messages.
    file: PathBuf,
    identity: Hash,
    vocabulary: usize,
    /// The tokens of a text without any of its own.
    empty: Vec<u32>,
    unknown: Option<u32>,
}

impl TextTokenizer {
    /// Reads the tokenizer of a model: a folder with `tokenizer.json` or `vocab.txt`, or one of these files.
    ///
    /// What `tokenizer.json` says of truncation and padding is left aside: texts are cut to `max_length` tokens, those
    /// that begin and end them included. A `vocab.txt` is read as `WordPiece` of BERT, in lower case unless
    /// `tokenizer_config.json` beside it says otherwise. A `config.json` beside it tells what the model takes.
    ///
    /// # Errors
    /// There is no tokenizer or a damaged one, or its model does not take so many tokens or so large a vocabulary.
    pub(crate) fn open(path: &Path, max_length: usize) -> Result<Self, DataError> {
        let file = locate(path)?;
        let wrong = |problem: String| DataError::File { file: file.display().to_string(), problem };
        check_length(max_length).map_err(|problem| DataError::Option { name: "max_length", problem })?;
        let bytes = fs::read(&file).map_err(|e| wrong(format!("cannot be read ({e})")))?;
        let is_json = file.extension().is_some_and(|extension| extension == "json");
        let json = if is_json { bytes } else { word_piece(&file, &bytes)? };
        let damaged = |e: &dyn std::fmt::Display| {
            wrong(format!("is not a tokenizer that can be read ({e}); fetch the model's own again"))
        };
        let mut tokenizer = Tokenizer::from_bytes(&json).map_err(|e| damaged(&e))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| damaged(&e))?;
        let empty = tokenizer.encode_fast("", true).map_err(|e| damaged(&e))?.get_ids().to_vec();
        if empty.is_empty() {
            let problem = "adds nothing to a text, not even [CLS] or [SEP]: an empty one would have no token";
            return Err(wrong(problem.to_string()));
        }
        if max_length <= empty.len() {
            let problem = format!("{max_length} is too short: this tokenizer alone adds {} tokens", empty.len());
            return Err(DataError::Option { name: "max_length", problem });
        }
        let truncation = TruncationParams { max_length, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|e| damaged(&e))?;
        let vocabulary = tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        let model = file.with_file_name("config.json");
        if model.is_file() {
            Limits::read(&model)?.check(&file, max_length, vocabulary)?;
        }
        let mut identity = Sha256::new();
        identity.update((max_length as u64).to_le_bytes());
        identity.update(&json);
        let unknown = ["[UNK]", "<unk>"].into_iter().find_map(|token| tokenizer.token_to_id(token));
        let identity = identity.finalize().into();
        Ok(Self { tokenizer, file, identity, vocabulary, empty, unknown })
    }

    /// A hash of all that tokens depend on but the texts.
    pub(crate) fn identity(&self) -> &Hash {
        &self.identity
    }

    /// The tokens of `count` texts on all cores; `progress` is told how many are done.
    pub(crate) fn tokenise<'a>(
        &self,
        count: usize,
        text: impl Fn(usize) -> Option<&'a str> + Sync,
        progress: impl Fn(usize),
    ) -> Result<TokenStore, DataError> {
        let mut tokens = TokenStore::new(self.vocabulary);
        for start in (0..count).step_by(AT_ONCE) {
            let end = (start + AT_ONCE).min(count);
            let encode = |place: usize| self.encode(text(place).unwrap_or_default());
            let encoded: Vec<Result<Encoding, DataError>> = (start..end).into_par_iter().map(encode).collect();
            for encoding in encoded {
                let encoding = encoding?;
                if !tokens.push(encoding.get_ids(), !encoding.get_overflowing().is_empty()) {
                    return Err(self.error("names a token outside its own vocabulary"));
                }
            }
            progress(end);
        }
        Ok(tokens)
    }

    fn encode(&self, text: &str) -> Result<Encoding, DataError> {
        let encoding =
            self.tokenizer.encode_fast(text, true).map_err(|e| self.error(&format!("fails on a text ({e})")))?;
        // Batches have one segment, 0.
        if encoding.get_type_ids().iter().any(|segment| *segment != 0) {
            return Err(self.error("puts a single text into several segments, which these models do not take"));
        }
        Ok(encoding)
    }

    fn error(&self, problem: &str) -> DataError {
        DataError::File { file: self.file.display().to_string(), problem: problem.to_string() }
    }

    /// How many texts have no token of their own, and how many only ones that the vocabulary does not have.
    pub(crate) fn empty_and_unknown(&self, tokens: &TokenStore) -> (usize, usize) {
        let (mut empty, mut unknown) = (0, 0);
        for place in 0..tokens.len() {
            if tokens.length(place) == Some(self.empty.len()) {
                empty += 1;
            } else if let Some(mut ids) = tokens.get(place)
                && ids.all(|id| Some(id) == self.unknown || self.empty.contains(&id))
            {
                unknown += 1;
            }
        }
        (empty, unknown)
    }
}

/// The file of a tokenizer that a path stands for.
fn locate(path: &Path) -> Result<PathBuf, DataError> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let files = ["tokenizer.json", "vocab.txt"].map(|name| path.join(name));
    files.into_iter().find(|file| file.is_file()).ok_or_else(|| DataError::File {
        file: path.display().to_string(),
        problem: "has no tokenizer: neither tokenizer.json nor vocab.txt is there".to_string(),
    })
}

/// What a model takes, by its `config.json`.
struct Limits {
    file: PathBuf,
    positions: Option<u64>,
    vocabulary: Option<u64>,
}

impl Limits {
    fn read(file: &Path) -> Result<Self, DataError> {
        let wrong = |e: &dyn std::fmt::Display| DataError::File {
            file: file.display().to_string(),
            problem: format!("is not the configuration of a model ({e}); fetch the model's own again"),
        };
        let text = fs::read_to_string(file).map_err(|e| wrong(&e))?;
        let config: Map<String, Value> = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
        let number = |key: &str| config.get(key).and_then(Value::as_u64);
        let (positions, vocabulary) = (number("max_position_embeddings"), number("vocab_size"));
        Ok(Self { file: file.to_path_buf(), positions, vocabulary })
    }

    fn check(&self, tokenizer: &Path, max_length: usize, vocabulary: usize) -> Result<(), DataError> {
        if let Some(positions) = self.positions.filter(|positions| max_length as u64 > *positions) {
            let problem = format!(
                "{max_length} is too long: the model takes {positions} tokens at most (max_position_embeddings of {})",
                self.file.display()
            );
            return Err(DataError::Option { name: "max_length", problem });
        }
        if let Some(embedded) = self.vocabulary.filter(|embedded| vocabulary as u64 > *embedded) {
            let problem = format!(
                "has {vocabulary} tokens, of which the model embeds {embedded} (vocab_size of {}): it belongs to another \
                 model",
                self.file.display()
            );
            return Err(DataError::File { file: tokenizer.display().to_string(), problem });
        }
        Ok(())
    }
}

/// A `vocab.txt` as the tokenizer.json that says the same.
fn word_piece(file: &Path, bytes: &[u8]) -> Result<Vec<u8>, DataError> {
    let wrong = |problem: String| DataError::File { file: file.display().to_string(), problem };
    let text = std::str::from_utf8(bytes).map_err(|e| wrong(format!("is not UTF-8 text ({e})")))?;
    let vocabulary: Map<String, Value> =
        (0_u32..).zip(text.lines()).map(|(id, token)| (token.to_string(), id.into())).collect();
    let mut special = Vec::new();
    for token in SPECIAL {
        let id = vocabulary.get(token).ok_or_else(|| wrong(format!("has no {token}: it is no vocabulary of BERT")))?;
        special.push(json!({
            "id": id, "content": token, "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false
        }));
    }
    let settings = Settings::beside(file)?;
    let (begin, end) = (&vocabulary["[CLS]"], &vocabulary["[SEP]"]);
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "decoder": null,
        "added_tokens": special,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "lowercase": settings.lower_case,
            "handle_chinese_chars": settings.chinese, "strip_accents": settings.strip_accents
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", end], "cls": ["[CLS]", begin] },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary
        }
    });
    Ok(tokenizer.to_string().into_bytes())
}

/// What `tokenizer_config.json` says of a `vocab.txt`.
struct Settings {
    lower_case: bool,
    chinese: bool,
    /// Left out: as `lower_case`.
    strip_accents: Option<bool>,
}

impl Settings {
    fn beside(vocabulary: &Path) -> Result<Self, DataError> {
        let file = vocabulary.with_file_name("tokenizer_config.json");
        let wrong = |e: &dyn std::fmt::Display| DataError::File {
            file: file.display().to_string(),
            problem: format!("is not the configuration of a tokenizer ({e})"),
        };
        let config: Map<String, Value> = match fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).map_err(|e| wrong(&e))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Map::new(),
            Err(e) => return Err(wrong(&e)),
        };
        let truth = |key: &str| match config.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(*truth)),
            Some(other) => Err(wrong(&format_args!("{key} is {other}; true or false is needed"))),
        };
        Ok(Self {
            lower_case: truth("do_lower_case")?.unwrap_or(true),
            chinese: truth("tokenize_chinese_chars")?.unwrap_or(true),
            strip_accents: truth("strip_accents")?,
        })
    }
}
