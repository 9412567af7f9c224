//! Training with AlexNet's towers on two backends.

use crate::checkpoint::{self, Progress};
use crate::run_dir::{RunDir, RunFile};
use crate::sample;
use crate::{Gradient, Loss, Recipe, Sgd, gradient};
use burn::module::Param;
use burn::tensor::{Device, Tensor};
use infer::OnBadImage;
use models::layers::{ConvConfig, LinearConfig, MaxPoolConfig};
use models::reference::with_formula_weights;
use models::weights::Tensors;
use models::{Activation, Definition, Model, Network, ParamVisitor, device, zoo};
use std::path::Path;

const LOSS: Loss = Loss::CrossEntropy { smoothing: 0.0 };

fn flex_and_ndarray() -> [Device; 2] {
    ["flex", "ndarray"].map(|name| device::parse(name).unwrap())
}

/// AlexNet's definition for ten classes, without dropout: two backends draw different numbers.
fn alexnet() -> (Definition, Model) {
    let model = Model { classes: 10, ..Model::named("alexnet").unwrap() };
    let mut definition = (zoo::find("alexnet").unwrap().define)(&model);
    definition.layers.retain(|(name, _)| !name.starts_with("drop"));
    (definition, model)
}

/// Two towers that talk at conv3 and in the fully connected layers, few maps wide.
fn narrow() -> (Definition, Model) {
    let (mut definition, model) = alexnet();
    (definition.input.height, definition.input.width) = (23, 23);
    definition.layers.clear();
    let conv = |out, kernel, grouped| ConvConfig {
        towers: 2,
        grouped,
        activation: Some(Activation::Relu),
        ..ConvConfig::new(out, kernel)
    };
    let definition = definition
        .with("conv1", ConvConfig { stride: 2, ..conv(8, 5, false) }) // [8, 10, 10]
        .with("pool1", MaxPoolConfig { kernel: 2, stride: 2, ceil: false }) // [8, 5, 5]
        .with("conv2", conv(12, 3, true)) // [12, 3, 3]
        .with("conv3", conv(12, 3, false)) // [12, 1, 1]
        .with("fc6", LinearConfig { towers: 2, ..LinearConfig::new(16) })
        .with("fc8", LinearConfig::new(model.classes));
    (definition, model)
}

/// With formula weights, trainable, on one device or with its towers on two.
fn build((definition, model): (Definition, Model), devices: &[Device]) -> Network {
    let devices: Vec<_> = devices.iter().map(|d| d.clone().autodiff()).collect();
    with_formula_weights(Network::new(&definition, model, 0, &devices[0]).unwrap().place(&devices))
}

/// The distance of two lists of numbers, as a share of the length of the second.
fn apart(got: impl Iterator<Item = f32>, expected: impl Iterator<Item = f32>) -> f64 {
    let (mut apart, mut length) = (0.0, 0.0);
    for (a, b) in got.zip(expected) {
        apart += f64::from(a - b).powi(2);
        length += f64::from(b).powi(2);
    }
    (apart / length).sqrt()
}

fn assert_alike(what: &str, got: &Tensors, expected: &Tensors) {
    assert!(got.keys().eq(expected.keys()), "{what}: names");
    for (name, expected) in expected {
        let apart = apart(got[name].iter(), expected.iter());
        assert!(apart < 1e-4, "{what} of {name}: {apart:e} apart");
    }
}

fn data(gradient: &Gradient) -> Tensors {
    gradient.iter().map(|(name, g)| (name.clone(), g.to_data())).collect()
}

/// Tower b's weights are on the second device, all others on the first.
fn assert_homes(network: &Network, devices: &[Device; 2]) {
    struct Check<'a>(&'a [Device; 2]);
    impl ParamVisitor for Check<'_> {
        fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
            assert_eq!(param.val().device(), self.0[usize::from(name.contains(".b."))], "{name}");
        }
    }
    network.visit_params(&mut Check(devices));
}

#[test]
fn alexnet_at_full_size_trains_on_two_backends_as_on_one() {
    let devices = flex_and_ndarray();
    let [flex, _] = &devices;
    let (mut one, mut two) = (build(alexnet(), &devices[..1]), build(alexnet(), &devices));
    let batch = sample::batch(&one, 2, 128.0);
    let ((loss, gradient_one), (loss_two, gradient_two)) =
        (gradient(&one, &batch, LOSS, flex).unwrap(), gradient(&two, &batch, LOSS, flex).unwrap());
    assert!((loss_two - loss).abs() <= 1e-4 * loss, "{loss_two}, expected {loss}");
    assert_alike("gradient", &data(&gradient_two), &data(&gradient_one));
    for (name, gradient) in &gradient_two {
        assert_eq!(&gradient.device(), &devices[usize::from(name.contains(".b."))], "{name}");
    }
    Sgd::new(0.9, 5e-4).step(&mut one, &gradient_one, 1e-5);
    Sgd::new(0.9, 5e-4).step(&mut two, &gradient_two, 1e-5);
    assert_homes(&two, &devices);
    let weights = two.tensors();
    assert_alike("trained weight", &weights, &one.tensors());
    assert_ne!(weights["conv5.b.weight"], build(alexnet(), &devices[..1]).tensors()["conv5.b.weight"]);
}

fn run_in(dir: &Path) -> RunDir {
    let run = RunFile {
        command: "train".into(),
        device: None,
        towers: Some("flex,ndarray".into()),
        data_dir: None,
        weights: None,
        on_bad_image: OnBadImage::Fail,
        recipe: Recipe::load("lenet5-mnist", &[]).unwrap(),
    };
    RunDir::create(Some(dir), &run).unwrap()
}

fn resume(run: &RunDir, network: Network, sgd: &mut Sgd) -> Network {
    checkpoint::load(run, &network, sgd, |problem| panic!("{problem}")).unwrap().unwrap().0
}

#[test]
fn a_run_on_two_backends_goes_on_from_its_checkpoint() {
    let devices = flex_and_ndarray();
    let [flex, _] = &devices;
    let step = |network: &mut Network, sgd: &mut Sgd| {
        // Four images are two parts, each on a thread of its own.
        let (loss, gradient) = gradient(network, &sample::batch(network, 4, 128.0), LOSS, flex).unwrap();
        sgd.step(network, &gradient, 1e-3);
        loss
    };
    let (mut sgd, mut network) = (Sgd::new(0.9, 5e-4), build(narrow(), &devices));
    let losses: Vec<f64> = (0..3).map(|_| step(&mut network, &mut sgd)).collect();
    assert!(losses[2] < losses[0], "{losses:?}");
    let dir = tempfile::tempdir().unwrap();
    let run = run_in(dir.path());
    checkpoint::save(&run, &network, &sgd, &Progress::default()).unwrap();
    step(&mut network, &mut sgd);
    let expected = network.tensors();

    let mut sgd = Sgd::new(0.9, 5e-4);
    let mut network = resume(&run, build(narrow(), &devices), &mut sgd);
    assert_homes(&network, &devices);
    step(&mut network, &mut sgd);
    assert_homes(&network, &devices);
    assert_eq!(network.tensors(), expected);

    // It may as well go on where all is on one device.
    let mut sgd = Sgd::new(0.9, 5e-4);
    let mut network = resume(&run, build(narrow(), &devices[..1]), &mut sgd);
    step(&mut network, &mut sgd);
    assert_alike("weight", &network.tensors(), &expected);
}
