//! What a layer is, and the maps that flow between layers.

use crate::back::Method;
use crate::draw::Draw;
use crate::layers::{
    Activate, AvgPool, Conv, Dropout, Linear, Lrn, MaxPool, OverlapAvgPool, Rbf, Subsample, TableConv,
};
use alloc::{string::String, vec, vec::Vec};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use core::fmt::Debug;
use serde::Serialize;

/// `[channels, height, width]` of one image's maps.
pub type Shape = [usize; 3];

/// The maps between two layers: one tensor `[N, C / t, H, W]` for each of `t` towers (1 for all nets but AlexNet's).
#[derive(Clone, Debug)]
pub struct Maps(pub Vec<Tensor<4>>);

impl Maps {
    /// The maps of a network without towers.
    pub fn one(x: Tensor<4>) -> Self {
        Self(vec![x])
    }

    /// `[N, C, H, W]`, all towers' maps one behind the other, on the first tower's device.
    pub fn join(self) -> Tensor<4> {
        let device = self.0[0].device();
        self.join_on(&device)
    }

    /// As [`Maps::join`], on `device`: what is elsewhere crosses over.
    pub fn join_on(mut self, device: &Device) -> Tensor<4> {
        if self.0.len() == 1 {
            return self.0.remove(0).to_device(device);
        }
        Tensor::cat(self.0.into_iter().map(|x| x.to_device(device)).collect(), 1)
    }

    /// The same channels shared out to `towers` towers evenly.
    pub fn split(self, towers: usize) -> Self {
        if self.0.len() == towers {
            return self;
        }
        let x = self.join();
        let channels = x.dims()[1] / towers;
        Self((0..towers).map(|t| x.clone().narrow(1, t * channels, channels)).collect())
    }

    /// As [`Maps::split`], each part on its device of `devices`.
    pub(crate) fn split_on(self, devices: impl ExactSizeIterator<Item = Device>) -> Self {
        Self(self.split(devices.len()).0.into_iter().zip(devices).map(|(x, device)| x.to_device(&device)).collect())
    }

    /// Some of the images, each as often as it is named.
    pub(crate) fn select(&self, images: &[i64]) -> Self {
        self.clone().each(|x| {
            let images = Tensor::from_data(TensorData::new(images.to_vec(), [images.len()]), &x.device());
            x.select(0, images)
        })
    }

    /// `f` on every tower's maps.
    pub fn each(self, f: impl Fn(Tensor<4>) -> Tensor<4>) -> Self {
        Self(self.0.into_iter().map(f).collect())
    }
}

/// What a forward pass leaves behind for the way back.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What came in, `[N, C, H, W]` over the towers.
    pub input: Maps,
    /// The layer's output, `[N, C, H, W]` over the towers.
    pub output: Maps,
    /// For a max pool, where each maximum was: for each tower `[N, C, H', W']`, index `y * W + x` into the input map.
    pub switches: Option<Vec<Tensor<4, Int>>>,
}

impl Seen {
    /// Some of the images, each as often as it is named.
    pub(crate) fn select(&self, images: &[i64]) -> Self {
        let switches = self.switches.as_ref().map(|towers| {
            let pick = |at: &Tensor<4, Int>| {
                let images = Tensor::from_data(TensorData::new(images.to_vec(), [images.len()]), &at.device());
                at.clone().select(0, images)
            };
            towers.iter().map(pick).collect()
        });
        Self { input: self.input.select(images), output: self.output.select(images), switches }
    }
}

/// How far a layer looks: what the receptive field is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// Height and width in input units.
    pub kernel: [usize; 2],
    /// Step between neighbouring outputs, in input units.
    pub stride: usize,
    /// Zeros around the input: top, left, bottom, right.
    pub padding: [usize; 4],
}

