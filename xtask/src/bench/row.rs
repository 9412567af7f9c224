//! What is known of one combination, round by round, and how it is shown.

use super::machine::Machine;
use super::plan::Combination;
use super::process::Answer;
use super::samples::{self, cell, round};
use serde::Serialize;
use std::time::Duration;

/// One combination of network, mode, batch and device.
pub struct Row {
    pub of: Combination,
    pub device: String,
    /// Each round's median in milliseconds.
    medians: Vec<f64>,
    samples: usize,
    first_ms: Option<f64>,
    pub error: Option<String>,
    /// Time that its processes took so far.
    pub spent: Duration,
}

/// A row as the file holds it.
#[derive(Serialize)]
pub struct Measured<'a> {
    #[serde(flatten)]
    pub numbers: Numbers<'a>,
    #[serde(flatten)]
    pub machine: &'a Machine,
}

/// `median_ms` is the median of the rounds' medians, `spread_ms` the greatest of them less the smallest.
#[derive(Serialize)]
pub struct Numbers<'a> {
    model: &'a str,
    mode: &'static str,
    batch: u32,
    device: &'a str,
    median_ms: Option<f64>,
    images_per_second: Option<f64>,
    spread_ms: Option<f64>,
    first_ms: Option<f64>,
    rounds: usize,
    samples: usize,
    error: Option<&'a str>,
}

impl Row {
    /// Nothing known yet.
    pub fn new(of: Combination, device: &str) -> Self {
        let (medians, spent) = (Vec::new(), Duration::ZERO);
        Self { of, device: device.into(), medians, samples: 0, first_ms: None, error: None, spent }
    }

    /// `lenet5 infer 64 flex`.
    pub fn title(&self) -> String {
        format!("{} {} {} {}", self.of.model, self.of.mode.name(), self.of.batch, self.device)
    }

    /// One more round. An error after a round that went well changes nothing: its number stands.
    pub fn add(&mut self, answer: Answer) {
        self.spent += answer.took;
        self.first_ms = self.first_ms.or(answer.first_ms);
        if answer.error.is_some() && !self.medians.is_empty() {
            return;
        }
        self.samples += answer.samples_ms.len();
        self.medians.extend(answer.median_ms);
        self.error = answer.error;
    }

    /// What is known by now.
    pub fn numbers(&self) -> Numbers<'_> {
        let median_ms = samples::median(&self.medians);
        Numbers {
            model: &self.of.model,
            mode: self.of.mode.name(),
            batch: self.of.batch,
            device: &self.device,
            median_ms: median_ms.map(round),
            images_per_second: median_ms.map(|ms| round(1000.0 * f64::from(self.of.batch) / ms)),
            spread_ms: samples::spread(&self.medians).map(round),
            first_ms: self.first_ms,
            rounds: self.medians.len(),
            samples: self.samples,
            error: self.error.as_deref(),
        }
    }
}

/// The rows as a table; errors stand below it, each under its number.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<20} {:<6} {:>5}  {:<10} {:>12} {:>10} {:>12}\n",
        "model", "mode", "batch", "device", "median ms", "spread", "images/s"
    );
    let mut notes = String::new();
    let mut count = 0;
    for row in rows {
        let n = row.numbers();
        let mark = n.error.map_or_else(String::new, |error| {
            count += 1;
            notes.push_str(&format!("[{count}] {error}\n"));
            format!("  [{count}]")
        });
        text.push_str(&format!(
            "{:<20} {:<6} {:>5}  {:<10} {:>12} {:>10} {:>12}{mark}\n",
            n.model,
            n.mode,
            n.batch,
            n.device,
            cell(n.median_ms, 3),
            cell(n.spread_ms, 3),
            cell(n.images_per_second, 1),
        ));
    }
    text + &notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::plan::Mode;

    fn row(model: &str, mode: Mode, batch: u32, device: &str) -> Row {
        Row::new(Combination { model: model.into(), mode, batch }, device)
    }

    fn answer(median_ms: Option<f64>, error: Option<&str>) -> Answer {
        let took = Duration::from_secs(1);
        Answer { median_ms, samples_ms: vec![1.0; 5], first_ms: Some(9.0), error: error.map(String::from), took }
    }

    #[test]
    fn rounds_make_a_median_and_a_spread() {
        let mut known = row("lenet5", Mode::Infer, 64, "flex");
        for ms in [5.0, 4.0, 8.0] {
            known.add(answer(Some(ms), None));
        }
        let n = known.numbers();
        assert_eq!((n.median_ms, n.spread_ms, n.images_per_second), (Some(5.0), Some(4.0), Some(12_800.0)));
        assert_eq!((n.rounds, n.samples, n.first_ms, n.error), (3, 15, Some(9.0), None));
    }

    #[test]
    fn a_row_without_numbers_says_why() {
        let mut known = row("alexnet", Mode::Train, 8, "ndarray");
        known.add(answer(None, Some("ran out of time")));
        let table = table(&[known]);
        assert!(table.contains("–  [1]\n[1] ran out of time\n"), "{table}");
    }

    #[test]
    fn a_number_outlives_a_later_error() {
        let mut known = row("alexnet", Mode::Train, 8, "ndarray");
        known.add(answer(Some(2.0), None));
        known.add(answer(Some(30.0), Some("ran out of time")));
        let n = known.numbers();
        assert_eq!((n.median_ms, n.rounds, n.error), (Some(2.0), 1, None));
    }
}
