//! Long work shows itself: a bar with rate and time left on a terminal, plain lines elsewhere. All of it on stderr;
//! stdout is for results.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::say::note;

/// The progress of one stage, counted in optimiser steps.
pub struct Progress {
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
    #[must_use]
    pub fn start(title: &str, total: u64, done: u64) -> Self {
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
    pub fn step(&mut self, step: u64, samples: u64, loss: f64) {
        self.samples += samples;
        if let Some(bar) = &self.bar {
            bar.set_position(step);
            bar.set_message(format!("{:.0} samples/s  loss {loss:.4}  {}", self.rate(), self.figures));
        }
    }

    /// An evaluation is done: its figures stay in the bar, or become a line where there is no terminal.
    pub fn evaluated(&mut self, epoch: f64, step: u64, loss: f64, figures: &str) {
        self.figures = figures.to_owned();
        if self.bar.is_none() {
            note!(
                "{}: step {step}/{}, epoch {epoch:.1}, loss {loss:.4}, {figures}, {:.0} samples/s, {} left",
                self.title,
                self.total,
                self.rate(),
                self.left(step)
            );
        }
    }

    /// Say something without disturbing the bar.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note!("{text}")),
            None => note!("{text}"),
        }
    }

    /// Take the bar away.
    pub fn finish(self) {
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
