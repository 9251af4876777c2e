//! The arithmetic of the ops on the CPU: slices and sizes in, slices out. Nothing here knows tensors, devices or gradients
//! of graphs; what is differentiated is the caller's affair ([`autograd`](crate::autograd)).
//!
//! From the bottom up: [`simd`] (one file an instruction set), [`microkernel`] (the tile that all products are made of),
//! [`gemm`] (products of matrices), [`conv`] (convolutions of feature maps, with the batch norm around them) and the files of
//! the other ops, one each. [`parallel`] says how work is cut for the threads: by the shapes alone.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod buffers;
pub(crate) mod conv;
pub(crate) mod conv_relu_pool;
pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod feed_forward;
pub(crate) mod gemm;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod microkernel;
pub(crate) mod parallel;
pub(crate) mod relu;
pub(crate) mod scratch;
pub mod sequences;
pub(crate) mod simd;
pub(crate) mod softmax;
pub(crate) mod special;
