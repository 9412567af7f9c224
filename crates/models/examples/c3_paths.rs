//! Times C3's two ways to run: `cargo run -p models --example c3_paths` prints docs/results/c3.md's table for flex and
//! ndarray, or for the devices named after it.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use models::layers::TableConvConfig;
use models::{Draw, LayerConfig, Maps, Op, TABLE_I, device, reference};
use std::error::Error;
use std::time::{Duration, Instant};

/// S2's maps, their side, and the side of C3's kernels.
const MAPS: usize = 6;
const SIDE: usize = 14;
const K: usize = 5;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(600);

fn main() -> Result<(), Box<dyn Error>> {
    println!("| device | batch | pass | scattered, ms | grouped, ms | grouped / scattered |");
    println!("|---|---:|---|---:|---:|---:|");
    let named: Vec<String> = std::env::args().skip(1).collect();
    let names = if named.is_empty() { vec!["flex".into(), "ndarray".into()] } else { named };
    for name in &names {
        for batch in [1, 64] {
            for backward in [false, true] {
                let plain = device::parse(name)?;
                let device = if backward { plain.autodiff() } else { plain };
                let [scattered, grouped] = times(&device, batch, backward)?;
                println!(
                    "| {name} | {batch} | forward{} | {scattered:.3} | {grouped:.3} | {:.2} |",
                    if backward { " and backward" } else { "" },
                    grouped / scattered
                );
            }
        }
    }
    Ok(())
}

/// Medians in milliseconds, the two ways in turn.
fn times(device: &Device, batch: usize, backward: bool) -> Result<[f64; 2], Box<dyn Error>> {
    let table: Vec<Vec<usize>> = TABLE_I.iter().map(|row| row.to_vec()).collect();
    let config = TableConvConfig { table, kernel: K, activation: None };
    let c3 = config.init([MAPS, SIDE, SIDE], &Draw { seed: 1, layer: "C3".into(), device: device.clone() })?;
    let grouped = Grouped::of(&c3, device);
    let pixels = reference::sines(0, batch * MAPS * SIDE * SIDE, 1.0);
    let x = Tensor::<4>::from_data(TensorData::new(pixels, [batch, MAPS, SIDE, SIDE]), device);
    let x = if backward { x.require_grad() } else { x };

    let ways: [&dyn Fn() -> Tensor<4>; 2] =
        [&|| c3.layer().forward(Maps::one(x.clone())).join(), &|| grouped.forward(x.clone())];
    let apart = (ways[0]() - ways[1]()).abs().max().into_scalar::<f32>();
    assert!(apart < 1e-5, "the two ways differ by {apart}");

    let mut samples = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (way, samples) in ways.iter().zip(&mut samples) {
            let start = Instant::now();
            while start.elapsed() < ROUND {
                let call = Instant::now();
                let y = way();
                if backward {
                    drop(y.sum().backward());
                }
                device.sync()?;
                // The first round warms up.
                if round > 0 {
                    samples.push(call.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
    }
    Ok(samples.map(|mut s| {
        s.sort_by(f64::total_cmp);
        s[s.len() / 2]
    }))
}

/// C3 in groups: for each run of rows that see as many maps, those maps gathered and one grouped convolution.
struct Grouped {
    /// `[connections, k, k]`.
    kernels: Tensor<3>,
    /// `[out]`.
    bias: Tensor<1>,
}

impl Grouped {
    /// With the layer's own weights.
    fn of(c3: &Op, device: &Device) -> Self {
        struct Read(Vec<TensorData>);
        impl ModuleVisitor for Read {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0.push(param.val().into_data());
            }
        }
        let mut read = Read(Vec::new());
        c3.visit(&mut read);
        let [kernels, bias] = <[TensorData; 2]>::try_from(read.0).expect("C3 has kernels and biases");
        let (kernels, bias) = (Tensor::from_data(kernels, device), Tensor::from_data(bias, device));
        if device.is_autodiff() {
            return Self { kernels: kernels.require_grad(), bias: bias.require_grad() };
        }
        Self { kernels, bias }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (mut kernel, mut out) = (0, 0);
        let mut parts = Vec::new();
        for run in TABLE_I.chunk_by(|a, b| a.len() == b.len()) {
            let (groups, fan_in) = (run.len(), run[0].len());
            let seen: Vec<i64> = run.iter().flat_map(|row| row.iter().map(|&map| map as i64)).collect();
            let x = x.clone().select(1, Tensor::from_data(seen.as_slice(), &x.device()));
            let weight = self.kernels.clone().narrow(0, kernel, groups * fan_in).reshape([groups, fan_in, K, K]);
            let bias = self.bias.clone().narrow(0, out, groups);
            parts.push(conv2d(x, weight, Some(bias), ConvOptions::new([1; 2], [0; 2], [1; 2], groups)));
            (kernel, out) = (kernel + groups * fan_in, out + groups);
        }
        Tensor::cat(parts, 1)
    }
}
