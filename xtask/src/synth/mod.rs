//! `cargo xtask synth`: drawn pictures or comments in the place of a dataset, in the layouts of the dataset.
//!
//! The rows are the same in both layouts, in the same order and with the same bytes, and the groups have the real
//! proportions. Everything follows from the seed.

mod birds;
mod comments;
mod draw;
mod faces;
mod hub;
mod plan;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cnc_data::{Manifest, SplitName};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use indicatif::ProgressBar;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use draw::Canvas;
use hub::Shards;
use plan::Planned;

/// Rows drawn side by side.
const AT_ONCE: usize = 512;
const QUALITY: u8 = 90;
/// Noise of a pixel, of 1.
const GRAIN: f32 = 0.06;
/// A recipe for the drawn birds.
const BIRDS: &str = include_str!("birds.toml");
/// The attributes of CelebA, in the order of its list.
const ATTRIBUTES: &str = include_str!("../../../datasets/celeba/attributes.txt");

/// What to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Drawn {
    /// Birds before land and water.
    Waterbirds,
    /// Faces with blond and other hair.
    Celeba,
    /// Comments on news, some of them toxic.
    Civilcomments,
}

/// Whose pictures to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Waterbirds,
    Celeba,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Waterbirds => "waterbirds",
            Self::Celeba => "celeba",
        }
    }

    /// Width and height of a picture.
    fn size(self, side: Option<usize>) -> (usize, usize) {
        match (self, side) {
            (_, Some(side)) => (side, side),
            (Self::Waterbirds, None) => (224, 224),
            (Self::Celeba, None) => (178, 218),
        }
    }

    fn draw(self, canvas: &mut Canvas, row: &Planned, rng: &mut ChaCha8Rng) {
        match self {
            Self::Waterbirds => birds::draw(canvas, row.class, row.attribute, rng),
            Self::Celeba => faces::draw(canvas, row.class, row.attribute, rng),
        }
    }
}

/// How much of it.
pub struct Amount {
    /// Training rows; `None` is the real number.
    pub size: Option<usize>,
    pub seed: u64,
    /// Of the pictures; `None` is the usual one.
    pub side: Option<usize>,
}

pub fn run(drawn: Drawn, out: &Path, amount: &Amount) -> Result<()> {
    ensure!(amount.side.is_none_or(|side| (8..=1024).contains(&side)), "--side must be between 8 and 1024 pixels");
    fs::create_dir_all(out).with_context(|| format!("creating {}", out.display()))?;
    if fs::read_dir(out)?.next().is_some() {
        bail!("{} is not empty: give a new folder", out.display());
    }
    match drawn {
        Drawn::Waterbirds => pictures(Which::Waterbirds, out, amount),
        Drawn::Celeba => pictures(Which::Celeba, out, amount),
        Drawn::Civilcomments => comments::run(out, amount),
    }
}

fn pictures(which: Which, out: &Path, amount: &Amount) -> Result<()> {
    let manifest = Manifest::open(which.name())?;
    let rows = plan::rows(&manifest, which == Which::Waterbirds, amount)?;
    let mut archive = Archive::create(which, out, rows.len())?;
    let mut shards = Shards::new(which, out, &rows)?;
    let progress = ProgressBar::new(rows.len() as u64);
    let (width, height) = which.size(amount.side);
    for (chunk, rows) in rows.chunks(AT_ONCE).enumerate() {
        let numbered: Vec<(usize, &Planned)> = (chunk * AT_ONCE..).zip(rows).collect();
        let picture = |(number, row): &(usize, &Planned)| {
            let rng = &mut ChaCha8Rng::seed_from_u64(amount.seed);
            rng.set_stream(*number as u64 + 1);
            let mut canvas = Canvas::new(width, height);
            which.draw(&mut canvas, row, rng);
            let mut bytes = Vec::new();
            JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode(
                &canvas.bytes(GRAIN, rng),
                u32::try_from(width)?,
                u32::try_from(height)?,
                ExtendedColorType::Rgb8,
            )?;
            Ok((bytes, rng.random()))
        };
        let pictures = numbered.par_iter().map(picture).collect::<Result<Vec<(Vec<u8>, u64)>>>()?;
        for ((number, row), (bytes, others)) in numbered.into_iter().zip(pictures) {
            let name = which.file(number, row);
            archive.add(number, row, &name, &bytes, others)?;
            shards.add(row, name, bytes, others)?;
        }
        progress.inc(rows.len() as u64);
    }
    progress.finish_and_clear();
    archive.finish()?;
    shards.finish()?;
    fs::write(out.join("dataset.toml"), plan::manifest(which.name(), &rows, amount)?)?;
    if which == Which::Waterbirds {
        fs::write(out.join("recipe.toml"), BIRDS)?;
    }
    println!("{} rows of {width} x {height} pixels in {}", rows.len(), out.display());
    Ok(())
}

