//! AlexNet's towers on two devices, as in 2012: here on two backends.

#![allow(clippy::unwrap_used)]

mod support;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use models::layers::{ActivateConfig, ConvConfig, LinearConfig, LrnConfig, MaxPoolConfig};
use models::reference::with_formula_weights;
use models::{Activation, Crossing, Definition, Method, Model, Network, ParamVisitor};
use support::{Checked, Device, Sgd, Tolerance, cross_entropy, flex, formula, gradients, named, ndarray, tiny, values};

const INPUT: [usize; 3] = [3, 39, 39];

/// AlexNet's layers, few maps wide. `across`: LRN over both towers' maps, as in Caffe.
fn narrow(across: bool) -> impl Fn(Definition) -> Definition {
    move |d| {
        let conv = |out, kernel: usize, grouped| ConvConfig {
            padding: [kernel / 2; 4],
            towers: 2,
            grouped,
            activation: Some(Activation::Relu),
            ..ConvConfig::new(out, kernel)
        };
        let pool = MaxPoolConfig { kernel: 3, stride: 2, ceil: false };
        let norm = LrnConfig { size: 5, k: 2.0, alpha: 0.1, beta: 0.75, across_towers: across };
        let fc = |out| LinearConfig { towers: 2, activation: Some(Activation::Relu), ..LinearConfig::new(out) };
        d.with("conv1", ConvConfig { stride: 2, padding: [0, 0, 3, 3], ..conv(12, 11, false) }) // [12, 16, 16]
            .with("norm1", norm)
            .with("pool1", pool) // [12, 7, 7]
            .with("conv2", ConvConfig { activation: None, ..conv(16, 5, true) }) // [16, 7, 7]
            .with("relu2", ActivateConfig(Activation::Relu))
            .with("pool2", pool) // [16, 3, 3]
            .with("conv3", conv(24, 3, false)) // [24, 3, 3]
            .with("conv4", conv(24, 3, true)) // [24, 3, 3]
            .with("fc6", fc(32)) // [32, 1, 1]
            .with("fc7", fc(32)) // [32, 1, 1]
            .with("fc8", LinearConfig::new(5)) // [5, 1, 1]
    }
}

/// Where each weight is, by name. Burn's `==` on devices tells backends apart, and that is all that is asked here.
fn homes(network: &Network) -> Vec<(String, Device)> {
    struct Homes(Vec<(String, Device)>);
    impl ParamVisitor for Homes {
        fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
            self.0.push((name.into(), param.val().device()));
        }
    }
    let mut homes = Homes(Vec::new());
    network.visit_params(&mut homes);
    homes.0
}

fn assert_homes(network: &Network, devices: [&Device; 2]) {
    for (name, home) in homes(network) {
        let expected = devices[usize::from(name.contains(".b."))];
        assert_eq!(&home, expected, "{name}");
    }
}

#[test]
fn each_tower_lives_on_its_device() {
    let [a, b] = [flex(), ndarray()];
    assert_ne!(a, b);
    let placed = tiny(INPUT, narrow(false), &a).place(&[a.clone(), b.clone()]);
    assert_homes(&placed, [&a, &b]);
    assert_homes(&placed.clone().place(&[b.clone(), a.clone()]), [&b, &a]);
    assert_homes(&placed.place(std::slice::from_ref(&b)), [&b, &b]);
    // Weights that nobody has drawn yet are drawn where they are to live, and are the same.
    let network = |device: &Device| support::try_tiny(INPUT, narrow(false), device).unwrap();
    let placed = network(&a).place(&[a.clone(), b.clone()]);
    assert_homes(&placed, [&a, &b]);
    assert_eq!(placed.tensors(), network(&a).tensors());
}

#[test]
fn two_devices_compute_what_one_does() {
    let [a, b] = [flex(), ndarray()];
    for across in [false, true] {
        let x = formula(90, [2, 3, 39, 39], 1.0, &a);
        let network = tiny(INPUT, narrow(across), &a);
        let (expected, expected_trace) = network.forward_traced(x.clone()).unwrap();
        for devices in [[&a, &b], [&b, &a]] {
            let placed = network.clone().place(&devices.map(Clone::clone));
            let (logits, trace) = placed.forward_traced(x.clone()).unwrap();
            assert_eq!(&logits.device(), devices[0]);
            Tolerance::CPU.check("logits", &values(logits), &values(expected.clone()));
            for ((name, got), (_, expected)) in trace.outputs().zip(expected_trace.outputs()) {
                Tolerance::CPU.check(name, &values(got), &values(expected));
            }
            // A deconvnet's way back, too.
            let signal = formula(91, [2, 24, 3, 3], 1.0, devices[0]);
            let image = placed.project(&trace, "conv4", signal.clone(), Method::default()).unwrap();
            let expected = network.project(&expected_trace, "conv4", signal.to_device(&a), Method::default()).unwrap();
            Tolerance::CPU.check("projection", &values(image), &values(expected));
        }
    }
}

