//! What the tests share: devices, formula networks, comparisons.

#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used)] // this is test code, though clippy doesn't see it

use burn::tensor::{Device, Tensor, TensorData};
use models::reference::{sines, with_formula_weights};
use models::{Activation, Definition, Framing, InputSpec, Model, Network, Normalise, zoo};

pub fn flex() -> Device {
    models::device::parse("flex").unwrap()
}

pub fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

pub fn formula<const D: usize>(salt: u32, shape: [usize; D], scale: f32, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(sines(salt, shape.iter().product(), scale), shape), device)
}

/// A network of the zoo with formula weights.
pub fn zoo_network(name: &str, device: &Device) -> Network {
    with_formula_weights(Model::named(name).unwrap().build(0, device).unwrap())
}

/// LeNet-5 as nobody publishes it, with ReLU for a squashing function: captum's rules are for ReLU only.
pub fn rectified_lenet5(device: &Device) -> Network {
    let model = Model { activation: Activation::Relu, ..Model::named("lenet5").unwrap() };
    let definition = (zoo::find("lenet5").unwrap().define)(&model);
    with_formula_weights(Network::new(&definition, model, 0, device).unwrap())
}

/// A network for maps of shape `input` with the layers that `layers` adds.
pub fn tiny(
    [channels, height, width]: [usize; 3],
    layers: impl FnOnce(Definition) -> Definition,
    device: &Device,
) -> Network {
    let normalise = Normalise::Range { background: 0.0, ink: 1.0 };
    let input = InputSpec { channels, height, width, framing: Framing::Centre, normalise, whitening: None };
    let model = Model { name: "tiny".into(), classes: 2, activation: Activation::Relu };
    Network::new(&layers(Definition::new(input)), model, 1, device).unwrap()
}

/// Holds `got` against `expected` to `tolerance` of the greatest value.
#[track_caller]
pub fn close(what: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "{what}: number of values");
    let greatest = expected.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
    assert!(greatest > 0.0, "{what}: nothing to compare with");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        // Written so that a NaN fails.
        let fits = (got - expected).abs() <= tolerance * greatest;
        assert!(fits, "{what}, element {i}: {got}, expected {expected} (the greatest is {greatest})");
    }
}
