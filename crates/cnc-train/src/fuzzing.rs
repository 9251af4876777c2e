//! What fuzz targets reach into: readers of files from outside, which must not panic whatever is in them.

use std::path::Path;

use candle_core::Device;

use crate::config::recipe::{Recipe, parse_assignment};
use crate::methods::METHODS;
use crate::run::checkpoint::Checkpoints;

/// A setting of the command line, and a recipe of a user's over the general one.
pub fn settings(assignment: &str, own: &str) {
    let Ok(general) = Recipe::general(false, std::iter::empty()) else { return };
    let given: Vec<_> = parse_assignment(assignment).into_iter().map(|table| (assignment.to_owned(), table)).collect();
    let recipe = Recipe::parse("own", own).and_then(|own| general.clone().overlaid(&own)).unwrap_or(general);
    for method in METHODS {
        if let Ok(settings) = recipe.settings(method.name, &given) {
            let _ = (method.build)(&settings);
        }
    }
}

/// The checkpoints of a run, in this folder.
pub fn checkpoints(folder: &Path) {
    let checkpoints = Checkpoints::new(folder.to_owned());
    let _ = checkpoints.in_progress("erm", &Device::Cpu);
    let _ = checkpoints.finished("erm", &Device::Cpu);
}
