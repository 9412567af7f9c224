//! Replicas that keep their weights: an all-reduce leaves the sum of all gradients on each device, and each takes the same
//! step (distributed data parallel).

use crate::gradients::{Gradient, replica};
use crate::sgd::Sgd;
use burn::tensor::distributed::{ReduceOperation, all_reduce};
use burn::tensor::{Device, Tensor};
use infer::Placement;
use models::{Network, device};

/// Adds gradients of the same weights up, and leaves the sum where each of them was.
type AllReduce = fn(Vec<Gradient>) -> Vec<Gradient>;

/// The replicas beyond the first one, which is the trainer's, as is what gets saved.
///
/// They hold the first one's numbers as long as the all-reduce leaves the same sum everywhere and the devices compute alike,
/// as cards of one kind do under NCCL.
pub(crate) struct Ring {
    ranks: Vec<Rank>,
    all_reduce: AllReduce,
}

struct Rank {
    device: Device,
    network: Network,
    sgd: Sgd,
}

impl Ring {
    /// `None` where the devices can't add up among themselves: several cards of CUDA with NCCL can.
    pub fn among(placement: &Placement, network: &Network, sgd: &Sgd) -> Option<Self> {
        (placement.is_for_nccl() && device::has_nccl()).then(|| Self::new(placement, network, sgd, by_nccl))
    }

    pub fn new(placement: &Placement, network: &Network, sgd: &Sgd, all_reduce: AllReduce) -> Self {
        let rank = |device: &Device| Rank::new(device, network, sgd);
        Self { ranks: placement.devices()[1..].iter().map(rank).collect(), all_reduce }
    }

    /// Makes the others what the first has become by something else than a step.
    pub fn follow(&mut self, network: &Network, sgd: &Sgd) {
        self.ranks.iter_mut().for_each(|rank| *rank = Rank::new(&rank.device, network, sgd));
    }

    /// The `i`-th replica, counted from the first, which is 0 and not here.
    pub fn network(&self, i: usize) -> &Network {
        &self.ranks[i - 1].network
    }

    /// The sum of each replica's gradient, on each; one that got no image has none yet.
    pub fn add_up(&self, mut gradients: Vec<Gradient>) -> Vec<Gradient> {
        let (first, others) = gradients.split_at_mut(1);
        for (gradient, rank) in others.iter_mut().zip(&self.ranks).filter(|(gradient, _)| gradient.is_empty()) {
            let zeros = |g: &Tensor<1>| Tensor::zeros(g.shape(), &rank.device);
            *gradient = first[0].iter().map(|(name, g)| (name.clone(), zeros(g))).collect();
        }
        (self.all_reduce)(gradients)
    }

    /// The first one's step, on the others.
    pub fn step(&mut self, gradients: &[Gradient], rate: f64, radius: Option<f32>) {
        for (Rank { network, sgd, .. }, gradient) in self.ranks.iter_mut().zip(gradients) {
            sgd.step(network, gradient, rate);
            network.renormalise(radius);
        }
    }
}

impl Rank {
    fn new(device: &Device, network: &Network, sgd: &Sgd) -> Self {
        // What autodiff follows are the weights alone.
        let device = device.clone().inner();
        Self { network: replica(network, &device), sgd: sgd.on(&device), device }
    }
}

/// Each card's part is asked for, weight by weight, before any is waited for: NCCL begins when all have come.
fn by_nccl(gradients: Vec<Gradient>) -> Vec<Gradient> {
    let devices: Vec<_> = gradients.iter().flat_map(|g| g.values().next()).map(Tensor::device).collect();
    let begin = |gradient: Gradient| -> Vec<_> {
        let sum = |g| all_reduce(g, ReduceOperation::Sum, devices.clone());
        gradient.into_iter().map(|(name, g)| (name, sum(g))).collect()
    };
    let begun: Vec<_> = gradients.into_iter().map(begin).collect();
    begun.into_iter().map(|sums| sums.into_iter().map(|(name, sum)| (name, sum.resolve())).collect()).collect()
}
