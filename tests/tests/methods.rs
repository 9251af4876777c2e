//! Every registered method on every kind of data: training, going on after it was killed, evaluation, results. Each has a test
//! of its own, so that the name of a failure says what broke.

use std::process::Stdio;
use std::time::{Duration, Instant};

use candle_core::Device;
use cnc_tests::traces::{Traces, check_whole, unfinished};
use cnc_tests::{Workbench, texts};
use toml::{Table, Value};

/// The names of the methods and of their stages, as `cnc-train methods` prints them.
fn methods(bench: &Workbench) -> Vec<(String, Vec<String>)> {
    let text = bench.run(&["methods"]).success().stdout;
    let mut methods = Vec::new();
    for line in text.lines() {
        if let Some(stages) = line.trim().strip_prefix("stages: ") {
            let (_, of): &mut (String, Vec<String>) = methods.last_mut().unwrap();
            *of = stages.split(", then ").map(str::to_owned).collect();
        } else if !line.starts_with(' ') {
            methods.push((line.split_whitespace().next().unwrap().to_owned(), Vec::new()));
        }
    }
    assert!(methods.len() > 10 && methods.iter().all(|(_, stages)| !stages.is_empty()), "{text}");
    methods
}

/// The general recipe's settings of a method, cut down to steps that take no time. Whatever is a length in another
/// method's recipe is cut down here as well: settings have the same names everywhere.
fn small_settings(method: &str) -> Table {
    let recipe: Table = include_str!("../../datasets/recipe.toml").parse().unwrap();
    let mut settings = completed(&recipe, recipe[method].as_table().unwrap());
    cut_down(&mut settings);
    settings
}

/// A table of the recipe over those that it starts from.
fn completed(recipe: &Table, table: &Table) -> Table {
    let mut whole = table.get("from").map_or_else(Table::new, |name| {
        let base = name.as_str().unwrap().split('.').fold(recipe, |table, name| table[name].as_table().unwrap());
        completed(recipe, base)
    });
    for (key, value) in table.iter().filter(|(key, _)| *key != "from") {
        match (whole.get_mut(key), value) {
            (Some(Value::Table(inherited)), Value::Table(inner)) => inherited.extend(completed(recipe, inner)),
            (_, Value::Table(inner)) => drop(whole.insert(key.clone(), Value::Table(completed(recipe, inner)))),
            _ => drop(whole.insert(key.clone(), value.clone())),
        }
    }
    whole
}

fn cut_down(settings: &mut Table) {
    for (name, value) in settings {
        let small = match name.as_str() {
            "steps" => 8,
            "epochs" => 2,
            "evaluate_every" => 2,
            "batch_size" => 16,
            "per_part" | "batches_per_step" | "batches_per_encoding" | "members" | "draws" => 2,
            "environment_steps" => 50,
            _ => i64::MAX,
        };
        match value {
            Value::Integer(number) => *number = (*number).min(small),
            Value::Table(inner) => cut_down(inner),
            _ => {}
        }
    }
}

/// A tiny dataset, and what a run on it needs to be told beside the method.
struct Tiny {
    bench: Workbench,
    dataset: &'static str,
    arguments: &'static [&'static str],
    classes: Vec<String>,
    /// Groups of evaluation.
    groups: usize,
    overlap: bool,
    /// What to predict: images, or a file of texts.
    inputs: Vec<String>,
    /// Whether these are the rows of the test split, in their order.
    are_tested: bool,
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const IMAGES: &[&str] = &["--model", "lenet", "--limit", "60"];
const TEXTS: &[&str] = &["--init", "model", "--limit", "60"];

impl Tiny {
    fn birds() -> Self {
        let bench = Workbench::new();
        bench.xtask(&["synth", "waterbirds", "--out", "birds", "--size", "120", "--side", "32"]).success();
        let table = String::from_utf8(bench.read("birds/metadata.csv")).unwrap();
        let mut rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = rows.next().unwrap();
        let place = |name| header.iter().position(|column| *column == name).unwrap();
        let tested = rows.filter(|row| row[place("split")] == "2").take(60);
        let inputs = tested.map(|row| format!("birds/{}", row[place("img_filename")])).collect();
        Self {
            bench,
            dataset: "birds/dataset.toml",
            arguments: IMAGES,
            classes: names(&["landbird", "waterbird"]),
            groups: 4,
            overlap: false,
            inputs,
            are_tested: true,
        }
    }

