//! Images in files of their own, named by a table of text: what works, and everything that can be wrong with it.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use cnc_data::{
    Augment, DataError, Dataset, HubCache, Inputs, Manifest, OpenOptions, RandomView, RandomViews, Remedy, SplitName,
};
use image::{ImageFormat, RgbImage};
use tempfile::TempDir;

const MANIFEST: &str = r#"
name = "birds"
kind = "image"

[input]
column = "img_filename"

[class]
column = "y"
names = ["landbird", "waterbird"]

[attribute]
column = "place"
names = ["land", "water"]

[splits]
column = "split"
files = ["metadata.csv"]
train = { values = [0] }
validation = { values = [1] }
test = { values = [2] }

[transform]
resize = 16
"#;

/// A folder of 4 groups of 8 images and their table. Row i has class i % 2, place i / 2 % 2 and split i / 4 % 4 % 3.
struct Birds {
    folder: TempDir,
    in_memory: u64,
}

fn picture(i: u8) -> RgbImage {
    RgbImage::from_fn(32, 24, |x, y| image::Rgb([i * 7, x as u8 * 8, y as u8 * 8]))
}

fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn split_of(i: u8) -> u8 {
    i / 4 % 4 % 3
}

impl Birds {
    fn new() -> Self {
        let birds = Self { folder: tempfile::tempdir().unwrap(), in_memory: OpenOptions::default().in_memory };
        birds.write("dataset.toml", MANIFEST);
        fs::create_dir(birds.path("a")).unwrap();
        let mut table = "img_filename,y,place,split\n".to_string();
        for i in 0..32 {
            let format = if i % 2 == 0 { ImageFormat::Jpeg } else { ImageFormat::Png };
            birds.write(&file(i), encoded(&picture(i), format));
            table += &format!("{},{},{},{}\n", file(i), i % 2, i / 2 % 2, split_of(i));
        }
        birds.write("metadata.csv", table);
        birds
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{from} is not in {name}");
        self.write(name, text.replacen(from, to, 1));
    }

    fn options(&self) -> OpenOptions {
        OpenOptions { hub: HubCache::new(self.path("cache")), in_memory: self.in_memory, ..OpenOptions::default() }
    }

    fn open_with(&self, options: &OpenOptions) -> Result<Dataset, DataError> {
        Dataset::open(&Manifest::open(self.folder.path().to_str().unwrap())?, options)
    }

    fn open(&self) -> Result<Dataset, DataError> {
        self.open_with(&self.options())
    }

    /// Makes the images be decoded on demand, as those of a large dataset are.
    fn on_demand(self) -> Self {
        Self { in_memory: 0, ..self }
    }
}

fn file(i: u8) -> String {
    format!("a/{i}.jpg")
}

