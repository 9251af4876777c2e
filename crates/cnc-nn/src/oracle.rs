//! What the kernels are compared with: each op in plain Candle ops, under the op's name. Slow, and for tests alone; a model
//! calls [`ops`](crate::ops), which takes this form by itself where there is no kernel.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use cnc_nn::{ops, oracle};
//!
//! let x = Tensor::new(&[-1f32, 0.0, 2.0], &Device::Cpu)?;
//! assert_eq!(ops::relu(&x)?.to_vec1::<f32>()?, oracle::relu(&x)?.to_vec1::<f32>()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use crate::ops::activation::composed as activate;
pub use crate::ops::attention::composed as self_attention;
pub use crate::ops::conv_relu_pool::composed as conv_relu_pool;
pub use crate::ops::dropout::composed as dropout;
pub use crate::ops::embedding::composed as embedding;
pub use crate::ops::feed_forward::composed as feed_forward;
pub use crate::ops::layer_norm::{composed as layer_norm, composed_add_norm as add_norm};
pub use crate::ops::linear::composed as linear;
pub use crate::ops::relu::composed as relu;
pub use crate::ops::residual::{composed as residual, stem_composed as stem};
pub use crate::ops::sublayer::{
    composed_attention as attention_sublayer, composed_feed_forward as feed_forward_sublayer,
};

pub mod blocks {
    //! The ops that only layers call, and what these are given: residual blocks, and the sub-layers of transformers.

    pub use crate::ops::batch_norm::BatchMoments;
    pub use crate::ops::residual::{Block, Stage, Statistics, residual, stem};
    pub use crate::ops::sublayer::{Attention, Join, attention_sublayer, feed_forward_sublayer};
}
