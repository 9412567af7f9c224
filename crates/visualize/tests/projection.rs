//! The way back: a case worked out by hand, autodiff's gradient, captum's projections.

#![allow(clippy::unwrap_used)]

mod support;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use models::layers::{
    AvgPoolConfig, ConvConfig, LinearConfig, MaxPoolConfig, OverlapAvgPoolConfig, SubsampleConfig, TableConvConfig,
};
use models::reference::with_formula_weights;
use models::weights::Tensors;
use models::{Activation, Method, Network, Overlap};
use serde::Deserialize;
use support::{close, flex, formula, rectified_lenet5, tiny, values, zoo_network};
use visualize::{Part, Unit, project, strongest};

/// Captum's own test of its deconvolution (`test_basic_infer_deconv`): a convolution with a kernel of ones and two biases,
/// and a unit that adds five of its outputs and takes off three. By hand: the second map's negative signals are cut off,
/// what is left is spread over 3x3 pixels each.
#[test]
fn the_published_case_comes_out() {
    let device = flex();
    let relu = Some(Activation::Relu);
    let network = tiny(
        [1, 4, 4],
        |net| {
            net.with("conv1", ConvConfig { activation: relu, ..ConvConfig::new(2, 3) })
                .with("fc1", LinearConfig { activation: relu, ..LinearConfig::new(4) })
        },
        &device,
    );
    let fc = [1f32, 1., 1., 1., 1., -1., -1., -1.].repeat(4);
    let tensors: Tensors = [
        ("conv1.weight", TensorData::new(vec![1f32; 18], [2, 1, 3, 3])),
        ("conv1.bias", TensorData::new(vec![-50f32, -75.], [2])),
        ("fc1.weight", TensorData::new(fc, [4, 8])),
        ("fc1.bias", TensorData::new(vec![0f32; 4], [4])),
    ]
    .map(|(name, data)| (name.to_string(), data))
    .into();
    let network = network.with_tensors(&tensors).unwrap();
    let image = Tensor::<1>::from_data((0..16).map(|v| v as f32).collect::<Vec<_>>().as_slice(), &device);
    let (logits, trace) = network.forward_traced(image.reshape([1, 1, 4, 4])).unwrap();
    let activation = values(logits)[0];
    let unit = Part::Unit(Unit { map: 0, y: 0, x: 0 });
    let back = project(&network, &trace, "fc1", &[(0, unit)], Method::default()).unwrap();
    let expected = [2., 3., 3., 1., 3., 5., 5., 2., 3., 5., 5., 2., 1., 2., 2., 1.];
    assert!(activation > 0.0);
    assert_eq!(values(back), expected.map(|v: f32| v * activation));
}

/// The gradient of `<output of layer, signal>` by the image.
fn autodiff(network: &Network, image: &Tensor<4>, layer: &str, signal: Tensor<4>) -> Vec<f32> {
    let x = Tensor::from_inner(image.clone()).require_grad();
    let (_, trace) = network.forward_traced(x.clone()).unwrap();
    let sum = (trace.output(layer).unwrap() * Tensor::from_inner(signal)).sum();
    values(x.grad(&sum.backward()).unwrap())
}

/// The same network, for gradients by its input alone.
fn differentiable(network: impl Fn(&Device) -> Network) -> Network {
    network(&flex().autodiff()).no_grad()
}

/// `method`'s way back from every layer against autodiff's gradient.
fn is_the_gradient(what: &str, make: impl Fn(&Device) -> Network, scale: f32, method: Method, layers: &[&str]) {
    let (network, twin) = (make(&flex()), differentiable(&make));
    let [c, h, w] = network.input().shape();
    let image = formula(1000, [2, c, h, w], scale, &flex());
    let (_, trace) = network.forward_traced(image.clone()).unwrap();
    let all: Vec<_> = trace.outputs().map(|(name, _)| name.to_string()).collect();
    let layers = if layers.is_empty() { all.iter().map(String::as_str).collect() } else { layers.to_vec() };
    for layer in layers {
        let signal = formula(7, trace.output(layer).unwrap().dims(), 1.0, &flex());
        let back = values(network.project(&trace, layer, signal.clone(), method).unwrap());
        close(&format!("{what}, {layer}"), &back, &autodiff(&twin, &image, layer, signal), 1e-4);
    }
}

