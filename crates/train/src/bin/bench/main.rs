//! `bench`: times one network on one device, in a process of its own. `cargo xtask bench-backends` and `bench-peers` run it.

mod subject;

use anyhow::{Context, Result, anyhow};
use clap::{Parser, ValueEnum};
use infer::PlacementArguments;
use models::{Crossing, Model, device, reference, zoo};
use serde::Serialize;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};
use subject::Subject;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time a network's forward pass or training step. One JSON object on standard output, whatever happens.
#[derive(Parser, Clone)]
#[command(name = "bench", version)]
struct Cli {
    /// Instead: what there is to time, as a JSON array
    #[arg(long)]
    list: bool,
    /// Instead: what the device can do at most
    #[arg(long)]
    peak: bool,
    /// Instead: time on request. Each line of standard input is a number of seconds to make calls for
    #[arg(long)]
    serve: bool,
    /// Instead: the memory that one call takes at most
    #[arg(long)]
    memory: bool,
    /// Instead: write the network for PyTorch and ONNX Runtime into this directory
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    /// Threads that read memory for --peak [default: one for each core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Network, as `bench --list` names it
    #[arg(long, required_unless_present_any = ["list", "peak"], default_value = "")]
    model: String,
    /// Forward pass, or forward pass, loss, backward pass and a step of SGD with momentum
    #[arg(long, default_value = "infer")]
    mode: Mode,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    #[command(flatten)]
    placement: PlacementArguments,
    /// What to compute in
    #[arg(long, default_value = "f32")]
    dtype: Dtype,
    /// How long to time calls, after half as long of warming up; one call at least
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// When to give up, counted from the start
    #[arg(long, value_name = "S", default_value_t = 60.0, value_parser = seconds)]
    limit: f64,
}

#[derive(Clone, Copy, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Infer,
    Train,
}

/// A floating-point type, where the device has it.
#[derive(Clone, Copy, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Dtype {
    F32,
    F16,
    Bf16,
}

/// A call's time in milliseconds, and what is known at the end.
enum Call {
    Warming(f64),
    Timed(f64),
    Memory(f64),
    Apart(f64),
}

/// What comes out. `error` is set where the times are missing, or are the first call's only.
#[derive(Serialize)]
struct Row<'a> {
    model: &'a str,
    mode: Mode,
    batch: u32,
    device: &'a str,
    /// What the device calls itself.
    adapter: Option<String>,
    dtype: Dtype,
    /// What crosses between towers on devices of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    crossings: Vec<Crossing>,
    median_ms: Option<f64>,
    images_per_second: Option<f64>,
    samples_ms: Vec<f64>,
    /// The first call's: with what is compiled or tried out for it.
    first_ms: Option<f64>,
    /// The most memory that the process held until then, in MiB; a GPU's own isn't counted.
    peak_mib: Option<f64>,
    /// The largest difference of a logit from PyTorch's, for the images of the golden files.
    max_abs_diff: Option<f64>,
    error: Option<String>,
}

fn main() -> ExitCode {
    infer::memory::keep();
    infer::exit::run(|cli: Cli| -> Result<()> {
        if cli.list {
            list()
        } else if cli.peak {
            let threads = thread::available_parallelism().map_or(1, usize::from);
            say(&infer::Peak::measure(cli.placement.place_once()?.first(), cli.threads.unwrap_or(threads))?)
        } else if let Some(dir) = &cli.export {
            export(&cli, dir)
        } else if cli.memory {
            memory(&cli)
        } else if cli.serve {
            serve(&cli)
        } else {
            say(&watch(&cli))
        }
    })
}

/// Runs [`time`] on a thread, so that neither a panic nor a call without end takes the answer along.
fn watch(cli: &Cli) -> Row<'_> {
    let deadline = Instant::now() + Duration::from_secs_f64(cli.limit);
    let (send, calls) = mpsc::channel();
    let worker = {
        let cli = cli.clone();
        thread::spawn(move || time(&cli, &send))
    };
    let (mut first_ms, mut samples_ms, mut error) = (None, Vec::new(), None);
    let (mut peak_mib, mut max_abs_diff) = (None, None);
    loop {
        match calls.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Call::Warming(ms)) => _ = first_ms.get_or_insert(ms),
            Ok(Call::Timed(ms)) => samples_ms.push(ms),
            Ok(Call::Memory(mib)) => peak_mib = Some(mib),
            Ok(Call::Apart(apart)) => max_abs_diff = Some(apart),
            Err(RecvTimeoutError::Timeout) if samples_ms.is_empty() => {
                // Better one cold call than nothing.
                samples_ms.extend(first_ms);
                let got = if first_ms.is_some() { "only the first call was timed" } else { "not one call ended" };
                break error = Some(format!("ran out of time after {} s: {got}", cli.limit));
            }
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => {
                let ended = worker.join().unwrap_or_else(|panic| {
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    Err(anyhow!("panicked: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message")))
                });
                break error = ended.err().map(|e| format!("{e:#}"));
            }
        }
    }
    let median_ms = median(&samples_ms);
    Row {
        model: zoo::find(&cli.model).map_or(&cli.model, |variant| variant.name),
        mode: cli.mode,
        batch: cli.batch,
        device: cli.placement.name(),
        adapter: device::find(cli.placement.name()).map(|found| found.adapter),
        dtype: cli.dtype,
        crossings: crossings(cli).unwrap_or_default(),
        median_ms,
        images_per_second: median_ms.map(|ms| 1000.0 * f64::from(cli.batch) / ms),
        samples_ms,
        first_ms,
        peak_mib,
        max_abs_diff,
        error,
    }
}

