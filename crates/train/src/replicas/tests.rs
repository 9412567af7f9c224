use super::*;
use crate::sample;
use crate::sgd::Sgd;
use data::random::{Purpose, stream};
use infer::PlacementArguments;
use models::layers::{ConvConfig, DropoutConfig, LinearConfig, MaxPoolConfig};
use models::reference::with_formula_weights;
use models::weights::Tensors;
use models::{Activation, Definition, Model, zoo};

const LOSS: Loss = Loss::CrossEntropy { smoothing: 0.0 };

fn on(devices: &str) -> Placement {
    PlacementArguments { device: Some(devices.into()), towers: None }.place().unwrap()
}

/// With formula weights, and without dropout unless asked for: several devices draw other numbers than one.
fn build(name: &str, dropout: bool, change: impl Fn(Definition) -> Definition) -> Network {
    let model = Model { classes: 10, ..Model::named(name).unwrap() };
    let mut definition = change((zoo::find(name).unwrap().define)(&model));
    if !dropout {
        definition.layers.retain(|(name, _)| !name.starts_with("drop"));
    }
    let device = on("flex").autodiff().first().clone();
    with_formula_weights(Network::new(&definition, model, 0, &device).unwrap())
}

/// AlexNet's kinds of layers in its order, few maps wide.
fn reduced_alexnet(mut definition: Definition) -> Definition {
    let relu = Some(Activation::Relu);
    let conv = |out, kernel| ConvConfig { activation: relu, ..ConvConfig::new(out, kernel) };
    (definition.input.height, definition.input.width) = (23, 23);
    definition.layers.clear();
    definition
        .with("conv1", ConvConfig { stride: 2, ..conv(8, 5) }) // [8, 10, 10]
        .with("pool1", MaxPoolConfig { kernel: 2, stride: 2, ceil: false }) // [8, 5, 5]
        .with("conv2", conv(12, 3)) // [12, 3, 3]
        .with("fc6", LinearConfig { activation: relu, ..LinearConfig::new(16) })
        .with("drop6", DropoutConfig(0.5))
        .with("fc8", LinearConfig::new(10))
}

fn step(network: &Network, devices: &str, batch: &Batch, accumulate: usize) -> (f64, Gradient) {
    let mut seeds = stream(7, Purpose::Dropout, 0, 0);
    let on = on(devices).autodiff();
    let (loss, mut gradients) = gradient_of_step(network, None, &on, batch, LOSS, accumulate, &mut seeds).unwrap();
    assert_eq!(gradients.len(), 1);
    (loss, gradients.remove(0))
}

fn data((loss, gradient): (f64, Gradient)) -> (f64, Tensors) {
    (loss, gradient.into_iter().map(|(name, g)| (name, g.into_data())).collect())
}

/// The greatest distance of two gradients of one weight, as a share of the length of the second.
fn apart(got: &Tensors, expected: &Tensors) -> f64 {
    assert!(got.keys().eq(expected.keys()));
    let apart = expected.iter().map(|(name, expected)| {
        let square = |(a, b): (f32, f32)| [f64::from(a - b).powi(2), f64::from(b).powi(2)];
        let [apart, length] = got[name]
            .iter::<f32>()
            .zip(expected.iter::<f32>())
            .map(square)
            .fold([0.0, 1e-30], |[a, b], [c, d]| [a + c, b + d]);
        (apart / length).sqrt()
    });
    apart.fold(0.0, f64::max)
}

/// Shares that are equal, that are not, and that are empty.
#[test]
fn several_devices_give_the_gradient_of_one() {
    let unchanged = |definition| definition;
    let cases = [(8, "flex,flex"), (7, "flex,flex,flex"), (2, "flex,flex,flex"), (5, "flex,ndarray")];
    for (network, cases) in [
        (build("lenet5", false, unchanged), &cases[..]),
        (build("alexnet", false, reduced_alexnet), &cases[..]),
        (build("nin-cifar10", false, unchanged), &[(3, "flex,flex")]), // at full size
    ] {
        for &(n, devices) in cases {
            let batch = sample::batch(&network, n, 1.0);
            let (loss_one, one) = data(step(&network, "flex", &batch, 1));
            for accumulate in [1, 2] {
                let (loss, several) = data(step(&network, devices, &batch, accumulate));
                let what = format!("{n} images of {} on {devices}", network.model().name);
                assert!((loss - loss_one).abs() < 1e-5 * loss_one, "{what}: {loss}, expected {loss_one}");
                let apart = apart(&several, &one);
                assert!(apart < 1e-4, "{what}: {apart:e} apart");
            }
        }
    }
}

