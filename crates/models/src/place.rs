//! Towers on several devices, as AlexNet's were in 2012.

use crate::device::{self, Limit};
use crate::layer::Op;
use crate::network::{Network, Slot};
use crate::params::ParamVisitor;
use alloc::{string::String, vec::Vec};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

/// What goes from tower to tower in a layer's forward pass. As many bytes come back as gradients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Crossing {
    /// The layer's name.
    pub layer: String,
    /// Bytes for one image, in all directions together.
    pub bytes_per_image: usize,
}

/// A weight that is larger than its device's largest buffer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{weight} takes {} MB, and {}'s largest buffer has {} MB. `--device flex` has no such limit; the two towers of the \
     networks alexnet, alexnet-caffenet, alexnet-bvlc and alexnet-chapter have no weight over 76 MB",
    (.bytes + 500_000) / 1_000_000, .limit.device, (.limit.bytes + 500_000) / 1_000_000
)]
pub struct TooLarge {
    /// The weight's name.
    pub weight: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What it doesn't fit.
    pub limit: Limit,
}

impl Network {
    /// Whether each weight fits its device's largest buffer. Draws none: nothing is allocated.
    ///
    /// # Errors
    /// The first weight that doesn't.
    pub fn check_buffers(&self) -> Result<(), TooLarge> {
        struct First(Option<TooLarge>);
        impl ParamVisitor for First {
            fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
                let bytes = (param.lazy_shape().num_elements() * size_of::<f32>()) as u64;
                if let (None, Some(limit)) = (&self.0, device::largest_buffer(&param.lazy_device()))
                    && bytes > limit.bytes
                {
                    self.0 = Some(TooLarge { weight: name.into(), bytes, limit });
                }
            }
        }
        let mut first = First(None);
        self.visit_params(&mut first);
        first.0.map_or(Ok(()), Err)
    }

    /// The network with tower t of every layer on the t-th of `devices`, starting over where there are fewer devices than
    /// towers. Layers of one tower live on the first device, where the logits arrive too.
    ///
    /// Trainable as before: gradients and steps stay on the device of their weight. Maps move where they are read.
    ///
    /// # Panics
    /// If there are no devices.
    #[must_use]
    pub fn place(mut self, devices: &[Device]) -> Self {
        assert!(!devices.is_empty(), "a network can't be placed on no device");
        let place = |op| match op {
            Op::Conv(layer) => Op::Conv(layer.place(devices)),
            Op::Linear(layer) => Op::Linear(layer.place(devices)),
            layer => layer.fork(&devices[0]),
        };
        self.slots = self.slots.into_iter().map(|Slot { name, op }| Slot { name, op: place(op) }).collect();
        self
    }

    /// Towers that can live on a device each: 1 for all networks but AlexNet's.
    pub fn towers(&self) -> usize {
        self.exchanges().map(|(_, towers, _)| towers).max().unwrap_or(1)
    }

    /// Where the towers talk to each other, and how much, if each lives on a device of its own. The images, which every
    /// tower of the first layer reads, aren't counted.
    pub fn crossings(&self) -> Vec<Crossing> {
        let crossing = self.exchanges().skip(1).filter(|(.., numbers)| *numbers > 0);
        crossing
            .map(|(layer, _, numbers)| Crossing { layer: layer.into(), bytes_per_image: numbers * size_of::<f32>() })
            .collect()
    }

    /// Each layer's name, the towers that its maps are shared out to, and the numbers of an image that cross for them.
    fn exchanges(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        self.slots.iter().scan(1, |towers, slot| {
            let (out, numbers) = slot.op.layer().exchange(*towers);
            *towers = out;
            Some((slot.name.as_str(), out, numbers))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn megabytes_are_rounded() {
        let limit = Limit { device: "wgpu:cpu".into(), bytes: 128 << 20 };
        let message = TooLarge { weight: "fc6.weight".into(), bytes: 4 * 9216 * 4096, limit }.to_string();
        assert!(message.starts_with("fc6.weight takes 151 MB, and wgpu:cpu's largest buffer has 134 MB."), "{message}");
    }
}
