//! Where tensors live: what `--device` says, and never silently something else.

use candle_core::Device;

use crate::error::UsageError;

/// The device of that name: `auto`, `cpu`, `cuda`, `cuda:1`, `metal`.
///
/// # Errors
/// When there is no such name, the program was built without its feature, or the machine has no such device.
pub(crate) fn open(name: &str) -> Result<Device, UsageError> {
    let (kind, index) = match name.split_once(':') {
        None => (name, 0),
        Some((kind, index)) => (kind, index.parse().map_err(|_| unknown(name))?),
    };
    match kind {
        "cpu" if !name.contains(':') => Ok(Device::Cpu),
        "auto" if !name.contains(':') => Ok(automatic()),
        "cuda" if !candle_core::utils::cuda_is_available() => Err(not_built(name, "cuda")),
        "metal" if !candle_core::utils::metal_is_available() => Err(not_built(name, "metal")),
        "cuda" => Device::new_cuda(index).map_err(|e| missing(name, &e)),
        "metal" => Device::new_metal(index).map_err(|e| missing(name, &e)),
        _ => Err(unknown(name)),
    }
}

/// Name of a device for people and files.
#[must_use]
pub(crate) fn name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".to_owned(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

/// The first accelerator that this build and this machine have, else the CPU.
fn automatic() -> Device {
    let accelerator = if candle_core::utils::cuda_is_available() {
        Device::new_cuda(0).ok()
    } else if candle_core::utils::metal_is_available() {
        Device::new_metal(0).ok()
    } else {
        None
    };
    accelerator.unwrap_or(Device::Cpu)
}

fn unknown(name: &str) -> UsageError {
    UsageError(format!("unknown device `{name}`\n  devices: auto, cpu, cuda, cuda:1 (and so on), metal"))
}

fn not_built(name: &str, feature: &str) -> UsageError {
    UsageError(format!(
        "--device {name}: this program was built without `{feature}`\n  hint: build it with `--features {feature}`, or use `--device cpu`"
    ))
}

fn missing(name: &str, error: &candle_core::Error) -> UsageError {
    UsageError(format!("--device {name}: this machine does not offer it ({error})\n  hint: use `--device cpu`"))
}
