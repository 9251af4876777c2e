//! Which row of which file belongs to which split, with which class and attribute: everything but the images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use cnc_base::seeds::of_data;

use super::row::{Row, Rows, Shown};
use super::table::Table;
use super::{counts, fractions, shares};
use crate::colour::{self, HeldOut};
use crate::error::DataError;
use crate::hub::HubCache;
use crate::manifest::{Attribute, Labels, Manifest, Origin, Rule, SplitName};
use crate::options::OpenOptions;
use crate::table::{Cell, Location};

/// The files of a dataset and the rows of its splits: train, validation, test.
pub(crate) struct SplitRows {
    pub(crate) files: Vec<Table>,
    pub(crate) splits: [Rows; 3],
    /// What a user should know of the rows.
    pub(crate) notes: Vec<String>,
}

/// The label of a row whose class is not told: the hub's -1.
const HIDDEN: u32 = u32::MAX;

impl SplitRows {
    pub(crate) fn read(manifest: &Manifest, options: &OpenOptions) -> Result<Self, DataError> {
        let seed = manifest.seed.unwrap_or(options.seed);
        if options.limit == Some(0) {
            return Err(manifest.error("limit", "0 leaves no row: at least 1 is needed".to_string()));
        }
        let mut reader = Reader {
            manifest,
            hub: &options.hub,
            files: Vec::new(),
            opened: BTreeSet::new(),
            cells_seen: BTreeSet::new(),
            classes_seen: BTreeSet::new(),
            unannotated: 0,
            units: BTreeMap::new(),
        };
        let mut splits = [Vec::new(), Vec::new(), Vec::new()];
        reader.by_column(&mut splits)?;
        for (split, rows) in SplitName::ALL.into_iter().zip(&mut splits) {
            if let Origin::Files(files) = &manifest.layout.splits.rule(split).from {
                for file in files {
                    for table in reader.open(file)? {
                        rows.extend(reader.rows(table)?);
                    }
                }
            }
        }
        fractions::take(manifest, seed, &mut splits);
        for (split, rows) in SplitName::ALL.into_iter().zip(&splits) {
            reader.check_split(split, rows)?;
        }
        reader.check_classes()?;
        let mut notes = Vec::new();
        if reader.unannotated > 0 {
            notes.push(format!(
                "{} rows have an empty cell for an attribute: not annotated, and taken as not having it",
                reader.unannotated
            ));
        }
        notes.extend(drawn(manifest));
        notes.extend(reader.divided(&splits));
        if let Some(tables) = counts::compare(manifest, &splits) {
            if !options.allow_count_mismatch {
                return Err(counts::mismatch(manifest, tables));
            }
            notes.push(format!("the numbers of rows are not the expected ones\n{tables}"));
        }
        let [train, validation, test] = splits;
        let finish = |split, rows| {
            let mut rows = with_attribute(manifest, seed, split, rows);
            if let Some(limit) = options.limit {
                rows.rows.truncate(limit.div_ceil(rows.copies()));
            }
            rows
        };
        let splits =
            [finish(SplitName::Train, train), finish(SplitName::Validation, validation), finish(SplitName::Test, test)];
        Ok(Self { files: reader.files, splits, notes })
    }
}

struct Reader<'a> {
    manifest: &'a Manifest,
    hub: &'a HubCache,
    files: Vec<Table>,
    /// The files that were opened, whatever the manifest calls them.
    opened: BTreeSet<PathBuf>,
    /// Every cell of the class column, where its cells have names one by one.
    cells_seen: BTreeSet<Cell>,
    /// Every class that a row has.
    classes_seen: BTreeSet<u32>,
    /// Rows with an empty cell for an attribute.
    unannotated: usize,
    /// What the column of units holds, numbered: the rows of each stay in one split.
    units: BTreeMap<Cell, u32>,
}

