//! `infer profile`: where a network's time goes, layer by layer.

use anyhow::Result;
use burn::tensor::{Device, Tensor, TensorData};
use infer::{DeviceArgument, Peak, Table};
use models::{Layer, Maps, Model, Network, device, reference, zoo};
use serde::Serialize;
use std::io::Write;
use std::time::Instant;

/// Arguments of `infer profile`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Network, as `infer list` names it
    model: String,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// Forward and backward pass, as training needs them
    #[arg(long)]
    train: bool,
    /// Seconds to repeat each layer for, three times at least
    #[arg(long, value_name = "S", default_value_t = 0.3, value_parser = seconds)]
    seconds: f64,
    #[command(flatten)]
    device: DeviceArgument,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Profile<'a> {
    model: &'a str,
    mode: &'static str,
    batch: u32,
    device: &'a str,
    /// What shares are of.
    #[serde(flatten)]
    peak: Peak,
    layers: Vec<Line>,
    /// The layers' times added up.
    sum_ms: f64,
    /// The whole network's, measured in one go.
    whole_ms: f64,
    gflops: f64,
    share_of_peak: f64,
}

/// One layer.
#[derive(Serialize)]
struct Line {
    name: String,
    kind: &'static str,
    median_ms: f64,
    /// Of the layers' times added up.
    share_of_time: f64,
    /// None for a layer that multiplies nothing.
    gflops: Option<f64>,
    share_of_peak: Option<f64>,
    /// At which its weights were read, each once; none for a layer without.
    weights_gb_s: Option<f64>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let variant = zoo::find(&arguments.model)?;
    let device = device::parse(arguments.device.name()?)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let peak = Peak::measure(&device, threads)?;
    let on = if arguments.train { device.clone().autodiff() } else { device.clone() };
    let network = reference::with_formula_weights(Model::named(variant.name)?.build(0, &on)?);
    let profile = measure(arguments, variant.name, &network, &on, peak)?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&profile)?)?;
        return Ok(());
    }
    let what = if arguments.train { "forward and backward" } else { "forward" };
    writeln!(out, "{}: {what}, batch {}, device {}", profile.model, profile.batch, profile.device)?;
    writeln!(
        out,
        "peak {:.0} GFLOP/s (product of two 2048x2048 matrices), memory read at {:.1} GB/s by {threads} threads\n",
        peak.gflops, peak.read_gb_s
    )?;
    let mut table = Table::new(&["layer", "what", ">ms", ">of time", ">GFLOP/s", ">of peak", ">weights GB/s"]);
    let cell = |x: Option<f64>| x.map_or_else(|| "–".into(), |x| format!("{x:.1}"));
    let percent = |x: Option<f64>| x.map_or_else(|| "–".into(), |x| format!("{:.1} %", 100.0 * x));
    for line in &profile.layers {
        let time = percent(Some(line.share_of_time));
        let (gflops, share) = (cell(line.gflops), percent(line.share_of_peak));
        let ms = format!("{:.3}", line.median_ms);
        table.row([line.name.clone(), line.kind.into(), ms, time, gflops, share, cell(line.weights_gb_s)]);
    }
    let (gflops, share) = (cell(Some(profile.gflops)), percent(Some(profile.share_of_peak)));
    table.row(["sum", "", &format!("{:.3}", profile.sum_ms), "100.0 %", "", "", ""]);
    table.row(["in one go", "", &format!("{:.3}", profile.whole_ms), "", &gflops, &share, ""]);
    write!(out, "{table}")?;
    Ok(())
}

fn measure<'a>(
    arguments: &'a Arguments,
    model: &'a str,
    network: &Network,
    device: &Device,
    peak: Peak,
) -> Result<Profile<'a>> {
    let (n, train) = (arguments.batch as usize, arguments.train);
    let [c, h, w] = network.input().shape();
    let images = TensorData::new(reference::sines(0, n * c * h * w, 1.0), [n, c, h, w]);
    let images = Tensor::<4>::from_data(images, device);
    let median = |call: &mut dyn FnMut() -> Result<()>| median(arguments.seconds, device, call);
    let mut maps = Maps::one(images.clone());
    let (mut layers, mut flop) = (Vec::new(), 0.0);
    for (i, (name, op)) in network.layers().enumerate() {
        let layer = op.layer();
        // No derivative by the image: no work on the way back to it.
        let track = train && i > 0;
        let median_ms = median(&mut || {
            once(layer, &maps, train, track);
            Ok(())
        })?;
        let spec = layer.spec();
        // A weight meets an input once forward, and once for each derivative.
        let work = 2.0 * (spec.macs * n) as f64 * if train { 2.0 + f64::from(u8::from(track)) } else { 1.0 };
        flop += work;
        let gflops = (spec.macs > 0).then_some(work / median_ms / 1e6);
        layers.push(Line {
            name: name.into(),
            kind: spec.kind,
            median_ms,
            share_of_time: 0.0,
            gflops,
            share_of_peak: gflops.map(|g| g / peak.gflops),
            weights_gb_s: (spec.parameters > 0).then_some(4.0 * spec.parameters as f64 / median_ms / 1e6),
        });
        maps = Maps(layer.forward(maps).0.into_iter().map(Tensor::detach).collect());
    }
    let sum_ms: f64 = layers.iter().map(|l| l.median_ms).sum();
    for line in &mut layers {
        line.share_of_time = line.median_ms / sum_ms;
    }
    let whole_ms = median(&mut || {
        let logits = network.forward(images.clone())?;
        if train {
            drop(logits.backward());
        }
        Ok(())
    })?;
    let gflops = flop / whole_ms / 1e6;
    Ok(Profile {
        model,
        mode: if train { "train" } else { "infer" },
        batch: arguments.batch,
        device: arguments.device.name()?,
        peak,
        layers,
        sum_ms,
        whole_ms,
        gflops,
        share_of_peak: gflops / peak.gflops,
    })
}

/// The layer's forward pass, and its way back from a gradient of ones if `train`, to its input if `track`.
fn once(layer: &dyn Layer, maps: &Maps, train: bool, track: bool) {
    let input = if track { maps.clone().each(Tensor::require_grad) } else { maps.clone() };
    let output = layer.forward(input);
    if train {
        drop(output.join().backward());
    }
}

/// The median of calls' milliseconds, after one that isn't counted.
fn median(seconds: f64, device: &Device, call: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    call()?;
    device.sync()?;
    let (mut samples, begin) = (Vec::new(), Instant::now());
    while samples.len() < 3 || begin.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        call()?;
        device.sync()?;
        samples.push(start.elapsed().as_nanos() as f64 / 1e6);
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples[samples.len() / 2])
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(s) if (0.0..=3600.0).contains(&s) => Ok(s),
        _ => Err("expected a number of seconds, 0 to 3600".into()),
    }
}