/// What a layer is made of: one row of the chapter's tables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spec {
    /// What the layer does: `conv`, `subsample`, `max-pool`, …
    pub kind: &'static str,
    /// Shape of the maps that come in.
    pub input: Shape,
    /// Shape of the maps that go out.
    pub output: Shape,
    /// Where it looks. `None` for a layer that works on each unit by itself or across channels only.
    pub window: Option<Window>,
    /// Groups of maps that don't see each other.
    pub groups: usize,
    /// Trainable numbers.
    pub parameters: usize,
    /// How they add up, as the chapter writes it: `(5·5·1+1)·6`. Empty if there are none.
    pub formula: String,
    /// Multiply-accumulates of weights with inputs for one image; bias, activation and pooling not counted.
    pub macs: usize,
    /// The activation applied to the output, if any.
    pub activation: Option<&'static str>,
}

impl Spec {
    /// A layer without weights that leaves the shape alone.
    pub fn pointwise(kind: &'static str, input: Shape) -> Self {
        Self {
            kind,
            input,
            output: input,
            window: None,
            groups: 1,
            parameters: 0,
            formula: String::new(),
            macs: 0,
            activation: None,
        }
    }
}

/// A layer that doesn't fit the maps that come in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{layer}: {problem}")]
pub struct ShapeError {
    /// The layer's name.
    pub layer: String,
    /// What doesn't fit.
    pub problem: String,
}

/// A layer, weights and all.
pub trait Layer: Debug {
    /// Shapes, parameters and work.
    fn spec(&self) -> &Spec;

    /// The maps that go out for the maps that come in.
    fn forward(&self, x: Maps) -> Maps;

    /// As [`Layer::forward`], and what the way back needs.
    fn trace(&self, x: Maps) -> Seen {
        Seen { input: x.clone(), output: self.forward(x), switches: None }
    }

    /// For maps of `towers` towers: how many towers' maps go out, and how many numbers of one image cross from one tower
    /// to another in between, if each lives on a device of its own.
    fn exchange(&self, towers: usize) -> (usize, usize) {
        (towers, 0)
    }

    /// The way back by `method`: a signal on this layer's output to one on its input. No biases take part.
    fn project(&self, signal: Maps, seen: &Seen, method: Method) -> Maps;

    /// The way back of second derivatives (LeCun 1998, appendix C): from those at the output, `h`, where `y` came out
    /// for `x`. `None` for a layer that LeNet-5 doesn't have.
    fn curvature(&self, x: Tensor<4>, y: Tensor<4>, h: Tensor<4>) -> Option<Curvature> {
        let _ = (x, y, h);
        None
    }
}

/// Diagonal second derivatives of a loss, in the Gauss-Newton approximation: never negative.
#[derive(Clone, Debug)]
pub struct Curvature {
    /// By each of a layer's inputs, `[N, C, H, W]`.
    pub input: Tensor<4>,
    /// By each of its weights, flattened, under the weight's name in the layer; summed over the images.
    pub weights: Vec<(&'static str, Tensor<1>)>,
}

/// A layer before it has weights: a line of a network's definition.
pub trait LayerConfig: Debug {
    /// The layer for maps of shape `input`, its weights drawn (lazily) from `draw`.
    ///
    /// # Errors
    /// If the layer can't work on maps of that shape.
    fn init(&self, input: Shape, draw: &Draw) -> Result<Op, ShapeError>;
}

/// Every kind of layer.
#[derive(Module, Debug)]
#[allow(missing_docs)] // each variant is the layer of that name
#[allow(clippy::large_enum_variant)] // a network has a dozen of them, on the heap already
pub enum Op {
    Activate(Activate),
    AvgPool(AvgPool),
    Conv(Conv),
    Dropout(Dropout),
    Linear(Linear),
    Lrn(Lrn),
    MaxPool(MaxPool),
    OverlapAvgPool(OverlapAvgPool),
    Rbf(Rbf),
    Subsample(Subsample),
    TableConv(TableConv),
}

impl Op {
    /// The layer behind the variant.
    pub fn layer(&self) -> &dyn Layer {
        match self {
            Self::Activate(l) => l,
            Self::AvgPool(l) => l,
            Self::Conv(l) => l,
            Self::Dropout(l) => l,
            Self::Linear(l) => l,
            Self::Lrn(l) => l,
            Self::MaxPool(l) => l,
            Self::OverlapAvgPool(l) => l,
            Self::Rbf(l) => l,
            Self::Subsample(l) => l,
            Self::TableConv(l) => l,
        }
    }
}
