//! Weight files: safetensors, with a card in the header that says all there is to know about the weights.

use crate::input::{InputSpec, Statistics};
use crate::network::Network;
use crate::params::{ParamMapper, ParamVisitor};
use crate::zoo::{BuildError, Model, distance};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{borrow::Cow, format, sync::Arc};
use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

/// LeNet-5 trained on MNIST by the recipe `lenet5-mnist`: the file's card says how and how well.
pub const LENET5_MNIST: &[u8] = include_bytes!("../weights/lenet5-mnist.safetensors");

/// Network in Network trained on CIFAR-10 by the recipe `nin-cifar10-short`: 4 MB, in a program only if it names them.
pub const NIN_CIFAR10: &[u8] = include_bytes!("../weights/nin-cifar10.safetensors");

/// Network in Network trained on MNIST by the recipe `nin-mnist`: 1.4 MB.
pub const NIN_MNIST: &[u8] = include_bytes!("../weights/nin-mnist.safetensors");

/// The weights that ship for `model`, if any do: [`LENET5_MNIST`] for `lenet5`, [`NIN_CIFAR10`] for `nin-cifar10`,
/// [`NIN_MNIST`] for `nin-mnist`. A program that calls this has all of them in it.
pub fn shipped(model: &str) -> Option<&'static [u8]> {
    match model {
        "lenet5" => Some(LENET5_MNIST),
        "nin-cifar10" => Some(NIN_CIFAR10),
        "nin-mnist" => Some(NIN_MNIST),
        _ => None,
    }
}

/// The header's key for the [`Card`], in JSON. One key, so that a file's bytes are a function of what it holds.
const CARD: &str = "card";

/// Tensors beside the weights: what whitening learned from the training set.
const WHITENING: [&str; 2] = ["whitening.mean", "whitening.matrix"];

/// What weights are, how to feed them and where they come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The network that they fit.
    pub model: Model,
    /// What each logit stands for, in order.
    pub classes: Vec<String>,
    /// How to prepare an image.
    pub input: InputSpec,
    /// How they were trained; `None` for weights that weren't.
    pub training: Option<Training>,
}

/// How weights were trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The data set's name.
    pub dataset: String,
    /// The recipe's name.
    pub recipe: String,
    /// The command that trains them again.
    pub command: String,
    /// The seed of weights, order and distortions.
    pub seed: u64,
    /// Passes over the training set that these weights have seen.
    pub epochs: u64,
    /// Share of the test set classified wrongly, 0..=1; `None` before the test set was read.
    pub test_error: Option<f64>,
}

/// A weight file that can't be used. The network is as it was before.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WeightsError {
    /// Not safetensors, or damaged.
    #[error("not a whole safetensors file: {0}")]
    Format(String),
    /// No card, or one that can't be read.
    #[error("the file's card can't be read ({0}): was it written by this zoo?")]
    Card(String),
    /// The card names a network that can't be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A weight that the network has and the file lacks.
    #[error("weight '{name}' {shape:?} is missing; the nearest in the file is {nearest}")]
    Missing {
        /// The weight's name.
        name: String,
        /// Its shape in the network.
        shape: Vec<usize>,
        /// The name in the file most like it, and its shape.
        nearest: String,
    },
    /// A tensor in the file that the network doesn't have.
    #[error("the file holds '{name}' {shape:?}, which {model} doesn't have; the nearest it has is {nearest}")]
    Extra {
        /// The tensor's name.
        name: String,
        /// Its shape in the file.
        shape: Vec<usize>,
        /// The network's name.
        model: String,
        /// The weight most like it, and its shape.
        nearest: String,
    },
    /// Another shape.
    #[error("weight '{name}' is {expected:?} in {model} but {got:?} in the file")]
    Shape {
        /// The weight's name.
        name: String,
        /// The network's name.
        model: String,
        /// Its shape in the network.
        expected: Vec<usize>,
        /// Its shape in the file.
        got: Vec<usize>,
    },
    /// Another type than f32.
    #[error("weight '{name}' is {dtype}; only F32 can be read")]
    Type {
        /// The weight's name.
        name: String,
        /// Its type in the file.
        dtype: String,
    },
}

