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
    let (losses, grads): (Vec<f64>, Vec<Gradient>) = parts.into_iter().unzip();
    let sum = grads
        .into_iter()
        .reduce(|sum, part| sum.into_iter().zip(part.into_values()).map(|((name, a), b)| (name, a + b)).collect());
    Ok((losses.iter().sum(), sum.unwrap_or_default()))
}

/// A part's share of the mean loss, and of its gradient.
fn part_gradient(
    network: &Network,
    batch: &Batch,
    cut: std::ops::Range<usize>,
    loss: Loss,
    device: &Device,
) -> Result<(f64, Gradient)> {
    let device = device.clone().autodiff();
    let network = network.clone().map_params(&mut Leaves);
    let [n, c, h, w] = batch.shape;
    let size = c * h * w;
    let images = batch.images[cut.start * size..cut.end * size].to_vec();
    let images = Tensor::from_data(TensorData::new(images, [cut.len(), c, h, w]), &device);
    let labels: Vec<i64> = batch.labels[cut.clone()].iter().map(|l| i64::from(*l)).collect();
    let labels = Tensor::from_data(TensorData::new(labels, [cut.len()]), &device);
    let share = loss.forward(network.forward(images)?, labels).mul_scalar(cut.len() as f64 / n as f64);
    let value = f64::from(share.clone().into_scalar::<f32>());
    let mut gradient = Collect(share.backward(), Gradient::new());
    network.visit_params(&mut gradient);
    Ok((value, gradient.1))
}

/// Gives weights leaves of their own: graphs that share them can't be walked back at the same time. Every weight stays on
/// its device, of which there are two where AlexNet's towers are.
struct Leaves;

impl ParamMapper for Leaves {
    fn map<const D: usize>(&mut self, _: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let device = param.lazy_device().autodiff();
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
