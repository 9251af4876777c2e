//! The images of a split as the network's transform starts from them: decoded, coloured and resized once, in parallel,
//! and kept as bytes.

use rayon::prelude::*;

use crate::DataError;
use crate::colour::paint;
use crate::image::Picture;
use crate::image::decode::decode;
use crate::image::transform::{Planar, Preparer};
use crate::manifest::{Attribute, Colouring, Manifest, SplitName};
use crate::rows::{Row, Rows, SplitRows};
use crate::table::parquet::ImageRows;

/// Images of one size, each `(3, height, width)` bytes, one after the other.
#[derive(Debug)]
pub(crate) struct Pixels {
    height: usize,
    width: usize,
    values: Vec<u8>,
}

/// Where the image of a file's row goes.
#[derive(Clone, Copy)]
struct Target<'a> {
    split: usize,
    /// Its place among the rows of the split.
    place: usize,
    rows: &'a Rows,
    row: Row,
}

impl Pixels {
    /// Height and width.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    pub(crate) fn image(&self, row: usize) -> Option<&[u8]> {
        let size = 3 * self.height * self.width;
        self.values.get(row.checked_mul(size)?..(row + 1).checked_mul(size)?)
    }

    /// Reads the images of all rows.
    pub(crate) fn decode(manifest: &Manifest, rows: &SplitRows) -> Result<[Self; 3], DataError> {
        let mut stores: [Store; 3] = [Store::default(), Store::default(), Store::default()];
        for (index, file) in rows.files.iter().enumerate() {
            let targets = targets(rows, index, file.rows());
            let Some(last) = targets.iter().rposition(Option::is_some) else { continue };
            for batch in file.images(&manifest.input)? {
                let batch = batch?;
                let here = targets.get(batch.first()..).unwrap_or_default();
                fill(manifest, &batch, here, &mut stores)?;
                if batch.first() + batch.len() > last {
                    break;
                }
            }
        }
        let [train, validation, test] = stores;
        let finish = |split, store: Store| {
            let empty = || manifest.split_error(split, "has no images".to_string());
            store.pixels.ok_or_else(empty)
        };
        Ok([
            finish(SplitName::Train, train)?,
            finish(SplitName::Validation, validation)?,
            finish(SplitName::Test, test)?,
        ])
    }
}

/// For each row of a file, where its image goes.
fn targets(rows: &SplitRows, file: usize, length: usize) -> Vec<Option<Target<'_>>> {
    let mut targets = vec![None; length];
    for (split, rows) in rows.splits.iter().enumerate() {
        for (place, row) in rows.rows.iter().enumerate() {
            if row.file == file
                && let Some(target) = targets.get_mut(row.row)
            {
                *target = Some(Target { split, place, rows, row: *row });
            }
        }
    }
    targets
}

/// Decodes the wanted images of `batch` side by side and puts them away in order.
fn fill(
    manifest: &Manifest,
    batch: &ImageRows<'_>,
    targets: &[Option<Target<'_>>],
    stores: &mut [Store; 3],
) -> Result<(), DataError> {
    let colouring = match &manifest.attribute {
        Attribute::Colour(colouring) => Some(colouring),
        Attribute::None | Attribute::Column(_) => None,
    };
    let wanted: Vec<(usize, Target<'_>)> =
        (0..batch.len()).filter_map(|i| targets.get(i).copied().flatten().map(|target| (i, target))).collect();
    let prepared: Vec<Result<Vec<Planar>, DataError>> = wanted
        .par_iter()
        .map_init(
            || Preparer::new(&manifest.transform),
            |preparer, (i, target)| {
                let picture = batch.picture(*i)?;
                variants(&picture, target, colouring, preparer).map_err(|problem| batch.error(*i, problem))
            },
        )
        .collect();
    for ((i, target), images) in wanted.iter().zip(prepared) {
        let Some(store) = stores.get_mut(target.split) else { continue };
        let copies = target.rows.copies();
        for (copy, image) in images?.into_iter().enumerate() {
            store
                .put(target.place * copies + copy, target.rows.rows.len() * copies, image)
                .map_err(|problem| batch.error(*i, problem))?;
        }
    }
    Ok(())
}

impl ImageRows<'_> {
    fn picture(&self, i: usize) -> Result<Picture, DataError> {
        decode(self.bytes(i)?).map_err(|problem| self.error(i, problem))
    }
}

/// The image in each colour that it is shown in.
fn variants(
    picture: &Picture,
    target: &Target<'_>,
    colouring: Option<&Colouring>,
    preparer: &mut Preparer,
) -> Result<Vec<Planar>, String> {
    let Some(colouring) = colouring else { return Ok(vec![preparer.prepare(picture)?]) };
    target
        .rows
        .attributes_of(&target.row)
        .filter_map(|colour| colouring.rgb.get(colour as usize))
        .map(|rgb| {
            let mut coloured = picture.clone();
            paint(&mut coloured.pixels, colouring.threshold, *rgb);
            preparer.prepare(&coloured)
        })
        .collect()
}

/// [`Pixels`] being filled. The size is that of the first image.
#[derive(Default)]
struct Store {
    pixels: Option<Pixels>,
}

impl Store {
    /// Puts an image at `place` of `count`.
    fn put(&mut self, place: usize, count: usize, image: Planar) -> Result<(), String> {
        let (height, width) = (image.height as usize, image.width as usize);
        let pixels = match &mut self.pixels {
            Some(pixels) => pixels,
            none => none.insert(Pixels { height, width, values: zeros(count, image.values.len())? }),
        };
        if pixels.size() != (height, width) {
            return Err(format!(
                "the image is {width} x {height}, an earlier one {} x {}; all need one size: set `resize` in the \
                 manifest's [transform]",
                pixels.width, pixels.height
            ));
        }
        let size = image.values.len();
        if let Some(slot) = pixels.values.get_mut(place * size..(place + 1) * size) {
            slot.copy_from_slice(&image.values);
        }
        Ok(())
    }
}

fn zeros(count: usize, size: usize) -> Result<Vec<u8>, String> {
    let mut values = Vec::new();
    let length = count.saturating_mul(size);
    values.try_reserve_exact(length).map_err(|_| {
        format!("{count} images of {size} bytes do not fit into memory: use `limit` or a smaller `resize`")
    })?;
    values.resize(length, 0);
    Ok(values)
}