#[test]
fn without_rectifiers_the_projection_is_the_gradient() {
    let table = vec![vec![0, 1], vec![2], vec![0, 1, 2], vec![1]];
    let make = |device: &Device| {
        let linear = |net: models::Definition| {
            net.with("conv1", ConvConfig { stride: 2, padding: [1, 2, 0, 1], ..ConvConfig::new(3, 5) })
                .with("pool1", MaxPoolConfig { kernel: 3, stride: 2, ceil: true })
                .with("table", TableConvConfig { table: table.clone(), kernel: 2, activation: None })
                .with("conv2", ConvConfig { towers: 2, grouped: true, padding: [1; 4], ..ConvConfig::new(4, 3) })
                .with("pool2", OverlapAvgPoolConfig { kernel: 3, stride: 2 })
                .with("pool3", AvgPoolConfig { kernel: None })
                .with("fc", LinearConfig { towers: 2, ..LinearConfig::new(6) })
                .with("out", LinearConfig::new(2))
        };
        with_formula_weights(tiny([2, 31, 31], linear, device))
    };
    is_the_gradient("linear", make, 1.0, Method::default(), &[]);
    // Not so where the windows' values overwrite each other, or the claim above would say little.
    let network = make(&flex());
    let image = formula(1000, [1, 2, 31, 31], 1.0, &flex());
    let (_, trace) = network.forward_traced(image).unwrap();
    let [add, overwrite] = [Overlap::Add, Overlap::Overwrite].map(|overlap| {
        values(project(&network, &trace, "pool1", &[(0, Part::Layer)], Method::Deconvnet(overlap)).unwrap())
    });
    assert_ne!(add, overwrite);
}

#[test]
fn the_gradient_is_autodiffs_in_every_small_network() {
    // A network on an autodiff device drops units: of the nets with dropout, what comes before it.
    let whole: &[&str] = &[];
    for (name, layers) in [
        ("lenet5", whole),
        ("lenet5-rbf", whole),
        ("lenet5-dense", whole),
        ("nin-chapter", whole),
        ("nin-mnist", &["conv1", "cccp1", "cccp2", "pool1"]),
        ("nin-imagenet", &["cccp4", "pool3"]),
    ] {
        is_the_gradient(name, |device| zoo_network(name, device), 1.0, Method::Gradient, layers);
    }
}

#[test]
fn the_gradient_is_autodiffs_through_towers_and_normalisation() {
    // Among numbers as large as pixels, normalisation does something.
    for (name, layers) in [
        ("alexnet", ["norm1", "conv3", "fc6"]),
        ("alexnet-bvlc", ["norm2", "conv5", "fc6"]),
        ("alexnet-chapter", ["relu1", "relu2", "fc6"]),
        ("zfnet", ["norm1", "conv3", "fc6"]),
    ] {
        is_the_gradient(name, |device| zoo_network(name, device), 128.0, Method::Gradient, &layers);
    }
}

/// A method's projections by captum, from golden/generate.py.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    network: String,
    method: String,
    layer: String,
    unit: [usize; 3],
    sum: f32,
    abs: f32,
    values: Vec<f32>,
}

