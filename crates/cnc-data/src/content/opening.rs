//! Opening the images of a dataset: what is kept, what is checked, what is skipped.

use std::sync::Arc;

use rayon::prelude::*;

use super::images::Images;
use super::named::look_at_names;
use super::pixels::{OnDemand, Pixels, Workspace, coloured};
use super::store::{Kept, Store};
use crate::DataError;
use crate::image::decode::decode;
use crate::image::probe::Probe;
use crate::image::transform::{Preparer, RandomView, Transform};
use crate::image::{ImageError, Picture};
use crate::manifest::{Attribute, Colouring, Manifest, SplitName};
use crate::options::OpenOptions;
use crate::remedy::Remedy;
use crate::rows::{Row, Rows, SplitRows};
use crate::table::parquet::{ImageRows, ParquetFile};

/// Images in files that are decoded side by side.
const AT_ONCE: usize = 1024;

/// A row that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The split that it would be in.
    pub split: SplitName,
    /// File, row and reason: a [`DataError`] as text.
    pub problem: String,
    /// What would help.
    pub remedy: Option<Remedy>,
}

/// The images of the three splits. Rows that cannot be read are an error, or are taken out of `rows` and listed.
pub(crate) fn open_images(
    manifest: &Manifest,
    transform: &Transform,
    rows: &mut SplitRows,
    options: &OpenOptions,
) -> Result<([Pixels; 3], Vec<Skipped>), DataError> {
    Opener { manifest, transform, options }.open(rows)
}

struct Opener<'a> {
    manifest: &'a Manifest,
    transform: &'a Transform,
    options: &'a OpenOptions,
}