/// A tensor on its way into or out of a file: f32, little-endian.
struct Plain {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Plain {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Named f32 tensors, as a file holds them.
pub type Tensors = BTreeMap<String, TensorData>;

/// The bytes of a safetensors file that holds `tensors` and, under `key` in its header, `note`.
///
/// # Errors
/// If safetensors refuses them.
pub fn to_bytes(tensors: &Tensors, key: &str, note: &str) -> Result<Vec<u8>, WeightsError> {
    let views = tensors.iter().map(|(name, data)| {
        let bytes = data.iter::<f32>().flat_map(f32::to_le_bytes).collect();
        (name.as_str(), Plain { shape: data.shape().to_vec(), bytes })
    });
    let header = core::iter::once((key.to_string(), note.to_string())).collect();
    safetensors::serialize(views, Some(header)).map_err(|e| WeightsError::Format(format!("{e:?}")))
}

/// What [`to_bytes`] was given: the tensors, and the note under `key`.
///
/// # Errors
/// If the bytes are not a whole safetensors file of f32 tensors or have no such note.
pub fn from_bytes(bytes: &[u8], key: &str) -> Result<(Tensors, String), WeightsError> {
    let format = |e: safetensors::SafeTensorError| WeightsError::Format(format!("{e:?}"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(format)?;
    let note = (header.metadata().as_ref()).and_then(|notes| notes.get(key).cloned());
    let note = note.ok_or_else(|| WeightsError::Card(format!("no '{key}' in the header")))?;
    let mut tensors = Tensors::new();
    for (name, view) in SafeTensors::deserialize(bytes).map_err(format)?.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(WeightsError::Type { name, dtype: format!("{:?}", view.dtype()) });
        }
        let values: Vec<f32> =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.insert(name, TensorData::new(values, view.shape().to_vec()));
    }
    Ok((tensors, note))
}

/// The bytes of a weight file for `network`.
///
/// # Errors
/// If safetensors refuses them.
pub fn save(network: &Network, card: &Card) -> Result<Vec<u8>, WeightsError> {
    let mut tensors = network.tensors();
    if let Some(statistics) = card.input.whitening.as_ref().and_then(|w| w.statistics.as_ref()) {
        let d = statistics.mean.len();
        let [mean, matrix] = WHITENING.map(String::from);
        tensors.insert(mean, TensorData::new(statistics.mean.clone(), [d]));
        tensors.insert(matrix, TensorData::new(statistics.matrix.clone(), [d, d]));
    }
    let card = serde_json::to_string(card).map_err(|e| WeightsError::Card(e.to_string()))?;
    to_bytes(&tensors, CARD, &card)
}

/// The network in a weight file, on `device`, and its card.
///
/// ```
/// let device = models::device::parse("flex")?;
/// let (network, card) = models::weights::load(models::weights::LENET5_MNIST, &device)?;
/// assert_eq!(card.model.name, "lenet5");
/// # let _ = network;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the file is damaged, has no card, or its tensors are not exactly the network's.
pub fn load(bytes: &[u8], device: &Device) -> Result<(Network, Card), WeightsError> {
    let (mut tensors, card) = from_bytes(bytes, CARD)?;
    let mut card: Card = serde_json::from_str(&card).map_err(|e| WeightsError::Card(e.to_string()))?;
    if let Some(whitening) = &mut card.input.whitening {
        let [mean, matrix] =
            WHITENING.map(|name| tensors.remove(name).map(|data| data.iter::<f32>().collect::<Vec<_>>()));
        whitening.statistics = mean.zip(matrix).map(|(mean, matrix)| Arc::new(Statistics { mean, matrix }));
    }
    card.input.check().map_err(WeightsError::Card)?;
    let network = card.model.build(0, device)?;
    if card.input.shape() != network.input().shape() || card.classes.len() != card.model.classes {
        return Err(WeightsError::Card(format!(
            "its input {:?} and {} class names don't fit {}",
            card.input.shape(),
            card.classes.len(),
            card.model.name
        )));
    }
    Ok((network.with_tensors(&tensors)?.with_input(card.input.clone()), card))
}

impl Network {
    /// Every weight by name, read from the device.
    pub fn tensors(&self) -> Tensors {
        struct Read(Tensors);
        impl ParamVisitor for Read {
            fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
                self.0.insert(name.into(), param.val().into_data());
            }
        }
        let mut read = Read(Tensors::new());
        self.visit_params(&mut read);
        read.0
    }

    /// The network with `tensors` for weights: exactly its own, by name and shape.
    ///
    /// # Errors
    /// The first weight that is missing, extra or misshapen.
    pub fn with_tensors(self, tensors: &Tensors) -> Result<Self, WeightsError> {
        struct Write<'a>(&'a Tensors);
        impl ParamMapper for Write<'_> {
            fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let device = param.lazy_device();
                let tensor = Tensor::from_data(self.0[name].clone(), &device);
                Param::initialized(param.id, if device.is_autodiff() { tensor.require_grad() } else { tensor })
            }
        }
        self.fits(tensors)?;
        Ok(self.map_params(&mut Write(tensors)))
    }

    fn fits(&self, tensors: &Tensors) -> Result<(), WeightsError> {
        let own: BTreeMap<String, Vec<usize>> = self.param_shapes().into_iter().collect();
        let model = || self.model().name.clone();
        for (name, expected) in &own {
            let Some(data) = tensors.get(name) else {
                let nearest = nearest(name, tensors.iter().map(|(n, d)| (n, d.shape().to_vec())));
                return Err(WeightsError::Missing { name: name.clone(), shape: expected.clone(), nearest });
            };
            if data.shape().to_vec() != *expected {
                let (expected, got) = (expected.clone(), data.shape().to_vec());
                return Err(WeightsError::Shape { name: name.clone(), model: model(), expected, got });
            }
        }
        if let Some((name, data)) = tensors.iter().find(|(name, _)| !own.contains_key(*name)) {
            let nearest = nearest(name, own.iter().map(|(n, s)| (n, s.clone())));
            let shape = data.shape().to_vec();
            return Err(WeightsError::Extra { name: name.clone(), shape, model: model(), nearest });
        }
        Ok(())
    }
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = (&'a String, Vec<usize>)>) -> String {
    known
        .min_by_key(|(other, _)| distance(name, other))
        .map_or_else(|| "none: it is empty".into(), |(other, shape)| format!("'{other}' {shape:?}"))
}
