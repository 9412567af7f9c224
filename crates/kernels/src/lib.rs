//! The operators that classic convolutional networks spend their time in: differentiable, on any of Burn's backends, and
//! fast on a CPU.
//!
//! Each operator has a default body of Burn's own operators, which every backend runs, and, on Flex, kernels of our own
//! (`cpu`); local response normalisation has one on GPUs, too (`cube`). Which one runs is told by the tensor's device alone. Derivatives are first order, written once for all
//! backends.
//!
//! Shapes are NCHW. All operators compute in f32 on Flex; another float type runs Burn's operators there, too.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(not(feature = "autodiff"), allow(dead_code))] // the gradients' parts
extern crate alloc;

#[cfg(feature = "autodiff")]
mod autodiff;
mod choice;
mod compose;
#[cfg(feature = "std")]
pub mod cpu;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod ops;

#[cfg(feature = "std")]
pub use cpu::par::alone;
pub use ops::{Avg, Conv, Function, Lrn, Pool, Sgd};

use burn::backend::Dispatch;
use burn::tensor::{Device, Distribution, Int, Tensor};
use choice::Dropout;
use ops::Kernels;

/// `f(x * w + b)`: a convolution of `[N, C, H, W]` with `weight` `[M, C / groups, kh, kw]` and `bias` `[M]`, `function`
/// applied: `[N, M, H', W']`.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, conv: Conv, function: Function) -> Tensor<4> {
    wrap(Dispatch::conv(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch(), conv, function, true))
}

/// `f(x w^T + b)` for `[N, K]`, `weight` `[M, K]` and `bias` `[M]`: `[N, M]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, function: Function) -> Tensor<2> {
    wrap(Dispatch::fully_connected(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch(), function))
}

/// The function of each element.
pub fn apply<const D: usize>(x: Tensor<D>, function: Function) -> Tensor<D> {
    wrap(Dispatch::apply(x.into_dispatch(), function))
}

/// Local response normalisation across the maps of `[N, C, H, W]`.
///
/// # Panics
/// If the window's size is even: it has no middle.
pub fn lrn(x: Tensor<4>, lrn: Lrn) -> Tensor<4> {
    assert!(lrn.size % 2 == 1, "a window of {} maps has no middle", lrn.size);
    wrap(Dispatch::lrn(x.into_dispatch(), lrn))
}

/// The maximum over windows of `[N, C, H, W]`: `[N, C, H', W']`. Of equal values the first takes the gradient.
pub fn max_pool2d(x: Tensor<4>, pool: Pool) -> Tensor<4> {
    wrap(Dispatch::max_pool(x.into_dispatch(), pool))
}

/// The mean over `size`x`size` windows that tile `[N, C, H, W]`: `[N, C, H / size, W / size]`.
pub fn avg_pool2d(x: Tensor<4>, size: usize) -> Tensor<4> {
    wrap(Dispatch::avg_pool(x.into_dispatch(), Avg { size }))
}

/// The mean over windows of `[N, C, H, W]`: `[N, C, H', W']`. One that hangs over the edge is the mean of what it covers,
/// as in Caffe.
pub fn overlap_avg_pool2d(x: Tensor<4>, pool: Pool) -> Tensor<4> {
    wrap(Dispatch::overlap_avg_pool(x.into_dispatch(), pool))
}

/// LeNet-5's subsampling: `f(coefficient * sum + bias)` over `size`x`size` windows that tile `[N, C, H, W]`, with a
/// coefficient and a bias for each map, `[C]`: `[N, C, H / size, W / size]`.
pub fn subsample(x: Tensor<4>, coefficient: Tensor<1>, bias: Tensor<1>, size: usize, function: Function) -> Tensor<4> {
    let (x, coefficient, bias) = (x.into_dispatch(), coefficient.into_dispatch(), bias.into_dispatch());
    wrap(Dispatch::subsample(x, coefficient, bias, Avg { size }, function))
}

/// Mean cross-entropy of logits `[N, classes]` with the classes `[N]` that are true, in nats: `[1]`.
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    wrap(Dispatch::cross_entropy(logits.into_dispatch(), labels.into_dispatch()))
}

/// Each value silenced with probability `rate`, the others times `1 / (1 - rate)`.
///
/// Which ones is drawn from the device's generator, the one that [`Device::seed`] seeds: all of it, or on Flex a key, of
/// which, and of a value's place, the rest is a function.
///
/// # Panics
/// If `rate` isn't in `[0, 1)`.
pub fn dropout<const D: usize>(x: Tensor<D>, rate: f64) -> Tensor<D> {
    assert!((0.0..1.0).contains(&rate), "values can't be silenced at a rate of {rate}");
    if !is_flex(&x.device()) {
        let mask = x.random_like(Distribution::Bernoulli(1.0 - rate));
        return x * mask * (1.0 / (1.0 - rate));
    }
    // Three times the 24 bits of a number in [0, 1).
    let draws = Tensor::<1>::random([3], Distribution::Default, &x.device().inner()).into_data();
    let key = draws.iter::<f32>().fold(0, |key: u64, draw| key << 20 ^ (draw * 16_777_216.0) as u64);
    wrap(Dispatch::dropout(x.into_dispatch(), Dropout { rate, key }))
}

#[cfg(feature = "flex")]
fn is_flex(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

#[cfg(not(feature = "flex"))]
fn is_flex(_: &Device) -> bool {
    false
}

/// One step of gradient descent with momentum, of tensors of one shape that are on no graph: the weight and its velocity
/// after it. On Flex they stay where they are if nobody else holds them.
pub fn sgd<const D: usize>(
    weight: Tensor<D>,
    velocity: Tensor<D>,
    gradient: Tensor<D>,
    step: Sgd,
) -> (Tensor<D>, Tensor<D>) {
    let (weight, velocity) =
        Dispatch::sgd(weight.into_dispatch(), velocity.into_dispatch(), gradient.into_dispatch(), step);
    (wrap(weight), wrap(velocity))
}

fn wrap<const D: usize>(tensor: burn::tensor::DispatchTensor) -> Tensor<D> {
    Tensor::from_dispatch(tensor)
}