    fn digits() -> Self {
        let bench = Workbench::new();
        // Not digits, and of another size: an input like any other.
        bench.xtask(&["synth", "waterbirds", "--out", "birds", "--size", "8", "--side", "50"]).success();
        Self {
            bench,
            dataset: "digits",
            arguments: IMAGES,
            classes: names(&["0 or 1", "2 or 3", "4 or 5", "6 or 7", "8 or 9"]),
            groups: 25,
            overlap: false,
            inputs: vec!["birds".to_owned()],
            are_tested: false,
        }
    }

    /// Faces that are men's, or young, or both, or neither.
    fn faces_with_two_attributes() -> Self {
        let bench = Workbench::new();
        bench.xtask(&["synth", "celeba", "--out", "faces", "--size", "200", "--side", "32"]).success();
        let manifest = "
            name = 'faces'
            kind = 'image'
            input = { column = 'image' }
            class = { column = 'Blond_Hair', names = ['not blond', 'blond'] }
            attributes = { columns = ['Male', 'Young'], threshold = 0.5 }
            [splits]
            train = { files = ['img_align+identity+attr/train-*.parquet'] }
            validation = { files = ['img_align+identity+attr/valid-*.parquet'] }
            test = { files = ['img_align+identity+attr/test-*.parquet'] }
            [transform]
            square = true
            resize = 32
            ";
        std::fs::write(bench.file("faces/datasets/flwrlabs/celeba/dataset.toml"), manifest).unwrap();
        let dataset = "faces/datasets/flwrlabs/celeba/dataset.toml";
        Self {
            bench,
            dataset,
            arguments: &["--model", "lenet"],
            classes: names(&["not blond", "blond"]),
            groups: 4,
            overlap: true,
            inputs: vec!["faces/img_align_celeba".to_owned()],
            are_tested: false,
        }
    }

    /// Comments of so many classes, each with words of its own, that are about men, about women, about both or neither.
    fn comments(classes: usize, overlap: bool) -> Self {
        let bench = Workbench::new();
        texts::model(&bench.file("model"));
        let mut table = "text,class,men,women,split\n".to_owned();
        let mut tested = "text\n".to_owned();
        for row in 0..180 {
            let class = row % classes;
            // The shortcut: half of the classes are about men but for one row in five.
            let turn = row / classes;
            let (men, women) = (turn.is_multiple_of(5) != class.is_multiple_of(2), turn.is_multiple_of(3));
            let words = ["stupid garbage", "thanks", "the clown", "is it reasonable", "coward , coward"][class];
            let about = [if men { "men" } else { "in" }, if women { "woman" } else { "to" }].join(" ");
            let split = ["train", "validation", "test"][row / 60];
            let text = format!("\"{about} {words} {}\"", row % 7);
            table += &format!("{text},{class},{},{},{split}\n", u8::from(men), u8::from(women));
            if split == "test" {
                tested += &format!("{text}\n");
            }
        }
        std::fs::write(bench.file("tested.csv"), tested).unwrap();
        std::fs::write(bench.file("comments.csv"), table).unwrap();
        let attribute = match overlap {
            false => "attribute = { column = 'men', names = ['others', 'men'] }",
            true => "attributes = { columns = ['men', 'women'], threshold = 0.5 }",
        };
        let classes: Vec<String> = (0..classes).map(|class| format!("class {class}")).collect();
        let manifest = format!(
            "
            name = 'comments'
            kind = 'text'
            input = {{ column = 'text', max_length = 16 }}
            class = {{ column = 'class', names = ['{}'] }}
            {attribute}
            [splits]
            column = 'split'
            files = ['comments.csv']
            train = {{ values = ['train'] }}
            validation = {{ values = ['validation'] }}
            test = {{ values = ['test'] }}
            ",
            classes.join("', '")
        );
        std::fs::write(bench.file("comments.toml"), manifest).unwrap();
        Self {
            bench,
            dataset: "comments.toml",
            arguments: TEXTS,
            groups: 2 * classes.len(),
            classes,
            overlap,
            inputs: vec!["tested.csv".to_owned()],
            are_tested: true,
        }
    }

