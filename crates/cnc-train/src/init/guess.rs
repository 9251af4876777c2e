//! Which column is what.

use cnc_data::SplitName;
use cnc_data::survey::{Column, Holds, ImageFiles, Survey};

use super::{Assumption, Wishes};
use crate::error::UsageError;

/// Names that columns of classes go by.
const CLASSES: [&str; 12] = [
    "class",
    "label",
    "labels",
    "target",
    "y",
    "category",
    "sentiment",
    "diagnosis",
    "species",
    "toxic",
    "outcome",
    "verdict",
];
/// Names that columns of splits go by.
const SPLITS: [&str; 6] = ["split", "partition", "subset", "set", "phase", "splits"];
/// Words in the names of columns whose rows of one value are not independent.
const TOGETHER: [&str; 8] = ["patient", "subject", "person", "author", "user", "site", "scene", "video"];
/// Most values of an attribute that is worth a group of its own.
const MOST_ATTRIBUTES: usize = 20;
/// Rows from which the figure of a class means something.
const FEW: usize = 20;
/// Share of the rows for validation and for test, where no column says.
pub(super) const HELD_OUT: f64 = 0.15;

/// What was decided.
pub(super) struct Guess {
    pub(super) name: String,
    pub(super) input: Input,
    pub(super) class: Labels,
    pub(super) attribute: Option<Labels>,
    pub(super) split: Option<Split>,
    pub(super) keep_together: Option<String>,
    pub(super) model: String,
    /// Rows for training, about.
    pub(super) train_rows: usize,
    pub(super) assumed: Vec<Assumption>,
    pub(super) warnings: Vec<String>,
}

/// The column of the inputs.
pub(super) struct Input {
    pub(super) column: String,
    /// The folder of image files.
    pub(super) folder: Option<String>,
    /// Letters of a middling text; none of images.
    pub(super) letters: Option<usize>,
}

/// A column of names, and its values in order.
pub(super) struct Labels {
    pub(super) column: String,
    pub(super) values: Vec<String>,
}

/// A column of splits, and the values of each.
pub(super) struct Split {
    pub(super) column: String,
    pub(super) values: [Vec<String>; 3],
}

impl Guess {
    pub(super) fn of(survey: &Survey, wishes: &Wishes) -> Result<Self, UsageError> {
        let mut assumed = Vec::new();
        let mut warnings = Vec::new();
        let mut assume = |of, taken: &str, seen: String| assumed.push(Assumption { of, taken: taken.to_owned(), seen });

        let (column, input) = input(survey, wishes)?;
        assume("input", &column.name, looks(column));
        if let Holds::Images(ImageFiles::Named { there, .. }) = column.holds
            && there < survey.rows
        {
            warnings.push(format!("{} of {} image files are not there", survey.rows - there, survey.rows));
        }
        let splits = splits(survey, wishes)?;
        let is_taken = |name: &str| name == input.column || splits.as_ref().is_some_and(|split| split.column == name);
        let class = class(survey, wishes, &is_taken)?;
        assume("class", &class.name, looks(class));
        let attribute = match &wishes.attribute {
            None => None,
            Some(name) => Some(found(survey, name, "--attribute")?),
        };
        match attribute {
            Some(column) => assume("attribute", &column.name, looks(column)),
            None => assume("attribute", "none", candidates(survey, &|name| is_taken(name) || name == class.name)),
        }
        for column in [Some(class), attribute].into_iter().flatten().filter(|column| column.empty > 0) {
            warnings.push(format!("{} rows have no `{}`; every row needs one", column.empty, column.name));
        }
        for (value, rows) in class.categories().unwrap_or_default().iter().filter(|(_, rows)| *rows < FEW) {
            warnings.push(format!("class {value:?} has {rows} rows: too few to measure how well it is learned"));
        }
        match &wishes.keep_together {
            Some(name) => assume("together", name, looks(found(survey, name, "--keep-together")?)),
            None => warnings.extend(dependent(survey)),
        }
        let train_rows = match &splits {
            None => {
                let share = format!("{0:.0} % for validation, {0:.0} % for test", 100.0 * HELD_OUT);
                assume("splits", "at random", share);
                (survey.rows as f64 * (1.0 - 2.0 * HELD_OUT)) as usize
            }
            Some(split) => {
                let rows = split.rows(survey);
                let [train, validation, test] = rows;
                let told = |name, rows| if rows == 0 { format!("{name} drawn") } else { format!("{name} {rows}") };
                let seen = [told("train", train), told("validation", validation), told("test", test)].join(", ");
                assume("splits", &split.column, seen);
                train
            }
        };
        let model = wishes.model.clone().unwrap_or_else(|| input.default_model().to_owned());
        assume("model", &model, model_note(&model).to_owned());
        let class = labels(class)?;
        let attribute = attribute.map(labels).transpose()?;
        let name = wishes.name.clone().unwrap_or_else(|| survey.name.clone());
        let keep_together = wishes.keep_together.clone();
        Ok(Self { name, input, class, attribute, split: splits, keep_together, model, train_rows, assumed, warnings })
    }
}

