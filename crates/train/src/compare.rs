//! `train compare`: the curves of several runs in one picture.

use crate::checkpoint::Epoch;
use crate::cli::Compare;
use crate::plot;
use anyhow::{Context, Result, anyhow, ensure};
use std::path::Path;

/// Runs it.
///
/// # Errors
/// If a run has no `metrics.csv` or it can't be read, there are too many runs, or the picture can't be written.
pub fn compare(arguments: &Compare) -> Result<()> {
    let most = plot::COLOURS.len();
    ensure!(arguments.runs.len() <= most, "{} runs, at most {most} can be told apart", arguments.runs.len());
    let mut runs = Vec::new();
    for run in &arguments.runs {
        let path = run.join("metrics.csv");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{}: can't be read. Has the run ended an epoch?", path.display()))?;
        let history =
            text.lines().skip(1).enumerate().map(|(i, line)| {
                epoch(line).ok_or_else(|| anyhow!("{}: line {} is no epoch's", path.display(), i + 2))
            });
        runs.push((label(run), history.collect::<Result<Vec<_>>>()?));
    }
    data::whole(&arguments.out, &plot::compared(&runs)?)
        .with_context(|| format!("{}: can't be written", arguments.out.display()))?;
    for (name, history) in &runs {
        let error = history.iter().filter_map(|e| Some((e.validation_error?, e.epoch)));
        let best = error.min_by(|a, b| a.0.total_cmp(&b.0));
        let best =
            best.map_or_else(String::new, |(e, at)| format!(", validation error {:.2} % in epoch {at}", 100.0 * e));
        let loss = history.last().map_or(0.0, |e| e.loss);
        println!("{name}: {} epochs, loss {loss:.4}{best}", history.len());
    }
    println!("{}", arguments.out.display());
    Ok(())
}

/// The directory's own name, wherever it is.
fn label(run: &Path) -> String {
    let full = run.canonicalize();
    let name = full.as_deref().unwrap_or(run).file_name();
    name.map_or_else(|| run.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A line of `metrics.csv`.
fn epoch(line: &str) -> Option<Epoch> {
    let fields: Vec<_> = line.split(',').collect();
    let [epoch, loss, error, rate, images_per_second, seconds] = fields[..] else { return None };
    Some(Epoch {
        epoch: epoch.parse().ok()?,
        loss: loss.parse().ok()?,
        validation_error: if error.is_empty() { None } else { Some(error.parse().ok()?) },
        rate: rate.parse().ok()?,
        images_per_second: images_per_second.parse().ok()?,
        seconds: seconds.parse().ok()?,
    })
}
