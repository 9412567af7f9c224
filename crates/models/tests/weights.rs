//! Weight files, whole and damaged.

#![allow(clippy::unwrap_used)]

mod support;

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use models::layers::{ConvConfig, LinearConfig};
use models::weights::{Card, Tensors, Training, WeightsError, load, save, to_bytes};
use models::{Activation, Model, Network, ParamMapper};
use proptest::prelude::*;
use safetensors::{Dtype, tensor::TensorView};
use support::{flex, formula, ndarray, tiny, values};

fn model(name: &str) -> Model {
    Model::named(name).unwrap()
}

fn card(network: &Network) -> Card {
    let model = network.model().clone();
    let classes = (0..model.classes).map(|c| format!("class {c}")).collect();
    let training = Training {
        dataset: "mnist".into(),
        recipe: "lenet5-mnist".into(),
        command: "train --seed 3".into(),
        seed: 3,
        epochs: 12,
        test_error: Some(0.0095),
    };
    Card { model, classes, input: network.input().clone(), training: Some(training) }
}

/// A file of lenet5's weights and its card, each changed first.
fn file(change: impl FnOnce(&mut Tensors, &mut Card)) -> Vec<u8> {
    let network = model("lenet5").build(3, &flex()).unwrap();
    let (mut tensors, mut card) = (network.tensors(), card(&network));
    change(&mut tensors, &mut card);
    to_bytes(&tensors, "card", &serde_json::to_string(&card).unwrap()).unwrap()
}

fn refusal(bytes: &[u8]) -> String {
    load(bytes, &flex()).unwrap_err().to_string()
}

fn zeros(shape: &[usize]) -> TensorData {
    TensorData::zeros::<f32, _>(shape.to_vec())
}

/// A network whose first weight starts with numbers that a detour through text or decimals would change.
fn odd(network: Network) -> Network {
    struct Odd(bool);
    impl ParamMapper for Odd {
        fn map<const D: usize>(&mut self, _: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if std::mem::replace(&mut self.0, true) {
                return param;
            }
            param.map(|tensor| {
                let (shape, device) = (tensor.shape(), tensor.device());
                let mut numbers = values(tensor);
                numbers[..4].copy_from_slice(&[-0.0, f32::MIN_POSITIVE / 3.0, f32::MAX, 0.1 + f32::EPSILON]);
                Tensor::from_data(TensorData::new(numbers, shape), &device)
            })
        }
    }
    network.map_params(&mut Odd(false))
}

/// Bits, for -0 equals 0.
fn bits(network: &Network) -> Vec<(String, Vec<usize>, Vec<u32>)> {
    let bits = |data: &TensorData| data.iter::<f32>().map(f32::to_bits).collect();
    network.tensors().iter().map(|(name, data)| (name.clone(), data.shape().to_vec(), bits(data))).collect()
}

#[test]
fn what_is_saved_is_loaded_bit_for_bit() {
    let tanh = Model { activation: Activation::Tanh, classes: 7, ..model("lenet5") };
    for model in [model("lenet5"), model("lenet5-rbf"), model("lenet5-dense"), tanh, model("nin-chapter")] {
        let network = odd(model.build(3, &flex()).unwrap());
        let card = card(&network);
        let bytes = save(&network, &card).unwrap();
        assert_eq!(bytes, save(&network, &card).unwrap(), "{}: the same file every time", model.name);
        for device in [flex(), ndarray(), flex().autodiff()] {
            let (loaded, loaded_card) = load(&bytes, &device).unwrap();
            assert_eq!(bits(&loaded), bits(&network), "{}", model.name);
            assert_eq!(loaded_card, card);
            assert_eq!(loaded.model(), &model);
        }
    }
}

#[test]
fn loaded_weights_can_be_trained() {
    let (network, _) = load(&file(|_, _| ()), &flex().autodiff()).unwrap();
    let images = formula(70, [1, 1, 32, 32], 1.0, &flex());
    let grads = network.forward(images).unwrap().sum().backward();
    assert_eq!(support::gradients(&network, &grads).len(), network.param_shapes().len());
}

#[test]
fn towers_have_their_letters_in_the_names() {
    let towers = |d: models::Definition| {
        d.with("conv1", ConvConfig { towers: 2, ..ConvConfig::new(4, 3) })
            .with("conv2", ConvConfig { towers: 2, grouped: true, ..ConvConfig::new(4, 2) })
            .with("fc6", LinearConfig { towers: 2, ..LinearConfig::new(6) })
            .with("fc8", LinearConfig::new(2))
    };
    let network = tiny([1, 5, 5], towers, &flex());
    let names = network.param_shapes().into_iter().map(|(name, shape)| format!("{name} {shape:?}"));
    let expected = [
        "conv1.a.weight [2, 1, 3, 3]",
        "conv1.a.bias [2]",
        "conv1.b.weight [2, 1, 3, 3]",
        "conv1.b.bias [2]",
        "conv2.a.weight [2, 2, 2, 2]",
        "conv2.a.bias [2]",
        "conv2.b.weight [2, 2, 2, 2]",
        "conv2.b.bias [2]",
        "fc6.a.weight [3, 16]",
        "fc6.a.bias [3]",
        "fc6.b.weight [3, 16]",
        "fc6.b.bias [3]",
        "fc8.weight [2, 6]",
        "fc8.bias [2]",
    ];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    let zeros = tiny([1, 5, 5], towers, &ndarray()).map_params(&mut Zero);
    let copy = zeros.with_tensors(&network.tensors()).unwrap();
    assert_eq!(bits(&copy), bits(&network));
}

struct Zero;
impl ParamMapper for Zero {
    fn map<const D: usize>(&mut self, _: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.zeros_like())
    }
}

