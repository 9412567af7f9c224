//! Files that PyTorch and the onnx package made (`tests/make_fixtures.py`), and a small network of their structure.

use crate::arrays::{Arrays, join, split};
use crate::{FormatError, onnx, pytorch, untrained, write};
use burn::tensor::{Device, Tensor, TensorData};
use models::layers::{ConvConfig, DropoutConfig, LinearConfig, LrnConfig, MaxPoolConfig};
use models::{Activation, Definition, Framing, InputSpec, Model, Network, Normalise, device, reference};

const ZOO: &[u8] = include_bytes!("../tests/data/zoo.onnx");
const TORCH: &[u8] = include_bytes!("../tests/data/torch.onnx");
const MODULE: &[u8] = include_bytes!("../tests/data/module.pth");
const VIEWS: &[u8] = include_bytes!("../tests/data/views.pth");

pub(crate) fn flex() -> Device {
    device::parse("flex").unwrap()
}

/// Conv (2 towers) -> ReLU -> LRN -> pool -> 5 units -> ReLU -> 3 classes, on [4, 9, 9].
fn network(across_towers: bool) -> Network {
    let relu = Some(Activation::Relu);
    let normalise = Normalise::Range { background: 0.0, ink: 1.0 };
    let input = InputSpec { channels: 4, height: 9, width: 9, framing: Framing::Centre, normalise, whitening: None };
    let conv = ConvConfig { towers: 2, grouped: true, activation: relu, ..ConvConfig::new(6, 3) };
    let definition = Definition::new(input)
        .with("conv1", conv)
        .with("norm1", LrnConfig { size: 5, k: 2.0, alpha: 1e-2, beta: 0.75, across_towers })
        .with("pool1", MaxPoolConfig { kernel: 3, stride: 2, ceil: false })
        .with("fc2", LinearConfig { activation: relu, towers: 1, ..LinearConfig::new(5) })
        .with("drop2", DropoutConfig(0.5))
        .with("fc3", LinearConfig::new(3));
    let model = Model { classes: 3, ..Model::named("alexnet").unwrap() };
    Network::new(&definition, model, 0, &flex()).unwrap()
}

/// Holds the logits of the small network with weights `arrays` against onnxruntime's.
fn check(arrays: Arrays) {
    let images = TensorData::new(reference::sines(1000, 2 * 4 * 81, 1.0), [2, 4, 9, 9]);
    let network = split(network(true), arrays).unwrap();
    let logits = network.forward(Tensor::from_data(images, &flex())).unwrap().into_data();
    let expected = include_str!("../tests/data/logits.txt").lines().map(|line| line.parse::<f32>().unwrap());
    for (got, expected) in logits.iter::<f32>().zip(expected) {
        assert!((got - expected).abs() < 1e-5, "{got} {expected}");
    }
}

#[test]
fn onnx_of_either_style_gives_onnxruntimes_logits() {
    check(onnx::read(ZOO).unwrap().arrays(&network(true)).unwrap());
    check(onnx::read(TORCH).unwrap().arrays(&network(true)).unwrap());
}

#[test]
fn pytorchs_state_dicts_are_read() {
    check(pytorch::read(MODULE).unwrap().0);
    check(pytorch::read(VIEWS).unwrap().0);
}

#[test]
fn what_pytorch_saves_otherwise_is_named() {
    let error = |bytes| match crate::read(bytes, Some("alexnet"), &flex()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was read"),
    };
    assert!(error(include_bytes!("../tests/data/legacy.pth")).contains("before version 1.6 (a bare pickle)"));
    assert!(error(include_bytes!("../tests/data/checkpoint.pth")).contains("'model' is no tensor"));
    assert!(error(include_bytes!("../tests/data/half.pth")).contains("torch.HalfStorage"));
    assert!(error(MODULE).starts_with("weight 'conv1.weight' is [96, 3, 11, 11] in alexnet but [6, 2, 3, 3]"));
    assert!(
        error(ZOO).starts_with("is not alexnet: conv1: Conv 'c': kernel_shape is [3, 3], expected [11, 11]."),
        "{}",
        error(ZOO)
    );
}

#[test]
fn towers_that_keep_their_maps_apart_come_back() {
    for across in [true, false] {
        let network = network(across);
        let card = untrained(&network);
        let graph = write(&network, &card, crate::Format::Onnx).unwrap();
        assert_eq!(onnx::read(&graph).unwrap().arrays(&network).unwrap(), join(&network));
        let state = write(&network, &card, crate::Format::Pytorch).unwrap();
        assert_eq!(pytorch::read(&state).unwrap().0, join(&network));
    }
    let apart = write(&network(false), &untrained(&network(false)), crate::Format::Onnx).unwrap();
    let error: FormatError = onnx::read(&apart).unwrap().arrays(&network(true)).unwrap_err();
    assert!(error.to_string().contains("norm1: Reshape 'norm1.part', expected LRN"), "{error}");
}

#[test]
fn every_activation_and_number_of_classes_comes_back() {
    for (activation, classes) in [(Activation::Tanh, 10), (Activation::Sigmoid, 7), (Activation::ScaledTanh, 26)] {
        let model = Model { activation, classes, ..Model::named("lenet5").unwrap() };
        let network = reference::with_formula_weights(model.build(0, &flex()).unwrap());
        let card = untrained(&network);
        for format in [crate::Format::Safetensors, crate::Format::Pytorch, crate::Format::Onnx] {
            let import = crate::read(&write(&network, &card, format).unwrap(), None, &flex()).unwrap();
            assert_eq!((import.network.tensors(), import.card), (network.tensors(), card.clone()), "{format:?}");
        }
    }
}
