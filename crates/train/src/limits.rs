//! What keeps gradients and weights small.

use crate::gradients::Gradient;
use burn::module::Param;
use burn::tensor::Tensor;
use models::{Network, ParamMapper};

/// `gradient` scaled so that its Euclidean length, over all weights together, is `most` at most.
pub fn clip(gradient: Gradient, most: f64) -> Gradient {
    let square = |g: &Tensor<1>| f64::from(g.clone().square().sum().into_scalar::<f32>());
    let norm = gradient.values().map(square).sum::<f64>().sqrt();
    // What is not finite is left to be found in the loss of the next step.
    if !norm.is_finite() || norm <= most {
        return gradient;
    }
    gradient.into_iter().map(|(name, g)| (name, g.mul_scalar(most / norm))).collect()
}

/// Every convolution filter whose root mean square is above `most` scaled to `most` (Zeiler 2013, 3: 0.1).
///
/// The paper doesn't say how often; this is for after each step. A filter is one map's weights over all of its inputs.
#[must_use]
pub fn renormalise(network: Network, most: f64) -> Network {
    network.map_params(&mut Renormalise(most))
}

struct Renormalise(f64);

impl ParamMapper for Renormalise {
    fn map<const D: usize>(&mut self, _: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if D != 4 {
            return param;
        }
        let id = param.id;
        let weight = param.into_value().inner();
        let shape = weight.shape();
        let filters = weight.reshape([shape[0] as i32, -1]);
        let rms: Tensor<2> = filters.clone().square().mean_dim(1).sqrt();
        // A filter of zeros has an infinite reciprocal: clamped to 1, it stays.
        let scale = rms.recip().mul_scalar(self.0).clamp_max(1.0);
        Param::initialized(id, Tensor::from_inner((filters * scale).reshape(shape)).require_grad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::{Model, device, reference};

    #[test]
    fn a_long_gradient_is_cut_to_length_and_a_short_one_left() {
        let device = device::parse("flex").unwrap();
        let gradient: Gradient = [("a", [3.0, 0.0]), ("b", [0.0, 4.0])]
            .into_iter()
            .map(|(name, g)| (name.to_string(), Tensor::from_data(g, &device)))
            .collect();
        let values = |g: Gradient| -> Vec<f32> {
            g.into_values().flat_map(|t| t.into_data().iter::<f32>().collect::<Vec<_>>()).collect()
        };
        assert_eq!(values(clip(gradient.clone(), 2.5)), [1.5, 0.0, 0.0, 2.0]);
        assert_eq!(values(clip(gradient, 5.0)), [3.0, 0.0, 0.0, 4.0]);
    }

    #[test]
    fn only_filters_above_the_limit_change() {
        let device = device::parse("flex").unwrap().autodiff();
        let network = reference::with_formula_weights(Model::named("lenet5-dense").unwrap().build(1, &device).unwrap());
        let before = network.tensors();
        let filters = |name: &str, tensors: &models::weights::Tensors| -> Vec<Vec<f32>> {
            let data = &tensors[name];
            let values: Vec<f32> = data.iter().collect();
            values.chunks(values.len() / data.shape()[0]).map(<[f32]>::to_vec).collect()
        };
        let rms = |filter: &Vec<f32>| (filter.iter().map(|v| v * v).sum::<f32>() / filter.len() as f32).sqrt();
        let mut all: Vec<f32> = filters("C1.weight", &before).iter().map(rms).collect();
        all.sort_by(f32::total_cmp);
        let most = (all[2] + all[3]) / 2.0; // half of the six are above
        let after = renormalise(network, f64::from(most)).tensors();
        for (was, is) in filters("C1.weight", &before).iter().zip(filters("C1.weight", &after)) {
            if rms(was) > most {
                assert!((rms(&is) - most).abs() < 1e-5 * most);
            } else {
                assert_eq!(*was, is);
            }
        }
        assert_eq!(before["F6.weight"], after["F6.weight"]);
    }
}
