//! Photos as phones and computers leave them: every format is read, or its file is named and counted.

use std::fs;

use cnc_tests::{Outcome, Workbench};
use image::{ImageFormat, RgbImage};

/// A picture in this format.
fn picture(format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = RgbImage::from_fn(32, 32, |x, y| image::Rgb([(8 * x) as u8, (8 * y) as u8, 90]));
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";

/// 32 pictures in four groups, with a row for each in `t4/metadata.csv`; the names of the first are these.
fn t4(names: &[(&str, &[u8])]) -> Workbench {
    let bench = Workbench::new();
    fs::create_dir_all(bench.file("t4/images")).unwrap();
    let mut table = "img_filename,y,place,split\n".to_owned();
    for row in 0..32 {
        let (class, place, number) = (row / 16, row / 8 % 2, row % 8);
        let split = [0, 0, 0, 0, 0, 1, 2, 2][number];
        let plain = format!("{row}.png");
        let (name, bytes) = names
            .get(row)
            .map_or_else(|| (plain.as_str(), picture(ImageFormat::Png)), |(name, bytes)| (*name, bytes.to_vec()));
        fs::write(bench.file("t4/images").join(name), bytes).unwrap();
        table += &format!("{name},{class},{place},{split}\n");
    }
    fs::write(bench.file("t4/metadata.csv"), table).unwrap();
    let manifest = r#"
        name = "t4"
        kind = "image"
        input = { column = "img_filename", folder = "images" }
        class = { column = "y", names = ["a", "b"] }
        attribute = { column = "place", names = ["land", "water"] }
        transform = { resize = 32 }
        [splits]
        column = "split"
        files = ["metadata.csv"]
        train = { values = [0] }
        validation = { values = [1] }
        test = { values = [2] }
    "#;
    fs::write(bench.file("t4/dataset.toml"), manifest).unwrap();
    bench
}

fn check(bench: &Workbench, more: &[&str]) -> Outcome {
    bench.run(&[&["check", "t4/dataset.toml"], more].concat())
}

/// The row of `check` with all counts.
fn all(outcome: &Outcome) -> Vec<&str> {
    let line = outcome.stdout.lines().find(|line| line.starts_with("all ")).unwrap();
    line.split_whitespace().skip(1).collect()
}

#[test]
fn gif_bmp_and_tiff_are_read_by_their_content_and_heic_is_named_with_what_to_do() {
    let [gif, bmp, tiff] = [ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff].map(picture);
    let bench = t4(&[("z.gif", &gif), ("b.BMP", &bmp), ("t.tif", &tiff), ("gif-inside.jpg", &gif)]);
    assert_eq!(all(&check(&bench, &[]).success()), ["20", "4", "8"]);
    let bench = t4(&[("one.heic", HEIC), ("two.png", b"\0\0\0\x1cftypavif\0\0\0\0")]);
    let words = ["metadata.csv", "line ", "one.heic", "is a HEIC image", "not read", "magick"];
    check(&bench, &[]).fails(1, &words);
    let outcome = check(&bench, &["--skip-unreadable"]).success();
    assert_eq!(all(&outcome), ["18", "4", "8"]);
    for words in ["one.heic", "is a HEIC image", "two.png", "is a AVIF image"] {
        assert!(outcome.stdout.contains(words), "{words}: {}", outcome.stdout);
    }
    // A run that stops says what would leave such rows out.
    bench.run(&["t4/dataset.toml", "--method", "erm", "--model", "lenet"]).fails(1, &["one.heic", "--skip-unreadable"]);
}

#[test]
fn names_match_however_their_accents_are_written() {
    let (composed, decomposed) = ("\u{e9}t\u{e9}.png", "e\u{301}te\u{301}.png");
    for (there, asked) in [(composed, decomposed), (decomposed, composed)] {
        let bench = t4(&[(there, &picture(ImageFormat::Png))]);
        let table = String::from_utf8(bench.read("t4/metadata.csv")).unwrap();
        fs::write(bench.file("t4/metadata.csv"), table.replace(there, asked)).unwrap();
        assert_eq!(all(&check(&bench, &[]).success()), ["20", "4", "8"]);
    }
}

#[test]
fn predict_reads_what_is_read_and_counts_what_a_folder_holds_besides() {
    let bench = t4(&[]);
    let short = ["--method", "erm", "--model", "lenet", "--set", "epochs=1", "--set", "batch_size=8", "--out", "run"];
    bench.run(&[&["t4/dataset.toml"], &short[..]].concat()).success();
    fs::create_dir(bench.file("p")).unwrap();
    for (name, format) in [
        ("y.PNG", ImageFormat::Png),
        ("z.gif", ImageFormat::Gif),
        ("b.bmp", ImageFormat::Bmp),
        ("t.tif", ImageFormat::Tiff),
        ("e\u{301}.png", ImageFormat::Png),
    ] {
        fs::write(bench.file("p").join(name), picture(format)).unwrap();
    }
    for name in ["a.avif", "h.heic", "g.HEIC", "notes.txt", "LICENCE", "._x.jpg", ".DS_Store", "Thumbs.db"] {
        fs::write(bench.file("p").join(name), HEIC).unwrap();
    }
    let outcome = bench.run(&["predict", "run", "p"]).success();
    assert_eq!(outcome.stdout.lines().count(), 5, "{}", outcome.stdout);
    let left_out = "left out 5 files of the folders by their names: .avif (1), .heic (2), .txt (1), without an end (1)";
    assert!(outcome.stderr.contains(left_out) && outcome.stderr.contains("5 predicted"), "{}", outcome.stderr);
    // One that is named is no matter of its name.
    bench
        .run(&["predict", "run", "p/h.heic"])
        .fails(1, &["p/h.heic", "is a HEIC image", "magick", "--skip-unreadable"]);
    // The name in its other form.
    bench.run(&["predict", "run", "p/\u{e9}.png"]).success();
    fs::create_dir(bench.file("q")).unwrap();
    fs::write(bench.file("q/h.heic"), HEIC).unwrap();
    let outcome = bench.run(&["predict", "run", "q"]);
    outcome.fails(1, &["q: no image is in this folder (left out 1 file of the folders by their names: .heic (1)"]);
}
