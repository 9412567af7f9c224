//! The operators as an extension of Burn's backends, each with a body that every backend can run.
#![allow(deprecated)] // ndarray: on its way out of Burn, but asked for

use alloc::vec::Vec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata, backend_extension};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Shape, Slice};

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

/// A window of a max-pool.
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
    fn options(self) -> ConvOptions<2> {
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
    Autodiff: cfg(feature = "autodiff")
)]
pub trait Kernels: Backend {
    /// The function of each element.
    fn apply(x: FloatTensor<Self>, function: Function) -> FloatTensor<Self> {
        match function {
            Function::Identity => x,
            Function::Relu => Self::relu(x),
            Function::Tanh { amplitude, slope } => {
                let tanh = Self::float_tanh(Self::float_mul_scalar(x, slope.into()));
                Self::float_mul_scalar(tanh, amplitude.into())
            }
            Function::Sigmoid => Self::sigmoid(x),
        }
    }

    /// `dy f'`, the slope told from the function's value `y`.
    fn through(y: FloatTensor<Self>, dy: FloatTensor<Self>, function: Function) -> FloatTensor<Self> {
        match function {
            Function::Identity => dy,
            Function::Relu => Self::relu_backward(y, dy),
            Function::Tanh { amplitude, slope } => {
                let square = Self::float_mul(y.clone(), y);
                let f = Self::float_mul_scalar(square, (-slope / amplitude).into());
                Self::float_mul(dy, Self::float_add_scalar(f, (slope * amplitude).into()))
            }
            Function::Sigmoid => Self::sigmoid_backward(y, dy),
        }
    }

    /// See [`crate::conv2d`].
    fn conv(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        conv: Conv,
        function: Function,
    ) -> FloatTensor<Self> {
        Self::apply(Self::conv2d(x, weight, Some(bias), conv.options()), function)
    }

