//! LeNet-5, AlexNet, ZFNet and Network in Network on [Burn](burn), on any backend, each exactly as its paper says.
//!
//! A network is an ordered list of layers under the paper's names ([`Network`]), and every use of it folds over that list:
//! [`Network::forward`], [`Network::forward_traced`], a deconvnet's way back ([`Network::project`]), the table of its
//! layers ([`Network::summary`]), its weights by name ([`Network::param_shapes`]). Which networks there are, [`zoo`] says;
//! where they run, a value says ([`device::parse`]).
//!
//! ```
//! use burn::tensor::Tensor;
//! use models::{Model, device};
//!
//! let device = device::parse("flex")?;
//! let lenet5 = Model::named("lenet5")?.build(42, &device)?;
//! let (logits, trace) = lenet5.forward_traced(Tensor::zeros([1, 1, 32, 32], &device))?;
//! assert_eq!(logits.dims(), [1, 10]);
//! assert_eq!(trace.output("C3").unwrap().dims(), [1, 16, 10, 10]);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! Without its default features the crate needs no `std`: inference and weights from bytes stay.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod activation;
mod alexnet;
mod back;
#[cfg(feature = "check")]
pub mod check;
pub mod device;
mod draw;
mod input;
mod layer;
pub mod layers;
mod lenet5;
mod network;
mod nin;
mod params;
mod place;
pub mod reference;
mod renormalise;
pub mod weights;
mod zfnet;
pub mod zoo;

pub use activation::{AMPLITUDE, Activation, SLOPE, UnknownActivation};
pub use back::{Method, Overlap, UnknownMethod};
pub use draw::{Draw, Init};
pub use input::{Framing, InputSpec, Normalise, Statistics, Whitening};
pub use layer::{Curvature, Layer, LayerConfig, Maps, Op, Seen, Shape, ShapeError, Spec, Window};
pub use lenet5::TABLE_I;
pub use network::{CurvatureError, Definition, InputError, Network, Row, Trace, UnknownLayer};
pub use params::{ParamMapper, ParamVisitor};
pub use place::{Crossing, TooLarge};
pub use zoo::{BuildError, Model, UnknownModel};
