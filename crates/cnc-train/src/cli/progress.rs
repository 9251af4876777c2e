//! Long work shows itself: a bar with rate and time left on a terminal, plain lines elsewhere. All of it on stderr;
//! stdout is for results.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::say::note;
use crate::training::{Evaluated, Event, Listener};

/// Shows the events of runs.
pub(super) fn listener() -> Listener {
    let shown: Mutex<Option<Progress>> = Mutex::new(None);
    Arc::new(move |event| {
        let Ok(mut shown) = shown.lock() else { return };
        match (event, &mut *shown) {
            (Event::Started { title, steps, step }, shown) => *shown = Some(Progress::start(title, *steps, *step)),
            (Event::Note(text), Some(progress)) => progress.note(text),
            (Event::Note(text), None) => note!("{text}"),
            (Event::Tokenised { done, total }, _) => tokenised(*done, *total),
            (Event::Step { step, samples, loss }, Some(progress)) => progress.step(*step, *samples, *loss),
            (Event::Evaluated(figures), Some(progress)) => progress.evaluated(figures),
            (Event::Ended, shown) => {
                if let Some(progress) = shown.take() {
                    progress.finish();
                }
            }
            _ => {}
        }
    })
}

/// Say how many texts are tokenised: in one line on a terminal, at every tenth elsewhere.
fn tokenised(done: usize, total: usize) {
    /// Fewer take less than a second.
    const FEW: usize = 20_000;
    static TENTH: AtomicUsize = AtomicUsize::new(0);
    if total < FEW {
        return;
    }
    let is_terminal = std::io::stderr().is_terminal();
    if is_terminal {
        // Where a terminal has gone there is nobody to tell.
        let _ = write!(std::io::stderr(), "\rtokenising: {done} of {total} texts");
    }
    let tenth = 10 * done / total;
    if TENTH.swap(tenth, Ordering::Relaxed) != tenth && !is_terminal {
        note!("tokenising: {done} of {total} texts");
    }
    if is_terminal && done == total {
        note!("");
    }
}

/// The progress of one stage, counted in optimiser steps.
struct Progress {
    bar: Option<ProgressBar>,
    title: String,
    total: u64,
    start: Instant,
    first: u64,
    samples: u64,
    figures: String,
}

impl Progress {
    /// Start showing a stage of `total` steps of which `done` are finished already.
    fn start(title: &str, total: u64, done: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(8));
            let template = "{prefix:>8} {bar:28} {pos}/{len} steps  {msg}  {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar.set_prefix(title.to_owned());
            bar.set_position(done);
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            bar,
            title: title.to_owned(),
            total,
            start: Instant::now(),
            first: done,
            samples: 0,
            figures: String::new(),
        }
    }

    /// One more step is done; `loss` is the mean since the last evaluation.
    fn step(&mut self, step: u64, samples: u64, loss: f64) {
        self.samples += samples;
        if let Some(bar) = &self.bar {
            bar.set_position(step);
            bar.set_message(format!("{:.0} samples/s  loss {loss:.4}  {}", self.rate(), self.figures));
        }
    }

    /// An evaluation is done: its figures stay in the bar, or become a line where there is no terminal.
    fn evaluated(&mut self, figures: &Evaluated) {
        let Evaluated { epoch, step, loss, .. } = *figures;
        let worst = figures.worst_group_accuracy.map_or("-".to_owned(), |worst| format!("{:.1} %", 100.0 * worst));
        self.figures = format!("validation worst group {worst}, average {:.1} %", 100.0 * figures.average_accuracy);
        if self.bar.is_none() {
            note!(
                "{}: step {step}/{}, epoch {epoch:.1}, loss {loss:.4}, {}, {:.0} samples/s, {} left",
                self.title,
                self.total,
                self.figures,
                self.rate(),
                self.left(step)
            );
        }
    }

    /// Say something without disturbing the bar.
    fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note!("{text}")),
            None => note!("{text}"),
        }
    }

    /// Take the bar away.
    fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn rate(&self) -> f64 {
        self.samples as f64 / self.start.elapsed().as_secs_f64().max(1e-9)
    }

    fn left(&self, step: u64) -> String {
        let done = step.saturating_sub(self.first).max(1) as f64;
        let seconds = self.start.elapsed().as_secs_f64() / done * self.total.saturating_sub(step) as f64;
        format!("{:.0} s", seconds)
    }
}
