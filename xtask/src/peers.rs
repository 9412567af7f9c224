//! `cargo xtask bench-peers`: ours, PyTorch and ONNX Runtime in turn, each in a process of its own.

mod chart;
mod contest;
mod lenet;
mod memory;
mod page;
mod python;
mod row;
mod worker;

use crate::bench::machine::Machine;
use crate::bench::plan::{Choice, Listed};
use crate::bench::process::Bench;
use crate::bench::write;
use anyhow::{Context, Result};
use contest::Contest;
use row::{Framework, Row};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The networks that are compared where none is named: one of each family, and LeNet-5 as it is usually rebuilt.
const MODELS: [&str; 5] = ["lenet5", "lenet5-dense", "alexnet", "zfnet", "nin-cifar10"];

/// Arguments of `cargo xtask bench-peers`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// How often each framework takes its turn [default: 7]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Threads that each framework may use
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// Three rounds of a quarter of a second: under 3 minutes for all
    #[arg(long)]
    quick: bool,
    /// Instead: the most memory that one training step takes [default: of AlexNet at batch 128]
    #[arg(long)]
    memory: bool,
    /// Instead: train LeNet-5 by its recipe in ours and in PyTorch, to 99 % test accuracy and to the end
    #[arg(long, conflicts_with = "memory")]
    train_lenet: bool,
    /// Also keep the rows in docs/results, and write its page and picture anew
    #[arg(long)]
    publish: bool,
    /// Instead: write docs/results' page and picture anew from the rows that are kept there
    #[arg(long, conflicts_with_all = ["memory", "train_lenet", "publish"])]
    page: bool,
}

/// What every measurement needs.
struct Setting {
    python: PathBuf,
    bench: Bench,
    threads: usize,
    machine: Machine,
    /// For the networks' files, gone when we are.
    files: tempfile::TempDir,
}

/// Runs it.
///
/// # Errors
/// If a program can't be built or installed, a network isn't there, or a file can't be written. A framework that fails
/// says so in its row.
pub fn run(arguments: &Arguments) -> Result<()> {
    arguments.choice.check()?;
    if arguments.page {
        return page::write();
    }
    if let Some(load) = load(&std::fs::read_to_string("/proc/loadavg").unwrap_or_default()) {
        eprintln!("other programs are at work (load {load:.1}): what this measures is worth little");
    }
    let setting = Setting {
        python: python::python()?,
        bench: Bench::build(&[String::from("flex")])?,
        threads: arguments.threads as usize,
        machine: Machine::look(),
        files: tempfile::tempdir().context("no temporary directory")?,
    };
    if arguments.train_lenet {
        let rows = lenet::race(&setting)?;
        print!("{}", lenet::table(&rows));
        return keep(arguments, &rows, page::LENET);
    }
    let listed = setting.bench.list()?;
    if arguments.memory {
        let rows = memory::measure(&setting, &arguments.choice.or("alexnet", 128), &listed)?;
        print!("{}", memory::table(&rows));
        return keep(arguments, &rows, page::MEMORY);
    }
    let (rounds, seconds) = if arguments.quick { (3, 0.25) } else { (7, 1.0) };
    let rounds = arguments.rounds.unwrap_or(rounds);
    let combinations = arguments.choice.combinations(&listed, |l| MODELS.contains(&l.model.as_str()))?;
    let mut peak = contest::Peak::default();
    let mut contests = Vec::new();
    for group in combinations.chunk_by(|a, b| a.model == b.model) {
        let model = find(&listed, &group[0].model)?;
        peak.raise(contest::Peak::measure(&setting)?);
        let files = setting.export(&model.model)?;
        for combination in group {
            contests.push((model, Contest::run(&setting, model, combination.clone(), files.path(), rounds, seconds)));
        }
    }
    let mut rows: Vec<Row> =
        contests.into_iter().flat_map(|(model, contest)| contest.rows(&setting, model, peak)).collect();
    row::relate(&mut rows);
    print!("{}", row::table(&rows));
    keep(arguments, &rows, page::TIMES)
}

/// Writes `rows` wherever the command line wants them.
fn keep(arguments: &Arguments, rows: &[impl Serialize], name: &str) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(rows)?;
    if let Some(path) = &arguments.choice.json {
        write(path, &bytes).with_context(|| path.display().to_string())?;
        eprintln!("{} rows in {}", rows.len(), path.display());
    }
    if arguments.publish {
        let path = page::results().join(name);
        write(&path, &[&bytes[..], b"\n"].concat()).with_context(|| path.display().to_string())?;
        page::write()?;
    }
    Ok(())
}

/// The load of the last minute, if it is more than an idle machine's.
fn load(loadavg: &str) -> Option<f64> {
    loadavg.split(' ').next()?.parse().ok().filter(|load| *load > 0.7)
}

fn find<'a>(listed: &'a [Listed], model: &str) -> Result<&'a Listed> {
    listed.iter().find(|l| l.model == model).with_context(|| format!("bench --list doesn't know {model}"))
}

impl Setting {
    /// `model` with formula weights, as peers read it. The files go when the directory does.
    fn export(&self, model: &str) -> Result<tempfile::TempDir> {
        let dir = tempfile::tempdir_in(self.files.path())?;
        let status = self.bench.command().args(["--model", model, "--export"]).arg(dir.path()).status()?;
        anyhow::ensure!(status.success(), "bench --model {model} --export ended with {status}");
        Ok(dir)
    }

    /// The process of `framework`: what follows says what it is to do.
    fn command(&self, framework: Framework, model: &Listed, mode: &str, batch: u32, files: &Path) -> Command {
        let threads = self.threads.to_string();
        let mut command = match framework {
            Framework::Ours => self.bench.command(),
            peer => {
                let mut command = Command::new(&self.python);
                command.arg(crate::root().join("xtask/peers/peer.py"));
                command
                    .arg(if peer == Framework::PyTorch { "pytorch" } else { "onnxruntime" })
                    .arg("--files")
                    .arg(files);
                command.args(["--dropout", &dropped(model)]);
                command
            }
        };
        command.args(["--model", &model.model, "--mode", mode, "--batch", &batch.to_string(), "--threads", &threads]);
        command.env("RAYON_NUM_THREADS", &threads).env("OMP_NUM_THREADS", &threads);
        command
    }
}

/// The layers whose outputs go through dropout, comma between them.
fn dropped(model: &Listed) -> String {
    let pairs = model.layers.windows(2).filter(|pair| pair[1].kind == "dropout");
    pairs.map(|pair| pair[0].name.as_str()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::plan::Layer;

    #[test]
    fn a_busy_machine_is_told() {
        assert_eq!(
            (load("2.50 1.00 0.90 3/400 1\n"), load("0.30 4.00 4.00 1/400 1\n"), load("")),
            (Some(2.5), None, None)
        );
    }

    #[test]
    fn dropout_follows_the_layers_before_it() {
        let layer = |name: &str, kind: &str| Layer { name: name.into(), kind: kind.into(), macs: 0.0, parameters: 0.0 };
        let mut model = Listed::new("alexnet", true, 8);
        model.layers = vec![layer("fc6", "linear"), layer("drop6", "dropout"), layer("fc7", "linear")];
        assert_eq!(dropped(&model), "fc6");
        model.layers.push(layer("drop7", "dropout"));
        assert_eq!(dropped(&model), "fc6,fc7");
    }
}
