//! From texts to tokens, with the model's own tokenizer.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokenizers::{Encoding, ModelWrapper, Tokenizer};

use super::cache::Hash;
use super::length::check_length;
use super::store::TokenStore;
use crate::DataError;

/// Texts that are tokenised side by side.
const AT_ONCE: usize = 4096;
/// Tokenizers that read a `vocab.txt` as BERT's does; how the names of their fast versions end besides.
const OF_BERT: [&str; 4] = ["BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "PreTrainedTokenizer"];
const FAST: &str = "Fast";
/// The share of unknown tokens from which on texts are said to be in another language, or another case, in %.
const MANY_UNKNOWN: usize = 5;
/// Rows by which embeddings are longer than their vocabulary, up to multiples of 64.
const PADDING: u64 = 63;
/// The special tokens of BERT; the last two begin and end a text.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[MASK]", "[CLS]", "[SEP]"];

/// A tokenizer that cuts texts to a length.
pub(crate) struct TextTokenizer {
    tokenizer: Tokenizer,
    /// For messages.
    file: PathBuf,
    identity: Hash,
    max_length: usize,
    vocabulary: usize,
    /// The tokens of a text without any of its own.
    empty: Vec<u32>,
    /// How many of these come behind a text.
    behind: usize,
    unknown: Option<u32>,
    notes: Vec<String>,
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
        let (json, mut notes) = if is_json { (bytes, Vec::new()) } else { word_piece(&file, &bytes)? };
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
        let probe = tokenizer.encode_fast("a", true).map_err(|e| damaged(&e))?;
        let before = probe.get_special_tokens_mask().iter().take_while(|is_added| **is_added == 1).count();
        let behind = empty.len().saturating_sub(before);
        let vocabulary = tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        let model = file.with_file_name("config.json");
        if model.is_file() {
            let limits = Limits::read(&model)?;
            limits.check(&file, max_length, vocabulary)?;
            notes.extend(limits.doubt(&file, tokenizer.get_model(), vocabulary)?);
        }
        let mut identity = Sha256::new();
        identity.update((max_length as u64).to_le_bytes());
        identity.update(&json);
        let unknown = ["[UNK]", "<unk>"].into_iter().find_map(|token| tokenizer.token_to_id(token));
        let identity = identity.finalize().into();
        Ok(Self { tokenizer, file, identity, max_length, vocabulary, empty, behind, unknown, notes })
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
                let ids = encoding.get_ids();
                if !tokens.push(&self.cut(ids), ids.len()) {
                    return Err(self.error("names a token outside its own vocabulary"));
                }
            }
            progress(end);
        }
        Ok(tokens)
    }

    /// The first tokens of a text, as many as fit between those that begin and end it.
    fn cut<'a>(&self, ids: &'a [u32]) -> Cow<'a, [u32]> {
        if ids.len() <= self.max_length {
            return Cow::Borrowed(ids);
        }
        let start = ids.get(..self.max_length - self.behind).unwrap_or_default();
        Cow::Owned([start, ids.get(ids.len() - self.behind..).unwrap_or_default()].concat())
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

    /// What a user should know of the tokenizer, and of the tokens that it made.
    pub(crate) fn notes(&self, tokens: &TokenStore) -> Vec<String> {
        let mut notes = self.notes.clone();
        let (mut empty, mut without, mut unknown, mut known) = (0, 0, 0, 0);
        for place in 0..tokens.len() {
            let own = tokens.get(place).into_iter().flatten().filter(|id| !self.empty.contains(id));
            let (of_text, unknown_of_text) =
                own.fold((0, 0), |(all, unknown), id| (all + 1, unknown + usize::from(Some(id) == self.unknown)));
            empty += usize::from(of_text == 0);
            without += usize::from(of_text > 0 && of_text == unknown_of_text);
            unknown += unknown_of_text;
            known += of_text - unknown_of_text;
        }
        let mut note = |count: usize, what: &str| {
            if count > 0 {
                notes.push(format!("{count} of {} texts {what}", tokens.len()));
            }
        };
        note(empty, "are empty: they are kept, with no token but those that begin and end a text");
        note(without, "have only tokens that the vocabulary does not have");
        if 100 * unknown > MANY_UNKNOWN * (unknown + known) {
            notes.push(format!(
                "{} of the texts' tokens are words that the vocabulary does not have: is {} for texts of this language, and \
                 of this case?",
                share(unknown, unknown + known),
                self.file.display()
            ));
        }
        let cut = tokens.cut.len();
        if let Some(longest) = tokens.cut.iter().map(|(_, in_full)| *in_full as usize).max() {
            let kept = tokens.ends.last().copied().unwrap_or_default();
            let length = |place: &u32| tokens.length(*place as usize).unwrap_or_default();
            let lost: usize = tokens.cut.iter().map(|(place, in_full)| *in_full as usize - length(place)).sum();
            notes.push(format!(
                "{cut} of {} texts ({}) are cut to {} tokens, the longest has {longest}; {} of all tokens are not seen",
                tokens.len(),
                share(cut, tokens.len()),
                self.max_length,
                share(lost, lost + kept)
            ));
        }
        notes
    }
}

