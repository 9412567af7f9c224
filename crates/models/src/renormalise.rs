//! ZFNet's way to keep a few filters from taking over.

use crate::network::Network;
use crate::params::ParamMapper;
use burn::module::Param;
use burn::tensor::Tensor;

impl Network {
    /// The root mean square that no filter may exceed after a step of training, where the network's paper has such a rule:
    /// 0.1 for ZFNet.
    pub fn filter_radius(&self) -> Option<f32> {
        self.filter_radius
    }

    /// What training does after each step (Zeiler & Fergus 2013, section 3): every filter of a convolution whose root mean
    /// square exceeds `radius` is scaled down to it; all other weights stay, bit for bit, and all do without a radius.
    ///
    /// A filter is all that one output map reads with, `[in, k, k]`, its bias not counted.
    pub fn renormalise(&mut self, radius: Option<f32>) {
        if let Some(radius) = radius {
            self.update_params(&mut Renormalise { radius });
        }
    }
}

struct Renormalise {
    radius: f32,
}

impl ParamMapper for Renormalise {
    fn map<const D: usize>(&mut self, _: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // Convolutions alone have weights of four dimensions.
        if D != 4 {
            return param;
        }
        param.map(|weight| {
            let (autodiff, trainable, filters) = (weight.is_autodiff(), weight.is_require_grad(), weight.dims()[0]);
            let weight = weight.inner();
            let rms = weight.clone().reshape([filters as i32, -1]).square().mean_dim(1).sqrt();
            let mut each = [1; D];
            each[0] = filters;
            // A filter of zeros is infinitely far below the radius.
            let scale = rms.recip().mul_scalar(self.radius).clamp_max(1.0).reshape(each);
            let weight = weight * scale;
            if autodiff { Tensor::from_inner(weight).set_require_grad(trainable) } else { weight }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{ConvConfig, LinearConfig};
    use crate::weights::Tensors;
    use crate::{Definition, InputSpec, Model, device, zoo};
    use alloc::vec::Vec;
    use burn::tensor::TensorData;

    #[test]
    fn filters_beyond_the_radius_are_scaled_down_to_it() {
        let layers = |d: Definition| d.with("conv", ConvConfig::new(4, 2)).with("fc", LinearConfig::new(2));
        let device = device::parse("flex").unwrap();
        let model = Model { classes: 2, ..Model::named("lenet5").unwrap() };
        let network = Network::new(&layers(Definition::new(InputSpec::lenet())), model, 0, &device).unwrap();
        let filters = [
            [0.2, -0.2, 0.2, 0.2],   // RMS 0.2: halved
            [0.1, -0.05, 0.05, 0.0], // RMS 0.061: left alone
            [0.3, 0.0, 0.0, 0.4],    // RMS 0.25: times 0.4
            [0.0; 4],
        ];
        let mut weights = network.tensors();
        weights.insert("conv.weight".into(), TensorData::new(filters.concat(), [4, 1, 2, 2]));
        weights.insert("conv.bias".into(), TensorData::from([9.0f32, 9.0, 9.0, 9.0]));
        weights.insert("fc.bias".into(), TensorData::from([7.0f32, 7.0]));
        let mut network = network.with_tensors(&weights).unwrap();
        network.renormalise(None);
        assert_eq!(network.tensors(), weights);

        network.renormalise(Some(0.1));
        let after = network.tensors();
        let got: Vec<f32> = after["conv.weight"].iter().collect();
        let expected = [[0.1, -0.1, 0.1, 0.1], filters[1], [0.12, 0.0, 0.0, 0.16], filters[3]].concat();
        assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-7), "{got:?}");
        assert_eq!(got[4..8], filters[1]);
        let others = |t: &Tensors| [t["conv.bias"].clone(), t["fc.weight"].clone(), t["fc.bias"].clone()];
        assert_eq!(others(&after), others(&weights));
    }

    #[test]
    fn zfnet_has_the_paper_s_radius_and_no_other_family_has_one() {
        let device = device::parse("flex").unwrap();
        for variant in zoo::variants() {
            let radius = Model::named(variant.name).unwrap().build(0, &device).unwrap().filter_radius();
            assert_eq!(radius, (variant.family == "zfnet").then_some(0.1), "{}", variant.name);
        }
    }
}