    /// The gradient by `x`, of which the shape counts only.
    fn conv_dx(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dz: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self> {
        Self::conv2d_x_backward(x, weight, dz, conv.options())
    }

    /// The gradient by `weight`, of which the shape counts only.
    fn conv_dw(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dz: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self> {
        Self::conv2d_weight_backward(x, weight, dz, conv.options())
    }

    /// Sums `[C]` over images and, if there are, rows and columns of `[N, C, …]`: the gradient by a bias.
    fn sum_maps(dz: FloatTensor<Self>) -> FloatTensor<Self> {
        let shape = dz.shape();
        let dims: Vec<usize> = (0..shape.num_dims()).filter(|d| *d != 1).collect();
        Self::float_reshape(Self::float_sum_dims(dz, &dims), Shape::from([shape[1]]))
    }

    /// See [`crate::linear`].
    fn fully_connected(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        function: Function,
    ) -> FloatTensor<Self> {
        let units = bias.shape()[0];
        let sum = Self::float_matmul(x, Self::float_swap_dims(weight, 0, 1));
        Self::apply(Self::float_add(sum, Self::float_reshape(bias, Shape::from([1, units]))), function)
    }

    /// The gradient by `x`.
    fn fully_connected_dx(weight: FloatTensor<Self>, dz: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(dz, weight)
    }

    /// The gradient by `weight`.
    fn fully_connected_dw(x: FloatTensor<Self>, dz: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(Self::float_swap_dims(dz, 0, 1), x)
    }

    /// See [`crate::lrn`].
    fn lrn(x: FloatTensor<Self>, lrn: Lrn) -> FloatTensor<Self> {
        let scale = lrn_scale::<Self>(x.clone(), lrn);
        Self::float_div(x, lrn_power::<Self>(scale, lrn))
    }

    /// The gradient by `x`, where `y` came out.
    fn lrn_dx(x: FloatTensor<Self>, y: FloatTensor<Self>, dy: FloatTensor<Self>, lrn: Lrn) -> FloatTensor<Self> {
        let scale = lrn_scale::<Self>(x.clone(), lrn);
        let ratio = neighbours::<Self>(Self::float_div(Self::float_mul(dy.clone(), y), scale.clone()), lrn.size);
        let across = Self::float_mul_scalar(Self::float_mul(x, ratio), (-2.0 * lrn.alpha * lrn.beta).into());
        Self::float_add(Self::float_div(dy, lrn_power::<Self>(scale, lrn)), across)
    }

    /// See [`crate::max_pool2d`].
    fn max_pool(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        Self::max_pool2d(x, [pool.size; 2], [pool.stride; 2], [0; 2], [1; 2], pool.ceil)
    }

    /// The gradient by `x`, where `y` came out.
    fn max_pool_dx(x: FloatTensor<Self>, y: FloatTensor<Self>, dy: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        let _ = y;
        let Pool { size, stride, ceil } = pool;
        let indices = burn::backend::get_device_settings::<Self>(&x.device()).int_dtype;
        let pooled = Self::max_pool2d_with_indices(x.clone(), [size; 2], [stride; 2], [0; 2], [1; 2], ceil, indices);
        let indices = pooled.indices;
        Self::max_pool2d_with_indices_backward(x, [size; 2], [stride; 2], [0; 2], [1; 2], ceil, dy, indices).x_grad
    }

    /// See [`crate::avg_pool2d`].
    fn avg_pool(x: FloatTensor<Self>, avg: Avg) -> FloatTensor<Self> {
        Self::avg_pool2d(x, [avg.size; 2], [avg.size; 2], [0; 2], true, false)
    }

    /// The gradient by `x`, of which the shape counts only.
    fn avg_pool_dx(x: FloatTensor<Self>, dy: FloatTensor<Self>, avg: Avg) -> FloatTensor<Self> {
        Self::avg_pool2d_backward(x, dy, [avg.size; 2], [avg.size; 2], [0; 2], true, false)
    }

    /// See [`crate::subsample`].
    fn subsample(
        x: FloatTensor<Self>,
        coefficient: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        avg: Avg,
        function: Function,
    ) -> FloatTensor<Self> {
        let maps = Shape::from([1, bias.shape()[0], 1, 1]);
        let area = (avg.size * avg.size) as f32;
        let sum = Self::float_mul_scalar(Self::avg_pool(x, avg), area.into());
        let weighted = Self::float_mul(sum, Self::float_reshape(coefficient, maps.clone()));
        Self::apply(Self::float_add(weighted, Self::float_reshape(bias, maps)), function)
    }

    /// The gradient by `x`, of which the shape counts only.
    fn subsample_dx(
        x: FloatTensor<Self>,
        coefficient: FloatTensor<Self>,
        dz: FloatTensor<Self>,
        avg: Avg,
    ) -> FloatTensor<Self> {
        let maps = Shape::from([1, coefficient.shape()[0], 1, 1]);
        let area = (avg.size * avg.size) as f32;
        let gain = Self::float_reshape(Self::float_mul_scalar(coefficient, area.into()), maps);
        Self::avg_pool_dx(x, Self::float_mul(dz, gain), avg)
    }

    /// The gradient by `coefficient`.
    fn subsample_dw(x: FloatTensor<Self>, dz: FloatTensor<Self>, avg: Avg) -> FloatTensor<Self> {
        let area = (avg.size * avg.size) as f32;
        let sum = Self::float_mul_scalar(Self::avg_pool(x, avg), area.into());
        Self::sum_maps(Self::float_mul(dz, sum))
    }

    /// See [`crate::cross_entropy`].
    fn cross_entropy(logits: FloatTensor<Self>, labels: IntTensor<Self>) -> FloatTensor<Self> {
        let n = logits.shape()[0];
        let log = Self::log_softmax(logits, 1);
        let right = Self::float_gather(1, log, Self::int_reshape(labels, Shape::from([n, 1])));
        Self::float_reshape(Self::float_neg(Self::float_mean(right)), Shape::from([1]))
    }

    /// The gradient by the logits for that by the mean, `[1]`.
    fn cross_entropy_dx(
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let n = logits.shape()[0];
        let labels = Self::int_reshape(labels, Shape::from([n, 1]));
        let settings = burn::backend::get_device_settings::<Self>(&logits.device());
        let minus_one = Self::float_neg(Self::float_ones(Shape::from([n, 1]), &logits.device(), settings.float_dtype));
        let share = Self::float_mul_scalar(Self::float_reshape(dy, Shape::from([1, 1])), (1.0 / n as f32).into());
        let softmax = Self::softmax(logits, 1);
        let add = burn::tensor::IndexingUpdateOp::Add;
        Self::float_mul(Self::float_scatter(1, softmax, labels, minus_one, add), share)
    }

    /// See [`crate::sgd`].
    fn sgd(
        weight: FloatTensor<Self>,
        velocity: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        step: Sgd,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let kept = Self::float_mul_scalar(velocity, step.momentum.into());
        let decay = Self::float_mul_scalar(weight.clone(), step.decay.into());
        let velocity = Self::float_add(Self::float_add(kept, gradient), decay);
        let weight = Self::float_sub(weight, Self::float_mul_scalar(velocity.clone(), step.rate.into()));
        (weight, velocity)
    }
}

#[cfg(feature = "ndarray")]
impl Kernels for burn::backend::NdArray {}
#[cfg(feature = "cube")]
impl Kernels for burn::backend::Cube {}
#[cfg(feature = "libtorch")]
impl Kernels for burn::backend::LibTorch {}

/// `k + alpha * sum x'^2`.
fn lrn_scale<B: Backend>(x: FloatTensor<B>, lrn: Lrn) -> FloatTensor<B> {
    let sum = neighbours::<B>(B::float_mul(x.clone(), x), lrn.size);
    B::float_add_scalar(B::float_mul_scalar(sum, lrn.alpha.into()), lrn.k.into())
}

/// The scale to the power of beta: 3/4 by two square roots, since a power is scalar code on CPU backends.
fn lrn_power<B: Backend>(scale: FloatTensor<B>, lrn: Lrn) -> FloatTensor<B> {
    if lrn.beta == 0.75 {
        let root = B::float_sqrt(scale);
        B::float_mul(root.clone(), B::float_sqrt(root))
    } else {
        B::float_powf_scalar(scale, lrn.beta.into())
    }
}

/// The sum over `size` neighbouring maps, those beyond the edge zero.
fn neighbours<B: Backend>(x: FloatTensor<B>, size: usize) -> FloatTensor<B> {
    let [n, c, h, w] = x.shape().dims();
    let settings = burn::backend::get_device_settings::<B>(&x.device());
    let maps = |from: usize| [Slice::from(0..n), Slice::from(from..from + c), Slice::from(0..h), Slice::from(0..w)];
    let padded = B::float_zeros(Shape::from([n, c + size - 1, h, w]), &x.device(), settings.float_dtype);
    let padded = B::float_slice_assign(padded, &maps(size / 2), x);
    let parts = (0..size).map(|i| B::float_slice(padded.clone(), &maps(i)));
    parts.reduce(|a, b| B::float_add(a, b)).expect("a window has a map")
}
