//! `bench`: times one network on one device, in a process of its own. `cargo xtask bench-backends` runs it.

use anyhow::{Result, anyhow};
use burn::tensor::{Tensor, TensorData};
use clap::{Parser, ValueEnum};
use data::Batch;
use infer::PlacementArguments;
use models::{Crossing, Model, reference, zoo};
use serde::Serialize;
use serde_json::json;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};
use train::{Loss, Sgd, gradient};

/// Batches that take turns, so that no call finds its own input in the cache.
const INPUTS: u32 = 4;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time a network's forward pass or training step. One JSON object on standard output, whatever happens.
#[derive(Parser, Clone)]
#[command(name = "bench", version)]
struct Cli {
    /// Instead: what there is to time, as a JSON array
    #[arg(long)]
    list: bool,
    /// Network, as `bench --list` names it
    #[arg(long, required_unless_present = "list", default_value = "")]
    model: String,
    /// Forward pass, or forward pass, loss, backward pass and a step of SGD with momentum
    #[arg(long, default_value = "infer")]
    mode: Mode,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    #[command(flatten)]
    placement: PlacementArguments,
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

/// A call's time in milliseconds.
enum Call {
    Warming(f64),
    Timed(f64),
}

/// What comes out. `error` is set where the times are missing, or are the first call's only.
#[derive(Serialize)]
struct Row<'a> {
    model: &'a str,
    mode: Mode,
    batch: u32,
    device: &'a str,
    /// What crosses between towers on devices of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    crossings: Vec<Crossing>,
    median_ms: Option<f64>,
    images_per_second: Option<f64>,
    samples_ms: Vec<f64>,
    first_ms: Option<f64>,
    error: Option<String>,
}

fn main() -> ExitCode {
    infer::exit::run(|cli: Cli| -> Result<()> {
        if cli.list {
            let principal = |v: &zoo::Variant| zoo::find(v.family).is_ok_and(|first| first.name == v.name);
            let all: Vec<_> = zoo::variants()
                .map(|v| json!({ "model": v.name, "principal": principal(v), "batch": v.batch }))
                .collect();
            println!("{}", serde_json::to_string(&all)?);
            return Ok(());
        }
        println!("{}", serde_json::to_string(&watch(&cli))?);
        Ok(())
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
    loop {
        match calls.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Call::Warming(ms)) => _ = first_ms.get_or_insert(ms),
            Ok(Call::Timed(ms)) => samples_ms.push(ms),
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
        crossings: crossings(cli).unwrap_or_default(),
        median_ms,
        images_per_second: median_ms.map(|ms| 1000.0 * f64::from(cli.batch) / ms),
        samples_ms,
        first_ms,
        error,
    }
}

/// What crosses between the towers; the weights aren't drawn for that. Mistakes show in [`time`].
fn crossings(cli: &Cli) -> Result<Vec<Crossing>> {
    let placement = cli.placement.or_flex()?;
    let network = Model::named(&cli.model)?.build(0, placement.first())?;
    Ok(placement.crossings(&network))
}

/// Calls the network again and again.
fn time(cli: &Cli, calls: &Sender<Call>) -> Result<()> {
    let placement = cli.placement.or_flex()?;
    let device = placement.first();
    let on = if cli.mode == Mode::Train { placement.autodiff() } else { placement.clone() };
    let model = Model::named(&cli.model)?;
    let mut network = reference::with_formula_weights(on.place(model.build(0, on.first())?)?);
    let [c, h, w] = network.input().shape();
    let n = cli.batch as usize;
    let batches: Vec<Batch> = (0..INPUTS)
        .map(|i| Batch {
            images: reference::sines(i, n * c * h * w, 1.0),
            shape: [n, c, h, w],
            labels: (0..n).map(|j| (j % model.classes.min(256)) as u8).collect(),
            indices: (0..cli.batch).collect(),
        })
        .collect();
    let images: Vec<Tensor<4>> =
        batches.iter().map(|b| Tensor::from_data(TensorData::new(b.images.clone(), b.shape), device)).collect();
    let mut sgd = Sgd::new(0.9, 5e-4);
    let sync = || placement.devices().iter().try_for_each(|device| device.sync());
    let mut call = |i: usize| -> Result<f64> {
        sync()?;
        let start = Instant::now();
        match cli.mode {
            Mode::Infer => drop(network.forward(images[i].clone())?),
            Mode::Train => {
                let loss = Loss::CrossEntropy { smoothing: 0.0 };
                let (_, gradient) = gradient(&network, &batches[i], loss, device)?;
                let radius = network.filter_radius();
                sgd.step(&mut network, &gradient, 1e-4);
                network.renormalise(radius);
            }
        }
        sync()?;
        Ok(start.elapsed().as_micros() as f64 / 1000.0)
    };
    let mut inputs = (0..INPUTS as usize).cycle();
    let mut repeat = |seconds: f64, kind: fn(f64) -> Call| -> Result<()> {
        let start = Instant::now();
        for i in inputs.by_ref() {
            calls.send(kind(call(i)?))?;
            if start.elapsed().as_secs_f64() >= seconds {
                break;
            }
        }
        Ok(())
    };
    repeat(cli.seconds / 2.0, Call::Warming)?;
    repeat(cli.seconds, Call::Timed)
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