    /// The arguments of a run of a method in the folder `run`, with small settings from a file.
    fn run<'a>(&'a self, method: &'a str, run: &'a str) -> Vec<&'a str> {
        let config = Table::from_iter([("settings".to_owned(), Value::Table(small_settings(method)))]);
        std::fs::write(self.bench.file("small.toml"), config.to_string()).unwrap();
        let run = [self.dataset, "--method", method, "--config", "small.toml", "--out", run];
        [&run, self.arguments].concat()
    }

    /// Train, evaluate, stop and go on, predict, with this method.
    fn check(&self, method: &str) {
        let (_, stages) = methods(&self.bench).into_iter().find(|(name, _)| name == method).unwrap();
        self.runs(method, &stages);
        self.goes_on_after_it_was_killed(method);
        self.predicts(method);
    }

    fn runs(&self, method: &str, stages: &[String]) {
        let outcome = self.bench.run(&self.run(method, method)).success();
        let results = self.bench.json(&format!("{method}/results.json"));
        assert_eq!(results["method"], method);
        assert!(results["label_budget"].as_str().is_some_and(|budget| budget.contains("group")), "{method}");
        let names: Vec<&str> =
            results["stages"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
        assert_eq!(names, stages, "{method}");
        assert_eq!(results["selected"]["stage"].as_str(), names.last().copied(), "{method}");
        for split in ["val", "test"] {
            let figures = &results[split];
            assert!(figures["count"].as_u64().unwrap() > 0, "{method}: {split}");
            assert!(figures["average_accuracy"].as_f64().is_some(), "{method}: {split}");
            assert!(figures["worst_group_accuracy"].as_f64().is_some(), "{method}: {split}");
            assert_eq!(figures["groups"].as_array().map(Vec::len), Some(self.groups), "{method}: {split}");
            assert_eq!(figures["groups_overlap"].as_bool(), Some(self.overlap), "{method}: {split}");
        }
        assert!(
            results["peak_memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20) || !cfg!(target_os = "linux")
        );

        // What is saved predicts what was reported.
        let again = self.bench.run(&["evaluate", method]).success().stdout;
        for row in ["worst group", "average (plain)", "worst class"] {
            assert_eq!(last_figure(&outcome.stdout, row), last_figure(&again, row), "{method}: {row}");
        }
    }

    /// The folder of a run says of new inputs which class each is of, and of the test split what was reported.
    fn predicts(&self, run: &str) {
        let inputs = self.inputs.iter().map(String::as_str);
        let outcome = self.bench.run(&["predict", run].into_iter().chain(inputs).collect::<Vec<_>>()).success();
        let class = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let probability =
                |class: &String| line["probabilities"][class].as_f64().unwrap_or_else(|| panic!("{line}"));
            let sum: f64 = self.classes.iter().map(probability).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{run}: {line}");
            self.classes.iter().position(|name| line["class"] == **name).unwrap_or_else(|| panic!("{line}")) as u32
        };
        let predicted: Vec<u32> = outcome.stdout.lines().map(class).collect();
        assert!(predicted.len() >= self.inputs.len(), "{run}: {} inputs", predicted.len());
        if self.are_tested {
            let file = self.bench.file(run).join("predictions.safetensors");
            let reported = candle_core::safetensors::load(file, &Device::Cpu).unwrap()["test"].to_vec1::<u32>();
            assert_eq!(predicted, reported.unwrap(), "{run}");
        }
    }

    /// A method leaves behind the same whether or not it was killed on the way.
    fn goes_on_after_it_was_killed(&self, method: &str) {
        let stopped = format!("{method}-stopped");
        killed_and_resumed(&self.bench, &self.run(method, &stopped), &stopped);
        let (whole, stopped) = (self.bench.file(method), self.bench.file(&stopped));
        let differences = Traces::of(&stopped).differences(&Traces::of(&whole));
        assert!(differences.is_empty(), "{method}: a resumed run differs from an uninterrupted one in {differences:?}");
        assert_eq!(unfinished(&stopped), Vec::<String>::new(), "{method}: unfinished files are left");
    }
}

/// Kill a run as soon as it has a checkpoint, and go on.
fn killed_and_resumed(bench: &Workbench, arguments: &[&str], run: &str) {
    let mut child = bench.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    let checkpoint = bench.file(run).join("checkpoint/last.safetensors");
    while !checkpoint.exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "{} did not appear", checkpoint.display());
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    check_whole(&bench.file(run));
    if !bench.file(run).join("results.json").exists() {
        let _ = bench.run(&[arguments, &["--resume"]].concat()).success();
    }
}

/// The figure that stands last in the row of a table.
fn last_figure(text: &str, row: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("no `{row}` in:\n{text}"));
    line.split_whitespace().last().unwrap().to_owned()
}

