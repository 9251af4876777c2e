//! The attribute that is made.

use super::fault::{Fault, fault, unique_names};
use crate::colour::Correlation;
use crate::manifest::model::Colouring;
use crate::manifest::raw;

pub(super) fn colouring(raw: raw::Colour, classes: usize) -> Result<Colouring, Fault> {
    unique_names(&raw.names, "colour.names")?;
    if raw.names.len() != classes {
        let problem = format!("{} colours for {classes} classes: colour = class needs as many", raw.names.len());
        return Err(fault("colour.names", problem));
    }
    if raw.rgb.len() != raw.names.len() {
        let problem = format!("{} entries for {} names: one for each is needed", raw.rgb.len(), raw.names.len());
        return Err(fault("colour.rgb", problem));
    }
    if !(0.0..=1.0).contains(&raw.probability) {
        return Err(fault("colour.probability", format!("{} is not between 0 and 1", raw.probability)));
    }
    let rgb = raw.rgb.iter().map(|text| hex(text)).collect::<Result<_, _>>()?;
    Ok(Colouring {
        names: raw.names,
        rgb,
        threshold: raw.threshold,
        train: Correlation { probability: raw.probability },
        validation: raw.validation,
        test: raw.test,
    })
}

fn hex(text: &str) -> Result<[u8; 3], Fault> {
    let wrong = || fault("colour.rgb", format!("{text:?} is not a colour: `#rrggbb` is needed, as in \"#ff8000\""));
    let digits = text.strip_prefix('#').ok_or_else(wrong)?;
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let value = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
    let [_, red, green, blue] = value.to_be_bytes();
    Ok([red, green, blue])
}