impl Opener<'_> {
    fn open(&self, rows: &mut SplitRows) -> Result<([Pixels; 3], Vec<Skipped>), DataError> {
        let notes = look_at_names(self.manifest, rows, self.options.skip_unreadable)?;
        rows.notes.extend(notes);
        if self.fits(rows)? { self.kept(rows) } else { self.on_demand(rows) }
    }

    /// Whether windows of the decoded images are asked for, and not only the prepared ones.
    fn keeps_originals(&self) -> bool {
        self.options.resized_crops || matches!(self.transform.random, RandomView::ResizedCrop { .. })
    }

    fn colouring(&self) -> Option<&Colouring> {
        match &self.manifest.layout.attribute {
            Attribute::Colour(colouring) => Some(colouring),
            Attribute::None | Attribute::Column(_) | Attribute::Several(_) => None,
        }
    }

    fn prepare(&self, picture: Picture) -> Result<Picture, ImageError> {
        Preparer::new().prepare(self.transform, picture)
    }

    /// Whether all images fit into the memory meant for them.
    fn fits(&self, rows: &SplitRows) -> Result<bool, DataError> {
        let count: usize = rows.splits.iter().map(|rows| rows.rows.len() * rows.copies()).sum();
        let size = |picture: Picture| u64::from(picture.width) * u64::from(picture.height);
        let prepared = match self.transform.resize {
            Some(side) => u64::from(side).pow(2),
            None => size(self.first_image(rows, |picture| self.prepare(picture))?),
        };
        let original = if self.keeps_originals() { size(self.first_image(rows, Ok)?) } else { 0 };
        Ok(count as u64 * 3 * (prepared + original) <= self.options.in_memory)
    }

    /// The first image of the dataset, `made` into what is asked for: without a `resize` it says what size all have.
    fn first_image(
        &self,
        rows: &SplitRows,
        made: impl Fn(Picture) -> Result<Picture, ImageError>,
    ) -> Result<Picture, DataError> {
        let made = |bytes: &[u8]| made(decode(bytes, self.options.max_pixels)?);
        let row = rows.splits.iter().find_map(|rows| rows.rows.first()).copied();
        let table = row.and_then(|row| rows.files.get(row.file).map(|table| (row, table)));
        let Some((row, table)) = table else {
            return Err(self.manifest.split_error(SplitName::Train, "has no images".to_string()));
        };
        match table.with_images(&self.manifest.layout.input.column) {
            None => {
                let images = self.images(rows)?;
                let mut bytes = Vec::new();
                images.read(row, &mut bytes)?;
                made(&bytes).map_err(|problem| images.error(row, &problem))
            }
            Some(file) => {
                for batch in file.images(&self.manifest.layout.input.column)? {
                    let batch = batch?;
                    if let Some(i) = row.row.checked_sub(batch.first()).filter(|i| *i < batch.len()) {
                        return made(batch.bytes(i)?).map_err(|problem| batch.error(i, &problem));
                    }
                }
                Err(table.row_error(row.row, &self.manifest.layout.input.column, "is not there".to_string()))
            }
        }
    }

    fn images(&self, rows: &SplitRows) -> Result<Images, DataError> {
        let mut used = vec![false; rows.files.len()];
        for row in rows.splits.iter().flat_map(|rows| &rows.rows) {
            if let Some(used) = used.get_mut(row.file) {
                *used = true;
            }
        }
        Images::open(self.manifest, &rows.files, &used, &self.options.hub, self.options.max_pixels)
    }

    /// Everything checked, nothing kept.
    fn on_demand(&self, rows: &mut SplitRows) -> Result<([Pixels; 3], Vec<Skipped>), DataError> {
        let images = Arc::new(self.images(rows)?);
        let mut skipped = Vec::new();
        for (split, rows) in SplitName::ALL.into_iter().zip(&mut rows.splits) {
            let bad = self.unreadable(&images, &rows.rows);
            self.take_out(split, rows, bad, &mut skipped)?;
        }
        let first = self.first_image(rows, |picture| self.prepare(picture))?;
        let (height, width) = (first.height as usize, first.width as usize);
        let pixels = rows.splits.clone().map(|rows| {
            Pixels::OnDemand(Box::new(OnDemand {
                images: Arc::clone(&images),
                rows,
                colouring: self.colouring().cloned(),
                transform: self.transform.clone(),
                height,
                width,
            }))
        });
        Ok((pixels, skipped))
    }

    /// The rows whose images do not decode. Where they are to be skipped every image is decoded, else those that do not
    /// look whole.
    fn unreadable(&self, images: &Images, rows: &[Row]) -> Vec<Option<DataError>> {
        let all = self.options.skip_unreadable;
        let examine = |(row, probed): (&Row, Option<(Probe, DataError)>)| match probed {
            Some((Probe::Bad, error)) => Some(error),
            None if !all => None,
            Some((Probe::Doubtful, _)) | None => {
                let mut bytes = Vec::new();
                images.read(*row, &mut bytes).err().or_else(|| {
                    let problem = decode(&bytes, self.options.max_pixels).err()?;
                    Some(images.error(*row, &problem))
                })
            }
        };
        rows.par_iter().zip(images.probe(rows)).map(examine).collect()
    }

    /// Takes bad rows out of a split, or makes an error of the first.
    fn take_out(
        &self,
        split: SplitName,
        rows: &mut Rows,
        bad: Vec<Option<DataError>>,
        skipped: &mut Vec<Skipped>,
    ) -> Result<(), DataError> {
        let mut is_good = Vec::with_capacity(bad.len());
        for bad in bad {
            is_good.push(bad.is_none());
            match bad {
                None => {}
                Some(error) if self.options.skip_unreadable => {
                    let remedy = error.remedy().filter(|remedy| *remedy != Remedy::SkipUnreadable);
                    skipped.push(Skipped { split, problem: error.to_string(), remedy });
                }
                Some(error) => return Err(error),
            }
        }
        let mut is_good = is_good.into_iter();
        rows.rows.retain(|_| is_good.next().unwrap_or(true));
        if rows.rows.is_empty() {
            return Err(self.manifest.split_error(split, "has no row with an image that can be read".to_string()));
        }
        Ok(())
    }

    /// Everything decoded and kept.
    fn kept(&self, rows: &mut SplitRows) -> Result<([Pixels; 3], Vec<Skipped>), DataError> {
        let mut stores =
            [&rows.splits[0], &rows.splits[1], &rows.splits[2]].map(|rows| Store::new(rows.rows.len(), rows.copies()));
        let mut folder = Vec::new();
        for (index, table) in rows.files.iter().enumerate() {
            let targets = targets(rows, index);
            match table.with_images(&self.manifest.layout.input.column) {
                None => folder.extend(targets),
                Some(file) => self.keep_parquet(file, &targets, &mut stores)?,
            }
        }
        if !folder.is_empty() {
            let images = self.images(rows)?;
            let all: Vec<Row> = folder.iter().map(|target| target.row).collect();
            let only_bad = |probed| match probed {
                Some((Probe::Bad, error)) => Some(error),
                _ => None,
            };
            let mut bad = images.probe(&all).into_iter().map(only_bad);
            for targets in folder.chunks(AT_ONCE) {
                let bad = bad.by_ref().take(targets.len()).collect();
                self.keep(targets, bad, &Encoded::Files(&images), &mut stores);
            }
        }
        let mut skipped = Vec::new();
        for ((split, rows), store) in SplitName::ALL.into_iter().zip(&mut rows.splits).zip(&mut stores) {
            let bad = store.close_gaps();
            self.take_out(split, rows, bad, &mut skipped)?;
        }
        let [train, validation, test] = stores;
        let finish = |split, store: Store| {
            let empty = || self.manifest.split_error(split, "has no images".to_string());
            store.finish().ok_or_else(empty)
        };
        let pixels = [
            finish(SplitName::Train, train)?,
            finish(SplitName::Validation, validation)?,
            finish(SplitName::Test, test)?,
        ];
        Ok((pixels, skipped))
    }

    fn keep_parquet(&self, file: &ParquetFile, targets: &[Target], stores: &mut [Store; 3]) -> Result<(), DataError> {
        let mut targets = targets.iter().peekable();
        for batch in file.images(&self.manifest.layout.input.column)? {
            if targets.peek().is_none() {
                break;
            }
            let batch = batch?;
            let end = batch.first() + batch.len();
            let here: Vec<Target> =
                std::iter::from_fn(|| targets.next_if(|target| target.row.row < end)).copied().collect();
            let bad = here.iter().map(|_| None).collect();
            self.keep(&here, bad, &Encoded::Rows(&batch), stores);
        }
        Ok(())
    }

    /// Decodes images side by side, but for those known to be `bad`, and puts them away in order.
    fn keep(&self, targets: &[Target], bad: Vec<Option<DataError>>, encoded: &Encoded<'_>, stores: &mut [Store; 3]) {
        let prepared: Vec<Result<Vec<Kept>, DataError>> = targets
            .par_iter()
            .zip(bad)
            .map_init(Workspace::new, |workspace, (target, bad)| match bad {
                Some(error) => Err(error),
                None => self.variants(target, encoded, workspace),
            })
            .collect();
        for (target, images) in targets.iter().zip(prepared) {
            let Some(store) = stores.get_mut(target.split) else { continue };
            let kept = images.and_then(|images| {
                store.put(target.place, images).map_err(|problem| encoded.error(target.row, &problem))
            });
            if let Err(error) = kept {
                store.bad(target.place, error);
            }
        }
    }

    /// A row's image in each colour that it is shown in.
    fn variants(
        &self,
        target: &Target,
        encoded: &Encoded<'_>,
        workspace: &mut Workspace,
    ) -> Result<Vec<Kept>, DataError> {
        let mut buffer = std::mem::take(&mut workspace.encoded);
        let bytes = encoded.bytes(target.row, &mut buffer)?;
        let decoded = decode(bytes, self.options.max_pixels);
        let mut prepare = |picture: Picture| {
            let original = self.keeps_originals().then(|| picture.clone());
            Ok::<_, ImageError>(Kept { prepared: workspace.preparer.prepare(self.transform, picture)?, original })
        };
        let prepared = decoded.and_then(|picture| match self.colouring() {
            None => Ok(vec![prepare(picture)?]),
            Some(_) => {
                let colours = target.colours.0..target.colours.1;
                colours.map(|colour| prepare(coloured(picture.clone(), self.colouring(), Some(colour)))).collect()
            }
        });
        workspace.encoded = buffer;
        prepared.map_err(|problem| encoded.error(target.row, &problem))
    }
}