fn wants(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

fn values(dataset: &Dataset, rows: &[u32], augment: Augment) -> Vec<f32> {
    match dataset.train.batch(rows, augment).unwrap().inputs {
        Inputs::Images(images) => images.flatten_all().unwrap().to_vec1().unwrap(),
        Inputs::Tokens { .. } => panic!("these are images"),
    }
}

#[test]
fn a_table_and_its_images_open_with_their_groups() {
    let dataset = Birds::new().open().unwrap();
    assert_eq!((dataset.train.len(), dataset.validation.len(), dataset.test.len()), (16, 8, 8));
    assert_eq!(dataset.train.groups()[3].name, "waterbird / water");
    assert_eq!(dataset.train.groups().iter().map(|group| group.rows.len()).collect::<Vec<_>>(), [4; 4]);
    assert_eq!(dataset.train.shape(), Some((3, 16, 16)));
}

#[test]
fn images_that_are_kept_and_images_on_demand_are_the_same_to_the_bit() {
    let (kept, on_demand) = (Birds::new(), Birds::new().on_demand());
    let (kept, on_demand) = (kept.open().unwrap(), (on_demand.open().unwrap(), on_demand));
    let rows: Vec<u32> = (0..16).collect();
    assert_eq!(values(&kept, &rows, Augment::None), values(&on_demand.0, &rows, Augment::None));
    assert_eq!(kept.train.picture(3).unwrap(), on_demand.0.train.picture(3).unwrap());
}

#[test]
fn resized_crops_are_the_same_whoever_asks_for_them_and_wherever_the_images_are() {
    let part = RandomView::ResizedCrop { scale: [0.3, 0.9], ratio: [0.8, 1.25] };
    let views = Augment::Views { seed: 4, views: RandomViews { part, flip: true } };
    let mut seen = Vec::new();
    for birds in [Birds::new(), Birds::new().on_demand()] {
        let asked = birds.open_with(&OpenOptions { resized_crops: true, ..birds.options() }).unwrap();
        seen.push(values(&asked, &[0, 5, 5], views));
        // Asked for by the manifest.
        birds.edit(
            "dataset.toml",
            "resize = 16",
            "resize = 16\nflip = true\naugment = \"resized-crop\"\nscale = [0.3, 0.9]\nratio = [0.8, 1.25]",
        );
        seen.push(values(&birds.open().unwrap(), &[0, 5, 5], Augment::Random { seed: 4 }));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    let message = Birds::new().open().unwrap().train.batch(&[0], views).unwrap_err().to_string();
    assert!(message.contains("resized_crops: has to be set"), "{message}");
}

#[test]
fn a_random_resized_crop_is_a_function_of_its_seed_and_flips_are_mirrors() {
    let birds = Birds::new();
    birds.edit("dataset.toml", "resize = 16", "resize = 16\naugment = \"resized-crop\"");
    let dataset = birds.open().unwrap();
    let random = |seed| values(&dataset, &[0, 1, 2, 0], Augment::Random { seed });
    assert_eq!(random(1), random(1));
    assert_ne!(random(1), random(2));
    let size = 3 * 16 * 16;
    assert_ne!(random(1)[..size], random(1)[3 * size..], "each row of a batch has its own");

    let birds = Birds::new();
    birds.edit("dataset.toml", "resize = 16", "resize = 16\nflip = true");
    let dataset = birds.open().unwrap();
    let plain = values(&dataset, &[0; 32], Augment::None);
    let mut mirrored = plain.clone();
    mirrored.chunks_mut(16).for_each(<[f32]>::reverse);
    let flipped = values(&dataset, &[0; 32], Augment::Random { seed: 5 });
    let images = flipped.chunks(size).zip(plain.chunks(size)).zip(mirrored.chunks(size));
    let count = images.filter(|((image, plain), mirrored)| {
        assert!(image == plain || image == mirrored);
        image == mirrored
    });
    assert!((8..=24).contains(&count.count()), "about half of 32");
}

/// Opens after `spoil`, kept and on demand, and wants every one of `parts` in both messages.
fn refused(spoil: impl Fn(&Birds), parts: &[&str]) {
    for birds in [Birds::new(), Birds::new().on_demand()] {
        spoil(&birds);
        wants(&birds.open().unwrap_err().to_string(), parts);
    }
}

/// The image of row 9, which is of the test split.
const SPOILT: &str = "a/9.jpg";

#[test]
fn every_kind_of_file_that_is_no_image_is_named_with_its_row_when_the_dataset_opens() {
    type Spoil = fn(&Path);
    let kinds: [(Spoil, &str); 6] = [
        (|path| fs::remove_file(path).unwrap(), "is not there"),
        (|path| fs::write(path, "").unwrap(), "is empty"),
        (
            |path| fs::write(path, "<html>quota exceeded</html>").unwrap(),
            "not a JPEG, PNG, WebP, GIF, BMP or TIFF image",
        ),
        (
            |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            "is not a file",
        ),
        (
            |path| {
                let whole = encoded(&picture(9), ImageFormat::Png);
                fs::write(path, &whole[..whole.len() * 6 / 10]).unwrap();
            },
            "does not decode",
        ),
        (
            |path| {
                let whole = encoded(&picture(9), ImageFormat::Jpeg);
                fs::write(path, &whole[..whole.len() * 6 / 10]).unwrap();
            },
            "it is cut short",
        ),
    ];
    for (spoil, problem) in kinds {
        refused(|birds| spoil(&birds.path(SPOILT)), &["metadata.csv", "line 11", "`img_filename`", SPOILT, problem]);
    }
}

#[test]
fn all_images_that_are_missing_are_in_one_report_with_what_was_meant() {
    let spoil = |birds: &Birds| {
        birds.edit("metadata.csv", "a/5.jpg", "a/5.JPG");
        birds.edit("metadata.csv", "a/9.jpg", "a\\9.jpg");
        birds.edit("metadata.csv", "a/11.jpg", "a/11.png");
        birds.edit("metadata.csv", "a/17.jpg", "a/gone.jpg");
    };
    let parts = [
        "metadata.csv: column `img_filename`: 4 of 32 images are not there",
        "line 7 a/5.JPG (a/5.jpg is there: capitals count)",
        "line 11 a\\9.jpg (a/9.jpg is there: write / for \\)",
        "line 13 a/11.png (a/11.jpg is there)",
        "correct the rows or the folder",
    ];
    refused(spoil, &parts);
    let birds = Birds::new();
    spoil(&birds);
    let error = birds.open().unwrap_err();
    assert_eq!(error.remedy(), Some(Remedy::SkipUnreadable));
    let dataset = birds.open_with(&OpenOptions { skip_unreadable: true, ..birds.options() }).unwrap();
    assert_eq!(dataset.skipped.len(), 4);
}

#[test]
fn images_without_rows_and_rows_that_contradict_each_other_are_said() {
    for birds in [Birds::new(), Birds::new().on_demand()] {
        assert_eq!(birds.open().unwrap().notes, [""; 0]);
        fs::copy(birds.path("a/1.jpg"), birds.path("a/new.jpg")).unwrap();
        fs::copy(birds.path("a/1.jpg"), birds.path("a/old.JPEG")).unwrap();
        birds.write("a/notes.txt", "no image");
        // Two rows of training with two classes, and a row of the test split that is one of training.
        birds.edit("metadata.csv", "a/2.jpg", "a/1.jpg");
        birds.edit("metadata.csv", "a/9.jpg", "a/3.jpg");
        let notes = birds.open().unwrap().notes.join("\n");
        wants(
            &notes,
            &[
                "4 images in",
                "are in no row of the table and left out, for example a/2.jpg",
                "warning: 1 row of an image that another row names with another class",
                "for example a/1.jpg in line 3 of",
                "warning: 1 row of an image that is in another split too",
                "metadata.csv and line 11 of",
            ],
        );
    }
}

#[test]
fn a_small_image_is_one() {
    let birds = Birds::new();
    birds.write(SPOILT, encoded(&RgbImage::from_pixel(1, 1, image::Rgb([9, 9, 9])), ImageFormat::Png));
    birds.open().unwrap();
}

#[test]
fn too_many_pixels_are_refused_by_number_until_the_limit_is_raised() {
    let large = encoded(&RgbImage::new(300, 200), ImageFormat::Png);
    for birds in [Birds::new(), Birds::new().on_demand()] {
        birds.write(SPOILT, &large);
        let options = OpenOptions { max_pixels: 59_999, ..birds.options() };
        let error = birds.open_with(&options).unwrap_err();
        wants(&error.to_string(), &["line 11", SPOILT, "300 x 200", "59999"]);
        assert_eq!(error.remedy(), Some(Remedy::RaiseMaxPixels));
        birds.open_with(&OpenOptions { max_pixels: 60_000, ..birds.options() }).unwrap();
    }
}

#[test]
fn an_image_outside_the_folder_is_refused_however_it_is_reached() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.jpg");
    fs::write(&secret, encoded(&picture(1), ImageFormat::Jpeg)).unwrap();
    let parts = ["line 11", "outside the dataset's folder"];
    refused(|birds| birds.edit("metadata.csv", SPOILT, "../secret.jpg"), &parts);
    refused(|birds| birds.edit("metadata.csv", SPOILT, "a/../../secret.jpg"), &parts);
    refused(|birds| birds.edit("metadata.csv", SPOILT, secret.to_str().unwrap()), &parts);
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        refused(
            |birds| {
                fs::remove_file(birds.path(SPOILT)).unwrap();
                symlink(&secret, birds.path(SPOILT)).unwrap();
            },
            &parts,
        );
        refused(
            |birds| {
                symlink(outside.path(), birds.path("b")).unwrap();
                birds.edit("metadata.csv", SPOILT, "b/secret.jpg");
            },
            &parts,
        );
        // A link that stays inside is a file like others.
        let birds = Birds::new();
        fs::remove_file(birds.path(SPOILT)).unwrap();
        symlink(birds.path("a/1.jpg"), birds.path(SPOILT)).unwrap();
        birds.open().unwrap();
    }
}

