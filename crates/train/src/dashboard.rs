//! The terminal filled with a run: curves, speed, what is left, and a key to stop. Drawn by ratatui on Unix, with the cargo
//! feature `tui`.

use crate::checkpoint::Epoch;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(not(all(feature = "tui", unix)))]
mod absent;
#[cfg(all(feature = "tui", unix))]
mod draw;
#[cfg(all(feature = "tui", unix))]
mod screen;

#[cfg(not(all(feature = "tui", unix)))]
pub(crate) use absent::Dashboard;
#[cfg(all(feature = "tui", unix))]
pub(crate) use screen::Dashboard;

/// Points of the running loss; when there are more, every other one goes.
const POINTS: usize = 1000;

/// Whether the terminal is taken.
static OPEN: AtomicBool = AtomicBool::new(false);

/// Whether a dashboard has the terminal: what ends the program has to give it back, and nothing else may write on it.
pub fn dashboard_is_open() -> bool {
    OPEN.load(Ordering::Relaxed)
}

/// What is drawn.
#[cfg_attr(not(all(feature = "tui", unix)), allow(dead_code))] // drawn by nobody then
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub title: String,
    pub epochs: u64,
    /// Epochs done.
    pub epoch: u64,
    /// Steps done in the epoch under way, and its steps.
    pub step: usize,
    pub steps: usize,
    /// The running mean of the loss by epochs.
    pub running: Vec<(f64, f64)>,
    pub loss: f64,
    pub rate: f64,
    pub speed: f64,
    pub seconds_left: f64,
    pub history: Vec<Epoch>,
    pub messages: Vec<String>,
    pub stopping: bool,
}

impl View {
    /// A step was taken.
    pub fn step(&mut self, loss: f64, rate: f64, speed: f64, seconds_left: f64) {
        (self.loss, self.rate, self.speed, self.seconds_left) = (loss, rate, speed, seconds_left);
        self.step += 1;
        self.running.push((self.epoch as f64 + self.step as f64 / self.steps.max(1) as f64, loss));
        if self.running.len() > POINTS {
            let mut keep = false;
            self.running.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }
}
