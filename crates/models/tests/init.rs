//! How weights start: as the papers say, and the same everywhere.

#![allow(clippy::unwrap_used)]

mod support;

use burn::module::Param;
use burn::tensor::Tensor;
use models::{Model, Network, ParamVisitor};
use support::{Device, flex, named, ndarray};

fn build(model: &str, seed: u64, device: &Device) -> Network {
    Model::named(model).unwrap().build(seed, device).unwrap()
}

/// The values of the weights that `pick` picks, by name; no other weight is drawn.
fn drawn(network: &Network, pick: impl Fn(&str) -> bool) -> Vec<(String, Vec<f32>)> {
    struct Read<F>(F, Vec<(String, Vec<f32>)>);
    impl<F: Fn(&str) -> bool> ParamVisitor for Read<F> {
        fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
            if self.0(name) {
                self.1.push((name.into(), support::values(param.val())));
            }
        }
    }
    let mut read = Read(pick, Vec::new());
    network.visit_params(&mut read);
    read.1
}

/// Even over -bound..bound: never outside, almost to the edge, with the deviation of such numbers.
fn even(what: &str, values: &[f32], bound: f64) {
    let greatest = values.iter().fold(0.0, |m: f64, v| m.max(f64::from(v.abs())));
    assert!(greatest <= bound * 1.000_001 && greatest > bound * 0.9, "{what}: up to {greatest}, bound {bound}");
    spread(what, values, bound / 3f64.sqrt());
}

/// Mean 0 and this deviation, to within five deviations of what as many numbers come to.
fn spread(what: &str, values: &[f32], deviation: f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
    assert!(mean.abs() < 5.0 * deviation / n.sqrt(), "{what}: mean {mean}");
    let off = (variance.sqrt() / deviation - 1.0).abs();
    assert!(off < 5.0 / (2.0 * n).sqrt(), "{what}: deviation {}, expected {deviation}", variance.sqrt());
}

fn all(what: &str, values: &[f32], expected: f32) {
    assert!(values.iter().all(|v| *v == expected), "{what}: not all {expected}");
}

#[test]
fn lenet_starts_within_2_4_over_the_fan_in() {
    // LeCun 1998, appendix A: F is the number of inputs of the unit.
    for (model, fan_ins) in [
        ("lenet5", [("C1.weight", 25), ("C5.weight", 400), ("F6.weight", 120), ("OUTPUT.weight", 84)].as_slice()),
        ("lenet5-dense", &[("C1.weight", 25), ("C3.weight", 150), ("C5.weight", 400), ("F6.weight", 120)]),
    ] {
        let tensors = build(model, 1, &flex()).tensors();
        for (name, fan_in) in fan_ins {
            even(&format!("{model} {name}"), &named(&tensors, name), 2.4 / f64::from(*fan_in));
        }
        for name in tensors.keys().filter(|name| name.ends_with("bias")) {
            all(name, &named(&tensors, name), 0.0);
        }
    }
    // C3: units of three, four and six maps, 25 inputs from each.
    let tensors = build("lenet5", 1, &flex()).tensors();
    let kernels = named(&tensors, "C3.kernels");
    let (three, rest) = kernels.split_at(18 * 25);
    let (four, six) = rest.split_at(36 * 25);
    even("C3, three maps", three, 2.4 / 75.0);
    even("C3, four maps", four, 2.4 / 100.0);
    even("C3, six maps", six, 2.4 / 150.0);
    // The paper is silent on these: a mean.
    all("S2", &named(&tensors, "S2.coefficient"), 0.25);
    all("S4", &named(&tensors, "S4.coefficient"), 0.25);
}

#[test]
fn alexnet_starts_as_the_paper_says() {
    // Krizhevsky 2012, 5: deviation 0.01; biases 1 in the second, fourth and fifth convolution and the hidden fully
    // connected layers, 0 elsewhere.
    let weights = drawn(&build("alexnet", 1, &flex()), |_| true);
    assert_eq!(weights.len(), 30);
    for (name, values) in weights {
        let layer = name.split('.').next().unwrap();
        match (name.ends_with("bias"), layer) {
            (false, _) => spread(&name, &values, 0.01),
            (true, "conv2" | "conv4" | "conv5" | "fc6" | "fc7") => all(&name, &values, 1.0),
            (true, "conv1" | "conv3" | "fc8") => all(&name, &values, 0.0),
            _ => panic!("what is {name}?"),
        }
    }
}