impl Which {
    /// The path of a picture in the authors' folder of pictures.
    fn file(self, number: usize, row: &Planned) -> String {
        match self {
            Self::Waterbirds => {
                let species = ["Landbird", "Waterbird"].get(row.class).copied().unwrap_or_default();
                format!("{:03}.{species}/{species}_{:06}.jpg", row.class + 1, number + 1)
            }
            Self::Celeba => format!("{:06}.jpg", number + 1),
        }
    }
}

/// The attributes of a row, in the order of [`ATTRIBUTES`]: the two that are drawn, and others at random.
fn attributes(row: &Planned, others: u64) -> Vec<bool> {
    let value = |(index, name): (usize, &str)| match name {
        "Blond_Hair" => row.class == 1,
        "Male" => row.attribute == 1,
        _ => others >> index & 1 == 1,
    };
    ATTRIBUTES.split_whitespace().enumerate().map(value).collect()
}

fn split_number(split: SplitName) -> usize {
    SplitName::ALL.iter().position(|other| *other == split).unwrap_or(0)
}

/// The authors' layout.
struct Archive {
    which: Which,
    pictures: std::path::PathBuf,
    /// Lists, the second one of CelebA only.
    lists: Vec<BufWriter<File>>,
}

impl Archive {
    fn create(which: Which, out: &Path, rows: usize) -> Result<Self> {
        let list = |name: &str| -> Result<_> {
            let path = out.join(name);
            Ok(BufWriter::new(File::create(&path).with_context(|| format!("creating {}", path.display()))?))
        };
        let (pictures, mut lists) = match which {
            Which::Waterbirds => (out.to_path_buf(), vec![list("metadata.csv")?]),
            Which::Celeba => {
                let lists = vec![list("list_attr_celeba.txt")?, list("list_eval_partition.txt")?];
                (out.join("img_align_celeba"), lists)
            }
        };
        if let Some(list) = lists.first_mut() {
            match which {
                Which::Waterbirds => writeln!(list, "img_id,img_filename,y,split,place,place_filename")?,
                Which::Celeba => writeln!(list, "{rows}\n{}", ATTRIBUTES.trim())?,
            }
        }
        Ok(Self { which, pictures, lists })
    }

    fn add(&mut self, number: usize, row: &Planned, name: &str, bytes: &[u8], others: u64) -> Result<()> {
        let path = self.pictures.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&self.pictures))?;
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
        let split = split_number(row.split);
        match (self.which, self.lists.as_mut_slice()) {
            (Which::Waterbirds, [list]) => {
                let (class, place) = (row.class, row.attribute);
                writeln!(list, "{},{name},{class},{split},{place},/drawn/{place}/{:08}.jpg", number + 1, number + 1)?;
            }
            (Which::Celeba, [list, partition]) => {
                write!(list, "{name}")?;
                for value in attributes(row, others) {
                    write!(list, " {}", if value { " 1" } else { "-1" })?;
                }
                writeln!(list)?;
                writeln!(partition, "{name} {split}")?;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        for mut list in self.lists {
            list.flush()?;
        }
        Ok(())
    }
}