#[test]
fn two_devices_train_as_one_does() {
    let [a, b] = [flex(), ndarray()].map(Device::autodiff);
    for (across, devices) in [(false, [&a, &b]), (true, [&a, &b]), (false, [&b, &a])] {
        let x = formula(92, [2, 3, 39, 39], 1.0, &a);
        let mut one = tiny(INPUT, narrow(across), &a);
        let mut two = one.clone().place(&devices.map(Clone::clone));
        let (mut sgd_one, mut sgd_two) = (Sgd::new(0.05, 0.9), Sgd::new(0.05, 0.9));
        let mut losses = Vec::new();
        for step in 0..5 {
            let loss = |network: &Network| cross_entropy(network.forward(x.clone()).unwrap(), &[3, 1]);
            let (loss_one, loss_two) = (loss(&one), loss(&two));
            losses.push(loss_one.clone().into_scalar::<f32>());
            Tolerance::CPU.check("loss", &values(loss_two.clone()), &values(loss_one.clone()));
            let (grads_one, grads_two) = (loss_one.backward(), loss_two.backward());
            let (own, expected) = (gradients(&two, &grads_two), gradients(&one, &grads_one));
            for name in expected.keys() {
                // Rounding decides where a ReLU unit near 0 stands, and steps add it up.
                let tolerance = if step == 0 { Tolerance::CPU } else { Tolerance::TORCH_GRADIENT };
                tolerance.check(
                    &format!("step {step}, gradient of {name}"),
                    &named(&own, name),
                    &named(&expected, name),
                );
            }
            (one, two) = (sgd_one.step(one, &grads_one), sgd_two.step(two, &grads_two));
            assert_homes(&two, devices);
        }
        assert!(losses[4] < 0.9 * losses[0], "{losses:?}");
        let (own, expected) = (two.tensors(), one.tensors());
        for name in expected.keys() {
            Tolerance::TORCH.check(&format!("trained {name}"), &named(&own, name), &named(&expected, name));
        }
        let valid = two.valid();
        assert!(homes(&valid).iter().all(|(_, device)| !device.is_autodiff()));
        assert_homes(&valid, devices);
        let logits = valid.forward(x.clone().inner()).unwrap();
        Tolerance::TORCH.check(
            "logits after training",
            &values(logits),
            &values(one.valid().forward(x.inner()).unwrap()),
        );
    }
}

#[test]
fn alexnet_at_full_size_computes_on_two_devices_what_it_does_on_one() {
    let [a, b] = [flex(), ndarray()];
    let network = with_formula_weights(Model::named("alexnet").unwrap().build(0, &a).unwrap());
    let x = formula(93, [1, 3, 224, 224], 128.0, &a);
    let expected = values(network.forward(x.clone()).unwrap());
    let placed = network.place(&[a, b]);
    Tolerance::TORCH.check("logits", &values(placed.forward(x).unwrap()), &expected);
}

#[test]
fn towers_talk_where_the_paper_draws_it() {
    let crossings = |model: &str| {
        let crossings = Model::named(model).unwrap().build(0, &flex()).unwrap().crossings();
        crossings.into_iter().map(|Crossing { layer, bytes_per_image }| (layer, bytes_per_image)).collect::<Vec<_>>()
    };
    // Krizhevsky 2012, figure 2: in conv3 and the fully connected layers. Each way half the maps, four bytes a number:
    // both towers' pool2, pool5, fc6, and tower b's fc7, which goes to the classes.
    let paper = [("conv3", 2 * 4 * 13 * 13 * 128), ("fc6", 2 * 4 * 4608), ("fc7", 2 * 4 * 2048), ("fc8", 4 * 2048)];
    let paper = paper.map(|(layer, bytes)| (layer.to_string(), bytes));
    assert_eq!(crossings("alexnet"), paper);
    assert_eq!(crossings("alexnet-chapter"), paper);
    // Caffe's LRN sees all maps: tower b's go to tower a, and come back normalised. conv -> ReLU -> LRN -> pool.
    let norms = [("norm1", 2 * 4 * 55 * 55 * 48), ("norm2", 2 * 4 * 27 * 27 * 128)];
    let bvlc = [norms.map(|(layer, bytes)| (layer.to_string(), bytes)).as_slice(), &paper].concat();
    assert_eq!(crossings("alexnet-bvlc"), bvlc);
    for model in ["alexnet-single", "zfnet", "lenet5", "lenet5-rbf", "nin-imagenet"] {
        assert_eq!(crossings(model), [], "{model}");
    }
}
