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

/// Weight by weight, each card in turn, in asking as in waiting: NCCL begins when all cards have been asked, a card's queue is
/// worked off by 32 calls or when a result is waited for, and whoever adds to a full one waits, too.
fn by_nccl(mut gradients: Vec<Gradient>) -> Vec<Gradient> {
    let devices: Vec<_> = gradients.iter().flat_map(|g| g.values().next()).map(Tensor::device).collect();
    let names: Vec<_> = gradients[0].keys().cloned().collect();
    let begin = |name: &String| -> Vec<_> {
        let parts = gradients.iter_mut().filter_map(|gradient| gradient.remove(name));
        parts.map(|g| all_reduce(g, ReduceOperation::Sum, devices.clone())).collect()
    };
    let begun: Vec<_> = names.iter().map(begin).collect();
    let mut sums = vec![Gradient::new(); devices.len()];
    for (name, parts) in names.iter().zip(begun) {
        for (sum, part) in sums.iter_mut().zip(parts) {
            sum.insert(name.clone(), part.resolve());
        }
    }
    sums
}
