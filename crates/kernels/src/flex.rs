//! The operators on Flex: our own kernels, with `std`.

use crate::ops::Kernels;
use burn::backend::Flex;

#[cfg(not(feature = "std"))]
impl Kernels for Flex {}

#[cfg(feature = "std")]
mod own;
