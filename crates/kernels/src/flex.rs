//! The operators on Flex: our own kernels, with `std`.

use crate::ops::Kernels;
use burn::backend::Flex;

impl Kernels for Flex {}