#[test]
fn projections_are_captums() {
    let goldens: Vec<Golden> = serde_json::from_str(include_str!("golden/projections.json")).unwrap();
    assert!(goldens.len() >= 12);
    for golden in &goldens {
        let network = match golden.network.as_str() {
            "lenet5-relu" => rectified_lenet5(&flex()),
            name => zoo_network(name, &flex()),
        };
        let [c, h, w] = network.input().shape();
        let image = formula(1000, [1, c, h, w], 1.0, &flex());
        let (_, trace) = network.forward_traced(image).unwrap();
        let [map, y, x] = golden.unit;
        let what = format!("{} {} {}", golden.network, golden.method, golden.layer);
        // The generator took the strongest unit of the map; so do we, or we aren't looking at the same thing.
        let unit = strongest(&trace, &golden.layer, 0, map).unwrap();
        assert_eq!([unit.y, unit.x], [y, x], "{what}");
        let [_, _, oh, ow] = trace.output(&golden.layer).unwrap().dims();
        let activation = values(trace.output(&golden.layer).unwrap())[(map * oh + y) * ow + x];
        let method: Method = golden.method.parse().unwrap();
        let back = project(&network, &trace, &golden.layer, &[(0, Part::Unit(unit))], method).unwrap();
        // Captum sends back a 1 instead of the activation; with ReLU that is a factor.
        let back: Vec<f32> = values(back).into_iter().map(|v| v / activation).collect();
        let sampled: Vec<f32> = (0..golden.values.len()).map(|i| back[i * 2_654_435_761 % back.len()]).collect();
        let greatest = back.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
        let near = |got: f32, expected: f32, what: &str| {
            assert!((got - expected).abs() <= 1e-3 * golden.abs, "{what}: {got}, expected {expected}");
        };
        near(back.iter().sum(), golden.sum, &what);
        near(back.iter().map(|v| v.abs()).sum(), golden.abs, &what);
        for (got, expected) in sampled.iter().zip(&golden.values) {
            assert!((got - expected).abs() <= 1e-3 * greatest, "{what}: {got}, expected {expected} of {greatest}");
        }
    }
}

#[test]
fn a_rectifier_of_a_squashing_function_is_its_range() {
    let device = flex();
    let network = with_formula_weights(tiny(
        [1, 4, 4],
        |net| net.with("S2", SubsampleConfig { kernel: 2, activation: Activation::ScaledTanh }),
        &device,
    ));
    let (_, trace) = network.forward_traced(formula(3, [1, 1, 4, 4], 1.0, &device)).unwrap();
    let back = |size: f32| {
        let signal = Tensor::full([1, 1, 2, 2], size, &device);
        values(network.project(&trace, "S2", signal, Method::default()).unwrap())
    };
    assert_eq!(back(100.0), back(models::AMPLITUDE));
    assert_ne!(back(1.0), back(models::AMPLITUDE));
}

#[test]
fn twice_the_same_is_the_same_and_units_are_independent_of_their_company() {
    for name in ["lenet5", "nin-mnist"] {
        let network = zoo_network(name, &flex());
        let [c, h, w] = network.input().shape();
        let (_, trace) = network.forward_traced(formula(5, [2, c, h, w], 1.0, &flex())).unwrap();
        let layer = if name == "lenet5" { "C3" } else { "cccp4" };
        let parts: Vec<_> = (0..2)
            .flat_map(|image| (0..5).map(move |map| (image, map)))
            .map(|(image, map)| (image, Part::Unit(strongest(&trace, layer, image, map).unwrap())))
            .collect();
        for method in Method::ALL {
            let run = |parts: &[(usize, Part)]| values(project(&network, &trace, layer, parts, method).unwrap());
            let together = run(&parts);
            assert_eq!(together, run(&parts), "{name} {method}");
            let apart: Vec<_> = parts.iter().flat_map(|part| run(&[*part])).collect();
            close(&format!("{name} {method}"), &apart, &together, 1e-6);
        }
    }
}

#[test]
fn what_is_not_there_is_named() {
    let network = zoo_network("lenet5", &flex());
    let (_, trace) = network.forward_traced(Tensor::zeros([1, 1, 32, 32], &flex())).unwrap();
    let message = |layer, part| project(&network, &trace, layer, &[part], Method::default()).unwrap_err().to_string();
    assert!(message("C4", (0, Part::Layer)).starts_with("no layer is called 'C4'; there are C1, S2, C3"));
    let beyond = Part::Unit(Unit { map: 3, y: 10, x: 0 });
    let expected = "C3 has 16 maps of 10x10 units, numbered from 0: there is no unit at row 10, column 0 of map 3";
    assert_eq!(message("C3", (0, beyond)), expected);
    assert!(message("C3", (0, Part::Map(16))).ends_with("there is no map 16"));
    assert_eq!(message("C3", (1, Part::Layer)), "there is no image 1 among 1");
    let error = "gradients".parse::<Method>().unwrap_err().to_string();
    assert!(error.contains("there are deconvnet, deconvnet-overwrite, guided and gradient"), "{error}");
}
