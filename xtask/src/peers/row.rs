//! What is known of one framework at one combination, as the file, the table and the page have it.

use crate::bench::machine::Machine;
use crate::bench::plan::Mode;
use crate::bench::samples::cell;
use serde::{Deserialize, Serialize};

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Framework {
    #[serde(rename = "classic-cnns")]
    Ours,
    PyTorch,
    #[serde(rename = "ONNX Runtime")]
    OnnxRuntime,
}

impl Framework {
    pub const ALL: [Self; 3] = [Self::Ours, Self::PyTorch, Self::OnnxRuntime];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "classic-cnns",
            Self::PyTorch => "PyTorch",
            Self::OnnxRuntime => "ONNX Runtime",
        }
    }
}

/// One row. `median_ms` is the median of the rounds' medians, `spread_ms` the greatest of them less the smallest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub model: String,
    pub family: String,
    pub mode: Mode,
    pub batch: u32,
    pub framework: Framework,
    pub version: String,
    /// A choice that it made, for speed.
    pub how: Option<String>,
    pub median_ms: Option<f64>,
    pub images_per_second: Option<f64>,
    pub spread_ms: Option<f64>,
    /// Its time divided by ours: how many times as fast ours is.
    pub ratio: Option<f64>,
    pub gflops: Option<f64>,
    /// `gflops` divided by the machine's.
    pub share_of_peak: Option<f64>,
    /// For a forward pass, the shortest time that the machine's peak and its memory allow, divided by the time.
    pub share_of_possible: Option<f64>,
    pub rounds: usize,
    pub samples: usize,
    pub error: Option<String>,
    pub threads: usize,
    pub peak_gflops: f64,
    pub read_gb_s: f64,
    #[serde(flatten)]
    pub machine: Machine,
}

impl Row {
    /// `alexnet train 8`.
    pub fn title(&self) -> String {
        format!("{} {} {}", self.model, self.mode.name(), self.batch)
    }
}

/// Fills in what follows from ours at the same combination.
pub fn relate(rows: &mut [Row]) {
    let ours: Vec<_> =
        rows.iter().filter(|r| r.framework == Framework::Ours).map(|r| (r.title(), r.median_ms)).collect();
    for row in rows {
        let ms = ours.iter().find(|(title, _)| *title == row.title()).and_then(|(_, ms)| *ms);
        row.ratio = row.median_ms.zip(ms).map(|(theirs, ours)| theirs / ours);
    }
}

/// The rows as a table; errors stand below it, each under its number.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<14} {:<5} {:>5}  {:<12} {:>10} {:>8} {:>10} {:>6} {:>8} {:>6} {:>9}\n",
        "model",
        "mode",
        "batch",
        "framework",
        "median ms",
        "spread",
        "images/s",
        "ratio",
        "GFLOP/s",
        "peak",
        "possible"
    );
    let (mut notes, mut count, mut last) = (String::new(), 0, String::new());
    for row in rows {
        let percent = |x: Option<f64>| x.map_or_else(|| "–".into(), |x| format!("{:.0} %", 100.0 * x));
        let mark = row.error.as_ref().map_or_else(String::new, |error| {
            count += 1;
            notes.push_str(&format!("[{count}] {error}\n"));
            format!("  [{count}]")
        });
        if row.title() != last && !last.is_empty() {
            text.push('\n');
        }
        last = row.title();
        text.push_str(&format!(
            "{:<14} {:<5} {:>5}  {:<12} {:>10} {:>8} {:>10} {:>6} {:>8} {:>6} {:>9}{mark}\n",
            row.model,
            row.mode.name(),
            row.batch,
            row.framework.name(),
            cell(row.median_ms, 3),
            cell(row.spread_ms, 3),
            cell(row.images_per_second, 1),
            cell(row.ratio, 2),
            cell(row.gflops, 1),
            percent(row.share_of_peak),
            percent(row.share_of_possible),
        ));
    }
    if let Some(row) = rows.first() {
        text.push_str(&format!(
            "ratio: its time divided by ours; peak: {:.0} GFLOP/s, the fastest product of two 2048x2048 matrices on flex;\n\
             possible: each layer at that peak, or as fast as memory ({:.1} GB/s) delivers its weights\n",
            row.peak_gflops, row.read_gb_s
        ));
    }
    text + &notes
}

#[cfg(test)]
pub fn sample(model: &str, mode: Mode, batch: u32, framework: Framework, ms: Option<f64>) -> Row {
    Row {
        model: model.into(),
        family: model.split('-').next().unwrap_or_default().into(),
        mode,
        batch,
        framework,
        version: "1.0".into(),
        how: None,
        median_ms: ms,
        images_per_second: ms.map(|ms| 1000.0 * f64::from(batch) / ms),
        spread_ms: Some(0.1),
        ratio: None,
        gflops: Some(100.0),
        share_of_peak: Some(0.25),
        share_of_possible: (mode == Mode::Infer).then_some(0.5),
        rounds: 3,
        samples: 30,
        error: None,
        threads: 2,
        peak_gflops: 400.0,
        read_gb_s: 20.0,
        machine: Machine { cpu: "A".into(), cores: 2, os: "linux".into(), ..Machine::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_ours_at_the_same_combination() {
        let mut rows = vec![
            sample("alexnet", Mode::Infer, 1, Framework::Ours, Some(10.0)),
            sample("alexnet", Mode::Infer, 1, Framework::PyTorch, Some(25.0)),
            sample("alexnet", Mode::Infer, 8, Framework::PyTorch, Some(25.0)),
            sample("alexnet", Mode::Infer, 8, Framework::OnnxRuntime, None),
        ];
        relate(&mut rows);
        assert_eq!(rows.iter().map(|r| r.ratio).collect::<Vec<_>>(), [Some(1.0), Some(2.5), None, None]);
        rows[3].error = Some("no such operator".into());
        let text = table(&rows);
        assert!(text.contains("alexnet        infer     1  PyTorch          25.000"), "{text}");
        assert!(text.contains("2.50    100.0   25 %      50 %"), "{text}");
        assert!(text.ends_with("[1] no such operator\n"), "{text}");
    }

    /// 2.54504, by way of 2.545, would be shown as 2.54.
    #[test]
    fn ratios_are_rounded_once() {
        let mut rows = [(Framework::Ours, 45.749), (Framework::OnnxRuntime, 116.433)]
            .map(|(framework, ms)| sample("alexnet", Mode::Infer, 8, framework, Some(ms)));
        relate(&mut rows);
        assert_eq!(cell(rows[1].ratio, 2), "2.55");
    }

    #[test]
    fn rows_in_files_have_the_agreed_keys_and_come_back() {
        let row = sample("nin-cifar10", Mode::Train, 16, Framework::OnnxRuntime, Some(2.0));
        let json = serde_json::to_value(&row).unwrap();
        let expected = [
            ("model", "nin-cifar10".into()),
            ("mode", "train".into()),
            ("batch", 16.into()),
            ("framework", "ONNX Runtime".into()),
            ("median_ms", 2.0.into()),
            ("images_per_second", 8000.0.into()),
        ];
        for (key, value) in expected as [(&str, serde_json::Value); 6] {
            assert_eq!(json[key], value, "{key}");
        }
        assert_eq!(serde_json::from_value::<Row>(json).unwrap(), row);
    }
}
