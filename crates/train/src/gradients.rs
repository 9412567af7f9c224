//! The gradient of a batch.

use crate::recipe::Loss;
use anyhow::{Result, ensure};
use burn::module::{Module, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use data::Batch;
use models::{Network, ParamMapper, ParamVisitor};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The derivative of a loss by each weight, flattened, under the weight's name.
pub type Gradient = BTreeMap<String, Tensor<1>>;

/// Parts that a batch is cut into, each on a thread of its own.
///
/// A constant, not the number of cores: sums of parts depend on where the cuts are, and one seed is to give the same
/// weights everywhere.
const PARTS: usize = 2;

/// Mean loss of `batch`, whose images go in on `device`, and its gradient, each part of which is where its weight is.
///
/// # Errors
/// If the images don't fit the network, or there are none.
pub fn gradient(network: &Network, batch: &Batch, loss: Loss, device: &Device) -> Result<(f64, Gradient)> {
    let mut sum = Sum::default();
    sum.add(network, batch, 1.0, loss, device)?;
    let gradient = sum.take();
    Ok((sum.loss(), gradient))
}

/// Losses and gradients of a batch's parts, added up: their mean, where the parts' shares are 1 together.
#[derive(Default)]
pub(crate) struct Sum {
    /// Shares, and losses where they were computed: reading one waits for its device.
    losses: Vec<(f64, Tensor<1>)>,
    gradient: Gradient,
}

impl Sum {
    /// Adds `share` of the mean loss of `batch` and of its gradient. What the device computes isn't waited for.
    pub fn add(&mut self, network: &Network, batch: &Batch, share: f64, loss: Loss, device: &Device) -> Result<()> {
        let n = batch.labels.len();
        ensure!(n > 0, "an empty batch");
        // Threads would draw dropout's numbers in an order that nobody chose.
        let part = if network.is_random() { n } else { n.div_ceil(PARTS) };
        let cuts: Vec<_> = (0..n).step_by(part).map(|start| start..n.min(start + part)).collect();
        // The kernels' own threads, which keep their memory from batch to batch.
        let parts = cuts.par_iter().map(|cut| {
            let part = || part_gradient(network, batch, cut.clone(), loss, device);
            // A part has its thread; a whole batch may have all that the kernels want.
            if cuts.len() == 1 { part() } else { kernels::alone(part) }
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let (losses, gradients): (Vec<_>, Vec<Gradient>) = parts.into_iter().unzip();
        self.losses.extend(losses.into_iter().map(|loss| (share, loss)));
        let whole = gradients.into_iter().reduce(added).unwrap_or_default();
        let scaled = |g: Tensor<1>| if share == 1.0 { g } else { g.mul_scalar(share) };
        let scaled = whole.into_iter().map(|(name, g)| (name, scaled(g))).collect();
        self.gradient = added(std::mem::take(&mut self.gradient), scaled);
        Ok(())
    }

    /// The gradient, of which nothing is left.
    pub fn take(&mut self) -> Gradient {
        std::mem::take(&mut self.gradient)
    }

    /// The loss, once it is there.
    pub fn loss(self) -> f64 {
        let read = |(share, loss): (f64, Tensor<1>)| share * f64::from(loss.into_scalar::<f32>());
        self.losses.into_iter().map(read).sum()
    }
}

/// The sum of several replicas' gradients, each weight's where the first has it.
pub(crate) fn gathered(gradients: Vec<Gradient>) -> Gradient {
    let sum = |here: Gradient, other: Gradient| {
        let moved = other.into_iter().map(|(name, g)| match here.get(&name).map(Tensor::device) {
            Some(device) => (name, g.to_device(&device)),
            None => (name, g),
        });
        let moved = moved.collect();
        added(here, moved)
    };
    gradients.into_iter().reduce(sum).unwrap_or_default()
}

/// The sum of two gradients of the same weights, or what there is.
fn added(a: Gradient, b: Gradient) -> Gradient {
    if a.is_empty() {
        return b;
    }
    a.into_iter().zip(b.into_values()).map(|((name, a), b)| (name, a + b)).collect()
}

/// A part's share of the mean loss, and of its gradient.
fn part_gradient(
    network: &Network,
    batch: &Batch,
    cut: std::ops::Range<usize>,
    loss: Loss,
    device: &Device,
) -> Result<(Tensor<1>, Gradient)> {
    let device = device.clone().autodiff();
    let network = network.clone().map_params(&mut Leaves(None));
    let [n, c, h, w] = batch.shape;
    let size = c * h * w;
    let images = batch.images[cut.start * size..cut.end * size].to_vec();
    let images = Tensor::from_data(TensorData::new(images, [cut.len(), c, h, w]), &device);
    let labels: Vec<i64> = batch.labels[cut.clone()].iter().map(|l| i64::from(*l)).collect();
    let labels = Tensor::from_data(TensorData::new(labels, [cut.len()]), &device);
    let share = loss.forward(network.forward(images)?, labels).mul_scalar(cut.len() as f64 / n as f64);
    let value = share.clone().inner();
    let mut gradient = Collect(share.backward(), Gradient::new());
    network.visit_params(&mut gradient);
    Ok((value, gradient.1))
}

/// A replica of `network` on `device`.
pub(crate) fn replica(network: &Network, device: &Device) -> Network {
    network.clone().map_params(&mut Leaves(Some(device.clone())))
}

/// Gives weights leaves of their own, on a device or where they are: graphs that share them can't be walked back at the
/// same time, and AlexNet's towers are on two devices.
struct Leaves(Option<Device>);

impl ParamMapper for Leaves {
    fn map<const D: usize>(&mut self, _: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let device = self.0.clone().unwrap_or_else(|| param.lazy_device()).autodiff();
        param.fork(&device)
    }
}

struct Collect(Gradients, Gradient);

impl ParamVisitor for Collect {
    fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad_remove(&mut self.0) {
            self.1.insert(name.into(), gradient.reshape([-1]));
        }
    }
}
