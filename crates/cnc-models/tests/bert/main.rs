//! BERT and DistilBERT against PyTorch and candle-transformers, what they load and save, and what they refuse.

mod common;
mod loading;
mod parity;
mod promises;
mod refusals;
mod steps;
