//! All that a run needs to go on as if it had never stopped, in one file.

use crate::sgd::Sgd;
use anyhow::{Context, Result};
use models::Network;
use models::weights::{self, Tensors};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The header's key for the [`Progress`], in JSON.
const PROGRESS: &str = "progress";

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Epochs done.
    pub epoch: u64,
    /// Steps done in the epoch under way.
    pub step: usize,
    /// Sum over those steps of loss times images.
    pub loss_sum: f64,
    /// Images in those steps.
    pub images: usize,
    /// Seconds trained so far.
    pub seconds: f64,
    /// Images trained on so far, over all epochs.
    pub total_images: usize,
    /// Each finished epoch's numbers.
    pub history: Vec<Epoch>,
    /// The epoch, from 1, with the smallest validation error so far.
    pub best: Option<u64>,
}

/// An epoch's numbers: a line of `metrics.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: u64,
    /// Mean training loss.
    pub loss: f64,
    /// Share of the validation images classified wrongly; `None` without validation.
    pub validation_error: Option<f64>,
    /// The learning rate of its last step.
    pub rate: f64,
    /// Training images a second.
    pub images_per_second: f64,
    /// Seconds trained when it ended.
    pub seconds: f64,
}

/// Writes everything to `path`, whole or not at all.
///
/// # Errors
/// If the file can't be written.
pub fn save(path: &Path, network: &Network, sgd: &Sgd, progress: &Progress) -> Result<()> {
    let mut tensors: Tensors =
        network.tensors().into_iter().map(|(name, data)| (format!("weight.{name}"), data)).collect();
    tensors.extend(sgd.to_tensors());
    let bytes = weights::to_bytes(&tensors, PROGRESS, &serde_json::to_string(progress)?)?;
    data::whole(path, &bytes).with_context(|| format!("{}: can't be written", path.display()))
}

/// Reads what [`save`] wrote.
///
/// # Errors
/// If the file is missing or damaged, or is not for this network.
pub fn load(path: &Path, network: Network, sgd: &mut Sgd) -> Result<(Network, Progress)> {
    let name = || format!("{}: the checkpoint can't be used", path.display());
    let bytes = std::fs::read(path).with_context(name)?;
    let (tensors, progress) = weights::from_bytes(&bytes, PROGRESS).with_context(name)?;
    let progress = serde_json::from_str(&progress).with_context(name)?;
    let own: Tensors =
        tensors.iter().filter_map(|(k, v)| Some((k.strip_prefix("weight.")?.to_string(), v.clone()))).collect();
    let network = network.with_tensors(&own).with_context(name)?;
    sgd.restore(&tensors, &network);
    Ok((network, progress))
}
