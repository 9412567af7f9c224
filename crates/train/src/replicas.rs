//! A step's gradient, from one device or from several with a replica of the network each.

use crate::gradients::{Gradient, Sum, gathered, replica};
use crate::recipe::Loss;
use crate::ring::Ring;
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

/// Mean loss of `batch` and its gradient, on each device of a ring, or alone and where `network`'s weights are.
///
/// Each of the placement's replicas takes its share of the images, as equal as they can be, in `accumulate` parts one after
/// the other, and the gradients are averaged by numbers of images: the same as from one device but for rounding. Without a
/// ring, replicas beyond the first are made of `network`'s weights anew for each step.
///
/// # Errors
/// As [`gradient`](crate::gradient).
pub(crate) fn gradient_of_step(
    network: &Network,
    ring: Option<&Ring>,
    placement: &Placement,
    batch: &Batch,
    loss: Loss,
    accumulate: usize,
    seeds: &mut impl Rng,
) -> Result<(f64, Vec<Gradient>)> {
    let n = batch.labels.len();
    let replicas = placement.replicas();
    let shares: Vec<_> = shares(n, replicas.len())
        .zip(replicas)
        .filter(|(images, _)| ring.is_some() || !images.is_empty())
        .map(|(images, devices)| {
            let parts =
                parts(images, accumulate).map(|part| (part, devices.iter().map(|_| seeds.next_u64()).collect()));
            Share { devices, parts: parts.collect() }
        })
        .collect();
    let work = |(i, share): (usize, &Share)| match (i, ring) {
        (0, _) => share.gradient(network, batch, loss),
        (_, Some(ring)) => share.gradient(ring.network(i), batch, loss),
        (_, None) => share.gradient(&replica(network, &share.devices[0]), batch, loss),
    };
    let mut sums: Vec<Sum> = if network.is_random() {
        // Devices of one backend draw dropout's numbers from one generator: one after the other.
        shares.iter().enumerate().map(work).collect::<Result<_>>()?
    } else {
        shares.par_iter().enumerate().map(work).collect::<Result<_>>()?
    };
    let gradients = sums.iter_mut().map(Sum::take).collect();
    let gradients = match ring {
        Some(ring) => ring.add_up(gradients),
        None => vec![gathered(gradients)],
    };
    // Last: reading a loss waits for its device.
    Ok((sums.into_iter().map(Sum::loss).sum(), gradients))
}

/// `n` images shared out to `replicas`, the first ones getting what is over.
fn shares(n: usize, replicas: usize) -> impl Iterator<Item = Range<usize>> {
    let start = move |i| i * (n / replicas) + (n % replicas).min(i);
    (0..replicas).map(move |i| start(i)..start(i + 1))
}

/// `images` in `most` parts at most, of equal size but for the last; no images are no parts.
fn parts(images: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let size = images.len().div_ceil(most).max(1);
    let end = images.end;
    images.step_by(size).map(move |start| start..end.min(start + size))
}

impl Share<'_> {
    fn gradient(&self, network: &Network, batch: &Batch, loss: Loss) -> Result<Sum> {
        let first = &self.devices[0];
        let n = batch.labels.len();
        let mut sum = Sum::default();
        for (images, seeds) in &self.parts {
            // Dropout draws from each backend's own generator: seeded for each part of a step, it doesn't depend on what
            // came before. Towers on two devices of one backend share a generator: the first seeds it last.
            if network.is_random() {
                self.devices.iter().zip(seeds).rev().for_each(|(device, seed)| device.seed(*seed));
            }
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
