//! LeNet-5 by its recipe, in ours and in PyTorch: seconds to 99 % test accuracy.

use super::Setting;
use super::row::Framework;
use crate::bench::machine::Machine;
use crate::bench::process::build;
use crate::bench::samples::cell;
use crate::root;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const RECIPE: &str = "lenet5-mnist";
/// The test error that is raced for.
const GOAL: f64 = 0.01;

/// A framework's run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    recipe: String,
    pub framework: Framework,
    pub version: String,
    /// Training time at the end of the first epoch whose weights read 99 % of the test set, validation counted in.
    pub seconds_to_99: Option<f64>,
    epoch_of_99: Option<u32>,
    pub seconds: f64,
    pub test_error: f64,
    epochs: Vec<Epoch>,
    pub threads: usize,
    #[serde(flatten)]
    pub machine: Machine,
}

/// After an epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Epoch {
    epoch: u32,
    seconds: f64,
    test_error: f64,
}

/// Trains in both, one after the other.
///
/// # Errors
/// If one can't.
pub fn race(setting: &Setting) -> Result<Vec<Row>> {
    let (ours, theirs) = (ours(setting)?, pytorch(setting)?);
    let row = |framework, version, epochs| Row::new(framework, version, epochs, setting);
    Ok(vec![
        row(Framework::Ours, env!("CARGO_PKG_VERSION").into(), ours)?,
        row(Framework::PyTorch, theirs.0, theirs.1)?,
    ])
}

impl Row {
    fn new(framework: Framework, version: String, epochs: Vec<Epoch>, setting: &Setting) -> Result<Self> {
        let last = epochs.last().with_context(|| format!("{} ended without an epoch", framework.name()))?;
        let there = epochs.iter().find(|e| e.test_error <= GOAL);
        Ok(Self {
            recipe: RECIPE.into(),
            framework,
            version,
            seconds_to_99: there.map(|e| e.seconds),
            epoch_of_99: there.map(|e| e.epoch),
            seconds: last.seconds,
            test_error: last.test_error,
            epochs,
            threads: setting.threads,
            machine: setting.machine.clone(),
        })
    }
}

fn recipe() -> PathBuf {
    root().join("crates/train/recipes").join(RECIPE).with_extension("toml")
}

/// The setting that keeps each epoch's weights, for a recipe's text.
fn keep(recipe: &str) -> Result<String> {
    let epochs = recipe.lines().find_map(|line| line.strip_prefix("epochs = "));
    let epochs: u64 = epochs.with_context(|| format!("recipe {RECIPE} has no line 'epochs = N'"))?.parse()?;
    Ok(format!("training.keep={:?}", (1..=epochs).collect::<Vec<_>>()))
}

/// Ours trains without the test set: each epoch's weights are kept, and evaluated when all is over.
fn ours(setting: &Setting) -> Result<Vec<Epoch>> {
    let (train, infer) = (build("train", &[])?, build("infer", &[])?);
    let run = setting.files.path().join("run");
    let recipe = std::fs::read_to_string(recipe()).with_context(|| format!("recipe {RECIPE} can't be read"))?;
    let mut command = Command::new(train);
    command
        .args(["--recipe", RECIPE, "--set", &keep(&recipe)?, "--json", "--out"])
        .arg(&run)
        .env("RAYON_NUM_THREADS", setting.threads.to_string());
    let mut epochs = Vec::new();
    lines(&mut command, |event| {
        if let (Some("epoch"), Some(epoch), Some(seconds)) =
            (event["event"].as_str(), event["epoch"].as_u64(), event["seconds"].as_f64())
        {
            epochs.push((epoch, seconds));
        }
        Ok(())
    })?;
    let error = |path: &Path| -> Result<f64> {
        let output = Command::new(&infer).args(["eval", "--json", "--weights"]).arg(path).output()?;
        ensure!(output.status.success(), "infer eval: {}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout)?;
        report["error"].as_f64().context("infer eval --json has no 'error'")
    };
    let done = |(epoch, seconds): (u64, f64)| {
        let test_error = error(&run.join(format!("epoch-{epoch}.safetensors")))?;
        let epoch = Epoch { epoch: u32::try_from(epoch)?, seconds, test_error };
        say(Framework::Ours, &epoch);
        Ok(epoch)
    };
    epochs.into_iter().map(done).collect()
}

/// PyTorch's version, and its epochs.
fn pytorch(setting: &Setting) -> Result<(String, Vec<Epoch>)> {
    let mut command = Command::new(&setting.python);
    command.arg(root().join("xtask/peers/lenet.py"));
    command.arg(recipe());
    command.arg(root().join("datasets/mnist")).arg(setting.threads.to_string());
    command.env("OMP_NUM_THREADS", setting.threads.to_string());
    let (mut version, mut epochs) = (String::new(), Vec::new());
    lines(&mut command, |event| {
        version = event["version"].as_str().unwrap_or_default().into();
        let epoch: Epoch = serde_json::from_value(event)?;
        say(Framework::PyTorch, &epoch);
        epochs.push(epoch);
        Ok(())
    })?;
    Ok((version, epochs))
}

fn say(framework: Framework, e: &Epoch) {
    eprintln!(
        "{:<12} epoch {:>2}: {:>6.1} s, test error {:.2} %",
        framework.name(),
        e.epoch,
        e.seconds,
        100.0 * e.test_error
    );
}

/// Runs `command`, each line of its output an object for `each`.
fn lines(command: &mut Command, mut each: impl FnMut(Value) -> Result<()>) -> Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("{command:?} can't be started"))?;
    let out = child.stdout.take().context("no pipe")?;
    let read = BufReader::new(out).lines().try_for_each(|line| each(serde_json::from_str(&line?)?));
    if read.is_err() {
        child.kill().ok();
    }
    let status = child.wait()?;
    read?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// The rows as a table.
