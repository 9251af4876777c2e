//! All sections together.

use super::attributes;
use super::colour::colouring;
use super::content;
use super::fault::{Fault, fault, inside, unique_names};
use super::labels::labels;
use super::splits::splits;
use crate::DataError;
use crate::hub::is_repository;
use crate::manifest::model::{Attribute, Folder, Input, Join, Layout, Manifest, Source, SplitName};
use crate::manifest::raw;

impl raw::Manifest {
    pub(in crate::manifest) fn check(self, file: String, folder: Folder) -> Result<Manifest, DataError> {
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
