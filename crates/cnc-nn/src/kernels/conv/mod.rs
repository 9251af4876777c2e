//! Convolutions of feature maps `(batch, height, width, channels)`, with the batch norm and the ReLU around them: a pixel's
//! channels lie side by side, so that a convolution is a product of long matrices whatever the size of the image.
//!
//! From the bottom up:
//! - [`geometry`]: which pixels meet which, and how the work is cut;
//! - [`moments`], [`norm`], [`norm_gradient`]: batch norm and ReLU, pixel by pixel;
//! - [`gather`]: the two matrix products, on rows that lie anywhere in memory;
//! - [`operands`]: what a pass reads and writes, normalised on the way;
//! - [`passes`]: a convolution forward and backward, [`direct`] or by minimal filtering ([`winograd`]);
//! - [`stage`]: a convolution and its batch norm; [`block`]: residual blocks of stages; [`stem`]: a stage and its pooling.

mod block;
mod direct;
mod gather;
mod geometry;
mod moments;
mod norm;
mod norm_gradient;
mod operands;
mod passes;
mod stage;
mod stem;
mod winograd;

pub(crate) use block::{Block, Blocks, Chain};
pub(crate) use geometry::Conv;
pub(crate) use moments::Moments;
pub(crate) use stage::Stage;
pub(crate) use stem::Stem;
