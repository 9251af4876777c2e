//! Twelve images of different kinds against Pillow and torchvision: see fixtures/make_image_fixtures.py.

use candle_core::{DType, Device, Tensor};
use cnc_data::image::decode::{MAX_PIXELS, decode};
use cnc_data::{Augment, Dataset, HubCache, Inputs, Manifest, OpenOptions};

const NAMES: [&str; 12] = [
    "jpeg_420",
    "jpeg_422",
    "jpeg_444",
    "jpeg_progressive",
    "jpeg_restarts",
    "jpeg_grey",
    "jpeg_cmyk",
    "jpeg_turned",
    "png_palette",
    "png_alpha",
    "png_grey16",
    "webp",
];

struct Fixtures(std::collections::HashMap<String, Tensor>);

impl Fixtures {
    fn read() -> Self {
        let path = format!("{}/tests/fixtures/images.safetensors", env!("CARGO_MANIFEST_DIR"));
        Self(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        self.0[name].flatten_all().unwrap().to_vec1().unwrap()
    }
}

/// Largest and mean difference.
fn difference(ours: &[f32], theirs: &[u8]) -> (f32, f32) {
    assert_eq!(ours.len(), theirs.len());
    let differences: Vec<f32> = ours.iter().zip(theirs).map(|(a, b)| (a - f32::from(*b)).abs()).collect();
    let mean = differences.iter().sum::<f32>() / differences.len() as f32;
    (differences.into_iter().fold(0.0, f32::max), mean)
}

#[test]
fn every_kind_of_image_decodes_to_pillows_pixels() {
    let fixtures = Fixtures::read();
    for name in NAMES {
        let picture = decode(&fixtures.bytes(&format!("{name}.file")), MAX_PIXELS).unwrap();
        let (height, width, _) = fixtures.0[&format!("{name}.rgb")].dims3().unwrap();
        assert_eq!((picture.width as usize, picture.height as usize), (width, height), "{name}");
        let ours: Vec<f32> = picture.pixels.iter().map(|value| f32::from(*value)).collect();
        let (largest, mean) = difference(&ours, &fixtures.bytes(&format!("{name}.rgb")));
        // JPEG is decoded as libjpeg does it, to the bit; lossy WebP has freedom in its colours.
        let allowed = if name == "webp" { 3.0 } else { 0.0 };
        assert!(largest <= allowed && mean < 0.5, "{name}: largest {largest}, mean {mean}");
    }
}

#[test]
fn the_transforms_are_torchvisions_on_every_kind_of_image() {
    let fixtures = Fixtures::read();
    let folder = tempfile::tempdir().unwrap();
    let mut table = "file,y,split\n".to_string();
    for (i, name) in NAMES.into_iter().enumerate() {
        // The name says nothing about the format.
        std::fs::write(folder.path().join(format!("{name}.img")), fixtures.bytes(&format!("{name}.file"))).unwrap();
        table += &format!("{name}.img,{},{}\n", i % 2, i / 4);
    }
    std::fs::write(folder.path().join("rows.csv"), table).unwrap();
    for (kind, transform) in [("resize", "resize = 24\ncrop = 20"), ("square", "square = true\nresize = 20")] {
        let manifest = format!(
            "name = \"kinds\"\nkind = \"image\"\n[input]\ncolumn = \"file\"\n[class]\ncolumn = \"y\"\nnames = [\"a\", \"b\"]\n\
             [splits]\nfiles = [\"rows.csv\"]\ncolumn = \"split\"\ntrain = {{ values = [0] }}\n\
             validation = {{ values = [1] }}\ntest = {{ values = [2] }}\n\
             [transform]\n{transform}\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n"
        );
        std::fs::write(folder.path().join("dataset.toml"), manifest).unwrap();
        let manifest = Manifest::open(folder.path().to_str().unwrap()).unwrap();
        let options = OpenOptions { hub: HubCache::new(folder.path().join("cache")), ..OpenOptions::default() };
        let dataset = Dataset::open(&manifest, &options).unwrap();
        for (split, names) in [&dataset.train, &dataset.validation, &dataset.test].into_iter().zip(NAMES.chunks(4)) {
            let batch = split.batch(&[0, 1, 2, 3], Augment::None).unwrap();
            let Inputs::Images(images) = batch.inputs else { panic!("these are images") };
            for (row, name) in names.iter().enumerate() {
                let image = (images.get(row).unwrap().to_dtype(DType::F32).unwrap() * 255.0).unwrap();
                let ours = image.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let (largest, mean) = difference(&ours, &fixtures.bytes(&format!("{name}.{kind}")));
                assert!(largest <= 3.0 && mean < 0.5, "{name} {kind}: largest {largest}, mean {mean}");
            }
        }
    }
}
