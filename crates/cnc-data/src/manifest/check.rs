//! From what is written to what is meant: every rule that one manifest alone can break.

mod attributes;
mod content;

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::{
    Attribute, Colouring, Folder, Input, Join, Labels, Layout, Manifest, Origin, Rule, Source, SplitName, SplitRule,
    Splits, raw,
};
use crate::DataError;
use crate::colour::Correlation;
use crate::table::Cell;

/// A key and what is wrong with it.
pub(super) struct Fault {
    key: String,
    problem: String,
}

fn fault(key: impl Into<String>, problem: impl Into<String>) -> Fault {
    Fault { key: key.into(), problem: problem.into() }
}

impl raw::Manifest {
    pub(super) fn check(self, file: String, folder: Folder) -> Result<Manifest, DataError> {
        match self.checked(&file, folder) {
            Ok(manifest) => Ok(manifest),
            Err(Fault { key, problem }) => Err(DataError::Manifest { file, key, problem }),
        }
    }

    fn checked(self, file: &str, folder: Folder) -> Result<Manifest, Fault> {
        name(&self.name)?;
        let source = match self.source {
            None => Source::Beside,
            Some(source) => hub(source)?,
        };
        if self.class.names.len() < 2 {
            return Err(fault("class.names", "a classifier needs at least two classes"));
        }
        let class = labels(self.class, "class")?;
        let content = match self.kind {
            raw::Kind::Image => content::images(self.transform, &self.input)?,
            raw::Kind::Text => {
                let colour = self.colour.is_some().then_some("colour");
                let unfit =
                    colour.or(self.join.is_some().then_some("join")).or(self.archive.is_some().then_some("archive"));
                if let Some(section) = unfit {
                    return Err(fault(section, "is of images; these are texts"));
                }
                content::texts(self.transform.is_some(), &self.input)?
            }
        };
        let attribute = match (self.attribute, self.attributes, self.colour) {
            (None, None, None) => Attribute::None,
            (Some(column), None, None) => Attribute::Column(labels(column, "attribute")?),
            (None, Some(several), None) => Attribute::Several(attributes::several(several)?),
            (None, None, Some(colour)) => Attribute::Colour(colouring(colour, class.names.len())?),
            (attribute, _, colour) => {
                let problem = "the attribute is in a column, [attribute], or there are several, [attributes], or it is \
                               made, [colour]: remove one of them";
                let section = if colour.is_some() {
                    "colour"
                } else if attribute.is_some() {
                    "attributes"
                } else {
                    "attribute"
                };
                return Err(fault(section, problem));
            }
        };
        let layout = Layout {
            input: input(self.input, "input")?,
            class,
            attribute,
            splits: splits(self.splits, &source)?,
            join: self.join.map(|join| joined(join, "join")).transpose()?,
        };
        layout.check_groups()?;
        let archive = self.archive.map(|archive| archive.checked(&layout)).transpose()?;
        Ok(Manifest {
            file: file.to_string(),
            folder,
            name: self.name,
            seed: self.seed,
            source,
            layout,
            archive,
            content,
        })
    }
}

impl Layout {
    /// One expected number for each class with each attribute.
    fn check_groups(&self) -> Result<(), Fault> {
        let attributes = match &self.attribute {
            Attribute::Column(labels) => labels.names.len(),
            Attribute::Several(several) => several.columns.len(),
            Attribute::None => 1,
            Attribute::Colour(_) => 0,
        };
        let groups = self.class.names.len() * attributes;
        for split in SplitName::ALL {
            if let Some(numbers) = &self.splits.rule(split).groups
                && numbers.len() != groups
            {
                let problem = format!("{} numbers for {groups} groups: one for each is needed", numbers.len());
                return Err(fault(format!("splits.{split}.groups"), problem));
            }
        }
        Ok(())
    }
}

impl raw::Archive {
    /// Names and expected numbers are those of the manifest's own layout.
    fn checked(self, own: &Layout) -> Result<Layout, Fault> {
        let named = |raw: raw::Column, names: &[String], section: &str| {
            let names = names.to_vec();
            labels(raw::Labels { column: raw.column, names, values: raw.values, threshold: None }, section)
        };
        let attribute = match (&own.attribute, self.attribute) {
            (Attribute::Column(own), Some(column)) => {
                Attribute::Column(named(column, &own.names, "archive.attribute")?)
            }
            (Attribute::Column(_), None) => return Err(fault("archive.attribute", "is missing: [attribute] is there")),
            (_, Some(_)) => return Err(fault("archive.attribute", "has no names: there is no [attribute]")),
            (made, None) => made.clone(),
        };
        let mut splits = splits(self.splits, &Source::Beside)?;
        for (rule, own) in splits.rules.iter_mut().zip(&own.splits.rules) {
            rule.rows = rule.rows.or(own.rows);
            rule.groups = rule.groups.take().or_else(|| own.groups.clone());
        }
        Ok(Layout {
            input: input(self.input, "archive.input")?,
            class: named(self.class, &own.class.names, "archive.class")?,
            attribute,
            splits,
            join: self.join.map(|join| joined(join, "archive.join")).transpose()?,
        })
    }
}