#[test]
fn replicas_of_alexnet_start_as_their_files_say() {
    // Caffe's train_val.prototxt of both nets: fc6 and fc7 with 0.005; biases 0.1 in bvlc_alexnet, 1 in CaffeNet.
    for (model, bias) in [("alexnet-bvlc", 0.1), ("alexnet-caffenet", 1.0)] {
        let picked = |name: &str| name.starts_with("fc7.a") || name.starts_with("conv4.b") || name.starts_with("fc8");
        for (name, values) in drawn(&build(model, 1, &flex()), picked) {
            match name.as_str() {
                "fc7.a.weight" => spread(&name, &values, 0.005),
                "conv4.b.weight" | "fc8.weight" => spread(&name, &values, 0.01),
                "fc7.a.bias" | "conv4.b.bias" => all(&name, &values, bias),
                _ => all(&name, &values, 0.0),
            }
        }
    }
    // torch.nn: weights and biases even over ±1 / sqrt(F).
    let picked = |name: &str| name.starts_with("conv2") || name.starts_with("fc8");
    for (name, values) in drawn(&build("alexnet-torchvision", 1, &flex()), picked) {
        let fan_in: f64 = if name.starts_with("conv2") { 64.0 * 25.0 } else { 4096.0 };
        even(&name, &values, 1.0 / fan_in.sqrt());
    }
}

#[test]
fn zfnet_starts_as_the_paper_says() {
    // Zeiler 2013, 3: "all weights initialised to 1e-2 and biases set to 0", read as a deviation.
    for (name, values) in drawn(&build("zfnet", 1, &flex()), |name| name.starts_with("conv") || name.starts_with("fc8"))
    {
        if name.ends_with("bias") { all(&name, &values, 0.0) } else { spread(&name, &values, 0.01) }
    }
}

#[test]
fn nin_starts_as_the_authors_files_say() {
    type Deviation = fn(&str) -> f64;
    let spreads: [(&str, Deviation); 4] = [
        ("nin-cifar10", |_| 0.05),
        ("nin-mnist", |_| 0.05),
        ("nin-cifar100", |layer| match layer {
            "conv1" => 0.001,
            "cccp1" | "cccp2" => 0.01,
            _ => 0.05,
        }),
        ("nin-imagenet", |layer| if matches!(layer, "conv1" | "conv3" | "cccp8") { 0.01 } else { 0.05 }),
    ];
    for (model, deviation) in spreads {
        for (name, values) in drawn(&build(model, 1, &flex()), |_| true) {
            let (layer, kind) = name.split_once('.').unwrap();
            let what = format!("{model} {name}");
            if kind == "bias" { all(&what, &values, 0.0) } else { spread(&what, &values, deviation(layer)) }
        }
    }
}

#[test]
fn a_seed_means_the_same_weights_everywhere() {
    for model in ["lenet5", "nin-chapter"] {
        let weights = drawn(&build(model, 9, &flex()), |_| true);
        assert!(weights.iter().all(|(_, values)| !values.is_empty()));
        for device in [flex(), ndarray(), flex().autodiff()] {
            // Burn draws a weight when it is first used: here in another order, and none of the others with it.
            let network = build(model, 9, &device);
            for (name, values) in weights.iter().rev() {
                assert_eq!(drawn(&network, |n| n == name), [(name.clone(), values.clone())], "{model}");
            }
        }
        let other = drawn(&build(model, 10, &flex()), |name| !name.ends_with("bias") && !name.starts_with('S'));
        for (name, values) in other {
            let (_, before) = weights.iter().find(|(n, _)| *n == name).unwrap();
            let same = before.iter().zip(&values).filter(|(a, b)| a == b).count();
            assert!(same * 100 < values.len(), "{model} {name}: {same} numbers of seed 10 are seed 9's");
        }
    }
}

#[test]
fn no_two_weights_of_a_network_start_alike() {
    let weights = drawn(&build("nin-cifar10", 9, &flex()), |name| name.ends_with("weight"));
    // cccp3 and cccp4 have the same shape and spread.
    let find = |name: &str| &weights.iter().find(|(n, _)| n == name).unwrap().1[..8];
    assert_ne!(find("cccp3.weight"), find("cccp4.weight"));
    let towers = drawn(&build("alexnet", 9, &flex()), |name| name.starts_with("conv2") && name.ends_with("weight"));
    assert_ne!(towers[0].1[..8], towers[1].1[..8], "the towers of conv2");
}
