//! One combination of network, mode and batch, for which the frameworks take turns.

use super::Setting;
use super::row::{Framework, Row};
use super::worker::{Worker, once};
use crate::bench::plan::{Combination, Listed, Mode};
use crate::bench::samples::{median, round, spread};
use anyhow::{Result, ensure};
use serde::Deserialize;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// By how much logits may differ, over the largest where that is over 1.
const TOLERANCE: f32 = 1e-3;
/// Between turns: threads of the one before, which spin for a while, go to sleep.
const PAUSE: Duration = Duration::from_millis(50);

/// What the machine can do at most, by `bench --peak`.
#[derive(Clone, Copy, Default, Deserialize)]
pub struct Peak {
    pub gflops: f64,
    pub read_gb_s: f64,
}

impl Peak {
    pub fn measure(setting: &Setting) -> Result<Self> {
        let threads = setting.threads.to_string();
        once(setting.bench.command().args(["--peak", "--threads", &threads]).env("RAYON_NUM_THREADS", &threads))
    }

    /// The better of both.
    pub fn raise(&mut self, other: Self) {
        self.gflops = self.gflops.max(other.gflops);
        self.read_gb_s = self.read_gb_s.max(other.read_gb_s);
    }
}

/// How it went.
pub struct Contest {
    of: Combination,
    contenders: Vec<Contender>,
}

/// One framework.
struct Contender {
    framework: Framework,
    worker: Option<Worker>,
    version: String,
    how: Option<String>,
    /// Each round's, in milliseconds.
    medians: Vec<f64>,
    samples: usize,
    error: Option<String>,
}

impl Contest {
    /// Starts every framework, sees that they agree, and gives each its turns.
    pub fn run(setting: &Setting, model: &Listed, of: Combination, files: &Path, rounds: u32, seconds: f64) -> Self {
        let frameworks = Framework::ALL.into_iter().filter(|f| of.mode == Mode::Infer || *f != Framework::OnnxRuntime);
        let start = |framework| {
            let mut command = setting.command(framework, model, of.mode.name(), of.batch, files);
            if framework == Framework::Ours {
                command.arg("--serve");
            }
            Contender::new(framework, Worker::start(&mut command))
        };
        let mut contenders: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = frameworks.map(|f| scope.spawn(move || start(f))).collect();
            threads.into_iter().filter_map(|t| t.join().ok()).collect()
        });
        let ours = contenders.first().and_then(|c| Some(c.worker.as_ref()?.ready.logits.clone()));
        for contender in &mut contenders {
            contender.take(|worker| ours.as_ref().map_or(Ok(()), |ours| agree(ours, &worker.ready.logits)));
        }
        // A turn before the first, to warm up, and for PyTorch to choose.
        for contender in &mut contenders {
            thread::sleep(PAUSE);
            let how = contender.take(|worker| worker.turn(seconds.max(0.5) * 2.0)).and_then(|turn| turn.how);
            contender.how = how;
        }
        for _ in 0..rounds {
            for contender in &mut contenders {
                thread::sleep(PAUSE);
                let samples = contender.take(|worker| worker.turn(seconds)).map_or_else(Vec::new, |t| t.samples_ms);
                contender.samples += samples.len();
                contender.medians.extend(median(&samples));
            }
        }
        let said = contenders.iter().map(|c| match (&c.error, median(&c.medians)) {
            (Some(error), _) => format!("{}: {error}", c.framework.name()),
            (None, ms) => format!("{} {:.3} ms", c.framework.name(), ms.unwrap_or_default()),
        });
        eprintln!("{} {} {}: {}", of.model, of.mode.name(), of.batch, said.collect::<Vec<_>>().join(", "));
        for contender in &mut contenders {
            contender.worker = None;
        }
        Self { of, contenders }
    }

    /// A row for each framework.
    pub fn rows(self, setting: &Setting, model: &Listed, peak: Peak) -> Vec<Row> {
        let Combination { mode, batch, .. } = self.of;
        let row = |c: Contender| {
            let median_ms = median(&c.medians);
            let gflops = median_ms.map(|ms| model.flop(mode) * f64::from(batch) / ms / 1e6);
            let least_ms = 1e3 * model.least_seconds(batch, peak.gflops, peak.read_gb_s);
            Row {
                model: model.model.clone(),
                family: model.family.clone(),
                mode,
                batch,
                framework: c.framework,
                version: c.version,
                how: c.how,
                median_ms: median_ms.map(round),
                images_per_second: median_ms.map(|ms| round(1e3 * f64::from(batch) / ms)),
                spread_ms: spread(&c.medians).map(round),
                ratio: None,
                gflops: gflops.map(round),
                share_of_peak: gflops.map(|g| round(g / peak.gflops)),
                share_of_possible: median_ms.filter(|_| mode == Mode::Infer).map(|ms| round(least_ms / ms)),
                rounds: c.medians.len(),
                samples: c.samples,
                error: c.error,
                threads: setting.threads,
                peak_gflops: round(peak.gflops),
                read_gb_s: round(peak.read_gb_s),
                machine: setting.machine.clone(),
            }
        };
        self.contenders.into_iter().map(row).collect()
    }
}

impl Contender {
    fn new(framework: Framework, worker: Result<Worker>) -> Self {
        let version = worker.as_ref().map_or_else(|_| String::new(), |w| w.ready.version.clone());
        let error = worker.as_ref().err().map(|e| format!("{e:#}"));
        Self { framework, worker: worker.ok(), version, how: None, medians: Vec::new(), samples: 0, error }
    }

    /// Lets its process do something; one that fails is out.
    fn take<T>(&mut self, f: impl FnOnce(&mut Worker) -> Result<T>) -> Option<T> {
        match f(self.worker.as_mut()?) {
            Ok(value) => Some(value),
            Err(e) => {
                self.error = Some(format!("{e:#}"));
                self.worker = None;
                None
            }
        }
    }
}

/// Whether two frameworks computed the same.
fn agree(ours: &[f32], theirs: &[f32]) -> Result<()> {
    ensure!(ours.len() == theirs.len(), "{} logits, ours has {}", theirs.len(), ours.len());
    let largest = ours.iter().fold(1f32, |most, x| most.max(x.abs()));
    let off = ours
        .iter()
        .zip(theirs)
        .map(|(a, b)| (a - b).abs() / largest)
        .fold(0.0, |most: f32, x| if x.is_nan() || x > most { x } else { most });
    ensure!(off <= TOLERANCE, "its logits differ from ours by {off:.1e} of the largest: not timed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_agree_to_a_thousandth_of_the_largest() {
        agree(&[100.0, -3.0], &[100.05, -3.05]).unwrap();
        assert!(agree(&[100.0, -3.0], &[100.0, -3.2]).is_err());
        assert!(agree(&[1.0], &[f32::NAN]).is_err());
        assert!(agree(&[1.0], &[1.0, 2.0]).is_err());
    }

    #[test]
    fn a_framework_that_fails_keeps_its_error_and_takes_no_more_turns() {
        let mut contender = Contender::new(Framework::PyTorch, Err(anyhow::anyhow!("no module named torch")));
        assert_eq!(contender.error.as_deref(), Some("no module named torch"));
        assert!(contender.take(|_| Ok(())).is_none());
    }
}
