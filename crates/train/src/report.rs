//! What a person, or a program, sees of a run.

use crate::checkpoint::Epoch;
use crate::dashboard::Dashboard;
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Tells how a run goes: a live bar where there is a terminal, plain lines where there is none, JSON lines on request.
pub struct Report {
    json: bool,
    bar: ProgressBar,
    dashboard: Option<Dashboard>,
    epochs: u64,
    started: Instant,
    images: usize,
}

impl Report {
    /// A report on a run of `epochs` epochs.
    pub fn new(json: bool, epochs: u64) -> Self {
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg}").expect("the template is well formed");
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        Self { json, bar: bar.with_style(style), dashboard: None, epochs, started: Instant::now(), images: 0 }
    }

    /// Fills the terminal, if there is one, from here on. `stop` is set when the user wants to.
    ///
    /// # Errors
    /// If the terminal can't be had, or the program was built without the dashboard.
    pub fn show_dashboard(&mut self, title: &str, stop: &Arc<AtomicBool>) -> Result<()> {
        self.dashboard = Dashboard::open(title, self.epochs, stop)?;
        if self.dashboard.is_some() {
            self.bar = ProgressBar::hidden();
        }
        Ok(())
    }

    /// Epochs of earlier sittings.
    pub fn known(&self, history: &[Epoch]) {
        if let Some(dashboard) = &self.dashboard {
            dashboard.update(|view| view.history = history.to_vec());
        }
    }

    /// A line for people.
    pub fn say(&self, text: &str) {
        if !self.json {
            self.print(text);
        }
    }

    /// A line for programs.
    pub fn event(&self, event: &serde_json::Value) {
        if self.json {
            self.print(&event.to_string());
        }
    }

    /// A warning, for people on standard error and for programs.
    pub fn warn(&self, text: &str) {
        if self.json {
            self.event(&json!({ "event": "warning", "text": text }));
        } else {
            if let Some(dashboard) = &self.dashboard {
                return dashboard.update(|view| view.messages.push(format!("warning: {text}")));
            }
            self.bar.suspend(|| eprintln!("warning: {text}"));
        }
    }

    fn print(&self, line: &str) {
        if let Some(dashboard) = &self.dashboard {
            return dashboard.update(|view| view.messages.push(line.into()));
        }
        // A reader that went away must not end a training run.
        self.bar.suspend(|| writeln!(std::io::stdout().lock(), "{line}").ok());
    }

    /// An epoch begins, `done` of its `steps` steps already behind.
    pub fn begin(&mut self, epoch: u64, done: usize, steps: usize) {
        self.bar.reset();
        self.bar.set_length(steps as u64);
        self.bar.set_position(done as u64);
        self.bar.set_prefix(format!("epoch {:>2}/{}", epoch + 1, self.epochs));
        (self.started, self.images) = (Instant::now(), 0);
        if let Some(dashboard) = &self.dashboard {
            dashboard.update(|view| (view.epoch, view.step, view.steps) = (epoch, done, steps));
        }
    }

    /// A step of size `rate` was taken on `images` images; `left` images are to come in all epochs.
    pub fn step(&mut self, images: usize, loss: f64, rate: f64, left: usize) {
        self.images += images;
        let speed = self.images as f64 / self.started.elapsed().as_secs_f64();
        let seconds = left as f64 / speed;
        self.bar.set_message(format!("loss {loss:.4}  {speed:.0} images/s  {} left", duration(seconds)));
        self.bar.inc(1);
        if let Some(dashboard) = &self.dashboard {
            dashboard.update(|view| view.step(loss, rate, speed, seconds));
        }
    }

    /// An epoch is over.
    pub fn epoch(&self, e: &Epoch, best: bool) {
        if let Some(dashboard) = &self.dashboard {
            dashboard.update(|view| view.history.push(*e));
        }
        let validation =
            e.validation_error.map_or_else(String::new, |v| format!("  validation error {:5.2} %", 100.0 * v));
        let mark = if best && e.validation_error.is_some() { "  best" } else { "" };
        self.say(&format!(
            "epoch {:>2}/{}  loss {:.4}{validation}  rate {:.2e}  {:.0} images/s  {}{mark}",
            e.epoch,
            self.epochs,
            e.loss,
            e.rate,
            e.images_per_second,
            duration(e.seconds)
        ));
        self.event(&json!({
            "event": "epoch", "epoch": e.epoch, "epochs": self.epochs, "loss": e.loss,
            "validation_error": e.validation_error, "rate": e.rate,
            "images_per_second": e.images_per_second, "seconds": e.seconds, "best": best,
        }));
    }

    /// The bar, or the dashboard, goes away.
    pub fn finish(&mut self) {
        self.bar.finish_and_clear();
        self.dashboard = None;
    }
}

/// `3 min 07 s`.
pub fn duration(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(
            (duration(6.6), duration(187.0), duration(3700.0)),
            ("7 s".into(), "3 min 07 s".into(), "1 h 01 min".into())
        );
    }
}
