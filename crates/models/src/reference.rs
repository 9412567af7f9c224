//! Weights and inputs from a closed formula, the same to the last bit in Rust, Python and anywhere else: what golden
//! files and self-checks are computed from.

use crate::network::Network;
use crate::params::ParamMapper;
use alloc::vec::Vec;
use burn::module::Param;
use burn::tensor::{Shape, Tensor, TensorData};

/// `scale` times `len` entries of a table of 4096 sines, picked by a hash of (salt, index).
///
/// Entry j of the table is `sin(2 pi (j + 0.5) / 4096)`. Element i takes entry `((h ^ h >> 15) * 2246822519) >> 20`, where
/// `h = i * 2654435761 + salt * 2246822519 + 3266489917`, all modulo 2^32.
pub fn sines(salt: u32, len: usize, scale: f32) -> Vec<f32> {
    let table: Vec<f32> =
        (0..4096).map(|j| libm::sin(core::f64::consts::TAU * (f64::from(j) + 0.5) / 4096.0) as f32).collect();
    let start = salt.wrapping_mul(2_246_822_519).wrapping_add(3_266_489_917);
    (0..len as u32)
        .map(|i| {
            // Two rounds: one multiplication alone leaves neighbours a fixed step apart.
            let h = i.wrapping_mul(2_654_435_761).wrapping_add(start);
            let h = (h ^ (h >> 15)).wrapping_mul(2_246_822_519);
            table[(h >> 20) as usize] * scale
        })
        .collect()
}

/// `network` with formula weights: the p-th weight tensor (from 0, in the order of the layers) is `sines(p, …)` scaled to
/// keep the signal's size: `sqrt(2 / fan-in)` for weights, 0.1 for vectors.
#[must_use]
pub fn with_formula_weights(network: Network) -> Network {
    struct Formula(u32);
    impl ParamMapper for Formula {
        fn map<const D: usize>(&mut self, _: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let shape = param.lazy_shape();
            let device = param.lazy_device();
            let values = sines(self.0, shape.num_elements(), scale(&shape));
            self.0 += 1;
            let fresh = Tensor::from_data(TensorData::new(values, shape), &device);
            Param::initialized(param.id, if device.is_autodiff() { fresh.require_grad() } else { fresh })
        }
    }
    network.map_params(&mut Formula(0))
}

fn scale(shape: &Shape) -> f32 {
    match shape.num_dims() {
        1 => 0.1,
        _ => libm::sqrt(2.0 / (shape.num_elements() / shape[0]) as f64) as f32,
    }
}