#[test]
fn unreadable_images_are_left_out_and_listed_where_that_is_asked_for() {
    for birds in [Birds::new(), Birds::new().on_demand()] {
        birds.write(SPOILT, "");
        fs::remove_file(birds.path("a/17.jpg")).unwrap();
        // Damage that the ends of the file do not show.
        let mut damaged = fs::read(birds.path("a/3.jpg")).unwrap();
        damaged[40..60].fill(0);
        birds.write("a/3.jpg", damaged);
        let dataset = birds.open_with(&OpenOptions { skip_unreadable: true, ..birds.options() }).unwrap();
        let skipped: Vec<(SplitName, &str)> =
            dataset.skipped.iter().map(|skipped| (skipped.split, skipped.problem.as_str())).collect();
        assert_eq!(skipped.len(), 3, "{skipped:?}");
        for (split, row, name) in [
            (SplitName::Train, "line 5", "a/3.jpg"),
            (SplitName::Train, "line 19", "a/17.jpg"),
            (SplitName::Test, "line 11", SPOILT),
        ] {
            assert!(
                skipped.iter().any(|(of, problem)| *of == split && problem.contains(row) && problem.contains(name)),
                "{row} in {skipped:?}"
            );
        }
        assert_eq!((dataset.train.len(), dataset.validation.len(), dataset.test.len()), (14, 8, 7));
        assert_eq!(dataset.train.groups().iter().map(|group| group.rows.len()).sum::<usize>(), 14);
        // The others keep their order.
        let whole = Birds::new().open().unwrap();
        assert_eq!(dataset.train.picture(13).unwrap(), whole.train.picture(15).unwrap());
        assert_eq!(dataset.test.picture(1).unwrap(), whole.test.picture(2).unwrap());
    }
}

