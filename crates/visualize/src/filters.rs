//! The first layer's filters, which live in pixels.

use burn::module::Param;
use burn::tensor::Tensor;
use models::{Network, ParamVisitor};

/// The filters of the network's first layer, `[maps, channels, k, k]`; a layer in towers has them one behind the other.
/// `None` if the first layer is no convolution.
pub fn filters(network: &Network) -> Option<Tensor<4>> {
    struct First<'a>(&'a str, Vec<Tensor<4>>);
    impl ParamVisitor for First<'_> {
        fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
            let own = name.strip_prefix(self.0).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".weight"));
            if own && D == 4 {
                let weight = param.val();
                let shape: [usize; 4] = weight.dims()[..4].try_into().unwrap_or([0; 4]);
                self.1.push(weight.reshape(shape));
            }
        }
    }
    let (name, _) = network.layers().next()?;
    let mut first = First(name, Vec::new());
    network.visit_params(&mut first);
    let device = first.1.first()?.device();
    Some(Tensor::cat(first.1.into_iter().map(|tower| tower.to_device(&device)).collect(), 0))
}