fn input(raw: raw::Input, section: &str) -> Result<Input, Fault> {
    if let Some(folder) = &raw.folder {
        inside(&format!("{section}.folder"), folder)?;
    }
    Ok(Input { column: raw.column, folder: raw.folder })
}

fn joined(raw: raw::Join, section: &str) -> Result<Join, Fault> {
    inside(&format!("{section}.file"), &raw.file)?;
    if let Some(columns) = &raw.columns {
        unique_names(columns, &format!("{section}.columns"))?;
    }
    Ok(Join { file: raw.file, columns: raw.columns })
}

fn name(name: &str) -> Result<(), Fault> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(fault("name", format!("{name:?} will name folders: letters, digits, `-` and `_` only")));
    }
    Ok(())
}

fn hub(source: raw::Source) -> Result<Source, Fault> {
    if !is_repository(&source.hub) {
        return Err(fault("source.hub", format!("{:?} is not the name of a repository: `owner/name`", source.hub)));
    }
    inside("source.revision", &source.revision)?;
    Ok(Source::Hub { repository: source.hub, revision: source.revision })
}

/// Whether a text is `owner/name`.
pub(super) fn is_repository(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    text.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name))
}

/// Refuses a path that leaves the folder it is meant to be in.
fn inside(key: &str, path: &str) -> Result<(), Fault> {
    let stays = |component| matches!(component, Component::Normal(_));
    if path.is_empty() || !Path::new(path).components().all(stays) {
        return Err(fault(key, format!("{path:?} must be a plain relative path, without `..`")));
    }
    Ok(())
}

fn labels(raw: raw::Labels, section: &str) -> Result<Labels, Fault> {
    unique_names(&raw.names, &format!("{section}.names"))?;
    let rule = match (raw.threshold, raw.values) {
        (None, values) => listed(values, &raw.names, &format!("{section}.values"))?,
        (Some(_), Some(_)) => {
            return Err(fault(format!("{section}.threshold"), "cells have names by `values` or by a `threshold`"));
        }
        (Some(_), None) if raw.names.len() != 2 => {
            let problem = format!("tells two names apart, and there are {}", raw.names.len());
            return Err(fault(format!("{section}.threshold"), problem));
        }
        (Some(threshold), None) => Rule::Threshold(attributes::threshold(threshold, &format!("{section}.threshold"))?),
    };
    Ok(Labels { column: raw.column, names: raw.names, rule })
}

/// The cells of each name; 0, 1, ... and the names themselves where none are listed.
fn listed(lists: Option<Vec<toml::Value>>, names: &[String], key: &str) -> Result<Rule, Fault> {
    let mut values = BTreeMap::new();
    let Some(lists) = lists else {
        for (index, name) in (0..).zip(names) {
            values.insert(Cell::Integer(i64::from(index)), index);
            values.insert(Cell::Text(name.clone()), index);
        }
        return Ok(Rule::Values { values, listed: false });
    };
    if lists.len() != names.len() {
        let problem = format!("{} entries for {} names: one for each is needed", lists.len(), names.len());
        return Err(fault(key, problem));
    }
    for (index, list) in (0..).zip(lists) {
        for cell in cells(list, key)? {
            let shown = cell.to_string();
            if values.insert(cell, index).is_some() {
                return Err(fault(key, format!("{shown} stands twice: each value belongs to one name")));
            }
        }
    }
    Ok(Rule::Values { values, listed: true })
}

/// One cell, or a list of them.
fn cells(value: toml::Value, key: &str) -> Result<Vec<Cell>, Fault> {
    let cell = |value| match value {
        toml::Value::Integer(value) => Ok(Cell::Integer(value)),
        toml::Value::Boolean(value) => Ok(Cell::Integer(i64::from(value))),
        toml::Value::String(value) => Ok(Cell::Text(value)),
        other => Err(fault(key, format!("{other} has the wrong type: a whole number, text, true or false is needed"))),
    };
    match value {
        toml::Value::Array(list) if list.is_empty() => Err(fault(key, "an empty list matches no row")),
        toml::Value::Array(list) => list.into_iter().map(cell).collect(),
        single => Ok(vec![cell(single)?]),
    }
}

fn unique_names(names: &[String], key: &str) -> Result<(), Fault> {
    if names.is_empty() {
        return Err(fault(key, "at least one name is needed"));
    }
    for (i, name) in names.iter().enumerate() {
        if name.trim().is_empty() || names.iter().take(i).any(|earlier| earlier == name) {
            return Err(fault(key, format!("{name:?} is empty or stands twice: each name must tell its value apart")));
        }
    }
    Ok(())
}

