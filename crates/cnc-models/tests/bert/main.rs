//! BERT and DistilBERT against PyTorch and candle-transformers, what they load and save, and what they refuse.

mod common;
mod loading;
mod parity;
mod promises;
mod refusals;
#[path = "../common/mod.rs"]
mod shared;
mod steps;