impl Reader<'_> {
    /// The tables that one of the manifest's names stands for.
    fn open(&mut self, name: &str) -> Result<Vec<Table>, DataError> {
        let files = self.manifest.locate(name, self.hub)?;
        for file in &files {
            if let Location::Disk(path) = &file.location
                && !self.opened.insert(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
            {
                let problem = format!("{name:?} stands for {} once more: its rows would be in two places", file.name);
                return Err(self.manifest.error("splits", problem));
            }
        }
        files.into_iter().map(|file| Table::open(self.manifest, file, self.hub)).collect()
    }

    /// The rows of one table, in order.
    fn rows(&mut self, table: Table) -> Result<Vec<Row>, DataError> {
        let labels = self.labels(&table)?;
        let (attributes, several) = self.attributes(&table, labels.len())?;
        let units = self.units(&table, labels.len())?;
        let file = self.files.len();
        self.files.push(table);
        let rows = labels.into_iter().zip(attributes).zip(several).zip(units).enumerate();
        let row = |(row, (((label, attribute), several), unit))| Row { file, row, label, attribute, several, unit };
        Ok(rows.map(row).collect())
    }

    /// For each row the number of what it stays together with.
    fn units(&mut self, table: &Table, rows: usize) -> Result<Vec<Option<u32>>, DataError> {
        let Some(column) = &self.manifest.layout.splits.keep_together else { return Ok(vec![None; rows]) };
        let unit = |cell: Cell| {
            let next = self.units.len() as u32;
            Some(*self.units.entry(cell.value()).or_insert(next))
        };
        Ok(table.cells(column)?.into_iter().map(unit).collect())
    }

    /// What is to be said of the units that are in several splits all the same, as files or a column of splits have them there.
    fn divided(&self, splits: &[Vec<Row>; 3]) -> Option<String> {
        let column = self.manifest.layout.splits.keep_together.as_ref()?;
        let mut places: BTreeMap<u32, BTreeSet<SplitName>> = BTreeMap::new();
        for (split, rows) in SplitName::ALL.into_iter().zip(splits) {
            rows.iter().filter_map(|row| row.unit).for_each(|unit| _ = places.entry(unit).or_default().insert(split));
        }
        let divided: Vec<_> = places.iter().filter(|(_, splits)| splits.len() > 1).collect();
        let (unit, splits) = divided.first()?;
        let (name, _) = self.units.iter().find(|(_, number)| number == unit)?;
        let splits: Vec<&str> = splits.iter().map(|split| split.as_str()).collect();
        Some(format!(
            "warning: {} of {} values of `{column}` are in several splits, for example {} in {}: what is measured there is partly known from \
             training",
            divided.len(),
            places.len(),
            name,
            splits.join(" and ")
        ))
    }

    fn labels(&mut self, table: &Table) -> Result<Vec<u32>, DataError> {
        let class = &self.manifest.layout.class;
        if let Rule::Threshold(threshold) = &class.rule {
            let labels: Vec<u32> = shares::all_reach(table, &class.column, *threshold)?;
            self.classes_seen.extend(&labels);
            return Ok(labels);
        }
        let cells = table.cells(&class.column)?;
        let mut labels = Vec::with_capacity(cells.len());
        let mut form = LabelForm::default();
        for (row, cell) in cells.into_iter().enumerate() {
            let (label, value) = match class.find(&cell) {
                Some(found) => found,
                None if cell.value() == Cell::Integer(-1) => (HIDDEN, cell),
                None => return Err(unknown(table, class, row, &cell, "class")),
            };
            if label != HIDDEN {
                form.check(table, class, row, &value)?;
            }
            labels.push(label);
            self.cells_seen.insert(value);
        }
        self.classes_seen.extend(&labels);
        Ok(labels)
    }

    /// For each row the attribute, and the bits of those of which it may have several.
    fn attributes(&mut self, table: &Table, rows: usize) -> Result<(Vec<u32>, Vec<u32>), DataError> {
        let mut several = vec![0; rows];
        let attributes = match &self.manifest.layout.attribute {
            Attribute::None | Attribute::Colour(_) => vec![0; rows],
            Attribute::Column(attribute) => match &attribute.rule {
                Rule::Threshold(threshold) => {
                    let reach = shares::reach(table, &attribute.column, *threshold)?;
                    self.unannotated += reach.iter().filter(|reach| reach.is_none()).count();
                    reach.into_iter().map(|reach| u32::from(reach == Some(true))).collect()
                }
                Rule::Values { .. } => {
                    let mut form = LabelForm::default();
                    let known = |(row, cell): (usize, Cell)| match attribute.find(&cell) {
                        Some((index, value)) => form.check(table, attribute, row, &value).map(|()| index),
                        None => Err(unknown(table, attribute, row, &cell, "attribute")),
                    };
                    table.cells(&attribute.column)?.into_iter().enumerate().map(known).collect::<Result<_, _>>()?
                }
            },
            Attribute::Several(attributes) => {
                let mut is_annotated = vec![true; rows];
                for (bit, share) in attributes.columns.iter().enumerate() {
                    let reach = shares::reach(table, &share.column, share.threshold)?;
                    for ((reach, bits), annotated) in reach.into_iter().zip(&mut several).zip(&mut is_annotated) {
                        *bits |= u32::from(reach == Some(true)) << bit;
                        *annotated &= reach.is_some();
                    }
                }
                self.unannotated += is_annotated.iter().filter(|annotated| !**annotated).count();
                several.iter().map(|bits| u32::from(*bits != 0)).collect()
            }
        };
        Ok((attributes, several))
    }

    /// Deals the rows of the files that hold several splits.
    fn by_column(&mut self, splits: &mut [Vec<Row>; 3]) -> Result<(), DataError> {
        let Some(column) = &self.manifest.layout.splits.column else { return Ok(()) };
        let mut tables = Vec::new();
        for file in &self.manifest.layout.splits.files {
            tables.extend(self.open(file)?);
        }
        for table in tables {
            let cells = table.cells(column)?;
            let rows = self.rows(table)?;
            let Some(table) = self.files.last() else { continue };
            for (row, cell) in rows.into_iter().zip(cells) {
                let (value, other) = (cell.value(), cell.value().counterpart());
                let belongs = |split: &SplitName| {
                    let from = &self.manifest.layout.splits.rule(*split).from;
                    let is_one = |listed: &Cell| listed.value() == value || Some(listed.value()) == other;
                    matches!(from, Origin::Values(values) if values.iter().any(is_one))
                };
                match SplitName::ALL.iter().zip(splits.iter_mut()).find(|(split, _)| belongs(split)) {
                    Some((_, rows)) => rows.push(row),
                    None => {
                        let problem = format!("{cell} belongs to no split: list it under `values` of one of [splits]");
                        return Err(table.row_error(row.row, column, problem));
                    }
                }
            }
        }
        Ok(())
    }

    fn check_split(&self, split: SplitName, rows: &[Row]) -> Result<(), DataError> {
        let rule = self.manifest.layout.splits.rule(split);
        if rows.is_empty() {
            let problem = match &rule.from {
                Origin::Files(files) => format!("has no rows: {} hold none", files.join(", ")),
                Origin::Values(values) => {
                    let values: Vec<String> = values.iter().map(Cell::to_string).collect();
                    format!("has no rows: no row of the splits' column holds {}", values.join(" or "))
                }
                Origin::Fraction { of, fraction } => format!("has no rows: {fraction} of `{of}` is less than one row"),
            };
            return Err(self.manifest.split_error(split, problem));
        }
        let column = &self.manifest.layout.class.column;
        let hidden = rows.iter().filter(|row| row.label == HIDDEN).count();
        match rows.iter().find(|row| row.label == HIDDEN).map(|row| (row, self.files.get(row.file))) {
            Some((row, Some(file))) if hidden < rows.len() => {
                Err(unknown(file, &self.manifest.layout.class, row.row, &Cell::Integer(-1), "class"))
            }
            Some(_) => Err(self.manifest.split_error(
                split,
                format!(
                    "has no labels: `{column}` is -1 in all of its {} rows. Take labelled rows for it, for example \
                     {split} = {{ of = \"train\", fraction = 0.1 }}",
                    rows.len()
                ),
            )),
            None => Ok(()),
        }
    }

    fn check_classes(&self) -> Result<(), DataError> {
        let Labels { column, names, rule } = &self.manifest.layout.class;
        for (class, name) in (0..).zip(names) {
            let Rule::Values { values, listed } = rule else {
                if !self.classes_seen.contains(&class) {
                    let problem = format!("no row is of class {name:?} by its `{column}`");
                    return Err(self.manifest.error("class.threshold", problem));
                }
                continue;
            };
            let of_class = || values.iter().filter(|(_, index)| **index == class).map(|(cell, _)| cell);
            let missing = match listed {
                true => of_class().find(|cell| !self.cells_seen.contains(*cell)).map(Cell::to_string),
                false => (!self.classes_seen.contains(&class)).then(|| {
                    let positions = self.manifest.layout.class.names_are_words().then(|| class.to_string());
                    positions.into_iter().chain(of_class().map(Cell::to_string)).collect::<Vec<_>>().join(" or ")
                }),
            };
            if let Some(cell) = missing {
                let found: Vec<String> = self.cells_seen.iter().take(20).map(Cell::to_string).collect();
                let problem =
                    format!("no row has {cell} in `{column}`, class {name:?}; the values there: {}", found.join(", "));
                return Err(self.manifest.error("class.values", problem));
            }
        }
        Ok(())
    }
}

