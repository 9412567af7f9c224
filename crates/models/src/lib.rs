//! LeNet-5, AlexNet, ZFNet and Network in Network on [Burn](burn), on any backend, each exactly as its paper says.
//!
//! A network is an ordered list of layers under the paper's names ([`Network`]), and every use of it folds over that list:
//! [`Network::forward`], [`Network::forward_traced`], a deconvnet's way back ([`Network::project`]), the table of its
//! layers ([`Network::summary`]), its weights by name ([`Network::param_shapes`]). Which networks there are, [`zoo`] says;
//! where they run, a value says ([`device::parse`]).
//!
//! # LeNet-5 (1998)
//!
//! `lenet5` with a linear output, `lenet5-rbf` as published, `lenet5-dense` as usually rebuilt. 32x32 pixels, grey. Weights
//! trained on MNIST are in the crate: [`weights::LENET5_MNIST`]. The tanh can be exchanged.
//!
//! ```
//! use burn::tensor::Tensor;
//! use models::{Activation, Model, TABLE_I, device, weights};
//!
//! let device = device::parse("flex")?;
//! let (lenet5, card) = weights::load(weights::LENET5_MNIST, &device)?;
//! let (logits, trace) = lenet5.forward_traced(Tensor::zeros([1, 1, 32, 32], &device))?;
//! assert_eq!((logits.dims(), card.classes.len()), ([1, 10], 10));
//! // C3's sixteen maps, each of which sees the maps of S2 that the paper's table names.
//! assert_eq!(trace.output("C3").unwrap().dims(), [1, 16, 10, 10]);
//! assert_eq!(TABLE_I[0], [0, 1, 2]);
//!
//! for (name, parameters) in [("lenet5", 60_850), ("lenet5-rbf", 60_000), ("lenet5-dense", 61_706)] {
//!     let model = Model { activation: Activation::Sigmoid, ..Model::named(name)? };
//!     assert_eq!(model.build(42, &device)?.parameters(), parameters);
//! }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # AlexNet (2012)
//!
//! `alexnet` has the paper's two towers, which can stand on two devices ([`Network::place`]); `alexnet-caffenet`,
//! `alexnet-bvlc` and `alexnet-chapter` order the layers otherwise; `alexnet-single` has one tower; `alexnet-torchvision` is
//! the net of 2014. 224x224 pixels in colour.
//!
//! ```
//! use burn::tensor::Tensor;
//! use models::{Model, device};
//!
//! let device = device::parse("flex")?;
//! let alexnet = Model::named("alexnet")?.build(42, &device)?;
//! let (logits, trace) = alexnet.forward_traced(Tensor::zeros([1, 3, 224, 224], &device))?;
//! assert_eq!(logits.dims(), [1, 1000]);
//! assert_eq!(trace.output("conv5").unwrap().dims(), [1, 256, 13, 13]);
//! // Another size is an error that names both.
//! assert!(alexnet.forward(Tensor::zeros([1, 3, 227, 227], &device)).is_err());
//!
//! // Weights are drawn when they are first used, so a network that is only looked at costs nothing.
//! for name in ["alexnet-caffenet", "alexnet-bvlc", "alexnet-chapter", "alexnet-single", "alexnet-torchvision"] {
//!     let network = Model::named(name)?.build(42, &device)?;
//!     println!("{name}: {:?}, {} parameters", network.input().shape(), network.parameters());
//! }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # ZFNet (2013)
//!
//! `zfnet` is figure 3's, `zfnet-b` the wider model of table 2, `zfnet512` the ONNX model zoo's. What made a unit fire goes
//! back to pixels by [`Network::project`]; the crate `visualize` has the paper's other methods.
//!
//! ```
//! use burn::tensor::Tensor;
//! use models::{Method, Model, device};
//!
//! let device = device::parse("flex")?;
//! let zfnet = Model::named("zfnet")?.build(42, &device)?;
//! let (_, trace) = zfnet.forward_traced(Tensor::ones([1, 3, 224, 224], &device))?;
//! let conv2 = trace.output("conv2").unwrap();
//! assert_eq!(conv2.dims(), [1, 256, 26, 26]);
//! let image = zfnet.project(&trace, "conv2", conv2, Method::default())?;
//! assert_eq!(image.dims(), [1, 3, 224, 224]);
//!
//! for (name, parameters) in [("zfnet-b", 107_627_624), ("zfnet512", 87_250_536)] {
//!     assert_eq!(Model::named(name)?.build(42, &device)?.parameters(), parameters);
//! }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Network in Network (2013)
//!
//! `nin-cifar10`, `nin-cifar100`, `nin-svhn` and `nin-mnist` in the widths of the first author's files, his Caffe models
//! `nin-cifar10-caffe` and `nin-imagenet`, and `nin-chapter`. No fully connected layer: the last map of each class is
//! averaged, so the maps say where a class was seen.
//!
//! ```
//! use burn::tensor::Tensor;
//! use models::{Model, device};
//!
//! let device = device::parse("flex")?;
//! let nin = Model::named("nin-cifar10")?.build(42, &device)?;
//! let (logits, trace) = nin.forward_traced(Tensor::zeros([1, 3, 32, 32], &device))?;
//! assert_eq!(logits.dims(), [1, 10]);
//! assert_eq!(trace.output("cccp6").unwrap().dims(), [1, 10, 8, 8]);
//!
//! // As many classes as one has: the last layer follows.
//! let pets = Model { classes: 2, ..Model::named("nin-cifar10")? };
//! assert_eq!(pets.build(42, &device)?.summary().last().unwrap().spec.output, [2, 1, 1]);
//!
//! for name in ["nin-cifar100", "nin-svhn", "nin-mnist", "nin-cifar10-caffe", "nin-imagenet", "nin-chapter"] {
//!     println!("{name}: {} multiply-accumulates", Model::named(name)?.build(42, &device)?.macs());
//! }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Without `std`
//!
//! `default-features = false, features = ["flex"]` leaves inference and weights from bytes, for which `alloc` is enough: the
//! crate is checked for a target without an operating system. `flex-fast` is Flex on all cores, `autodiff` training;
//! `examples` has a program that trains a network inside.

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
