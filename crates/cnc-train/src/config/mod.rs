//! What a run is told: recipes and the settings that they hold, where the data are, what models are built from, which device
//! and which rule of selection. A setting is checked once, when the run is put together; nothing inside checks it again.

pub(crate) mod asked;
pub(crate) mod data;
pub(crate) mod device;
pub(crate) mod encoder;
pub(crate) mod given;
pub(crate) mod identity;
pub(crate) mod manifest;
pub(crate) mod network;
pub(crate) mod recipe;
pub(crate) mod run_config;
pub(crate) mod selection;
pub(crate) mod settings;
