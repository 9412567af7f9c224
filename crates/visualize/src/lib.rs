//! Zeiler and Fergus's ways of looking inside a network ("Visualizing and understanding convolutional networks", 2013),
//! for every network of [`models`]. Tensors in, tensors and numbers out: no files, no pictures.
//!
//! | method | paper | here |
//! |---|---|---|
//! | deconvnet, guided backpropagation, gradient | 2.1 | [`project`] |
//! | strongest activations over a data set | figure 2 | [`Top`], [`receptive_field`] |
//! | feature evolution | figure 4 | [`Top`] and [`project`] with each checkpoint's network |
//! | invariance | figure 5 | [`invariance`] |
//! | occlusion sensitivity | figure 7 | [`occlude`] |
//! | correspondence | figure 8, table 1 | [`correspondence`] |
//! | first-layer filters | figure 6 | [`filters`] |
//!
//! ```
//! use burn::tensor::Tensor;
//! use models::{Method, device, weights};
//! use visualize::{Part, project, receptive_field, strongest};
//!
//! let device = device::parse("flex")?;
//! let (lenet5, _) = weights::load(weights::LENET5_MNIST, &device)?;
//! let (_, trace) = lenet5.forward_traced(Tensor::ones([1, 1, 32, 32], &device))?;
//! let unit = strongest(&trace, "C3", 0, 5)?;
//! let image = project(&lenet5, &trace, "C3", &[(0, Part::Unit(unit))], Method::default())?;
//! assert_eq!(image.dims(), [1, 1, 32, 32]);
//! // All that C3 sees of the image is 14 pixels high and wide.
//! let field = receptive_field(&lenet5, "C3", unit.y, unit.x)?;
//! assert_eq!((field.height, field.width), (14, 14));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod correspondence;
mod error;
mod field;
mod filters;
mod invariance;
mod numbers;
mod occlusion;
mod projection;
mod top;

pub use correspondence::{Agreement, Zero, correspondence};
pub use error::Error;
pub use field::{Region, last_convolution, receptive_field};
pub use filters::filters;
pub use invariance::{Change, Changed, feature_layers, invariance, transform};
pub use numbers::{best, values};
pub use occlusion::{Occluder, Occlusion, Response, occlude};
pub use projection::{Part, Unit, project, strongest};
pub use top::{Hit, Top};