fn colouring(raw: raw::Colour, classes: usize) -> Result<Colouring, Fault> {
    unique_names(&raw.names, "colour.names")?;
    if raw.names.len() != classes {
        let problem = format!("{} colours for {classes} classes: colour = class needs as many", raw.names.len());
        return Err(fault("colour.names", problem));
    }
    if raw.rgb.len() != raw.names.len() {
        let problem = format!("{} entries for {} names: one for each is needed", raw.rgb.len(), raw.names.len());
        return Err(fault("colour.rgb", problem));
    }
    if !(0.0..=1.0).contains(&raw.probability) {
        return Err(fault("colour.probability", format!("{} is not between 0 and 1", raw.probability)));
    }
    let rgb = raw.rgb.iter().map(|text| hex(text)).collect::<Result<_, _>>()?;
    Ok(Colouring {
        names: raw.names,
        rgb,
        threshold: raw.threshold,
        train: Correlation { probability: raw.probability },
        validation: raw.validation,
        test: raw.test,
    })
}

fn hex(text: &str) -> Result<[u8; 3], Fault> {
    let wrong = || fault("colour.rgb", format!("{text:?} is not a colour: `#rrggbb` is needed, as in \"#ff8000\""));
    let digits = text.strip_prefix('#').ok_or_else(wrong)?;
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let value = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
    let [_, red, green, blue] = value.to_be_bytes();
    Ok([red, green, blue])
}

fn splits(raw: raw::Splits, source: &Source) -> Result<Splits, Fault> {
    if raw.column.is_some() != raw.files.is_some() {
        return Err(fault(
            "splits",
            "`column` and `files` go together: the files, and their column that names the split",
        ));
    }
    let by_column = raw.column.is_some();
    let rules = [
        rule(raw.train, SplitName::Train, by_column)?,
        rule(raw.validation, SplitName::Validation, by_column)?,
        rule(raw.test, SplitName::Test, by_column)?,
    ];
    let splits = Splits { column: raw.column, files: raw.files.unwrap_or_default(), rules };
    let mut seen_files: Vec<&String> = Vec::new();
    let mut seen_values: Vec<&Cell> = Vec::new();
    let mut fractions = BTreeMap::new();
    for split in SplitName::ALL {
        let key = format!("splits.{split}");
        match &splits.rule(split).from {
            Origin::Files(files) => seen_files.extend(files),
            Origin::Values(values) => seen_values.extend(values),
            Origin::Fraction { of, fraction } => {
                if matches!(splits.rule(*of).from, Origin::Fraction { .. }) {
                    return Err(fault(key, format!("is a fraction of `{of}`, which is a fraction itself")));
                }
                let taken = fractions.entry(*of).or_insert(0.0);
                *taken += fraction;
                if *taken >= 1.0 {
                    return Err(fault(key, format!("the fractions of `{of}` leave nothing of it")));
                }
            }
        }
    }
    seen_files.extend(&splits.files);
    for (i, file) in seen_files.iter().enumerate() {
        if seen_files.iter().take(i).any(|earlier| earlier == file) {
            return Err(fault("splits", format!("the file {file} stands twice: its rows would be in two places")));
        }
        if let Source::Hub { .. } = source {
            inside("splits", file)?;
        }
    }
    for (i, value) in seen_values.iter().enumerate() {
        if seen_values.iter().take(i).any(|earlier| earlier == value) {
            return Err(fault("splits", format!("the value {value} stands twice: its rows would be in two places")));
        }
    }
    Ok(splits)
}

fn rule(raw: raw::Split, split: SplitName, by_column: bool) -> Result<SplitRule, Fault> {
    let key = format!("splits.{split}");
    let from = match (raw.files, raw.values, raw.of, raw.fraction) {
        (Some(files), None, None, None) if files.is_empty() => {
            return Err(fault(key, "has an empty list of files: a split without rows"));
        }
        (Some(files), None, None, None) => Origin::Files(files),
        (None, Some(_), None, None) if !by_column => {
            return Err(fault(key, "has `values`, but [splits] names no `column` that holds them"));
        }
        (None, Some(values), None, None) => {
            Origin::Values(cells(toml::Value::Array(values), &format!("{key}.values"))?)
        }
        (None, None, Some(of), Some(fraction)) => {
            if !(fraction > 0.0 && fraction < 1.0) {
                return Err(fault(format!("{key}.fraction"), format!("{fraction} is not between 0 and 1")));
            }
            if of == split {
                return Err(fault(format!("{key}.of"), "a split cannot be a fraction of itself"));
            }
            Origin::Fraction { of, fraction }
        }
        _ => {
            let problem = "needs exactly one of: `files`; `values` of the splits' column; `of` with `fraction`";
            return Err(fault(key, problem));
        }
    };
    Ok(SplitRule { from, rows: raw.rows, groups: raw.groups })
}
