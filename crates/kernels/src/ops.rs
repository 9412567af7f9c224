//! The operators as an extension of Burn's backends, each with a body that every backend can run.
#![allow(deprecated)] // ndarray: on its way out of Burn, but asked for

use crate::choice::Dropout;
use crate::compose;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};
use burn::tensor::ops::ConvOptions;

/// How a window moves over a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Step between neighbouring outputs, down and across.
    pub stride: [usize; 2],
    /// Zeros around the map: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Groups of maps that don't see each other.
    pub groups: usize,
}

/// What is applied to each unit's sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// x.
    Identity,
    /// max(x, 0).
    Relu,
    /// amplitude tanh(slope x).
    Tanh {
        /// The largest value.
        amplitude: f32,
        /// What x is multiplied with.
        slope: f32,
    },
    /// 1 / (1 + e^-x).
    Sigmoid,
}

/// Local response normalisation: `y = x / (k + alpha * sum x'^2)^beta`, the sum over `size` neighbouring maps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lrn {
    /// Maps in the sum, odd.
    pub size: usize,
    /// Factor on the plain sum: not divided by `size`.
    pub alpha: f32,
    /// The power.
    pub beta: f32,
    /// What the power's base starts from.
    pub k: f32,
}

/// A window of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Side of the square window.
    pub size: usize,
    /// Step between windows; less than `size` makes them overlap.
    pub stride: usize,
    /// Whether a last window that hangs over the edge counts.
    pub ceil: bool,
}

/// A window of an average: windows tile the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avg {
    /// Side of the square window, and the step between windows.
    pub size: usize,
}

/// A step of gradient descent: `v = momentum v + g + decay w`, `w = w - rate v`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub rate: f32,
    /// How much of the velocity stays.
    pub momentum: f32,
    /// L2 decay.
    pub decay: f32,
}

impl Conv {
    pub(crate) fn options(self) -> ConvOptions<2> {
        let [top, left, bottom, right] = self.padding;
        ConvOptions {
            stride: self.stride,
            padding: [(top, bottom), (left, right)],
            dilation: [1; 2],
            groups: self.groups,
        }
    }
}

/// The operators and, named `…_dx` and so on, what their gradients are made of.
///
/// Derivatives of an operator that applies a function start with [`Kernels::through`], which carries the gradient
/// through the function.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    LibTorch: cfg(feature = "libtorch"),
    Remote: cfg(feature = "remote"),
    Autodiff: cfg(feature = "autodiff")
)]
pub trait Kernels: Backend {
    /// The function of each element.
    fn apply(x: FloatTensor<Self>, function: Function) -> FloatTensor<Self> {
        compose::apply::<Self>(x, function)
    }

    /// `dy f'`, the slope told from the function's value `y`.
    fn through(y: FloatTensor<Self>, dy: FloatTensor<Self>, function: Function) -> FloatTensor<Self> {
        compose::through::<Self>(y, dy, function)
    }

    /// See [`crate::conv2d`]. `constant` weights are likely to come again: a backend may keep what it makes of them.
    fn conv(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        conv: Conv,
        function: Function,
        constant: bool,
    ) -> FloatTensor<Self> {
        let _ = constant;
        compose::conv::<Self>(x, weight, bias, conv, function)
    }