impl Input {
    fn default_model(&self) -> &'static str {
        if self.letters.is_some() { "bert" } else { "lenet" }
    }
}

impl Split {
    /// Rows of each split, as far as the column says.
    fn rows(&self, survey: &Survey) -> [usize; 3] {
        let counts = survey.column(&self.column).and_then(Column::categories).unwrap_or_default();
        let of = |values: &Vec<String>| {
            counts.iter().filter(|(value, _)| values.contains(value)).map(|(_, rows)| rows).sum()
        };
        [of(&self.values[0]), of(&self.values[1]), of(&self.values[2])]
    }
}

fn model_note(model: &str) -> &'static str {
    match model {
        "lenet" => "small and quick, 32 x 32 pixels, from scratch; --model resnet50 starts from ImageNet's weights",
        "bert" => "starts from google-bert/bert-base-uncased; --init DIR names another",
        _ => "as asked for",
    }
}

/// A column that the user names.
fn found<'a>(survey: &'a Survey, name: &str, flag: &str) -> Result<&'a Column, UsageError> {
    survey.column(name).ok_or_else(|| {
        let names: Vec<&str> = survey.columns.iter().map(|column| column.name.as_str()).collect();
        UsageError(format!("{flag} {name}: there is no such column; there are {}", names.join(", ")))
    })
}

fn input<'a>(survey: &'a Survey, wishes: &Wishes) -> Result<(&'a Column, Input), UsageError> {
    let letters = |column: &Column| if let Holds::Texts { median } = column.holds { Some(median) } else { None };
    let column = match &wishes.input {
        Some(name) => found(survey, name, "--input")?,
        None => {
            let images = survey.columns.iter().find(|column| matches!(column.holds, Holds::Images(_)));
            let longest =
                || survey.columns.iter().filter(|column| letters(column).is_some()).max_by_key(|c| letters(c));
            images.or_else(longest).ok_or_else(|| {
                UsageError(format!("neither images nor texts are seen\n{}\n  hint: --input COLUMN", listed(survey)))
            })?
        }
    };
    let (folder, letters) = match &column.holds {
        Holds::Images(ImageFiles::Named { folder, .. }) => (folder.clone(), None),
        Holds::Images(ImageFiles::Inside) => (None, None),
        _ => (None, Some(letters(column).unwrap_or(0))),
    };
    Ok((column, Input { column: column.name.clone(), folder, letters }))
}

fn class<'a>(survey: &'a Survey, wishes: &Wishes, is_taken: &dyn Fn(&str) -> bool) -> Result<&'a Column, UsageError> {
    if let Some(name) = &wishes.class {
        return found(survey, name, "--class");
    }
    let could_be = |column: &&Column| {
        !is_taken(&column.name)
            && wishes.attribute.as_ref() != Some(&column.name)
            && column.categories().is_some_and(|values| values.len() > 1)
    };
    let columns: Vec<&Column> = survey.columns.iter().filter(could_be).collect();
    let by_name = CLASSES.iter().find_map(|name| columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)));
    match (by_name, columns.as_slice()) {
        (Some(column), _) => Ok(column),
        (None, [only]) => Ok(only),
        (None, _) => Err(UsageError(format!("which column is the class?\n{}\n  hint: --class COLUMN", listed(survey)))),
    }
}

