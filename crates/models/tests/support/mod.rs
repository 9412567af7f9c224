//! What the tests share: tolerances, small networks with formula weights, gradients by name, plain gradient descent.

#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used)] // this is test code, though clippy doesn't see it

use burn::module::Param;
use burn::tensor::{Gradients, Int, Tensor, TensorData, activation};
use models::reference::{sines, with_formula_weights};
use models::weights::Tensors;
use models::{
    Activation, Definition, Framing, InputSpec, Model, Network, Normalise, ParamMapper, ParamVisitor, ShapeError,
};
use std::collections::BTreeMap;

pub use burn::tensor::Device;
pub use models::check::Tolerance;

/// [`Tolerance`] for tests.
pub trait Checked {
    /// Holds `got` against `expected`, element by element.
    fn check(self, what: &str, got: &[f32], expected: &[f32]);
}

impl Checked for Tolerance {
    #[track_caller]
    fn check(self, what: &str, got: &[f32], expected: &[f32]) {
        self.compare(what, got, expected).unwrap_or_else(|e| panic!("{e}"));
    }
}

pub fn flex() -> Device {
    models::device::parse("flex").unwrap()
}

pub fn ndarray() -> Device {
    models::device::parse("ndarray").unwrap()
}

/// A tensor's values in order.
pub fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

/// The weight or gradient `name`, in order.
pub fn named(tensors: &Tensors, name: &str) -> Vec<f32> {
    tensors.get(name).unwrap_or_else(|| panic!("no '{name}'")).iter::<f32>().collect()
}

/// A tensor of formula numbers.
pub fn formula<const D: usize>(salt: u32, shape: [usize; D], scale: f32, device: &Device) -> Tensor<D> {
    let len = shape.iter().product();
    Tensor::from_data(TensorData::new(sines(salt, len, scale), shape), device)
}

/// A network for maps of shape `input` with the layers that `layers` adds, and formula weights.
pub fn tiny(input: [usize; 3], layers: impl FnOnce(Definition) -> Definition, device: &Device) -> Network {
    with_formula_weights(try_tiny(input, layers, device).unwrap())
}

/// As [`tiny`], with initial weights, or the layer that doesn't fit.
pub fn try_tiny(
    [channels, height, width]: [usize; 3],
    layers: impl FnOnce(Definition) -> Definition,
    device: &Device,
) -> Result<Network, ShapeError> {
    let normalise = Normalise::Range { background: 0.0, ink: 1.0 };
    let input = InputSpec { channels, height, width, framing: Framing::Centre, normalise, whitening: None };
    let model = Model { name: "tiny".into(), classes: 2, activation: Activation::Relu };
    Network::new(&layers(Definition::new(input)), model, 1, device)
}

/// The mean of -log softmax at `labels`.
pub fn cross_entropy(logits: Tensor<2>, labels: &[i64]) -> Tensor<1> {
    let labels = Tensor::<1, Int>::from_data(labels, &logits.device()).unsqueeze_dim::<2>(1);
    activation::log_softmax(logits, 1).gather(1, labels).mean().neg()
}

/// Every weight's gradient by name. A weight without one fails the test.
pub fn gradients(network: &Network, grads: &Gradients) -> Tensors {
    struct Read<'a>(&'a Gradients, Tensors);
    impl ParamVisitor for Read<'_> {
        fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
            let gradient = param.val().grad(self.0).unwrap_or_else(|| panic!("'{name}' has no gradient"));
            self.1.insert(name.into(), gradient.into_data());
        }
    }
    let mut read = Read(grads, Tensors::new());
    network.visit_params(&mut read);
    read.1
}

/// Gradient descent with momentum as PyTorch does it: `v = momentum v + g`, `w = w - rate v`.
pub struct Sgd {
    pub rate: f64,
    pub momentum: f64,
    velocity: BTreeMap<String, Tensor<1>>,
}

impl Sgd {
    pub fn new(rate: f64, momentum: f64) -> Self {
        Self { rate, momentum, velocity: BTreeMap::new() }
    }

    pub fn step(&mut self, network: Network, grads: &Gradients) -> Network {
        struct Step<'a>(&'a mut Sgd, &'a Gradients);
        impl ParamMapper for Step<'_> {
            fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let gradient = param.val().grad(self.1).unwrap().reshape([-1]);
                let velocity = match self.0.velocity.remove(name) {
                    Some(before) => before.mul_scalar(self.0.momentum) + gradient,
                    None => gradient,
                };
                self.0.velocity.insert(name.into(), velocity.clone());
                let id = param.id;
                let weight = param.into_value().inner();
                let step = velocity.mul_scalar(self.0.rate).reshape(weight.shape());
                Param::initialized(id, Tensor::from_inner(weight - step).require_grad())
            }
        }
        network.map_params(&mut Step(self, grads))
    }
}
