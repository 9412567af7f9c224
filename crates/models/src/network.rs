//! A network: an ordered list of named layers. Everything that walks one folds over that list.

use crate::activation::Activation;
use crate::back::Method;
use crate::draw::Draw;
use crate::input::InputSpec;
use crate::layer::{LayerConfig, Maps, Op, Seen, Shape, ShapeError, Spec};
use crate::zoo::Model;
use alloc::collections::BTreeMap;
use alloc::{boxed::Box, format, string::String, vec::Vec};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::Serialize;

/// A network on paper: its input and its layers in order, under the paper's names.
#[derive(Debug)]
pub struct Definition {
    /// What it is fed.
    pub input: InputSpec,
    /// Its layers.
    pub layers: Vec<(String, Box<dyn LayerConfig>)>,
    /// See [`Network::filter_radius`].
    pub filter_radius: Option<f32>,
}

impl Definition {
    /// No layers yet.
    pub fn new(input: InputSpec) -> Self {
        Self { input, layers: Vec::new(), filter_radius: None }
    }

    /// One more layer.
    pub fn with(mut self, name: &str, layer: impl LayerConfig + 'static) -> Self {
        self.layers.push((name.into(), Box::new(layer)));
        self
    }
}

/// A layer under its name.
#[derive(Module, Debug)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) op: Op,
}

/// A network with weights, on a device.
///
/// Weights are drawn when they are first used, so a network that is only summarised costs nothing.
#[derive(Module, Debug)]
pub struct Network {
    pub(crate) slots: Vec<Slot>,
    #[module(skip)]
    model: Model,
    #[module(skip)]
    input: InputSpec,
    #[module(skip)]
    pub(crate) filter_radius: Option<f32>,
}

/// An image of another size than the network's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{model} takes images of {}x{}x{} (channels, height, width), got {}x{}x{}",
    .expected[0], .expected[1], .expected[2], .got[0], .got[1], .got[2])]
pub struct InputError {
    /// The network's name.
    pub model: String,
    /// What it takes.
    pub expected: Shape,
    /// What came.
    pub got: Shape,
}

/// One line of a network's summary.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The layer's name.
    pub name: String,
    /// What it is made of.
    #[serde(flatten)]
    pub spec: Spec,
    /// Side of the input region that one output sees, in pixels.
    pub receptive_field: usize,
    /// Distance between the regions of neighbouring outputs, in pixels.
    pub jump: usize,
}

/// What a traced forward pass saw.
#[derive(Clone, Debug)]
pub struct Trace {
    layers: Vec<(String, Seen)>,
}

impl Trace {
    /// The named layer's output, `[N, C, H, W]`; `None` if there is no such layer.
    pub fn output(&self, layer: &str) -> Option<Tensor<4>> {
        self.layers.iter().find(|(name, _)| name == layer).map(|(_, seen)| seen.output.clone().join())
    }

    /// The trace of some of the images, by number, each as often as it is named: for sending several signals back
    /// through one.
    #[must_use]
    pub fn select(&self, images: &[usize]) -> Self {
        let images: Vec<_> = images.iter().map(|&i| i as i64).collect();
        let layers = self.layers.iter().map(|(name, seen)| (name.clone(), seen.select(&images)));
        Self { layers: layers.collect() }
    }

    /// Names and outputs in order.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, Tensor<4>)> {
        self.layers.iter().map(|(name, seen)| (name.as_str(), seen.output.clone().join()))
    }
}

/// Second derivatives that can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CurvatureError {
    /// The images don't fit.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A layer that doesn't know its own.
    #[error("layer {name} has no second derivatives: they are there for LeNet-5 only")]
    Layer {
        /// The layer's name.
        name: String,
    },
}

/// A layer that isn't there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no layer is called '{name}'; there are {known}")]
pub struct UnknownLayer {
    /// The name asked for.
    pub name: String,
    /// Those there are.
    pub known: String,
}

impl Network {
    /// The network that `definition` describes, weights drawn from `seed`, on `device`.
    ///
    /// # Errors
    /// The first layer that doesn't fit the maps that come to it.
    pub fn new(definition: &Definition, model: Model, seed: u64, device: &Device) -> Result<Self, ShapeError> {
        let mut shape = definition.input.shape();
        let mut slots = Vec::with_capacity(definition.layers.len());
        for (name, layer) in &definition.layers {
            let draw = Draw { seed, layer: name.clone(), device: device.clone() };
            let op = layer.init(shape, &draw)?;
            shape = op.layer().spec().output;
            slots.push(Slot { name: name.clone(), op });
        }
        Ok(Self { slots, model, input: definition.input.clone(), filter_radius: definition.filter_radius })
    }

    /// Which network this is.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What it wants to be fed.
    pub fn input(&self) -> &InputSpec {
        &self.input
    }

    /// The network, fed as `input` says: how its weights were trained.
    ///
    /// # Panics
    /// `input` has another shape.
    #[must_use]
    pub fn with_input(mut self, input: InputSpec) -> Self {
        assert_eq!(input.shape(), self.input.shape(), "the input's shape");
        self.input = input;
        self
    }

    /// The layers in order, under their names: for who writes the network down in another format.
    pub fn layers(&self) -> impl Iterator<Item = (&str, &Op)> {
        self.slots.iter().map(|slot| (slot.name.as_str(), &slot.op))
    }