/// What programs write where a value is missing.
const MISSING: [&str; 7] = ["nan", "none", "null", "na", "n/a", "-", "?"];

/// A cell that has none of the names; `section` of the manifest has these.
fn unknown(table: &Table, labels: &Labels, row: usize, cell: &Cell, section: &str) -> DataError {
    let problem = if labels.is_ambiguous(cell) {
        format!(
            "{cell} could be a name or the number of one, where the names are {}: say in [{section}] which value has which name, for \
             example values = [{}]",
            labels.names.join(" and "),
            (0..labels.names.len()).map(|index| index.to_string()).collect::<Vec<_>>().join(", ")
        )
    } else {
        let mut known = labels.known();
        if known.len() > 20 {
            known.truncate(20);
            known.push("...".to_string());
        }
        let is_missing = MISSING.contains(&cell.text().trim().to_lowercase().as_str());
        let hint = if is_missing { "; it reads as a missing value: fill it in, or leave the row out" } else { "" };
        format!("{cell} is none of the manifest's {section}.values: {}{hint}", known.join(", "))
    };
    table.row_error(row, &labels.column, problem)
}

/// Whether the cells of a column of a file are names or the numbers of names, told by the first of them, and where that stands.
#[derive(Default)]
struct LabelForm(Option<(bool, String)>);

