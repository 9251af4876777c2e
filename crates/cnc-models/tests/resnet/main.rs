//! The ResNets against torchvision's (see `fixtures/make_resnet_fixtures.py`), and what they refuse.

#[path = "../common/mod.rs"]
mod common;
mod formula;
mod passes;
mod recomputation;
mod steps;
mod use_of;
