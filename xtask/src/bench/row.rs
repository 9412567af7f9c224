//! What is known of one combination, round by round, and how it is shown.

use super::machine::Machine;
use super::plan::Combination;
use super::process::Answer;
use super::samples::{self, cell, round};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One combination of network, mode, batch and device.
pub struct Row {
    pub of: Combination,
    pub device: String,
    pub dtype: &'static str,
    /// Floating-point operations of one image.
    pub flop: f64,
    /// Each round's median in milliseconds.
    medians: Vec<f64>,
    samples: usize,
    known: Answer,
    pub error: Option<String>,
    /// Time that its processes took so far.
    pub spent: Duration,
}

/// A row as the file holds it.
#[derive(Serialize, Deserialize)]
pub struct Measured {
    #[serde(flatten)]
    pub numbers: Numbers,
    #[serde(flatten)]
    pub machine: Machine,
}

/// `median_ms` is the median of the rounds' medians, `spread_ms` the greatest of them less the smallest, `first_ms` the
/// first call's time with all that is compiled or tried out for it, `peak_mib` the process's memory, `max_abs_diff` the
/// largest difference of a logit from PyTorch's.
#[derive(Clone, Serialize, Deserialize)]
pub struct Numbers {
    pub model: String,
    pub mode: String,
    pub batch: u32,
    pub device: String,
    pub adapter: Option<String>,
    pub dtype: String,
    pub median_ms: Option<f64>,
    pub images_per_second: Option<f64>,
    pub gflops: Option<f64>,
    pub spread_ms: Option<f64>,
    pub first_ms: Option<f64>,
    pub peak_mib: Option<f64>,
    pub max_abs_diff: Option<f64>,
    pub rounds: usize,
    pub samples: usize,
    pub error: Option<String>,
}

impl Row {
    /// Nothing known yet.
    pub fn new(of: Combination, device: &str, dtype: &'static str, flop: f64) -> Self {
        let (medians, spent) = (Vec::new(), Duration::ZERO);
        Self {
            of,
            device: device.into(),
            dtype,
            flop,
            medians,
            samples: 0,
            known: Answer::default(),
            error: None,
            spent,
        }
    }

    /// `lenet5 infer 64 flex`.
    pub fn title(&self) -> String {
        format!("{} {} {} {}", self.of.model, self.of.mode.name(), self.of.batch, self.device)
    }

    /// One more round. An error after a round that went well changes nothing: its number stands.
    pub fn add(&mut self, answer: Answer) {
        self.spent += answer.took;
        self.known.first_ms = self.known.first_ms.or(answer.first_ms);
        self.known.adapter = self.known.adapter.take().or(answer.adapter);
        self.known.peak_mib = greater(self.known.peak_mib, answer.peak_mib);
        self.known.max_abs_diff = greater(self.known.max_abs_diff, answer.max_abs_diff);
        if answer.error.is_some() && !self.medians.is_empty() {
            return;
        }
        self.samples += answer.samples_ms.len();
        self.medians.extend(answer.median_ms);
        self.error = answer.error;
    }

    /// What is known by now.
    pub fn numbers(&self) -> Numbers {
        let median_ms = samples::median(&self.medians);
        let images_per_second = median_ms.map(|ms| 1000.0 * f64::from(self.of.batch) / ms);
        Numbers {
            model: self.of.model.clone(),
            mode: self.of.mode.name().into(),
            batch: self.of.batch,
            device: self.device.clone(),
            adapter: self.known.adapter.clone(),
            dtype: self.dtype.into(),
            median_ms: median_ms.map(round),
            images_per_second: images_per_second.map(round),
            gflops: images_per_second.map(|n| round(n * self.flop / 1e9)),
            spread_ms: samples::spread(&self.medians).map(round),
            first_ms: self.known.first_ms.map(round),
            peak_mib: self.known.peak_mib.map(round),
            max_abs_diff: self.known.max_abs_diff,
            rounds: self.medians.len(),
            samples: self.samples,
            error: self.error.clone(),
        }
    }
}

fn greater(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).reduce(f64::max)
}

