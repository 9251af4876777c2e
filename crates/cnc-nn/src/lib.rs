//! Training layers for Candle.