/// What crosses between the towers; the weights aren't drawn for that. Mistakes show in [`time`].
fn crossings(cli: &Cli) -> Result<Vec<Crossing>> {
    let placement = cli.placement.place_once()?;
    let network = Model::named(&cli.model)?.build(0, placement.first())?;
    Ok(placement.crossings(&network))
}

/// Calls the network again and again.
fn time(cli: &Cli, calls: &Sender<Call>) -> Result<()> {
    let mut subject = Subject::new(cli)?;
    subject.repeat(cli.seconds / 2.0, |ms| Ok(calls.send(Call::Warming(ms))?))?;
    subject.repeat(cli.seconds, |ms| Ok(calls.send(Call::Timed(ms))?))?;
    if let Ok(mib) = subject::peak_mib() {
        calls.send(Call::Memory(mib))?;
    }
    let name = zoo::find(&cli.model)?.name;
    if let Some(case) = models::check::cases().find(|case| case.name == name) {
        calls.send(Call::Apart(case.logits_apart(cli.placement.place_once()?.first())?))?;
    }
    Ok(())
}

/// Answers turns until standard input ends: a line with a number of seconds in, a line `{"samples_ms": [...]}` out. The
/// first line out says that all is ready, and the first image's logits.
fn serve(cli: &Cli) -> Result<()> {
    let mut subject = Subject::new(cli)?;
    say(&json!({ "version": env!("CARGO_PKG_VERSION"), "logits": subject.logits()? }))?;
    for line in std::io::stdin().lines() {
        let seconds = seconds(line?.trim()).map_err(|e| anyhow!("standard input: {e}"))?;
        let mut samples_ms = Vec::new();
        subject.repeat(seconds, |ms| {
            samples_ms.push(ms);
            Ok(())
        })?;
        say(&json!({ "samples_ms": samples_ms }))?;
    }
    Ok(())
}

/// One call by a process that did nothing else, and the memory that it took.
fn memory(cli: &Cli) -> Result<()> {
    let ms = Subject::new(cli)?.call()?;
    say(&json!({ "version": env!("CARGO_PKG_VERSION"), "peak_mib": subject::peak_mib()?, "first_ms": ms }))
}

/// `DIR/model.onnx` and `DIR/model.pth`, with formula weights: what peers load.
fn export(cli: &Cli, dir: &Path) -> Result<()> {
    let network =
        reference::with_formula_weights(Model::named(&cli.model)?.build(0, cli.placement.place_once()?.first())?);
    let card = formats::untrained(&network);
    for (format, name) in [(formats::Format::Onnx, "model.onnx"), (formats::Format::Pytorch, "model.pth")] {
        let path = dir.join(name);
        let bytes = formats::write(&network, &card, format)?;
        data::whole(&path, &bytes).with_context(|| format!("{}: can't be written", path.display()))?;
    }
    Ok(())
}

/// What there is to time.
fn list() -> Result<()> {
    let mut all = Vec::new();
    for v in zoo::variants() {
        let network = Model::named(v.name)?.build(0, &device::parse("flex")?)?;
        let rows = network.summary();
        let layers = rows.iter().map(|r| {
            let (name, kind, spec) = (&r.name, r.spec.kind, &r.spec);
            json!({ "name": name, "kind": kind, "macs": spec.macs, "parameters": spec.parameters })
        });
        all.push(json!({
            "model": v.name,
            "family": v.family,
            "principal": zoo::find(v.family).is_ok_and(|first| first.name == v.name),
            "batch": v.batch,
            "layers": layers.collect::<Vec<_>>(),
        }));
    }
    say(&all)
}

fn say(answer: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(answer)?)?;
    Ok(out.flush()?)
}

/// `None` of nothing.
fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let high = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { high } else { (sorted[middle - 1] + high) / 2.0 })
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(s) if (0.0..=86_400.0).contains(&s) => Ok(s),
        _ => Err("expected a number of seconds, 0 to 86400".into()),
    }
}