/// The rows as a table; errors stand below it, each under its number.
pub fn table(rows: &[Numbers]) -> String {
    let mut text = format!(
        "{:<20} {:<6} {:>5}  {:<10} {:>11} {:>9} {:>10} {:>8} {:>11} {:>6} {:>9}\n",
        "model", "mode", "batch", "device", "median ms", "spread", "images/s", "GFLOP/s", "first ms", "MiB", "max diff"
    );
    let mut notes = String::new();
    let mut count = 0;
    for n in rows {
        let mark = n.error.as_ref().map_or_else(String::new, |error| {
            count += 1;
            notes.push_str(&format!("[{count}] {error}\n"));
            format!("  [{count}]")
        });
        text.push_str(&format!(
            "{:<20} {:<6} {:>5}  {:<10} {:>11} {:>9} {:>10} {:>8} {:>11} {:>6} {:>9}{mark}\n",
            n.model,
            n.mode,
            n.batch,
            n.device,
            cell(n.median_ms, 3),
            cell(n.spread_ms, 3),
            cell(n.images_per_second, 1),
            cell(n.gflops, 1),
            cell(n.first_ms, 1),
            cell(n.peak_mib, 0),
            n.max_abs_diff.map_or_else(|| "–".into(), |d| format!("{d:.1e}")),
        ));
    }
    text + &notes
}

/// The rows with what they were measured on, a line each, for a spreadsheet.
pub fn csv(rows: &[Measured]) -> String {
    let mut text = String::from(
        "model,mode,batch,device,adapter,dtype,median_ms,spread_ms,images_per_second,gflops,first_ms,peak_mib,\
         max_abs_diff,rounds,samples,error,cpu,cores,os,rustc,burn,commit\n",
    );
    let number = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
    let words =
        |s: &str| if s.contains([',', '"', '\n']) { format!("\"{}\"", s.replace('"', "\"\"")) } else { s.into() };
    for Measured { numbers: n, machine: m } in rows {
        let cells = [
            n.model.clone(),
            n.mode.clone(),
            n.batch.to_string(),
            n.device.clone(),
            words(n.adapter.as_deref().unwrap_or_default()),
            n.dtype.clone(),
            number(n.median_ms),
            number(n.spread_ms),
            number(n.images_per_second),
            number(n.gflops),
            number(n.first_ms),
            number(n.peak_mib),
            number(n.max_abs_diff),
            n.rounds.to_string(),
            n.samples.to_string(),
            words(n.error.as_deref().unwrap_or_default()),
            words(&m.cpu),
            m.cores.to_string(),
            m.os.clone(),
            words(&m.rustc),
            m.burn.clone(),
            m.commit.clone(),
        ];
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

#[cfg(test)]
pub fn sample(model: &str, mode: &str, batch: u32, device: &str, median_ms: Option<f64>, spread_ms: f64) -> Numbers {
    let mode = if mode == "train" { super::plan::Mode::Train } else { super::plan::Mode::Infer };
    let row = Row::new(Combination { model: model.into(), mode, batch }, device, "f32", 2e9);
    let images_per_second = median_ms.map(|ms| 1000.0 * f64::from(batch) / ms);
    Numbers { median_ms, images_per_second, spread_ms: Some(spread_ms), ..row.numbers() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::plan::Mode;

    fn row(model: &str, mode: Mode, batch: u32, device: &str) -> Row {
        Row::new(Combination { model: model.into(), mode, batch }, device, "f32", 1e6)
    }

    fn answer(median_ms: Option<f64>, error: Option<&str>) -> Answer {
        let took = Duration::from_secs(1);
        let error = error.map(String::from);
        Answer { median_ms, samples_ms: vec![1.0; 5], first_ms: Some(9.0), error, took, ..Answer::default() }
    }

    #[test]
    fn rounds_make_a_median_and_a_spread() {
        let mut known = row("lenet5", Mode::Infer, 64, "flex");
        for ms in [5.0, 4.0, 8.0] {
            known.add(answer(Some(ms), None));
        }
        let n = known.numbers();
        assert_eq!((n.median_ms, n.spread_ms, n.images_per_second), (Some(5.0), Some(4.0), Some(12_800.0)));
        assert_eq!((n.gflops, n.rounds, n.samples, n.first_ms), (Some(12.8), 3, 15, Some(9.0)));
        assert_eq!(n.error, None);
    }

    #[test]
    fn a_row_without_numbers_says_why() {
        let mut known = row("alexnet", Mode::Train, 8, "ndarray");
        known.add(answer(None, Some("ran out of time, and \"memory\"")));
        let numbers = known.numbers();
        let table = table(std::slice::from_ref(&numbers));
        assert!(table.contains("–  [1]\n[1] ran out of time"), "{table}");
        let csv = csv(&[Measured { numbers, machine: Machine::default() }]);
        let (heading, line) = csv.trim_end().split_once('\n').unwrap();
        assert!(line.contains(",\"ran out of time, and \"\"memory\"\"\",") && !line.contains('\n'), "{csv}");
        assert_eq!(heading.split(',').count() + 1, line.split(',').count()); // the error has a comma
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
