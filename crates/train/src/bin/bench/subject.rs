//! What is timed: a network with formula weights, and a call of it.

use crate::{Cli, Dtype, Mode};
use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::{FloatDType, Tensor, TensorData};
use data::Batch;
use infer::Placement;
use models::{Model, Network, reference};
use std::time::Instant;
use train::{Loss, Sgd, gradient};

/// Batches that take turns, so that no call finds its own input in the cache.
const INPUTS: u32 = 4;
/// The step of gradient descent; peers take the same.
const MOMENTUM: f64 = 0.9;
const DECAY: f64 = 5e-4;
const RATE: f64 = 1e-4;

/// A network under test.
pub struct Subject {
    network: Network,
    placement: Placement,
    mode: Mode,
    batches: Vec<Batch>,
    images: Vec<Tensor<4>>,
    sgd: Sgd,
    calls: usize,
}

impl Subject {
    /// What the command line says.
    pub fn new(cli: &Cli) -> Result<Self> {
        let placement = cli.placement.place_once()?;
        configure(&placement, cli.dtype)?;
        let on = if cli.mode == Mode::Train { placement.autodiff() } else { placement.clone() };
        let model = Model::named(&cli.model)?;
        let network = reference::with_formula_weights(on.place(model.build(0, on.first())?)?);
        let [c, h, w] = network.input().shape();
        let n = cli.batch as usize;
        let inputs = if cli.memory { 1 } else { INPUTS };
        let batches: Vec<Batch> = (0..inputs)
            .map(|i| Batch {
                images: reference::sines(i, n * c * h * w, 1.0),
                shape: [n, c, h, w],
                labels: (0..n).map(|j| (j % model.classes) as u16).collect(),
                indices: (0..cli.batch).collect(),
                bad: Vec::new(),
            })
            .collect();
        // Training reads the batches themselves.
        let images = if cli.mode == Mode::Train {
            Vec::new()
        } else {
            batches
                .iter()
                .map(|b| Tensor::from_data(TensorData::new(b.images.clone(), b.shape), placement.first()))
                .collect()
        };
        Ok(Self { network, placement, mode: cli.mode, batches, images, sgd: Sgd::new(MOMENTUM, DECAY), calls: 0 })
    }

    /// The first image's logits, without dropout.
    pub fn logits(&self) -> Result<Vec<f32>> {
        let [_, c, h, w] = self.batches[0].shape;
        let first = self.batches[0].images[..c * h * w].to_vec();
        let image = Tensor::from_data(TensorData::new(first, [1, c, h, w]), self.placement.first());
        let network = if self.mode == Mode::Train { self.network.valid() } else { self.network.clone() };
        Ok(network.forward(image)?.into_data().iter::<f32>().collect())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.placement.devices().iter().try_for_each(|device| device.sync())?)
    }

    /// One call; its milliseconds.
    pub fn call(&mut self) -> Result<f64> {
        let i = self.calls % self.batches.len();
        self.calls += 1;
        self.sync()?;
        let start = Instant::now();
        match self.mode {
            Mode::Infer => drop(self.network.forward(self.images[i].clone())?),
            Mode::Train => {
                let loss = Loss::CrossEntropy { smoothing: 0.0 };
                let (_, gradient) = gradient(&self.network, &self.batches[i], loss, self.placement.first())?;
                let radius = self.network.filter_radius();
                self.sgd.step(&mut self.network, &gradient, RATE);
                self.network.renormalise(radius);
            }
        }
        self.sync()?;
        Ok(start.elapsed().as_nanos() as f64 / 1e6)
    }

    /// Calls for `seconds`, once at least; each call's milliseconds go to `each`.
    pub fn repeat(&mut self, seconds: f64, mut each: impl FnMut(f64) -> Result<()>) -> Result<()> {
        let start = Instant::now();
        loop {
            each(self.call()?)?;
            if start.elapsed().as_secs_f64() >= seconds {
                return Ok(());
            }
        }
    }
}

/// Before anything is on the devices: what tensors are made of there.
fn configure(placement: &Placement, dtype: Dtype) -> Result<()> {
    let float = match dtype {
        Dtype::F32 => return Ok(()),
        Dtype::F16 => FloatDType::F16,
        Dtype::Bf16 => FloatDType::BF16,
    };
    Ok(placement.devices().iter().cloned().try_for_each(|mut device| device.configure(float))?)
}

/// The most memory that this process ever held, in MiB.
pub fn peak_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("peak memory is known on Linux only")?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.map(|kib: f64| kib / 1024.0).context("/proc/self/status has no VmHWM in kB")
}
