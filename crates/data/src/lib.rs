//! Datasets, decoding, augmentation and order for the networks of `models`.
//!
//! Data walks one way: [`open`] finds IDX files, CIFAR's archives, SVHN's files or image folders, [`Samples`] lends or decodes an image,
//! a [`Loader`] puts them in order, [`prepare_into`] turns each into what the network's
//! [`InputSpec`](models::InputSpec) asks for, whitening included, and [`Augment`] shows it anew in each epoch. Out come
//! [`Batch`]es of plain `f32`: this crate knows no tensors.
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
//! let loader = Loader::new(images, models::InputSpec::lenet(), options)?;
//! for (batch, n) in loader.epoch(0, 0).zip([2, 1]) {
//!     assert_eq!(batch?.shape, [n, 1, 32, 32]);
//! }
//! # Ok::<(), DataError>(())
//! ```

mod augment;
mod cifar;
mod dataset;
mod decode;
mod distort;
mod error;
mod folder;
mod idx;
mod idx_dir;
mod images;
mod loader;
mod mat;
mod paper;
mod photo;
mod prepare;
pub mod random;
mod resize;
mod samples;
mod source;
mod sums;
mod svhn;
mod synthetic;
mod whiten;
mod write;

pub use augment::{Augment, Crop};
pub use cifar::write_cifar10;
pub use dataset::{Dataset, Split, locate, open, open_split};
pub use decode::{decode_image, read_image};
pub use distort::Distortion;
pub use error::DataError;
pub use folder::planes;
pub use idx::{read_images, read_labels};
pub use images::Images;
pub use loader::{BadImage, Batch, Epoch, Loader, LoaderOptions, OnBadImage};
pub use photo::{Digit, digit};
pub use prepare::{ImageRef, prepare_into, ten_crops_into};
pub use samples::{Picture, Samples, Source};
pub use synthetic::Synthetic;
pub use whiten::fit_whitening;
pub use write::whole;
