//! Figures of PyTorch, NumPy and scikit-learn.

mod clusters;
mod common;
mod contrastive;
mod environments;
mod group_dro;
mod last_layer;
mod per_sample;
mod tensors;