pub fn table(rows: &[Row]) -> String {
    let heading = ["framework", "s to 99 %", "epoch", "s in all", "test error"];
    let line = |c: [String; 5]| format!("{:<12} {:>10} {:>6} {:>10} {:>11}\n", c[0], c[1], c[2], c[3], c[4]);
    let mut text = line(heading.map(String::from));
    for r in rows {
        let epoch = r.epoch_of_99.map_or_else(|| "–".into(), |e| e.to_string());
        let error = format!("{:.2} %", 100.0 * r.test_error);
        text.push_str(&line([
            r.framework.name().into(),
            cell(r.seconds_to_99, 1),
            epoch,
            cell(Some(r.seconds), 1),
            error,
        ]));
    }
    text
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn events_are_lines_and_failures_are_errors() {
        let mut seen = Vec::new();
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        lines(&mut shell(r#"echo '{"epoch":1}'; echo '{"epoch":2}'"#), |event| {
            seen.push(event["epoch"].as_u64());
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [Some(1), Some(2)]);
        assert!(lines(&mut shell("exit 2"), |_| Ok(())).is_err());
        assert!(lines(&mut shell("echo no JSON"), |_| Ok(())).is_err());
    }

    #[test]
    fn every_epoch_of_the_recipe_is_kept() {
        assert_eq!(keep("seed = 2\nepochs = 3\n").unwrap(), "training.keep=[1, 2, 3]");
        assert!(keep(&std::fs::read_to_string(recipe()).unwrap()).is_ok());
        assert!(keep("seed = 2\n").is_err());
    }

    #[test]
    fn the_first_epoch_that_is_good_enough_counts() {
        let epoch = |epoch, test_error| Epoch { epoch, seconds: 2.0 * f64::from(epoch), test_error };
        let setting = Setting {
            python: "python".into(),
            bench: crate::bench::process::Bench::at("bench"),
            threads: 2,
            machine: Machine::default(),
            files: tempfile::tempdir().unwrap(),
        };
        let row = |epochs| Row::new(Framework::PyTorch, "2".into(), epochs, &setting);
        let reached = row(vec![epoch(1, 0.03), epoch(2, 0.01), epoch(3, 0.012)]).unwrap();
        assert_eq!((reached.seconds_to_99, reached.epoch_of_99, reached.test_error), (Some(4.0), Some(2), 0.012));
        assert!(row(Vec::new()).is_err());
        let missed = row(vec![epoch(1, 0.03)]).unwrap();
        let text = table(&[reached, missed]);
        assert!(text.contains("PyTorch             4.0      2        6.0      1.20 %\n"), "{text}");
        assert!(text.contains("PyTorch               –      –        2.0      3.00 %\n"), "{text}");
    }
}
