//! Images per second from files to normalised batches, and the steps on the way.
//!
//!     cargo bench -p cnc-data -- DIR          DIR: *.jpg of CelebA's size; made (2,000 of 178x218) where there are none
//!     RAYON_NUM_THREADS=2 cargo bench -p cnc-data -- DIR
//!
//! The loader shuffles, cuts the centre square of 178x178, resizes it to 224x224 and normalises it, in batches of 64, as
//! a torchvision `DataLoader` with `CenterCrop(178), Resize((224, 224)), ToTensor(), Normalize(...)` does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use cnc_data::image::decode::{MAX_PIXELS, decode};
use cnc_data::{Augment, Dataset, Draw, HubCache, Manifest, OpenOptions, prefetch};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const BATCH: usize = 64;
const EPOCHS: u64 = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let made = tempfile::tempdir()?;
    let folder = given.map_or(made.path().to_path_buf(), PathBuf::from);
    let files = files(&folder)?;
    println!("{} threads, {} files", rayon::current_num_threads(), files.len());
    decoding(&files)?;
    loading(&folder, &files)
}

/// The images of a folder; smooth noise where it has none.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn std::error::Error>> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        let paths = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = paths.collect::<Result<Vec<_>, _>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "jpg"));
        paths.sort();
        Ok(paths)
    };
    let there = list()?;
    if !there.is_empty() {
        return Ok(there);
    }
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    for i in 0..2000 {
        let small = image::RgbImage::from_fn(23, 28, |_, _| image::Rgb(rng.random()));
        let picture = resize(&small, 178, 218, FilterType::CatmullRom);
        let file = fs::File::create(folder.join(format!("{i:06}.jpg")))?;
        JpegEncoder::new_with_quality(file, 90).encode_image(&picture)?;
    }
    Ok(list()?)
}

/// One thread, bytes in memory.
fn decoding(files: &[PathBuf]) -> Result<(), Box<dyn std::error::Error>> {
    let bytes = files.iter().take(500).map(fs::read).collect::<Result<Vec<_>, _>>()?;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        for bytes in &bytes {
            std::hint::black_box(decode(bytes, MAX_PIXELS)?);
        }
        best = best.min(start.elapsed().as_secs_f64() / bytes.len() as f64);
    }
    println!("{:<40}{:>10.3} ms an image", "decode, one thread", best * 1e3);
    Ok(())
}

fn loading(folder: &Path, files: &[PathBuf]) -> Result<(), Box<dyn std::error::Error>> {
    let table = tempfile::tempdir()?;
    let names: Vec<String> = files.iter().filter_map(|path| path.file_name()?.to_str()).map(str::to_string).collect();
    // All rows train; so that they are not kept in memory, as those of a large dataset are not, the transform draws
    // resized crops in training, and the loader is asked for the view of evaluation.
    let mut rows = "file,y,split\n".to_string();
    for (i, name) in names.iter().enumerate() {
        rows += &format!("{name},{},0\n", i % 2);
    }
    for split in [1, 2] {
        rows += &format!("{},0,{split}\n", names[0]);
    }
    fs::write(table.path().join("rows.csv"), rows)?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.canonicalize()?, table.path().join("images"))?;
    fs::write(
        table.path().join("dataset.toml"),
        "name = \"loader\"\nkind = \"image\"\n[input]\ncolumn = \"file\"\nfolder = \"images\"\n\
         [class]\ncolumn = \"y\"\nnames = [\"a\", \"b\"]\n\
         [splits]\nfiles = [\"rows.csv\"]\ncolumn = \"split\"\ntrain = { values = [0] }\n\
         validation = { values = [1] }\ntest = { values = [2] }\n\
         [transform]\nsquare = true\nresize = 224\naugment = \"resized-crop\"\nmean = [0.485, 0.456, 0.406]\n\
         std = [0.229, 0.224, 0.225]\n",
    )?;
    let manifest = Manifest::open(&table.path().display().to_string())?;
    let start = Instant::now();
    let options = OpenOptions { hub: HubCache::new(table.path()), ..OpenOptions::default() };
    let dataset = Dataset::open(&manifest, &options)?;
    println!("{:<40}{:>10.3} ms", "open", start.elapsed().as_secs_f64() * 1e3);
    for epoch in 0..EPOCHS {
        let mut order: Vec<u32> = (0..names.len() as u32).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(epoch));
        let draws: Vec<Draw<()>> =
            order.chunks(BATCH).map(|rows| Draw { rows: rows.to_vec(), augment: Augment::None, tag: () }).collect();
        let start = Instant::now();
        let mut seen = 0;
        for item in prefetch(Arc::clone(&dataset.train), draws.into_iter(), 3) {
            seen += item?.0.indices.len();
        }
        println!("{:<40}{:>10.0} images/s", "load", seen as f64 / start.elapsed().as_secs_f64());
    }
    Ok(())
}
