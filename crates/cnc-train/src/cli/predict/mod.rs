//! `cnc-train predict`: what a finished run's model says of new inputs.

use std::io::{ErrorKind, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use indicatif::ProgressBar;

mod output;
mod sources;

use output::{Format, Output};
use sources::{Images, PassedOver, Texts};

use crate::cli::say::note;
use crate::config::device;
use crate::config::selection::Selection;
use crate::error::UsageError;
use crate::methods::Known;
use crate::predict::{Given, Predictor};
use crate::record::FinishedRun;

/// Which run, which inputs, and where the answers go.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cnc-train predict runs/waterbirds-cnc-0 bird.jpg photos/
  cnc-train predict runs/waterbirds-cnc-0 photos/ --format csv --out birds.csv
  find . -name '*.jpg' | cnc-train predict runs/waterbirds-cnc-0 -
  cnc-train predict runs/civilcomments-cnc-0 comments.txt
  cnc-train predict runs/civilcomments-cnc-0 comments.csv --column comment_text
  echo 'what a lovely day' | cnc-train predict runs/civilcomments-cnc-0 -

Each line says of an input, in the order given: input, class, probability, and the probabilities of all classes. Of images an
input is a file; a folder stands for its images (.jpg, .jpeg, .png, .webp, .gif, .bmp, .tif, .tiff) and those of the folders
in it, in the order of their names; what else is there is counted. Of texts an input is a line of a file, or a row of a table (.csv, .tsv, .jsonl, .ndjson). The run's folder is all
that is needed, wherever it is. The first input that cannot be read ends it, unless --skip-unreadable is given.")]
pub(super) struct Arguments {
    /// Folder of a finished run.
    run: PathBuf,
    /// Images and folders of them, or files of texts. `-` is standard input: names of images, or texts, one a line.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Of texts: they stand in this column of a table with a header, or of JSON Lines [default: the dataset's]
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// How predictions are written [default: csv where --out ends in .csv, else jsonl]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Write into this file, which appears when it is complete [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Leave out inputs that cannot be read, list and count them, instead of stopping at the first.
    #[arg(long)]
    skip_unreadable: bool,
    /// Width times height of the largest image that is read [default: the run's]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_pixels: Option<u64>,
    /// Predict with the checkpoint that this rule would have chosen [default: the run's own rule]
    #[arg(long, value_name = "RULE", value_enum)]
    select: Option<Selection>,
    /// auto, cpu, cuda, cuda:1, metal
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
}

/// Predict.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.inputs.iter().filter(|input| input.as_os_str() == "-").count() > 1 {
        return Err(UsageError("`-` stands twice among the inputs: standard input can be read once".to_owned()).into());
    }
    if let Some(out) = &arguments.out {
        refuse_to_overwrite_an_input(out, &arguments.inputs)?;
    }
    let run = FinishedRun::open(&arguments.run)?.by(arguments.select)?;
    let predictor = Predictor::open(&run, &Known::default(), device::open(&arguments.device)?, arguments.max_pixels)?;
    let is_csv =
        arguments.out.as_ref().and_then(|out| out.extension()).is_some_and(|end| end.eq_ignore_ascii_case("csv"));
    let format = arguments.format.unwrap_or(if is_csv { Format::Csv } else { Format::Jsonl });
    let inputs = arguments.inputs.clone();
    let passed_over = PassedOver::default();
    let inputs: Box<dyn Iterator<Item = Result<Given>> + Send> = match (predictor.column(), &arguments.column) {
        (None, Some(_)) => {
            let problem = format!("--column is of texts; the model of {} takes images", arguments.run.display());
            return Err(UsageError(problem).into());
        }
        (None, None) => Box::new(Images::of(inputs, &passed_over)),
        (Some(trained_on), column) => Box::new(Texts::of(inputs, column.clone(), trained_on)),
    };
    let mut output = Output::begin(arguments.out.as_deref(), format, predictor.classes())?;
    let mut shown = Shown::start(arguments.out.is_some());
    let outcome = answer(&predictor, inputs, arguments.skip_unreadable, &mut output, &mut shown);
    shown.bar.finish_and_clear();
    match outcome {
        Ok(()) => {}
        // Whoever reads standard output has seen enough.
        Err(error) if arguments.out.is_none() && is_closed_pipe(&error) => return Ok(()),
        Err(error) => return Err(error),
    }
    if let Some(sentence) = passed_over.sentence() {
        note!("warning: {sentence}");
    }
    if shown.predicted == 0 && shown.unreadable > 0 {
        bail!("none of {} inputs can be read", shown.unreadable);
    }
    output.finish().map_err(|e| anyhow!("the predictions cannot be written: {e:#}"))?;
    shown.end(predictor.max_length());
    Ok(())
}

