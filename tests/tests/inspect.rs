//! `cnc-train inspect`: what a model's errors go with, from the command line to the files.

use std::fmt::Write as _;
use std::fs;

use cnc_tests::Workbench;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const MANIFEST: &str = r#"
name = "stripes"
kind = "image"
input = { column = "file" }
class = { column = "stripes", names = ["up", "across"] }

[splits]
column = "split"
files = ["rows.csv"]
train = { values = ["train"] }
validation = { values = ["validation"] }
test = { values = ["test"] }
"#;

/// Stripes that are hard to see, in a frame whose colour the camera gives: in training nearly that of the class.
fn stripes(bench: &Workbench) {
    let rng = &mut ChaCha8Rng::seed_from_u64(1);
    fs::create_dir(bench.file("data")).unwrap();
    fs::write(bench.file("data/dataset.toml"), MANIFEST).unwrap();
    let mut table = "file,stripes,camera,weekday,temperature,split\n".to_owned();
    for (split, count) in [("train", 500), ("validation", 100), ("test", 500)] {
        for i in 0..count {
            let class = rng.random_range(0..2_u32);
            let follows = if split == "train" { rng.random::<f64>() < 0.97 } else { rng.random() };
            let camera = if follows { class } else { 1 - class };
            let frame = [[200, 40, 40], [40, 40, 200]][camera as usize];
            let image = image::RgbImage::from_fn(32, 32, |x, y| {
                if x < 4 || y < 4 || x >= 28 || y >= 28 {
                    return image::Rgb(frame);
                }
                let stripe = if class == 0 { x } else { y } / 3 % 2 * 30;
                image::Rgb([(90 + stripe + rng.random_range(0..60_u32)) as u8; 3])
            });
            let name = format!("{split}{i}.png");
            image.save(bench.file(&format!("data/{name}"))).unwrap();
            let (weekday, temperature) = (rng.random_range(0..7), rng.random::<f64>());
            let (class, camera) = (["up", "across"][class as usize], ["red", "blue"][camera as usize]);
            writeln!(table, "{name},{class},{camera},{weekday},{temperature},{split}").unwrap();
        }
    }
    fs::write(bench.file("data/rows.csv"), table).unwrap();
}

#[test]
fn errors_are_put_down_to_a_column_that_no_manifest_names_and_to_what_is_seen_of_it() {
    let bench = Workbench::new();
    stripes(&bench);
    let run = [
        "data",
        "--method",
        "erm",
        "--select",
        "average",
        "--set",
        "epochs=6",
        "--set",
        "batch_size=32",
        "--out",
        "run",
    ];
    let _ = bench.run(&run).success();
    let said = bench.run(&["inspect", "run"]).success().stdout;
    let found = bench.json("run/inspect/inspect.json");
    let findings = found["findings"].as_array().unwrap();
    let confirmed: Vec<&str> = findings
        .iter()
        .filter(|finding| finding["is_confirmed"].as_bool().unwrap())
        .map(|finding| finding["property"].as_str().unwrap())
        .collect();
    assert!(confirmed.contains(&"camera") && confirmed.contains(&"colour of the border"), "{confirmed:?}\n{said}");
    assert!(!confirmed.contains(&"weekday") && !confirmed.contains(&"temperature"), "{confirmed:?}");
    assert!(["camera", "colour", "colour of the border"].contains(&confirmed[0]), "{confirmed:?}");
    assert!(said.contains("what the errors go with") && said.contains("--method cnc"), "{said}");

    let wrong = found["errors"].as_array().unwrap().len();
    let figures = &found["figures"];
    let right = figures["average_accuracy"].as_f64().unwrap() * figures["count"].as_f64().unwrap();
    assert_eq!(wrong, 500 - right.round() as usize);
    let counts: u64 = found["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(counts, 500);
    let errors = String::from_utf8(bench.read("run/inspect/errors.csv")).unwrap();
    assert_eq!(errors.lines().count(), 1 + wrong);
    let first = errors.lines().nth(1).unwrap();
    assert!(first.contains(".png (") && first.contains("rows.csv, line"), "{errors}");
    assert_eq!(
        String::from_utf8(bench.read("run/inspect/associations.csv"))
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .split(',')
            .count(),
        15
    );

    // Of training, whose labels the model has seen, none is doubted; and data that moved are found.
    fs::rename(bench.file("data"), bench.file("moved")).unwrap();
    bench.run(&["inspect", "run"]).fails(1, &["--data DIR"]);
    let _ = bench.run(&["inspect", "run", "--split", "train", "--data", "moved"]).success();
    assert_eq!(bench.json("run/inspect/inspect.json")["labels"].as_array().unwrap().len(), 0);
    assert!(String::from_utf8(bench.read("run/inspect/labels.csv")).unwrap().starts_with("row,sample,label,likely"));
}
