//! From texts to tokens, once and for all, and which texts come into a batch together.

pub(crate) mod bucket;
pub(crate) mod cache;
mod length;
pub(crate) mod store;
mod tokenise;

pub(crate) use length::check_length;
pub(crate) use tokenise::TextTokenizer;
