//! The operators composed of Burn's own: what a backend without kernels runs.

use crate::choice::Dropout;
use crate::ops::{Avg, Conv, Function, Kernels, Lrn, Pool, Sgd};
use alloc::vec::Vec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{Shape, Slice, TensorData};

pub fn apply<B: Kernels>(x: FloatTensor<B>, function: Function) -> FloatTensor<B> {
    match function {
        Function::Identity => x,
        Function::Relu => B::relu(x),
        Function::Tanh { amplitude, slope } => {
            let tanh = B::float_tanh(B::float_mul_scalar(x, slope.into()));
            B::float_mul_scalar(tanh, amplitude.into())
        }
        Function::Sigmoid => B::sigmoid(x),
    }
}

pub fn through<B: Kernels>(y: FloatTensor<B>, dy: FloatTensor<B>, function: Function) -> FloatTensor<B> {
    match function {
        Function::Identity => dy,
        Function::Relu => B::relu_backward(y, dy),
        Function::Tanh { amplitude, slope } => {
            let square = B::float_mul(y.clone(), y);
            let f = B::float_mul_scalar(square, (-slope / amplitude).into());
            B::float_mul(dy, B::float_add_scalar(f, (slope * amplitude).into()))
        }
        Function::Sigmoid => B::sigmoid_backward(y, dy),
    }
}

pub fn conv<B: Kernels>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    conv: Conv,
    function: Function,
) -> FloatTensor<B> {
    B::apply(B::conv2d(x, weight, Some(bias), conv.options()), function)
}

pub fn conv_dx<B: Kernels>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    dz: FloatTensor<B>,
    conv: Conv,
) -> FloatTensor<B> {
    B::conv2d_x_backward(x, weight, dz, conv.options())
}

pub fn conv_dw<B: Kernels>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    dz: FloatTensor<B>,
    conv: Conv,
) -> FloatTensor<B> {
    B::conv2d_weight_backward(x, weight, dz, conv.options())
}

pub fn sum_maps<B: Kernels>(dz: FloatTensor<B>) -> FloatTensor<B> {
    let shape = dz.shape();
    let dims: Vec<usize> = (0..shape.num_dims()).filter(|d| *d != 1).collect();
    B::float_reshape(B::float_sum_dims(dz, &dims), Shape::from([shape[1]]))
}

pub fn fully_connected<B: Kernels>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    function: Function,
) -> FloatTensor<B> {
    let units = bias.shape()[0];
    let sum = B::float_matmul(x, B::float_swap_dims(weight, 0, 1));
    B::apply(B::float_add(sum, B::float_reshape(bias, Shape::from([1, units]))), function)
}

pub fn fully_connected_dx<B: Kernels>(weight: FloatTensor<B>, dz: FloatTensor<B>) -> FloatTensor<B> {
    B::float_matmul(dz, weight)
}

pub fn fully_connected_dw<B: Kernels>(x: FloatTensor<B>, dz: FloatTensor<B>) -> FloatTensor<B> {
    B::float_matmul(B::float_swap_dims(dz, 0, 1), x)
}

pub fn lrn<B: Kernels>(x: FloatTensor<B>, lrn: Lrn) -> FloatTensor<B> {
    let scale = lrn_scale::<B>(x.clone(), lrn);
    B::float_div(x, lrn_power::<B>(scale, lrn))
}

pub fn lrn_dx<B: Kernels>(x: FloatTensor<B>, y: FloatTensor<B>, dy: FloatTensor<B>, lrn: Lrn) -> FloatTensor<B> {
    let scale = lrn_scale::<B>(x.clone(), lrn);
    let ratio = neighbours::<B>(B::float_div(B::float_mul(dy.clone(), y), scale.clone()), lrn.size);
    let across = B::float_mul_scalar(B::float_mul(x, ratio), (-2.0 * lrn.alpha * lrn.beta).into());
    B::float_add(B::float_div(dy, lrn_power::<B>(scale, lrn)), across)
}

pub fn max_pool<B: Kernels>(x: FloatTensor<B>, pool: Pool) -> FloatTensor<B> {
    B::max_pool2d(x, [pool.size; 2], [pool.stride; 2], [0; 2], [1; 2], pool.ceil)
}

pub fn max_pool_dx<B: Kernels>(x: FloatTensor<B>, y: FloatTensor<B>, dy: FloatTensor<B>, pool: Pool) -> FloatTensor<B> {
    let _ = y;
    let Pool { size, stride, ceil } = pool;
    let indices = burn::backend::get_device_settings::<B>(&x.device()).int_dtype;
    let pooled = B::max_pool2d_with_indices(x.clone(), [size; 2], [stride; 2], [0; 2], [1; 2], ceil, indices);
    let indices = pooled.indices;
    B::max_pool2d_with_indices_backward(x, [size; 2], [stride; 2], [0; 2], [1; 2], ceil, dy, indices).x_grad
}

pub fn avg_pool<B: Kernels>(x: FloatTensor<B>, avg: Avg) -> FloatTensor<B> {
    B::avg_pool2d(x, [avg.size; 2], [avg.size; 2], [0; 2], true, false)
}