/// A share in %.
fn share(of: usize, all: usize) -> String {
    format!("{:.0} %", 100.0 * of as f64 / all.max(1) as f64)
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
    is_bert: bool,
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
        let is_bert = config.get("model_type").and_then(Value::as_str) == Some("bert");
        Ok(Self { file: file.to_path_buf(), positions, vocabulary, is_bert })
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

    /// What speaks against the tokenizer being the model's own: fewer tokens than it embeds, beyond what checkpoints are padded
    /// with. BERT's own splits words by WordPiece; one that does not and has another number of tokens is of another model.
    fn doubt(&self, tokenizer: &Path, model: &ModelWrapper, vocabulary: usize) -> Result<Option<String>, DataError> {
        let Some(embedded) = self.vocabulary.filter(|embedded| vocabulary as u64 + PADDING < *embedded) else {
            return Ok(None);
        };
        let kind = kind(model);
        let problem = format!(
            "has {vocabulary} tokens ({kind}), and the model embeds {embedded} (vocab_size of {})",
            self.file.display()
        );
        if self.is_bert && !matches!(model, ModelWrapper::WordPiece(_)) {
            let problem = format!("{problem}: it belongs to another model; BERT's splits words by WordPiece");
            return Err(DataError::File { file: tokenizer.display().to_string(), problem });
        }
        Ok(Some(format!("warning: {} {problem}: does it belong to this model?", tokenizer.display())))
    }
}

/// How a tokenizer splits words, for messages.
fn kind(model: &ModelWrapper) -> &'static str {
    match model {
        ModelWrapper::BPE(_) => "BPE",
        ModelWrapper::WordPiece(_) => "WordPiece",
        ModelWrapper::WordLevel(_) => "whole words",
        ModelWrapper::Unigram(_) => "Unigram",
    }
}

/// A `vocab.txt` as the tokenizer.json that says the same, and what a user should know of it.
fn word_piece(file: &Path, bytes: &[u8]) -> Result<(Vec<u8>, Vec<String>), DataError> {
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
    let is_capital = |token: &&str| !SPECIAL.contains(token) && token.chars().any(char::is_uppercase);
    let capitals = text.lines().filter(is_capital).filter(|token| !token.starts_with("[unused")).count();
    let mut notes = Vec::new();
    if settings.lower_case && capitals > 0 {
        notes.push(format!(
            "{capitals} tokens of {} have capital letters, and texts are put into small ones before: of a cased model \
             tokenizer_config.json beside it should say \"do_lower_case\": false",
            file.display()
        ));
    }
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
    Ok((tokenizer.to_string().into_bytes(), notes))
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
        if let Some(class) = config.get("tokenizer_class").and_then(Value::as_str)
            && !OF_BERT.contains(&class.strip_suffix(FAST).unwrap_or(class))
        {
            let problem = format!(
                "says tokenizer_class {class}, which splits texts otherwise than BERT does with the vocab.txt beside it; put \
                 the tokenizer.json of that tokenizer there, or take the line out if the vocabulary is BERT's"
            );
            return Err(DataError::File { file: file.display().to_string(), problem });
        }
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
