//! The operators on Flex: our own kernels, with `std`.

use crate::ops::Kernels;
#[cfg(feature = "std")]
use crate::ops::{Conv, Function};
use burn::backend::Flex;
#[cfg(feature = "std")]
use burn::backend::flex::FlexTensor;

#[cfg(feature = "std")]
mod products;

#[cfg(not(feature = "std"))]
impl Kernels for Flex {}

#[cfg(feature = "std")]
impl Kernels for Flex {
    fn conv(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        conv: Conv,
        function: Function,
        constant: bool,
    ) -> FlexTensor {
        products::conv(x, weight, bias, conv, function, constant)
    }

    fn conv_dx(x: FlexTensor, weight: FlexTensor, dz: FlexTensor, conv: Conv) -> FlexTensor {
        products::conv_dx(x, weight, dz, conv)
    }

    fn conv_dw(x: FlexTensor, weight: FlexTensor, dz: FlexTensor, conv: Conv) -> FlexTensor {
        products::conv_dw(x, weight, dz, conv)
    }

    fn fully_connected(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, function: Function) -> FlexTensor {
        products::fully_connected(x, weight, bias, function)
    }

    fn fully_connected_dx(weight: FlexTensor, dz: FlexTensor) -> FlexTensor {
        products::fully_connected_dx(weight, dz)
    }

    fn fully_connected_dw(x: FlexTensor, dz: FlexTensor) -> FlexTensor {
        products::fully_connected_dw(x, dz)
    }
}
