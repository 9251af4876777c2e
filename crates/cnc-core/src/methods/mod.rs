//! The mathematics of the methods that Correct-N-Contrast is compared with, by the equations of their papers: a file each.
//!
//! Losses and their weights: [`group_dro`], [`cvar()`], [`lff`], [`xrm`]. Which rows are drawn, and how often: [`reweighting`],
//! [`jtt`]. Environments that stand in for groups: [`eiil`], [`xrm`]. Refits of the last layer, which are fits as those of
//! [`fits`](crate::fits): [`dfr`], [`afr`], [`dpe`]. No file here knows another, but for `reweighting`'s subsets.

pub mod afr;
pub mod cvar;
pub mod dfr;
pub mod dpe;
pub mod eiil;
pub mod group_dro;
pub mod jtt;
pub mod lff;
pub mod reweighting;
pub mod xrm;

pub use afr::{Afr, AfrOptions, HeldOut};
pub use cvar::cvar;
pub use dfr::{DfrOptions, TunedC};
pub use dpe::{DpeOptions, PrototypeEnsemble, Prototypes};
pub use eiil::{EiilOptions, ReferenceLogits, SoftEnvironments, irm_penalty, scale_gradients};
pub use group_dro::{GroupDro, GroupDroOptions};
pub use jtt::upsampled;
pub use lff::{LossAverages, difficulty, generalised_cross_entropy_per_sample};
pub use reweighting::{Balanced, BalancedSampler, class_weights, subsample};
pub use xrm::{class_balanced_cross_entropy, environment_groups, flip_probability};
