//! From what a loader gives to what a model takes, on the run's device.

use candle_core::{Device, Result};
use cnc_data::Inputs as Loaded;
use cnc_models::Inputs;

/// Move a batch's inputs to the device, as a model takes them.
///
/// # Errors
/// When the device has no room.
pub fn to_model(inputs: Loaded, device: &Device) -> Result<Inputs> {
    Ok(match inputs {
        Loaded::Images(images) => Inputs::Images(images.to_device(device)?),
        Loaded::Tokens { ids, mask, type_ids } => Inputs::Tokens {
            ids: ids.to_device(device)?,
            mask: mask.to_device(device)?,
            type_ids: type_ids.to_device(device)?,
        },
    })
}
