//! Initial weights: the same numbers on every backend, each a function of (seed, weight's name, index).

use alloc::{format, string::String, vec::Vec};
use burn::module::{Param, ParamId};
use burn::tensor::{Device, Shape, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// How a weight starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element the same.
    Constant(f32),
    /// Even over -a..a.
    Uniform(f32),
    /// Gaussian with mean 0 and this standard deviation.
    Normal(f32),
}

/// Makes the weights of one layer.
#[derive(Clone, Debug)]
pub struct Draw {
    /// Seed of the whole network.
    pub seed: u64,
    /// The layer's name, `C1`.
    pub layer: String,
    /// Where the weights are to live.
    pub device: Device,
}

impl Draw {
    /// A weight that is drawn when it is first used.
    pub fn param<const D: usize>(&self, name: &str, shape: [usize; D], init: Init) -> Param<Tensor<D>> {
        self.scaled(name, shape, init, Vec::new())
    }

    /// As [`Draw::param`], each row along the first dimension multiplied by its scale.
    pub fn scaled<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        init: Init,
        scales: Vec<f32>,
    ) -> Param<Tensor<D>> {
        let (seed, name) = (self.seed, format!("{}.{name}", self.layer));
        Param::uninitialized(
            ParamId::new(),
            move |device: &Device, require_grad| {
                let mut values = draw(seed, &name, shape.iter().product(), init);
                let row = shape[1..].iter().product::<usize>().max(1);
                for (row, scale) in values.chunks_mut(row).zip(&scales) {
                    row.iter_mut().for_each(|v| *v *= scale);
                }
                let tensor = Tensor::from_data(TensorData::new(values, shape), device);
                if require_grad { tensor.require_grad() } else { tensor }
            },
            self.device.clone(),
            true,
            Shape::from(shape),
        )
    }
}

/// `len` numbers for the weight `name`.
fn draw(seed: u64, name: &str, len: usize, init: Init) -> Vec<f32> {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv1a(name.as_bytes()).to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    // 24 random bits: every value is an exact f32 in [0, 1).
    let mut unit = || (rng.next_u32() >> 8) as f32 / 16_777_216.0;
    match init {
        Init::Constant(c) => alloc::vec![c; len],
        Init::Uniform(a) => (0..len).map(|_| a * (2.0 * unit() - 1.0)).collect(),
        Init::Normal(deviation) => {
            let mut values = Vec::with_capacity(len + 1);
            while values.len() < len {
                // Box-Muller; 1 - u is in (0, 1], so the logarithm is finite.
                let radius = libm::sqrtf(-2.0 * libm::logf(1.0 - unit())) * deviation;
                let angle = core::f32::consts::TAU * unit();
                values.push(radius * libm::cosf(angle));
                values.push(radius * libm::sinf(angle));
            }
            values.truncate(len);
            values
        }
    }
}

/// FNV-1a: a name's 64 bits, stable for ever.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[f32]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt())
    }

    #[test]
    fn normal_has_the_deviation_asked_for() {
        let (mean, deviation) = moments(&draw(1, "conv1.weight", 100_001, Init::Normal(0.01)));
        assert!(mean.abs() < 1e-4 && (deviation - 0.01).abs() < 1e-4, "{mean} {deviation}");
    }

    #[test]
    fn uniform_fills_its_range() {
        let values = draw(1, "C1.weight", 100_000, Init::Uniform(0.096));
        let (mean, deviation) = moments(&values);
        assert!(values.iter().all(|v| v.abs() <= 0.096));
        assert!(mean.abs() < 1e-3 && (deviation - 0.096 / 3f64.sqrt()).abs() < 1e-3);
    }

    #[test]
    fn seed_and_name_both_matter() {
        let a = draw(1, "C1.weight", 8, Init::Uniform(1.0));
        assert_eq!(a, draw(1, "C1.weight", 8, Init::Uniform(1.0)));
        assert_ne!(a, draw(2, "C1.weight", 8, Init::Uniform(1.0)));
        assert_ne!(a, draw(1, "C3.weight", 8, Init::Uniform(1.0)));
    }
}