#[test]
fn tensors_that_do_not_fit_are_named_with_the_nearest() {
    assert_eq!(
        refusal(&file(|tensors, _| drop(tensors.insert("F6.wieght".into(), tensors["F6.weight"].clone())))),
        "the file holds 'F6.wieght' [84, 120], which lenet5 doesn't have; the nearest it has is 'F6.weight' [84, 120]"
    );
    let renamed = file(|tensors, _| {
        let kernels = tensors.remove("C3.kernels").unwrap();
        tensors.insert("C3.kernel".into(), kernels);
    });
    assert_eq!(
        refusal(&renamed),
        "weight 'C3.kernels' [60, 5, 5] is missing; the nearest in the file is 'C3.kernel' [60, 5, 5]"
    );
    assert_eq!(
        refusal(&file(|tensors, _| drop(tensors.insert("C3.kernels".into(), zeros(&[16, 6, 5, 5]))))),
        "weight 'C3.kernels' is [60, 5, 5] in lenet5 but [16, 6, 5, 5] in the file"
    );
    // As many numbers, another shape.
    assert_eq!(
        refusal(&file(|tensors, _| drop(tensors.insert("F6.weight".into(), zeros(&[120, 84]))))),
        "weight 'F6.weight' is [84, 120] in lenet5 but [120, 84] in the file"
    );
    assert_eq!(
        refusal(&file(|tensors, _| tensors.clear())),
        "weight 'C1.bias' [6] is missing; the nearest in the file is none: it is empty"
    );
}

#[test]
fn cards_that_do_not_fit_say_why() {
    let with = |change: fn(&mut Card)| refusal(&file(|_, card| change(card)));
    assert!(
        with(|card| card.model.name = "lenet6".into())
            .starts_with("no network is called 'lenet6'; nearest first, there are lenet5, "),
    );
    assert_eq!(
        with(|card| card.model.activation = Activation::Relu),
        "lenet5 is built with scaled-tanh, tanh, sigmoid, not relu"
    );
    let ending = "don't fit lenet5): was it written by this zoo?";
    let message = with(|card| drop(card.classes.pop()));
    assert!(message.contains("9 class names") && message.ends_with(ending), "{message}");
    let message = with(|card| card.input.height = 28);
    assert!(message.contains("[1, 28, 32]") && message.ends_with(ending), "{message}");
    assert!(with(|card| card.input.width = 0).contains("width is 0, expected 1 to 4096"));
    // Another class count in the model than in the weights.
    let eleven = with(|card| {
        card.model.classes = 11;
        card.classes.push("eleven".into());
    });
    assert_eq!(eleven, "weight 'OUTPUT.bias' is [11] in lenet5 but [10] in the file");
    assert_eq!(
        refusal(&to_bytes(&Tensors::new(), "card", r#"{"model":1}"#).unwrap()),
        "the file's card can't be read (invalid type: integer `1`, expected struct Model at line 1 column 10): was it \
         written by this zoo?"
    );
}

#[test]
fn files_that_are_none_of_ours_say_so() {
    let numbers = [0u8; 16];
    let view = |dtype, shape: &[usize]| TensorView::new(dtype, shape.to_vec(), &numbers).unwrap();
    let bytes = |dtype, shape, note: Option<&str>| {
        let note = note.map(|n| std::collections::HashMap::from([("card".to_string(), n.to_string())]));
        safetensors::serialize([("C1.bias", view(dtype, shape))], note).unwrap()
    };
    let no_card = "the file's card can't be read (no 'card' in the header): was it written by this zoo?";
    assert_eq!(refusal(&bytes(Dtype::F32, &[4], None)), no_card);
    assert_eq!(refusal(&bytes(Dtype::F64, &[2], Some("{}"))), "weight 'C1.bias' is F64; only F32 can be read");
    assert_eq!(refusal(&bytes(Dtype::BF16, &[8], Some("{}"))), "weight 'C1.bias' is BF16; only F32 can be read");
}

#[test]
fn damaged_files_are_refused_without_allocating_what_they_claim() {
    let whole = file(|_, _| ());
    let format = "not a whole safetensors file: ";
    for length in [0, 1, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        let message = refusal(&whole[..length]);
        assert!(message.starts_with(format), "{length} bytes: {message}");
    }
    assert!(refusal(&[&whole[..], &[0]].concat()).starts_with(format), "one byte too many");

    let mut vast_header = whole.clone();
    vast_header[..8].copy_from_slice(&(1u64 << 60).to_le_bytes());
    assert!(refusal(&vast_header).starts_with(format));

    let header =
        r#"{"__metadata__":{"card":"{}"},"w":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4]}}"#;
    let vast_tensor = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat();
    assert!(refusal(&vast_tensor).starts_with(format));
}

#[test]
fn a_network_is_as_it_was_when_loading_fails() {
    let network = model("lenet5").build(3, &flex()).unwrap();
    let before = bits(&network);
    let mut tensors = network.tensors();
    tensors.insert("OUTPUT.weight".into(), zeros(&[10, 83]));
    tensors.insert("C1.weight".into(), zeros(&[6, 1, 5, 5]));
    assert!(matches!(network.clone().with_tensors(&tensors), Err(WeightsError::Shape { .. })));
    assert_eq!(bits(&network), before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Half of the damage goes to the header, where it matters.
    #[test]
    fn damage_never_panics(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..4)) {
        let mut bytes = file(|_, _| ());
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let whole = bytes.len();
        for (place, byte, in_header) in places {
            bytes[place.index(if in_header { header } else { whole })] = byte;
        }
        if let Err(error) = load(&bytes, &flex()) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
