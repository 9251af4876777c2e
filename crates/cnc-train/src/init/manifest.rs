//! The manifest, as text with its reasons.

use std::fmt::Write as _;

use cnc_data::survey::Survey;
use toml::Value;

use super::guess::{Guess, HELD_OUT, Labels, Split};

/// The table of images that lie in folders.
pub(super) const SAMPLES: &str = "samples.csv";
/// Letters of a token, about: to guess how many tokens a text has.
const LETTERS_OF_TOKEN: usize = 4;

pub(super) fn text(survey: &Survey, guess: &Guess) -> String {
    let kind = if guess.input.letters.is_some() { "text" } else { "image" };
    let mut text = String::from(
        "# Written by `cnc-train init`. Change what is guessed wrong; `cnc-train check` shows what becomes of it.\n",
    );
    let mut put = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    put(format!("name = {}", quoted(&guess.name)));
    put(format!("kind = {}\n\n[input]", quoted(kind)));
    put(format!("column = {}", quoted(&guess.input.column)));
    if let Some(folder) = &guess.input.folder {
        put(format!("folder = {}", quoted(folder)));
    }
    if let Some(letters) = guess.input.letters {
        put(format!("max_length = {}           # tokens; what is longer is cut", tokens(letters)));
    }
    put(format!("\n[class]\n{}", labels(&guess.class)));
    match &guess.attribute {
        Some(attribute) => put(format!("\n[attribute]               # figures are by class and attribute\n{}", labels(attribute))),
        None => put(
            "\n# [attribute]             # a column of what may tempt a model: figures are then by class and attribute\n# column = \"\"\n# \
             names = []"
                .to_owned(),
        ),
    }
    let files = if survey.samples.is_empty() { survey.files.clone() } else { vec![SAMPLES.to_owned()] };
    let files = Value::from(files).to_string();
    put("\n[splits]".to_owned());
    if let Some(column) = &guess.keep_together {
        put(format!("keep_together = {}", quoted(column)));
    }
    put(splits(guess.split.as_ref(), &files));
    if guess.input.letters.is_none() {
        put(format!("\n[transform]\n{}", transform(&guess.model)));
    }
    text
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn labels(labels: &Labels) -> String {
    let mut text = format!("column = {}\nnames = {}", quoted(&labels.column), Value::from(labels.values.clone()));
    let numbers: Option<Vec<i64>> = labels.values.iter().map(|value| value.parse().ok()).collect();
    if let Some(numbers) = numbers {
        // Names say more than numbers: these may be changed as long as the values stay.
        let _ = write!(text, "\nvalues = {}      # of the column, in the order of the names", Value::from(numbers));
    }
    text
}

fn splits(split: Option<&Split>, files: &str) -> String {
    let drawn = |name: &str| format!("{name} = {{ of = \"train\", fraction = {HELD_OUT} }}");
    let Some(split) = split else {
        return format!("train = {{ files = {files} }}\n{}\n{}", drawn("validation"), drawn("test"));
    };
    let rule = |name: &str, values: &[String]| {
        let cells =
            values.iter().map(|value| value.parse::<i64>().map_or_else(|_| Value::from(value.as_str()), Value::from));
        if values.is_empty() {
            drawn(name)
        } else {
            format!("{name} = {{ values = {} }}", Value::Array(cells.collect()))
        }
    };
    let [train, validation, test] = &split.values;
    format!(
        "column = {}\nfiles = {files}\n{}\n{}\n{}",
        quoted(&split.column),
        rule("train", train),
        rule("validation", validation),
        rule("test", test)
    )
}

/// Tokens of most texts: a power of two, as models' limits are.
fn tokens(letters: usize) -> usize {
    (2 * letters / LETTERS_OF_TOKEN).next_power_of_two().clamp(64, 512)
}

fn transform(model: &str) -> String {
    if model.starts_with("resnet") {
        // As torchvision's weights were trained: ImageNet's mean and deviation.
        return "resize = 256\ncrop = 224\naugment = \"none\"\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]".to_owned();
    }
    "square = true             # the middle of each picture\nresize = 32".to_owned()
}