pub fn avg_pool_dx<B: Kernels>(x: FloatTensor<B>, dy: FloatTensor<B>, avg: Avg) -> FloatTensor<B> {
    B::avg_pool2d_backward(x, dy, [avg.size; 2], [avg.size; 2], [0; 2], true, false)
}

pub fn overlap_avg_pool<B: Kernels>(x: FloatTensor<B>, pool: Pool) -> FloatTensor<B> {
    B::avg_pool2d(x, [pool.size; 2], [pool.stride; 2], [0; 2], false, pool.ceil)
}

pub fn overlap_avg_pool_dx<B: Kernels>(x: FloatTensor<B>, dy: FloatTensor<B>, pool: Pool) -> FloatTensor<B> {
    B::avg_pool2d_backward(x, dy, [pool.size; 2], [pool.stride; 2], [0; 2], false, pool.ceil)
}

pub fn subsample<B: Kernels>(
    x: FloatTensor<B>,
    coefficient: FloatTensor<B>,
    bias: FloatTensor<B>,
    avg: Avg,
    function: Function,
) -> FloatTensor<B> {
    let maps = Shape::from([1, bias.shape()[0], 1, 1]);
    let area = (avg.size * avg.size) as f32;
    let sum = B::float_mul_scalar(B::avg_pool(x, avg), area.into());
    let weighted = B::float_mul(sum, B::float_reshape(coefficient, maps.clone()));
    B::apply(B::float_add(weighted, B::float_reshape(bias, maps)), function)
}

pub fn subsample_dx<B: Kernels>(
    x: FloatTensor<B>,
    coefficient: FloatTensor<B>,
    dz: FloatTensor<B>,
    avg: Avg,
) -> FloatTensor<B> {
    let maps = Shape::from([1, coefficient.shape()[0], 1, 1]);
    let area = (avg.size * avg.size) as f32;
    let gain = B::float_reshape(B::float_mul_scalar(coefficient, area.into()), maps);
    B::avg_pool_dx(x, B::float_mul(dz, gain), avg)
}

pub fn subsample_dw<B: Kernels>(x: FloatTensor<B>, dz: FloatTensor<B>, avg: Avg) -> FloatTensor<B> {
    let area = (avg.size * avg.size) as f32;
    let sum = B::float_mul_scalar(B::avg_pool(x, avg), area.into());
    B::sum_maps(B::float_mul(dz, sum))
}

pub fn cross_entropy<B: Kernels>(logits: FloatTensor<B>, labels: IntTensor<B>) -> FloatTensor<B> {
    let n = logits.shape()[0];
    let log = B::log_softmax(logits, 1);
    let right = B::float_gather(1, log, B::int_reshape(labels, Shape::from([n, 1])));
    B::float_reshape(B::float_neg(B::float_mean(right)), Shape::from([1]))
}

pub fn cross_entropy_dx<B: Kernels>(
    logits: FloatTensor<B>,
    labels: IntTensor<B>,
    dy: FloatTensor<B>,
) -> FloatTensor<B> {
    let n = logits.shape()[0];
    let labels = B::int_reshape(labels, Shape::from([n, 1]));
    let minus_one = B::float_neg(B::float_ones(Shape::from([n, 1]), &logits.device(), logits.dtype().into()));
    let share = B::float_mul_scalar(B::float_reshape(dy, Shape::from([1, 1])), (1.0 / n as f32).into());
    let softmax = B::softmax(logits, 1);
    let add = burn::tensor::IndexingUpdateOp::Add;
    B::float_mul(B::float_scatter(1, softmax, labels, minus_one, add), share)
}

pub fn dropout<B: Kernels>(x: FloatTensor<B>, dropout: Dropout) -> FloatTensor<B> {
    let shape = x.shape();
    let mask: Vec<f32> = dropout.mask(shape.num_elements()).collect();
    let mask = B::float_from_data(TensorData::new(mask, shape), &x.device());
    B::float_mul(x.clone(), B::float_cast(mask, x.dtype().into()))
}

pub fn sgd<B: Kernels>(
    weight: FloatTensor<B>,
    velocity: FloatTensor<B>,
    gradient: FloatTensor<B>,
    step: Sgd,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let kept = B::float_mul_scalar(velocity, step.momentum.into());
    let decay = B::float_mul_scalar(weight.clone(), step.decay.into());
    let velocity = B::float_add(B::float_add(kept, gradient), decay);
    let weight = B::float_sub(weight, B::float_mul_scalar(velocity.clone(), step.rate.into()));
    (weight, velocity)
}

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
    let maps = |from: usize| [Slice::from(0..n), Slice::from(from..from + c), Slice::from(0..h), Slice::from(0..w)];
    let padded = B::float_zeros(Shape::from([n, c + size - 1, h, w]), &x.device(), x.dtype().into());
    let padded = B::float_slice_assign(padded, &maps(size / 2), x);
    let parts = (0..size).map(|i| B::float_slice(padded.clone(), &maps(i)));
    parts.reduce(|a, b| B::float_add(a, b)).expect("a window has a map")
}
