//! A batch that is the same in every test.

use data::Batch;
use models::Network;
use models::reference::sines;

/// `n` images of formula numbers within `amplitude`, one class after the other.
///
/// With this salt no unit of AlexNet's stands so near to a corner of ReLU or of a maximum that flex and ndarray, each by
/// itself, send its gradient different ways. With salt 1000 one unit of conv4's tower b does: 4e-3 apart.
pub(crate) fn batch(network: &Network, n: usize, amplitude: f32) -> Batch {
    let [c, h, w] = network.input().shape();
    Batch {
        images: sines(1003, n * c * h * w, amplitude),
        shape: [n, c, h, w],
        labels: (0..n).map(|i| (3 + 4 * i) as u16 % 10).collect(),
        indices: (0..n as u32).collect(),
        bad: Vec::new(),
    }
}
