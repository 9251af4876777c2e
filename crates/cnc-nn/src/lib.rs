//! Training layers for Candle.

pub mod ops;
