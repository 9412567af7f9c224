//! Which networks, what of them, in which batches.

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What benchmarks have in common on their command lines.
#[derive(clap::Args)]
pub struct Choice {
    /// Networks, or `all` [default: each family's first; bench-peers: lenet5-dense, too]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    models: Vec<String>,
    /// What to time
    #[arg(long, value_name = "MODE,..", value_delimiter = ',', default_value = "infer,train")]
    modes: Vec<Mode>,
    /// Images in a batch [default: 1 and the network's own (64, 8 or 16); for training the latter]
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: Vec<u32>,
    /// Also write the rows to this file, a JSON array; bench-backends writes a CSV and a chart (PNG, SVG) beside it
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Infer,
    Train,
}

impl Mode {
    /// As the benchmark's command line has it.
    pub fn name(self) -> &'static str {
        if self == Self::Train { "train" } else { "infer" }
    }
}

/// One network, one thing to do with it, one batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Combination {
    pub model: String,
    pub mode: Mode,
    pub batch: u32,
}

/// One of `bench --list`.
#[derive(Deserialize)]
pub struct Listed {
    pub model: String,
    pub family: String,
    pub principal: bool,
    pub batch: u32,
    pub layers: Vec<Layer>,
}

/// A layer of [`Listed`], as far as its work goes: for one image, and numbers that it stores.
#[derive(Deserialize)]
pub struct Layer {
    pub name: String,
    pub kind: String,
    pub macs: f64,
    pub parameters: f64,
}

impl Choice {
    /// Refuses before any time is spent what can't end well.
    ///
    /// # Errors
    /// If the file's directory isn't there.
    pub fn check(&self) -> Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        ensure!(dir.is_dir(), "--json {}: there is no directory {}", path.display(), dir.display());
        Ok(())
    }

    /// The networks and batches asked for; where none is, `model` at `batch`.
    pub fn or(&self, model: &str, batch: u32) -> Vec<(String, u32)> {
        let models = if self.models.is_empty() { vec![model.into()] } else { self.models.clone() };
        let batches = if self.batch.is_empty() { vec![batch] } else { self.batch.clone() };
        models.iter().flat_map(|model| batches.iter().map(|batch| (model.clone(), *batch))).collect()
    }

    /// Every combination asked for; where no network is named, of those that are `usual`.
    ///
    /// # Errors
    /// If a network isn't there.
    pub fn combinations(&self, listed: &[Listed], usual: impl Fn(&Listed) -> bool) -> Result<Vec<Combination>> {
        let find = |name: &String| match listed.iter().find(|l| l.model == *name) {
            Some(found) => Ok(found),
            None => {
                let known: Vec<_> = listed.iter().map(|l| l.model.as_str()).collect();
                bail!("--models: no network is called '{name}'; there are {}, or all", known.join(", "))
            }
        };
        let models: Vec<&Listed> = match self.models.as_slice() {
            [] => listed.iter().filter(|l| usual(l)).collect(),
            [all] if all == "all" => listed.iter().collect(),
            names => names.iter().map(find).collect::<Result<_>>()?,
        };
        let mut combinations = Vec::new();
        for model in models {
            for &mode in &self.modes {
                let batches = match (self.batch.as_slice(), mode) {
                    ([], Mode::Infer) => vec![1, model.batch],
                    ([], Mode::Train) => vec![model.batch],
                    (given, _) => given.to_vec(),
                };
                combinations.extend(batches.iter().map(|&batch| Combination {
                    model: model.model.clone(),
                    mode,
                    batch,
                }));
            }
        }
        Ok(combinations)
    }
}

impl Listed {
    /// Floating-point operations of one image: a multiplication and an addition for each weight that meets an input.
    /// Training does so three times, but needs no derivative by the image.
    pub fn flop(&self, mode: Mode) -> f64 {
        let forward: f64 = self.layers.iter().map(|l| l.macs).sum();
        let first = self.layers.iter().map(|l| l.macs).find(|m| *m > 0.0).unwrap_or(0.0);
        2.0 * if mode == Mode::Train { 3.0 * forward - first } else { forward }
    }

    /// Seconds that a forward pass of `batch` images takes at least: each layer as long as the processor computes at its
    /// peak of `gflops`, or as memory delivers the layer's weights at `gb_s`, whichever is longer.
    pub fn least_seconds(&self, batch: u32, gflops: f64, gb_s: f64) -> f64 {
        let layer = |l: &Layer| {
            let compute = 2.0 * l.macs * f64::from(batch) / (1e9 * gflops);
            compute.max(4.0 * l.parameters / (1e9 * gb_s))
        };
        self.layers.iter().map(layer).sum()
    }
}

#[cfg(test)]
impl Listed {
    /// A family of one, with no layers.
    pub fn new(model: &str, principal: bool, batch: u32) -> Self {
        Self { model: model.into(), family: model.into(), principal, batch, layers: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_twice_for_each_weight_and_thrice_in_training() {
        let layer = |macs, parameters| Layer { name: "l".into(), kind: "conv".into(), macs, parameters };
        let net =
            Listed { layers: vec![layer(0.0, 0.0), layer(1e9, 1e3), layer(2e9, 1e9)], ..Listed::new("n", true, 8) };
        assert_eq!(net.flop(Mode::Infer), 6e9);
        assert_eq!(net.flop(Mode::Train), 2.0 * (9e9 - 1e9));
        // 2 GFLOP at 2 GFLOP/s: a second; 4 GB of weights at 1 GB/s: 4 s, which hide 2 s of work.
        assert_eq!(net.least_seconds(1, 2.0, 1.0), 1.0 + 4.0);
        assert_eq!(net.least_seconds(4, 2.0, 1.0), 4.0 + 8.0);
    }
}
