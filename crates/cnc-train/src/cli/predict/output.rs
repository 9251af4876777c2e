//! Predictions as lines: JSON or CSV.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use cnc_base::files::AtomicFile;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::predict::Prediction;

/// How a prediction is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One JSON object a line: `input`, `class`, `probability`, and `probabilities` by class; of a text that was cut also
    /// `cut_from`, its tokens.
    Jsonl,
    /// A header, then `input`, `class`, `probability`, and a column for each class.
    Csv,
}

/// Where predictions go.
pub(super) struct Output {
    to: To,
    format: Format,
    classes: Vec<String>,
}

enum To {
    Stdout(io::BufWriter<io::Stdout>),
    File(AtomicFile),
    /// A pipe or a device, which nothing may take the place of.
    Special(io::BufWriter<File>),
}

impl Output {
    /// Predictions of these classes on standard output, or in a file that has its name when all are in it.
    ///
    /// # Errors
    /// When the file cannot be begun.
    pub(super) fn begin(file: Option<&Path>, format: Format, classes: &[String]) -> Result<Self> {
        let to = match file {
            None => To::Stdout(io::BufWriter::new(io::stdout())),
            Some(path) => Self::file(path).with_context(|| format!("cannot write --out {}", path.display()))?,
        };
        let mut output = Self { to, format, classes: classes.to_vec() };
        if format == Format::Csv {
            let names = ["input", "class", "probability"].map(str::to_owned).into_iter();
            let row: Vec<String> = names.chain(classes.iter().map(|class| format!("p({class})"))).collect();
            output.csv(&row)?;
        }
        Ok(output)
    }

    fn file(path: &Path) -> io::Result<To> {
        // What a link leads to is written, and the link stays.
        match path.canonicalize() {
            Ok(real) if real.is_file() => AtomicFile::create(&real).map(To::File),
            Ok(real) => Ok(To::Special(io::BufWriter::new(File::options().write(true).open(real)?))),
            Err(_) => AtomicFile::create(path).map(To::File),
        }
    }

    /// One line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&mut self, prediction: &Prediction) -> Result<()> {
        let Prediction { input, class, probability, probabilities, cut_from, .. } = prediction;
        match self.format {
            Format::Jsonl => {
                let by_class = ByClass { classes: &self.classes, probabilities };
                let line =
                    Line { input, class, probability: *probability, probabilities: by_class, cut_from: *cut_from };
                let mut line = serde_json::to_vec(&line)?;
                line.push(b'\n');
                self.to.write_all(&line)?;
            }
            Format::Csv => {
                let start = [input.clone(), class.clone(), probability.to_string()].into_iter();
                let row: Vec<String> = start.chain(probabilities.iter().map(f32::to_string)).collect();
                self.csv(&row)?;
            }
        }
        Ok(())
    }

    fn csv(&mut self, row: &[String]) -> Result<()> {
        let mut line = csv::Writer::from_writer(Vec::new());
        line.write_record(row)?;
        let line = line.into_inner().map_err(csv::IntoInnerError::into_error)?;
        Ok(self.to.write_all(&line)?)
    }

    /// Hand on what is written so far.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn flush(&mut self) -> Result<()> {
        Ok(self.to.flush()?)
    }

    /// All predictions are written: a file has its name from here on.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()?;
        match self.to {
            To::Stdout(_) | To::Special(_) => Ok(()),
            To::File(file) => Ok(file.finish()?),
        }
    }
}

impl Write for To {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(to) => to.write(bytes),
            Self::File(to) => to.write(bytes),
            Self::Special(to) => to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(to) => to.flush(),
            Self::File(to) => to.flush(),
            Self::Special(to) => to.flush(),
        }
    }
}

#[derive(serde::Serialize)]
struct Line<'a> {
    input: &'a str,
    class: &'a str,
    probability: f32,
    probabilities: ByClass<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_from: Option<usize>,
}

/// Probabilities under the names of their classes, in the classes' order.
struct ByClass<'a> {
    classes: &'a [String],
    probabilities: &'a [f32],
}

impl Serialize for ByClass<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.classes.len()))?;
        for (class, probability) in self.classes.iter().zip(self.probabilities) {
            map.serialize_entry(class, probability)?;
        }
        map.end()
    }
}