fn splits(survey: &Survey, wishes: &Wishes) -> Result<Option<Split>, UsageError> {
    let column = match &wishes.split {
        Some(name) => Some(found(survey, name, "--split")?),
        None => survey.columns.iter().find(|column| {
            SPLITS.iter().any(|name| column.name.eq_ignore_ascii_case(name))
                && column.categories().is_some_and(|values| values.iter().all(|(value, _)| split_of(value).is_some()))
        }),
    };
    let Some(column) = column else { return Ok(None) };
    let mut values = [const { Vec::new() }; 3];
    for (value, _) in column.categories().unwrap_or_default() {
        let split = split_of(value).ok_or_else(|| {
            UsageError(format!(
                "--split {}: {value:?} is none of train, validation, test (or 0, 1, 2)\n  hint: leave it out and split at random, or \
                 change the values",
                column.name
            ))
        })?;
        values[split as usize].push(value.clone());
    }
    if values[0].is_empty() {
        return Err(UsageError(format!("--split {}: no row is for training", column.name)));
    }
    Ok(Some(Split { column: column.name.clone(), values }))
}

/// By name, or by number in the order of use.
fn split_of(value: &str) -> Option<SplitName> {
    let numbered = ["0", "1", "2"].into_iter().zip(SplitName::ALL).find(|(number, _)| *number == value);
    SplitName::called(value).or(numbered.map(|(_, split)| split))
}

fn labels(column: &Column) -> Result<Labels, UsageError> {
    match column.categories() {
        Some(values) if values.len() > 1 => {
            Ok(Labels { column: column.name.clone(), values: values.iter().map(|(value, _)| value.clone()).collect() })
        }
        _ => Err(UsageError(format!(
            "column `{}` {}; it needs 2 to 100 values that come again",
            column.name,
            looks(column)
        ))),
    }
}

/// What could be the attribute.
fn candidates(survey: &Survey, is_taken: &dyn Fn(&str) -> bool) -> String {
    let values = |column: &Column| column.categories().map_or(0, <[_]>::len);
    let could_be = |column: &&Column| !is_taken(&column.name) && (2..=MOST_ATTRIBUTES).contains(&values(column));
    let names: Vec<String> = survey
        .columns
        .iter()
        .filter(could_be)
        .map(|column| format!("--attribute {} ({} values)", column.name, values(column)))
        .collect();
    if names.is_empty() { "figures are by class".to_owned() } else { format!("could be: {}", names.join(", ")) }
}

/// A warning of a column whose rows of one value may stand on both sides of a split.
fn dependent(survey: &Survey) -> Option<String> {
    let is_named = |column: &&Column| TOGETHER.iter().any(|word| column.name.to_lowercase().contains(word));
    let column = survey.columns.iter().find(is_named)?;
    Some(format!(
        "rows of one `{0}` may be in training and in test, which then measures nothing new: --keep-together {0} keeps them in one split",
        column.name
    ))
}

/// All columns, a line each.
fn listed(survey: &Survey) -> String {
    let line = |column: &Column| format!("  {:<24} {}", column.name, looks(column));
    survey.columns.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What a column looks like, in a few words.
fn looks(column: &Column) -> String {
    match &column.holds {
        Holds::Images(ImageFiles::Inside) => "images".to_owned(),
        Holds::Images(ImageFiles::Named { folder: Some(folder), there }) => format!("{there} image files in {folder}/"),
        Holds::Images(ImageFiles::Named { folder: None, there }) => format!("{there} image files"),
        Holds::Texts { median } => format!("texts, half of {median} letters or more"),
        Holds::Categories(values) => {
            let shown: Vec<String> = values.iter().take(8).map(|(value, rows)| format!("{value} ({rows})")).collect();
            let more = if values.len() > 8 { format!(" and {} more", values.len() - 8) } else { String::new() };
            format!("{}{more}", shown.join(", "))
        }
        Holds::Numbers => "numbers".to_owned(),
        Holds::Other => "differs from row to row".to_owned(),
    }
}
