//! What the rows hold: images and their transform, or texts and their length.

use super::fault::{Fault, fault};
use crate::image::transform::{RandomView, Transform};
use crate::manifest::model::{Content, TextRules};
use crate::manifest::raw;
use crate::text;

/// Tokens of the longest text, where the manifest does not say it.
const USUAL_LENGTH: usize = 256;

pub(super) fn images(raw: Option<raw::Transform>, input: &raw::Input) -> Result<Content, Fault> {
    if input.max_length.is_some() {
        return Err(fault("input.max_length", "is of texts; these are images"));
    }
    Ok(Content::Images(transform(&raw.unwrap_or_default())?))
}

pub(super) fn texts(has_transform: bool, input: &raw::Input) -> Result<Content, Fault> {
    if has_transform {
        return Err(fault("transform", "is of images; these are texts"));
    }
    if input.folder.is_some() {
        return Err(fault("input.folder", "is of images; texts are in the column itself"));
    }
    let max_length = input.max_length.unwrap_or(USUAL_LENGTH);
    text::check_length(max_length).map_err(|problem| fault("input.max_length", problem))?;
    Ok(Content::Texts(TextRules { max_length }))
}

fn transform(raw: &raw::Transform) -> Result<Transform, Fault> {
    let usual = Transform::default();
    let transform = Transform {
        square: raw.square.unwrap_or(usual.square),
        resize: raw.resize,
        crop: raw.crop,
        random: random_view(raw)?,
        flip: raw.flip.unwrap_or(usual.flip),
        mean: raw.mean.unwrap_or(usual.mean),
        std: raw.std.unwrap_or(usual.std),
    };
    match transform.check() {
        Ok(()) => Ok(transform),
        Err((key, problem)) => Err(fault(format!("transform.{key}"), problem)),
    }
}

fn random_view(raw: &raw::Transform) -> Result<RandomView, Fault> {
    if !matches!(raw.augment, Some(raw::Augment::ResizedCrop)) && (raw.scale.is_some() || raw.ratio.is_some()) {
        let problem = "`scale` and `ratio` belong to augment = \"resized-crop\"";
        return Err(fault("transform", problem));
    }
    match raw.augment {
        None | Some(raw::Augment::Crop) if raw.crop.is_some() => Ok(RandomView::Crop),
        None | Some(raw::Augment::None) => Ok(RandomView::None),
        Some(raw::Augment::Crop) => Err(fault("transform.augment", "\"crop\" needs the size of the `crop`")),
        Some(raw::Augment::ResizedCrop) => {
            if raw.crop.or(raw.resize).is_none() {
                return Err(fault("transform.augment", "\"resized-crop\" needs a size: `resize` or `crop`"));
            }
            // torchvision's defaults of RandomResizedCrop.
            let scale = raw.scale.unwrap_or([0.08, 1.0]);
            let ratio = raw.ratio.unwrap_or([0.75, 4.0 / 3.0]);
            let view = RandomView::ResizedCrop { scale, ratio };
            view.check().map_err(|(key, expected)| fault(format!("transform.{key}"), format!("must be {expected}")))?;
            Ok(view)
        }
    }
}