impl LabelForm {
    /// Refuses a cell of the one kind among those of the other: whoever writes both does not count as the manifest does.
    fn check(&mut self, table: &Table, labels: &Labels, row: usize, value: &Cell) -> Result<(), DataError> {
        let is_number = labels.is_number_of_name(value);
        let first = || (is_number, format!("{value} in {}", table.place(row)));
        let (was_number, first) = self.0.get_or_insert_with(first);
        if *was_number == is_number {
            return Ok(());
        }
        let (this, that) = if is_number { ("the number of a name", "a name") } else { ("a name", "the number of one") };
        let problem = format!(
            "{value} is {this}, and {first} is {that}: write one or the other in all rows, or say in the manifest which value has which \
             name: values = [...]"
        );
        Err(table.row_error(row, &labels.column, problem))
    }
}

/// How splits were drawn, where a manifest leaves that to this program.
fn drawn(manifest: &Manifest) -> Option<String> {
    let rules = &manifest.layout.splits;
    let is_drawn = |split: &SplitName| matches!(rules.rule(*split).from, Origin::Fraction { .. });
    let drawn: Vec<&str> = SplitName::ALL.iter().filter(|split| is_drawn(split)).map(|split| split.as_str()).collect();
    if drawn.is_empty() || !rules.stratify {
        return None;
    }
    let together =
        rules.keep_together.as_ref().map_or(String::new(), |column| format!(", rows of one `{column}` together"));
    Some(format!("{} drawn at random within each class{together}", drawn.join(" and ")))
}

/// Colours the rows of a split, where its attribute is made.
fn with_attribute(manifest: &Manifest, seed: u64, split: SplitName, mut rows: Vec<Row>) -> Rows {
    let colouring = match &manifest.layout.attribute {
        Attribute::None => return Rows { rows, shown: Shown::Once, has_attribute: false },
        Attribute::Column(_) | Attribute::Several(_) => return Rows { rows, shown: Shown::Once, has_attribute: true },
        Attribute::Colour(colouring) => colouring,
    };
    let count = colouring.rgb.len() as u32;
    let rng = &mut of_data(seed, &format!("colours of {split}"));
    let held_out = match split {
        SplitName::Train => None,
        SplitName::Validation => Some(colouring.validation),
        SplitName::Test => Some(colouring.test),
    };
    let colours = match held_out {
        None | Some(HeldOut::AsTraining) => {
            let labels: Vec<u32> = rows.iter().map(|row| row.label).collect();
            colour::correlated(&labels, count, colouring.train, rng)
        }
        Some(HeldOut::Uniform) => colour::uniform(rows.len(), count, rng),
        Some(HeldOut::Every) => return Rows { rows, shown: Shown::InColours(count), has_attribute: true },
    };
    for (row, colour) in rows.iter_mut().zip(colours) {
        row.attribute = colour;
    }
    Rows { rows, shown: Shown::Once, has_attribute: true }
}
