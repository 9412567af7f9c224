//! Datasets, decoding, augmentation and order for the networks of `models`.
//!
//! Data walks one way: [`open`] reads a directory of IDX files and checks their digests, [`Images`] holds the bytes, a
//! [`Loader`] puts them in order, [`prepare_into`] turns each into what the network's [`InputSpec`](models::InputSpec)
//! asks for, and a [`Distortion`] may bend it. Out come [`Batch`]es of plain `f32`: this crate knows no tensors.
//! A photo or drawing of a digit goes through [`digit`] instead, the way MNIST itself was made.
//!
//! Every random choice is a function of (seed, epoch, index), see [`random`]: the number of threads changes nothing,
//! and an epoch can be taken up at any batch. Sizes in headers are checked before memory is reserved for them, and
//! every error says what, where and what to do. [`whole`] writes files that are whole or absent.
//!
//! ```
//! use data::{DataError, Images, Loader, LoaderOptions};
//!
//! let images = Images { channels: 1, height: 28, width: 28, pixels: vec![0; 3 * 784], labels: vec![7, 2, 1] };
//! let options = LoaderOptions { batch_size: 2, threads: 1, ..Default::default() };
//! let loader = Loader::new(images.into(), models::InputSpec::lenet(), options)?;
//! for (batch, n) in loader.epoch(0, 0).zip([2, 1]) {
//!     assert_eq!(batch?.shape, [n, 1, 32, 32]);
//! }
//! # Ok::<(), DataError>(())
//! ```

mod dataset;
mod decode;
mod distort;
mod error;
mod idx;
mod loader;
mod paper;
mod photo;
mod prepare;
pub mod random;
mod source;
mod sums;
mod write;

pub use dataset::{Dataset, Images, Split, locate, open, open_split};
pub use decode::{decode_image, read_image};
pub use distort::Distortion;
pub use error::DataError;
pub use idx::{read_images, read_labels};
pub use loader::{Batch, Epoch, Loader, LoaderOptions};
pub use photo::{Digit, digit};
pub use prepare::{ImageRef, prepare_into, ten_crops_into};
pub use write::whole;
