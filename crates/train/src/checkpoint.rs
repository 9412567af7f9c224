//! All that a run needs to go on as if it had never stopped, in one file. The last two are kept.

use crate::run_dir::RunDir;
use crate::sgd::Sgd;
use anyhow::{Context, Result, ensure};
use models::Network;
use models::weights::{self, Tensors};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The header's key for the [`Progress`], in JSON.
const PROGRESS: &str = "progress";

/// Files kept.
const KEPT: usize = 2;

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Epochs done.
    pub epoch: u64,
    /// Steps done in the epoch under way.
    pub step: usize,
    /// Steps done in all epochs.
    pub total_steps: u64,
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
    /// Where its last steps were computed: `--device flex`.
    #[serde(default)]
    pub placed: String,
    /// The images that couldn't be read, by their place among those to train, to validate and to test on, one behind the
    /// other.
    #[serde(default)]
    pub bad: BTreeSet<u64>,
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

/// The checkpoints in `run`, the newest first.
///
/// # Errors
/// If the directory can't be read.
pub fn list(run: &RunDir) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(run.path()).with_context(|| run.path().display().to_string())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix("checkpoint-").and_then(|rest| rest.strip_suffix(".safetensors"));
        if number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
            names.push(name);
        }
    }
    // The numbers have the same length, so that the names' order is theirs.
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

/// # Errors
/// If a number in `tensors` is not finite any more: names the tensor, and where what was saved before stays.
pub fn ensure_finite(run: &RunDir, tensors: &Tensors) -> Result<()> {
    for (name, data) in tensors {
        ensure!(
            data.iter::<f32>().all(f32::is_finite),
            "{name} is no longer finite: the learning rate is too high for this network. Nothing more is saved; what was \
             saved before stays in {}",
            run.path().display()
        );
    }
    Ok(())
}

/// Writes everything, whole or not at all, and then lets go of all but the last two.
///
/// # Errors
/// If a number is not finite any more, or the file can't be written. What was saved before stays.
pub fn save(run: &RunDir, network: &Network, sgd: &Sgd, progress: &Progress) -> Result<()> {
    let mut tensors: Tensors =
        network.tensors().into_iter().map(|(name, data)| (format!("weight.{name}"), data)).collect();
    tensors.extend(sgd.to_tensors());
    ensure_finite(run, &tensors)?;
    let bytes = weights::to_bytes(&tensors, PROGRESS, &serde_json::to_string(progress)?)?;
    let name = format!("checkpoint-{:012}.safetensors", progress.total_steps);
    run.write(&name, &bytes)?;
    // One of a later step is damaged, or training would have gone on from it.
    let all = list(run)?;
    let (later, rest) = all.split_at(all.partition_point(|other| *other > name));
    for old in later.iter().chain(rest.iter().skip(KEPT)) {
        // One too many does no harm.
        let _ = fs::remove_file(run.file(old));
    }
    Ok(())
}

/// Reads the newest checkpoint in `run` that is whole; `None` where there is none at all. `say` hears of each that isn't.
///
/// # Errors
/// If there are some, but none can be used.
pub fn load(
    run: &RunDir,
    network: &Network,
    sgd: &mut Sgd,
    mut say: impl FnMut(String),
) -> Result<Option<(Network, Progress)>> {
    let mut problem = None;
    for name in list(run)? {
        match read(&run.file(&name), network.clone(), sgd) {
            Ok(found) => {
                if let Some(problem) = problem {
                    say(format!("{problem:#}; going on from {name}, the one before"));
                }
                return Ok(Some(found));
            }
            Err(error) => problem = Some(error),
        }
    }
    problem.map_or(Ok(None), Err)
}

fn read(path: &Path, network: Network, sgd: &mut Sgd) -> Result<(Network, Progress)> {
    let name = || format!("{}: the checkpoint can't be used", path.display());
    let bytes = fs::read(path).with_context(name)?;
    let (tensors, progress) = weights::from_bytes(&bytes, PROGRESS).with_context(name)?;
    let progress = serde_json::from_str(&progress).with_context(name)?;
    let own: Tensors =
        tensors.iter().filter_map(|(k, v)| Some((k.strip_prefix("weight.")?.to_string(), v.clone()))).collect();
    let network = network.with_tensors(&own).with_context(name)?;
    sgd.restore(&tensors, &network);
    Ok((network, progress))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;
    use crate::run_dir::RunFile;
    use infer::OnBadImage;
    use models::{Model, device};

    #[test]
    fn a_damaged_checkpoint_takes_no_good_one_s_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = RunFile {
            command: "train".into(),
            device: None,
            towers: None,
            data_dir: None,
            weights: None,
            on_bad_image: OnBadImage::Fail,
            recipe: Recipe::load("lenet5-mnist", &[]).unwrap(),
        };
        let run = RunDir::create(Some(dir.path()), &file).unwrap();
        let network = Model::named("lenet5").unwrap().build(1, &device::parse("flex").unwrap()).unwrap();
        let name = |step: u64| format!("checkpoint-{step:012}.safetensors");
        run.write(&name(99), b"nonsense").unwrap();
        for total_steps in [10, 20, 30] {
            let progress = Progress { total_steps, ..Progress::default() };
            save(&run, &network, &Sgd::new(0.9, 0.0), &progress).unwrap();
        }
        assert_eq!(list(&run).unwrap(), [name(30), name(20)]);
    }
}