    /// The gradient by `x`, of which the shape counts only.
    fn conv_dx(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dz: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self> {
        compose::conv_dx::<Self>(x, weight, dz, conv)
    }

    /// The gradient by `weight`, of which the shape counts only.
    fn conv_dw(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dz: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self> {
        compose::conv_dw::<Self>(x, weight, dz, conv)
    }

    /// Sums `[C]` over images and, if there are, rows and columns of `[N, C, …]`: the gradient by a bias.
    fn sum_maps(dz: FloatTensor<Self>) -> FloatTensor<Self> {
        compose::sum_maps::<Self>(dz)
    }

    /// See [`crate::linear`].
    fn fully_connected(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        function: Function,
    ) -> FloatTensor<Self> {
        compose::fully_connected::<Self>(x, weight, bias, function)
    }

    /// The gradient by `x`.
    fn fully_connected_dx(weight: FloatTensor<Self>, dz: FloatTensor<Self>) -> FloatTensor<Self> {
        compose::fully_connected_dx::<Self>(weight, dz)
    }

    /// The gradient by `weight`.
    fn fully_connected_dw(x: FloatTensor<Self>, dz: FloatTensor<Self>) -> FloatTensor<Self> {
        compose::fully_connected_dw::<Self>(x, dz)
    }

    /// See [`crate::lrn`].
    fn lrn(x: FloatTensor<Self>, lrn: Lrn) -> FloatTensor<Self> {
        compose::lrn::<Self>(x, lrn)
    }

    /// The gradient by `x`, where `y` came out.
    fn lrn_dx(x: FloatTensor<Self>, y: FloatTensor<Self>, dy: FloatTensor<Self>, lrn: Lrn) -> FloatTensor<Self> {
        compose::lrn_dx::<Self>(x, y, dy, lrn)
    }

    /// See [`crate::max_pool2d`].
    fn max_pool(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        compose::max_pool::<Self>(x, pool)
    }

    /// The gradient by `x`, where `y` came out.
    fn max_pool_dx(x: FloatTensor<Self>, y: FloatTensor<Self>, dy: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        compose::max_pool_dx::<Self>(x, y, dy, pool)
    }

    /// See [`crate::avg_pool2d`].
    fn avg_pool(x: FloatTensor<Self>, avg: Avg) -> FloatTensor<Self> {
        compose::avg_pool::<Self>(x, avg)
    }

    /// The gradient by `x`, of which the shape counts only.
    fn avg_pool_dx(x: FloatTensor<Self>, dy: FloatTensor<Self>, avg: Avg) -> FloatTensor<Self> {
        compose::avg_pool_dx::<Self>(x, dy, avg)
    }

    /// See [`crate::overlap_avg_pool2d`].
    fn overlap_avg_pool(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        compose::overlap_avg_pool::<Self>(x, pool)
    }

    /// The gradient by `x`, of which the shape counts only.
    fn overlap_avg_pool_dx(x: FloatTensor<Self>, dy: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        compose::overlap_avg_pool_dx::<Self>(x, dy, pool)
    }

    /// See [`crate::subsample`].
    fn subsample(
        x: FloatTensor<Self>,
        coefficient: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        avg: Avg,
        function: Function,
    ) -> FloatTensor<Self> {
        compose::subsample::<Self>(x, coefficient, bias, avg, function)
    }

    /// The gradient by `x`, of which the shape counts only.
    fn subsample_dx(
        x: FloatTensor<Self>,
        coefficient: FloatTensor<Self>,
        dz: FloatTensor<Self>,
        avg: Avg,
    ) -> FloatTensor<Self> {
        compose::subsample_dx::<Self>(x, coefficient, dz, avg)
    }

    /// The gradient by `coefficient`.
    fn subsample_dw(x: FloatTensor<Self>, dz: FloatTensor<Self>, avg: Avg) -> FloatTensor<Self> {
        compose::subsample_dw::<Self>(x, dz, avg)
    }

    /// See [`crate::cross_entropy`].
    fn cross_entropy(logits: FloatTensor<Self>, labels: IntTensor<Self>) -> FloatTensor<Self> {
        compose::cross_entropy::<Self>(logits, labels)
    }

    /// The gradient by the logits for that by the mean, `[1]`.
    fn cross_entropy_dx(
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        compose::cross_entropy_dx::<Self>(logits, labels, dy)
    }

    /// See [`crate::dropout`]. Linear, and its own gradient.
    fn dropout(x: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self> {
        compose::dropout::<Self>(x, dropout)
    }

    /// See [`crate::sgd`].
    fn sgd(
        weight: FloatTensor<Self>,
        velocity: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        step: Sgd,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        compose::sgd::<Self>(weight, velocity, gradient, step)
    }
}

#[cfg(feature = "ndarray")]
impl Kernels for burn::backend::NdArray {}
#[cfg(feature = "libtorch")]
impl Kernels for burn::backend::LibTorch {}
#[cfg(feature = "remote")]
impl Kernels for burn::backend::Remote {}