/// Where encoded images come from while they are decoded to be kept.
enum Encoded<'a> {
    Rows(&'a ImageRows<'a>),
    Files(&'a Images),
}

impl Encoded<'_> {
    fn bytes<'b>(&'b self, row: Row, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], DataError> {
        match self {
            Self::Rows(rows) => rows.bytes(row.row - rows.first()),
            Self::Files(images) => {
                images.read(row, buffer)?;
                Ok(buffer)
            }
        }
    }

    fn error(&self, row: Row, problem: &ImageError) -> DataError {
        match self {
            Self::Rows(rows) => rows.error(row.row - rows.first(), problem),
            Self::Files(images) => images.error(row, problem),
        }
    }
}

/// Where the image of a file's row goes.
#[derive(Clone, Copy)]
struct Target {
    split: usize,
    /// Its place among the rows of the split.
    place: usize,
    row: Row,
    /// First colour that it is shown in, and the one after the last.
    colours: (u32, u32),
}

/// The used rows of a file, in its order.
fn targets(rows: &SplitRows, file: usize) -> Vec<Target> {
    let mut targets = Vec::new();
    for (split, rows) in rows.splits.iter().enumerate() {
        let here = rows.rows.iter().enumerate().filter(|(_, row)| row.file == file);
        targets.extend(here.map(|(place, row)| {
            let colours = rows.attributes_of(row);
            Target { split, place, row: *row, colours: (colours.start, colours.end) }
        }));
    }
    targets.sort_unstable_by_key(|target| target.row.row);
    targets
}
