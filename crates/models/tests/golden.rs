//! The networks against PyTorch: activations, gradients and steps of training, from formula weights.
//!
//! What is expected comes from golden/generate.py, which defines every network a second time.

#![allow(clippy::unwrap_used)]

mod support;

use burn::module::Module;
use burn::tensor::Tensor;
use models::layers::DropoutConfig;
use models::reference::{sines, with_formula_weights};
use models::weights::Tensors;
use models::{Activation, Model, Network, zoo};
use serde::Deserialize;
use std::path::Path;
use std::sync::Mutex;
use support::{Device, Sgd, Tolerance, cross_entropy, flex, formula, gradients, named, ndarray, values};

/// Images in a batch, and the input's salt: as in generate.py.
const BATCH: usize = 2;
const SALT: u32 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    model: String,
    scale: f32,
    logits: Vec<f32>,
    loss: f32,
    map_loss: Option<f32>,
    activations: Vec<Sampled>,
    gradients: Vec<Sampled>,
    rate: f64,
    momentum: f64,
    /// Before each step, and after the last.
    losses: Vec<f32>,
    /// After the last step.
    weights: Vec<Sampled>,
}

/// A tensor, in full or by 32 of its elements.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sampled {
    name: String,
    size: usize,
    sum: f64,
    abs: f64,
    max: f64,
    values: Vec<f32>,
}

impl Sampled {
    fn check(&self, model: &str, kind: &str, got: &[f32], tolerance: Tolerance) {
        let what = format!("{model}: {kind} {}", self.name);
        assert_eq!(got.len(), self.size, "{what}: number of values");
        let full = self.values.len() == self.size;
        for (i, &expected) in self.values.iter().enumerate() {
            let at = if full { i } else { (i as u32).wrapping_mul(2_654_435_761) as usize % self.size };
            let apart = f64::from((got[at] - expected).abs());
            let fits = apart <= tolerance.allows(expected.into(), self.max);
            assert!(fits, "{what}, element {at}: {}, expected {expected} (the greatest is {})", got[at], self.max);
        }
        let wide = || got.iter().map(|v| f64::from(*v));
        let sums: [(_, f64, f64); 2] =
            [("sum", wide().sum(), self.sum), ("sum of sizes", wide().map(f64::abs).sum(), self.abs)];
        for (name, got, expected) in sums {
            let fits = (got - expected).abs() <= tolerance.relative * self.abs;
            assert!(fits, "{what}, {name}: {got}, expected {expected} (absolute values add up to {})", self.abs);
        }
    }
}

fn read<T: for<'a> Deserialize<'a>>(file: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file).with_extension("json");
    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The variant with formula weights and every dropout's probability 0.
fn build(model: &Model, device: &Device) -> Network {
    let mut definition = (zoo::find(&model.name).unwrap().define)(model);
    for (name, layer) in &mut definition.layers {
        if name.starts_with("drop") {
            *layer = Box::new(DropoutConfig(0.0));
        }
    }
    with_formula_weights(Network::new(&definition, model.clone(), 0, device).unwrap())
}

fn images(network: &Network, scale: f32, device: &Device) -> Tensor<4> {
    let [c, h, w] = network.input().shape();
    formula(SALT, [BATCH, c, h, w], scale, device)
}

/// Logits and every activation, layer by layer, so that the first layer that is wrong is the one named.
fn forward(golden: &Golden, device: &Device) {
    let network = build(&Model::named(&golden.model).unwrap(), device);
    let x = images(&network, golden.scale, device);
    let (logits, trace) = network.forward_traced(x.clone()).unwrap();
    let named = network.summary().into_iter().filter(|row| row.spec.kind != "dropout").map(|row| row.name);
    assert!(named.eq(golden.activations.iter().map(|a| a.name.clone())), "{}: names of layers", golden.model);
    for activation in &golden.activations {
        let got = values(trace.output(&activation.name).unwrap());
        activation.check(&golden.model, "activation", &got, Tolerance::TORCH);
    }
    let logits = [logits, network.forward(x).unwrap()].map(|l| (l.clone().argmax(1), values(l)));
    for (_, got) in &logits {
        Tolerance::TORCH.check(&format!("{}: logits", golden.model), got, &golden.logits);
    }
    let expected = Tensor::<1>::from_data(golden.logits.as_slice(), device).reshape([BATCH as i32, -1]);
    assert_eq!(logits[0].0.to_data(), expected.argmax(1).to_data(), "{}: greatest logit", golden.model);
}

/// Loss, gradients, and steps of gradient descent.
fn train(golden: &Golden, device: &Device) {
    let model = &golden.model;
    let device = device.clone().autodiff();
    let mut network = build(&Model::named(model).unwrap(), &device);
    let x = images(&network, golden.scale, &device);
    let labels = [3, 7].map(|l| l % network.classes() as i64);
    let names: Vec<_> = network.param_shapes().into_iter().map(|(name, _)| name).collect();
    let in_order = |list: &[Sampled]| list.iter().map(|s| s.name.clone()).eq(names.iter().cloned());
    assert!(in_order(&golden.gradients) && in_order(&golden.weights), "{model}: names of weights");

    let mut sgd = Sgd::new(golden.rate, golden.momentum);
    let mut losses = Vec::new();
    for step in 1..golden.losses.len() {
        let logits = network.forward(x.clone()).unwrap();
        let loss = cross_entropy(logits.clone(), &labels);
        losses.push(loss.clone().into_scalar::<f32>());
        let grads = loss.backward();
        if step == 1 {
            Tolerance::TORCH.check(&format!("{model}: loss"), &losses, &[golden.loss]);
            if let Some(expected) = golden.map_loss {
                Tolerance::TORCH.check(&format!("{model}: MAP loss"), &[map_loss(logits.inner(), labels)], &[expected]);
            }
            check_all(model, "gradient", &golden.gradients, &gradients(&network, &grads), Tolerance::TORCH_GRADIENT);
        }
        network = sgd.step(network, &grads);
    }
    let network = network.valid();
    losses.push(cross_entropy(network.forward(x.inner()).unwrap(), &labels).into_scalar::<f32>());
    Tolerance::TORCH.check(&format!("{model}: losses"), &losses, &golden.losses);
    check_all(model, "trained weight", &golden.weights, &network.tensors(), Tolerance::TORCH);
}