#[test]
fn dropout_is_the_same_again_and_another_on_each_device() {
    let network = build("alexnet", true, reduced_alexnet);
    let twice = |devices: &str| [(); 2].map(|()| data(step(&network, devices, &sample::batch(&network, 4, 1.0), 1)));
    for devices in ["flex", "flex,flex", "flex,ndarray"] {
        let [once, again] = twice(devices);
        assert_eq!(once, again, "{devices}");
    }
    // Two images that are the same have one loss where they have one mask.
    let mut same = sample::batch(&network, 2, 1.0);
    let half = same.images.len() / 2;
    same.images.copy_within(..half, half);
    same.labels[1] = same.labels[0];
    let (both, _) = step(&network, "flex,flex", &same, 1);
    let (first, _) = step(&network, "flex", &same.part(0..1), 1);
    assert!((both - first).abs() > 1e-3 * first, "{both} {first}");
}

#[test]
fn shares_are_as_equal_as_they_can_be() {
    let sizes = |n, replicas| shares(n, replicas).map(|share| share.len()).collect::<Vec<_>>();
    assert_eq!(sizes(64, 3), [22, 21, 21]);
    assert_eq!(sizes(2, 3), [1, 1, 0]);
    assert_eq!(shares(5, 2).collect::<Vec<_>>(), [0..3, 3..5]);
    assert_eq!(parts(10..17, 3).collect::<Vec<_>>(), [10..13, 13..16, 16..17]);
}

/// What NCCL does, by hand: the sum is made once, and each device gets it.
fn by_hand(gradients: Vec<Gradient>) -> Vec<Gradient> {
    let devices: Vec<_> = gradients.iter().map(|g| g.values().next().unwrap().device()).collect();
    let sum = gathered(gradients);
    let on = |device| sum.iter().map(|(name, g)| (name.clone(), g.clone().to_device(device))).collect();
    devices.iter().map(on).collect()
}

/// Three steps with momentum and decay, the last with fewer images than devices.
#[test]
fn a_ring_takes_the_steps_of_one_device_on_each() {
    let first = build("alexnet", false, reduced_alexnet);
    let images = [7, 6, 2].map(|n| sample::batch(&first, n, 1.0));
    let train = |devices: &str| -> Vec<Tensors> {
        let placement = on(devices).autodiff();
        let (mut network, mut sgd) = (first.clone(), Sgd::new(0.9, 5e-4));
        let mut ring = Ring::new(&placement, &network, &sgd, by_hand);
        for batch in &images {
            let mut seeds = stream(7, Purpose::Dropout, 0, 0);
            let (_, gradients) =
                gradient_of_step(&network, Some(&ring), &placement, batch, LOSS, 1, &mut seeds).unwrap();
            assert_eq!(gradients.len(), devices.split(',').count());
            sgd.step(&mut network, &gradients[0], 0.05);
            ring.step(&gradients[1..], 0.05, None);
        }
        let others = (1..placement.devices().len()).map(|i| ring.network(i).tensors());
        std::iter::once(network.tensors()).chain(others).collect()
    };
    let one = train("flex").remove(0);
    assert!(apart(&one, &first.tensors()) > 1e-3, "the steps change nothing");
    for devices in ["flex,flex", "flex,flex,flex"] {
        let ranks = train(devices);
        assert!(apart(&ranks[0], &one) < 1e-4, "{devices}");
        assert!(ranks[1..].iter().all(|rank| *rank == ranks[0]), "{devices}");
    }
}