#[test]
fn a_table_without_any_readable_image_is_an_error_all_the_same() {
    let birds = Birds::new();
    for i in 0..32 {
        if split_of(i) == 2 {
            birds.write(&file(i), "");
        }
    }
    let message = birds.open_with(&OpenOptions { skip_unreadable: true, ..birds.options() }).unwrap_err().to_string();
    wants(&message, &["`test`", "no row with an image"]);
}

#[test]
fn what_is_wrong_with_a_table_is_named() {
    let table = |from: &'static str, to: &'static str| move |birds: &Birds| birds.edit("metadata.csv", from, to);
    refused(table("img_filename,y,", "img_filename,label,"), &["metadata.csv", "no column `y`", "label, place"]);
    refused(table("img_filename,y,place", "img_filename,y,y"), &["two columns `y`"]);
    refused(table("a/5.jpg,1,0,1", "a/5.jpg,1"), &["line 7 has 2 values where the header has 4", "`place`"]);
    refused(table("a/5.jpg,1,", "a/5.jpg,cat,"), &["line 7", "`y`", "\"cat\" is none of"]);
    refused(table("a/5.jpg,1,0,1", "a/5.jpg,1,0,3"), &["line 7", "`split`", "3 belongs to no split"]);
    refused(table("a/5.jpg,1,0,", "a/5.jpg,1,,"), &["line 7", "`place`", "is empty"]);
    refused(|birds| birds.write("metadata.csv", ""), &["metadata.csv", "is empty"]);
    refused(|birds| fs::remove_file(birds.path("metadata.csv")).unwrap(), &["metadata.csv", "cannot be opened"]);
}

#[test]
fn the_form_of_a_table_changes_nothing() {
    let labels = |birds: &Birds| {
        let dataset = birds.open().unwrap();
        (dataset.train.labels().to_vec(), dataset.test.attributes().to_vec())
    };
    let expected = labels(&Birds::new());
    let text = fs::read_to_string(Birds::new().path("metadata.csv")).unwrap();
    let quoted: String = text.lines().map(|line| format!("\"{}\"\r\n", line.replace(',', "\",\""))).collect();
    for form in [
        format!("\u{feff}{}", text.replace('\n', "\r\n")),
        quoted,
        text.replace(',', "\t"),
        text.replace(',', "  "),
        format!("32\n{}", text.replace(',', " ")),
        text.replace(".jpg,1,", ".jpg,1.0,"),
    ] {
        let birds = Birds::new();
        birds.write("metadata.csv", form);
        assert_eq!(labels(&birds), expected);
    }
}
