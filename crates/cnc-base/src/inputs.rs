//! What a network reads: made by a loader, taken by a model.

use candle_core::{Device, Tensor};

/// The inputs of a batch.
#[derive(Debug, Clone)]
pub enum Inputs {
    /// `(batch, 3, height, width)`, f32.
    Images(Tensor),
    /// Texts, ragged.
    Tokens(Tokens),
}

impl Inputs {
    /// What kind of data it is, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Images(_) => "images",
            Self::Tokens(_) => "text",
        }
    }

    /// The inputs where a model on `device` reads them: images there, tokens, which are indices, on the CPU.
    ///
    /// # Errors
    /// The device has no room.
    pub fn on_device(self, device: &Device) -> candle_core::Result<Self> {
        match self {
            Self::Images(images) => Ok(Self::Images(images.to_device(device)?)),
            Self::Tokens(tokens) => Ok(Self::Tokens(tokens)),
        }
    }
}

/// The tokens of texts, one text after the other, without padding between them.
///
/// ```
/// use cnc_base::inputs::Tokens;
///
/// let tokens: Tokens = [vec![101, 7592, 102], vec![101, 102]].into_iter().collect();
/// assert_eq!(tokens.lengths(), [3, 2]);
/// assert_eq!(tokens.ids(), [101, 7592, 102, 101, 102]);
/// assert_eq!(tokens.positions(), [0, 1, 2, 0, 1]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    ids: Vec<u32>,
    positions: Vec<u32>,
    segments: Vec<u32>,
    lengths: Vec<usize>,
}

/// A token in its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Its number in the vocabulary.
    pub id: u32,
    /// Its place in the text, from 0.
    pub position: u32,
    /// The part of the text that it belongs to, where a text has several.
    pub segment: u32,
}

impl Tokens {
    /// Adds a text of one segment, whose tokens stand from position 0 on.
    pub fn push(&mut self, ids: impl IntoIterator<Item = u32>) {
        self.push_tokens((0..).zip(ids).map(|(position, id)| Token { id, position, segment: 0 }));
    }

    /// Adds a text of several segments, or with gaps between the positions of its tokens.
    pub fn push_tokens(&mut self, tokens: impl IntoIterator<Item = Token>) {
        let before = self.ids.len();
        for Token { id, position, segment } in tokens {
            self.ids.push(id);
            self.positions.push(position);
            self.segments.push(segment);
        }
        self.lengths.push(self.ids.len() - before);
    }

    /// Number of tokens of each text.
    #[must_use]
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The vocabulary index of each token of each text.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The place of each token in its text.
    #[must_use]
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// The segment of each token.
    #[must_use]
    pub fn segments(&self) -> &[u32] {
        &self.segments
    }
}

impl<T: IntoIterator<Item = u32>> FromIterator<T> for Tokens {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut tokens = Self::default();
        texts.into_iter().for_each(|text| tokens.push(text));
        tokens
    }
}