fn check_all(model: &str, kind: &str, expected: &[Sampled], got: &Tensors, tolerance: Tolerance) {
    for sampled in expected {
        sampled.check(model, kind, &named(got, &sampled.name), tolerance);
    }
}

/// LeCun 1998, equation 9 with j = 1; the logits are the penalties, negated.
fn map_loss(logits: Tensor<2>, labels: [i64; BATCH]) -> f32 {
    let rows = logits.into_data().iter::<f64>().collect::<Vec<_>>();
    let losses = rows.chunks_exact(rows.len() / BATCH).zip(labels).map(|(row, label)| {
        -row[label as usize] + ((-1f64).exp() + row.iter().map(|logit| logit.exp()).sum::<f64>()).ln()
    });
    (losses.sum::<f64>() / BATCH as f64) as f32
}

/// Held by a test of a network with tens of millions of weights: several at a time would take gigabytes.
static BIG: Mutex<()> = Mutex::new(());

macro_rules! golden {
    ($($test:ident: $name:literal, $on:expr, $run:expr;)*) => {$(
        #[test]
        fn $test() {
            let golden: Golden = read($name);
            let weights = zoo::find($name).unwrap().parameters;
            let _one = (weights > 5_000_000).then(|| BIG.lock().unwrap_or_else(|e| e.into_inner()));
            for run in $run {
                run(&golden, &$on());
            }
        }
    )*};
}

const WHOLE: [fn(&Golden, &Device); 2] = [forward, train];
const FORWARD: [fn(&Golden, &Device); 1] = [forward];

golden! {
    lenet5_flex: "lenet5", flex, WHOLE;
    lenet5_rbf_flex: "lenet5-rbf", flex, WHOLE;
    lenet5_dense_flex: "lenet5-dense", flex, WHOLE;
    alexnet_flex: "alexnet", flex, WHOLE;
    alexnet_caffenet_flex: "alexnet-caffenet", flex, WHOLE;
    alexnet_bvlc_flex: "alexnet-bvlc", flex, WHOLE;
    alexnet_chapter_flex: "alexnet-chapter", flex, WHOLE;
    alexnet_single_flex: "alexnet-single", flex, WHOLE;
    alexnet_torchvision_flex: "alexnet-torchvision", flex, WHOLE;
    zfnet_flex: "zfnet", flex, WHOLE;
    zfnet512_flex: "zfnet512", flex, WHOLE;
    nin_cifar10_flex: "nin-cifar10", flex, WHOLE;
    nin_mnist_flex: "nin-mnist", flex, WHOLE;
    nin_imagenet_flex: "nin-imagenet", flex, WHOLE;
    nin_chapter_flex: "nin-chapter", flex, WHOLE;

    lenet5_ndarray: "lenet5", ndarray, WHOLE;
    lenet5_rbf_ndarray: "lenet5-rbf", ndarray, WHOLE;
    lenet5_dense_ndarray: "lenet5-dense", ndarray, WHOLE;
    nin_mnist_ndarray: "nin-mnist", ndarray, WHOLE;
    nin_chapter_ndarray: "nin-chapter", ndarray, WHOLE;
    // Backward on ndarray takes minutes for these.
    alexnet_ndarray: "alexnet", ndarray, FORWARD;
    zfnet_ndarray: "zfnet", ndarray, FORWARD;
    nin_cifar10_ndarray: "nin-cifar10", ndarray, FORWARD;
}

#[test]
fn other_squashing_functions() {
    let golden: std::collections::HashMap<Activation, Vec<f32>> = read("lenet5-squash");
    assert_eq!(golden.len(), 2);
    for device in [flex(), ndarray()] {
        for (&activation, expected) in &golden {
            let network = build(&Model { activation, ..Model::named("lenet5").unwrap() }, &device);
            let logits = network.forward(images(&network, 1.0, &device)).unwrap();
            Tolerance::TORCH.check(&format!("lenet5 with {activation}: logits"), &values(logits), expected);
        }
    }
}

/// The formula's numbers are PyTorch's to the last bit: without that, nothing above means anything.
#[test]
fn formula_numbers_are_the_same_in_python() {
    #[derive(Deserialize)]
    struct Numbers {
        fnv1a: String,
        first: Vec<f32>,
    }
    let golden: Numbers = read("sines");
    let numbers = sines(SALT, 1 << 16, 0.1);
    assert_eq!(numbers[..8], golden.first);
    let bytes = numbers.iter().flat_map(|v| v.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    assert_eq!(format!("{hash:016x}"), golden.fnv1a);
}