/// Tests of these methods on some data.
macro_rules! tests_of {
    ($tiny:expr; $($method:ident)*) => {
        #[test]
        fn the_tests_are_those_of_all_methods() {
            let names: Vec<String> = methods(&Workbench::new()).into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, [$(stringify!($method)),*].map(|method| method.replace('_', "-")));
        }

        $(#[test]
        fn $method() {
            $tiny.check(&stringify!($method).replace('_', "-"));
        })*
    };
}

/// A test for each method on each kind of data, `a_method_runs_on_texts_of_two_classes::group_dro`, and the methods' names.
macro_rules! tests_of_every_method {
    ($($kind:ident: $tiny:expr;)*) => {
        $(mod $kind {
            use super::*;

            tests_of! { $tiny; cnc erm group_dro eiil jtt lff cvar_dro rwg subg rwy suby xrm dfr afr dpe }
        })*
    };
}

tests_of_every_method! {
    a_method_runs_on_images_of_two_classes: Tiny::birds();
    a_method_runs_on_images_of_five_classes: Tiny::digits();
    a_method_runs_on_images_whose_groups_overlap: Tiny::faces_with_two_attributes();
    a_method_runs_on_texts_of_two_classes: Tiny::comments(2, false);
    a_method_runs_on_texts_of_five_classes: Tiny::comments(5, false);
    a_method_runs_on_texts_whose_groups_overlap: Tiny::comments(2, true);
}

/// What each method that is told groups in training is told where the groups of evaluation overlap.
#[test]
fn methods_that_are_told_groups_have_those_of_training_where_those_of_evaluation_overlap() {
    let tiny = Tiny::comments(2, true);
    let text = tiny.bench.run(&["methods"]).success().stdout;
    for method in ["group-dro", "rwg", "subg", "dfr"] {
        assert!(text.contains(method), "{text}");
        let outcome = tiny.bench.run(&tiny.run(method, method)).success();
        assert!(outcome.stderr.contains("train on 4 that do not"), "{method}: {}", outcome.stderr);
    }
}

#[test]
fn jtt_says_when_its_first_stage_made_no_error_to_learn_from() {
    let tiny = Tiny::comments(2, false);
    let warning = "the error set is empty (0 of 60)";
    for (steps, is_learnt) in [("1", false), ("150", true)] {
        let settings = [
            "--set",
            &format!("stage1.steps={steps}"),
            "--set",
            "stage1.epochs=0",
            "--set",
            "stage1.evaluate_every=1000",
            "--set",
            "stage1.optimizer.name=adamw",
            "--set",
            "stage1.optimizer.learning_rate=1e-2",
        ];
        let outcome = tiny.bench.run(&[&tiny.run("jtt", steps)[..], &settings].concat()).success();
        assert_eq!(outcome.stderr.contains(&format!("warning: {warning}")), is_learnt, "{}", outcome.stderr);
        let first = &tiny.bench.json(&format!("{steps}/results.json"))["stages"][0];
        assert_eq!(first["training_errors"]["errors"].as_u64() == Some(0), is_learnt, "{first}");
        assert_eq!(first["notes"].to_string().contains(warning), is_learnt, "{first}");
    }
}

/// The variants of methods that their recipes do not take by default.
#[test]
fn every_variant_runs() {
    let tiny = Tiny::digits();
    for (method, assignment) in [
        ("cnc", "slices=cross-fitted"),
        ("cnc", "slices=clusters"),
        ("cnc", "sides=one"),
        ("erm", "label_smoothing=0.1"),
        ("erm", "focal_gamma=2"),
        ("erm", "mixup_alpha=0.2"),
        ("erm", "class_weights=true"),
        ("subg", "fresh_subsets=true"),
        ("group-dro", "adjustment=1"),
        ("dfr", "penalty=l2"),
    ] {
        let out = format!("{method}-{assignment}");
        let _ = tiny.bench.run(&[&tiny.run(method, &out)[..], &["--set", assignment]].concat()).success();
        assert!(
            tiny.bench.json(&format!("{out}/results.json"))["test"]["average_accuracy"].as_f64().is_some(),
            "{out}"
        );
    }
    tiny.bench
        .run(&["digits", "--method", "erm", "--set", "mixup_alpha=1", "--set", "focal_gamma=1"])
        .fails(2, &["`mixup_alpha`", "`focal_gamma`", "at most one"]);
}