/// Write what the model says of each input, as it is found.
fn answer(
    predictor: &Predictor,
    inputs: impl Iterator<Item = Result<Given>> + Send + 'static,
    skip_unreadable: bool,
    output: &mut Output,
    shown: &mut Shown,
) -> Result<()> {
    for answers in predictor.stream(inputs) {
        for answer in answers? {
            match answer {
                Ok(prediction) => {
                    output.write(&prediction)?;
                    shown.predicted += 1;
                    shown.cut += u64::from(prediction.cut_from.is_some());
                    shown.longest = shown.longest.max(prediction.cut_from.unwrap_or(0));
                }
                Err(problem) if skip_unreadable => {
                    shown.bar.suspend(|| note!("left out: {problem}"));
                    shown.unreadable += 1;
                }
                Err(problem) => bail!("{problem}\n  hint: --skip-unreadable leaves out what cannot be read"),
            }
        }
        output.flush()?;
        shown.update();
    }
    Ok(())
}

fn refuse_to_overwrite_an_input(out: &Path, inputs: &[PathBuf]) -> Result<()> {
    if out.is_dir() {
        return Err(UsageError(format!("--out {} is a folder; a file is needed", out.display())).into());
    }
    let Ok(real) = out.canonicalize() else { return Ok(()) };
    if inputs.iter().any(|input| input.canonicalize().is_ok_and(|input| input == real)) {
        return Err(UsageError(format!("--out {} is one of the inputs: choose another file", out.display())).into());
    }
    Ok(())
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(|e| e.kind() == ErrorKind::BrokenPipe)
}

/// How far it is: a line that changes, where there is a terminal that the predictions do not go to.
struct Shown {
    bar: ProgressBar,
    start: Instant,
    /// Inputs with a prediction.
    predicted: u64,
    /// Inputs that cannot be read.
    unreadable: u64,
    /// Texts that are longer than the model sees, and the tokens of the longest.
    cut: u64,
    longest: usize,
}

impl Shown {
    fn start(to_file: bool) -> Self {
        let is_free = std::io::stderr().is_terminal() && (to_file || !std::io::stdout().is_terminal());
        let bar = if is_free { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, start: Instant::now(), predicted: 0, unreadable: 0, cut: 0, longest: 0 }
    }

    fn update(&self) {
        let rate = self.predicted as f64 / self.start.elapsed().as_secs_f64().max(1e-9);
        self.bar.set_message(format!("{} predicted, {rate:.0} a second", self.predicted));
    }

    fn end(&self, max_length: Option<usize>) {
        let Self { predicted, unreadable, cut, longest, .. } = self;
        if let Some(max_length) = max_length.filter(|_| *cut > 0) {
            note!(
                "warning: {cut} of {predicted} texts were cut to {max_length} tokens, as the model was trained; the longest has \
                 {longest}"
            );
        }
        let left_out = if *unreadable > 0 {
            format!(", {unreadable} left out because they cannot be read")
        } else {
            String::new()
        };
        note!("{predicted} predicted{left_out}");
    }
}
