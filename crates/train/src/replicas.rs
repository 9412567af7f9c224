//! A step's gradient, from one device or from several with a replica of the network each.

use crate::gradients::{Gradient, Sum, replica};
use crate::recipe::Loss;
use anyhow::Result;
use burn::tensor::Device;
use data::Batch;
use data::random::Rng;
use infer::Placement;
use models::Network;
use rayon::prelude::*;
use std::ops::Range;

/// What one replica does in a step.
struct Share<'a> {
    /// Its device, or its towers'.
    devices: &'a [Device],
    /// Images worked on at once, and what seeds dropout on each device for them.
    parts: Vec<(Range<usize>, Vec<u64>)>,
}

/// Mean loss of `batch` and its gradient, which is where `network`'s weights are.
///
/// Each of the placement's replicas takes its share of the images, as equal as they can be, in `accumulate` parts one after
/// the other, and the gradients are averaged by numbers of images: the same as from one device but for rounding. Replicas
/// beyond the first are made of `network`'s weights anew for each step, so that nothing about them needs to be saved.
///
/// # Errors
/// As [`gradient`](crate::gradient).
pub(crate) fn gradient_of_step(
    network: &Network,
    placement: &Placement,
    batch: &Batch,
    loss: Loss,
    accumulate: usize,
    seeds: &mut impl Rng,
) -> Result<(f64, Gradient)> {
    let n = batch.labels.len();
    let replicas = placement.replicas();
    let shares: Vec<_> = shares(n, replicas.len())
        .zip(replicas)
        .filter(|(images, _)| !images.is_empty())
        .map(|(images, devices)| {
            let parts =
                parts(images, accumulate).map(|part| (part, devices.iter().map(|_| seeds.next_u64()).collect()));
            Share { devices, parts: parts.collect() }
        })
        .collect();
    let work = |(i, share): (usize, &Share)| share.gradient(network, i > 0, batch, loss);
    let sums: Vec<Sum> = if network.is_random() {
        // Devices of one backend draw dropout's numbers from one generator: one after the other.
        shares.iter().enumerate().map(work).collect::<Result<_>>()?
    } else {
        shares.par_iter().enumerate().map(work).collect::<Result<_>>()?
    };
    let sum = sums.into_iter().reduce(|mut sum, other| {
        sum.add_sum(other);
        sum
    });
    Ok(sum.unwrap_or_default().read())
}

/// `n` images shared out to `replicas`, the first ones getting what is over.
fn shares(n: usize, replicas: usize) -> impl Iterator<Item = Range<usize>> {
    let start = move |i| i * (n / replicas) + (n % replicas).min(i);
    (0..replicas).map(move |i| start(i)..start(i + 1))
}

/// `images` in `most` parts at most, of equal size but for the last.
fn parts(images: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let size = images.len().div_ceil(most);
    let end = images.end;
    images.step_by(size).map(move |start| start..end.min(start + size))
}

impl Share<'_> {
    fn gradient(&self, network: &Network, elsewhere: bool, batch: &Batch, loss: Loss) -> Result<Sum> {
        let first = &self.devices[0];
        let copy = elsewhere.then(|| replica(network, first));
        let network = copy.as_ref().unwrap_or(network);
        let n = batch.labels.len();
        let mut sum = Sum::default();
        for (images, seeds) in &self.parts {
            // Dropout draws from each backend's own generator: seeded for each part of a step, it doesn't depend on what
            // came before. Towers on two devices of one backend share a generator: the first seeds it last.
            self.devices.iter().zip(seeds).rev().for_each(|(device, seed)| device.seed(*seed));
            if *images == (0..n) {
                sum.add(network, batch, 1.0, loss, first)?;
            } else {
                let share = images.len() as f64 / n as f64;
                sum.add(network, &batch.part(images.clone()), share, loss, first)?;
            }
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests;