    /// Logits `[N, classes]` for images `[N, C, H, W]`, prepared as [`Network::input`] says.
    ///
    /// # Errors
    /// If the images have another size than the network's.
    pub fn forward(&self, images: Tensor<4>) -> Result<Tensor<2>, InputError> {
        self.check(&images)?;
        let out = self.slots.iter().fold(Maps::one(images), |x, slot| slot.op.layer().forward(x));
        Ok(out.join().flatten(1, 3))
    }

    /// As [`Network::forward`], and every layer's output.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward_traced(&self, images: Tensor<4>) -> Result<(Tensor<2>, Trace), InputError> {
        self.check(&images)?;
        let mut maps = Maps::one(images);
        let mut layers = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let seen = slot.op.layer().trace(maps);
            maps = seen.output.clone();
            layers.push((slot.name.clone(), seen));
        }
        Ok((maps.join().flatten(1, 3), Trace { layers }))
    }

    /// The way back by `method`: `signal` on the output of `layer`, `[N, C, H, W]`, back to an image `[N, C, H, W]`, by
    /// what `trace` saw of the same N images.
    ///
    /// # Errors
    /// If there is no such layer.
    pub fn project(
        &self,
        trace: &Trace,
        layer: &str,
        signal: Tensor<4>,
        method: Method,
    ) -> Result<Tensor<4>, UnknownLayer> {
        let Some(top) = self.slots.iter().position(|slot| slot.name == layer) else {
            let known = self.slots.iter().map(|slot| slot.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(UnknownLayer { name: layer.into(), known });
        };
        let way_back = self.slots[..=top].iter().zip(&trace.layers).rev();
        let image = way_back.fold(Maps::one(signal), |s, (slot, (_, seen))| slot.op.layer().project(s, seen, method));
        Ok(image.join())
    }

    /// The diagonal of the Hessian by each weight, in the Gauss-Newton approximation, as a mean over `images`
    /// `[N, C, H, W]` (LeCun 1998, appendix C): flattened, under the weight's name. `output` says what it is by each
    /// logit, given the logits `[N, classes]`.
    ///
    /// # Errors
    /// If the images have another size than the network's, or the network has a layer that LeNet-5 doesn't.
    pub fn curvature(
        &self,
        images: Tensor<4>,
        output: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> Result<BTreeMap<String, Tensor<1>>, CurvatureError> {
        let (logits, trace) = self.forward_traced(images.clone())?;
        let n = images.dims()[0];
        let mut h = output(logits).reshape([n as i32, -1, 1, 1]);
        let mut diagonal = BTreeMap::new();
        for (i, slot) in self.slots.iter().enumerate().rev() {
            let out = |i: usize| trace.layers[i].1.output.clone().join();
            let x = if i == 0 { images.clone() } else { out(i - 1) };
            let layer = slot.op.layer();
            let curvature =
                layer.curvature(x, out(i), h).ok_or_else(|| CurvatureError::Layer { name: slot.name.clone() })?;
            h = curvature.input;
            for (weight, sum) in curvature.weights {
                diagonal.insert(format!("{}.{weight}", slot.name), sum.div_scalar(n as f32));
            }
        }
        Ok(diagonal)
    }

    /// The layers in order, with shapes, parameters, work and receptive fields.
    pub fn summary(&self) -> Vec<Row> {
        let (mut receptive_field, mut jump) = (1, 1);
        let mut rows = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let spec = slot.op.layer().spec().clone();
            if let Some(window) = spec.window {
                receptive_field += (window.kernel[0] - 1) * jump;
                jump *= window.stride;
            }
            rows.push(Row { name: slot.name.clone(), spec, receptive_field, jump });
        }
        rows
    }

    /// Trainable numbers.
    pub fn parameters(&self) -> usize {
        self.slots.iter().map(|slot| slot.op.layer().spec().parameters).sum()
    }

    /// Multiply-accumulates for one image.
    pub fn macs(&self) -> usize {
        self.slots.iter().map(|slot| slot.op.layer().spec().macs).sum()
    }

    /// Whether a forward pass draws random numbers while training: whether there is dropout.
    pub fn is_random(&self) -> bool {
        self.slots.iter().any(|slot| matches!(&slot.op, Op::Dropout(drop) if drop.rate > 0.0))
    }

    /// The same network, with another rate than the paper's, in `[0, 1)`, in every dropout layer; 0 drops nothing.
    pub fn with_dropout(mut self, rate: f64) -> Self {
        for slot in &mut self.slots {
            if let Op::Dropout(drop) = &mut slot.op {
                drop.rate = rate;
            }
        }
        self
    }

    /// Classes that it tells apart.
    pub fn classes(&self) -> usize {
        self.model.classes
    }

    /// The activation of its hidden layers.
    pub fn activation(&self) -> Activation {
        self.model.activation
    }

    fn check(&self, images: &Tensor<4>) -> Result<(), InputError> {
        let [_, c, h, w] = images.dims();
        let (expected, got) = (self.input.shape(), [c, h, w]);
        if expected == got { Ok(()) } else { Err(InputError { model: self.model.name.clone(), expected, got }) }
    }
}
