//! The room `fits`.

mod clusters;
mod logistic;
