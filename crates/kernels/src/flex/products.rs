//! Convolutions and fully connected layers.

use crate::compose;
use crate::cpu::{Isa, conv, linear};
use crate::ops::{Conv, Function, Kernels};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{Bytes, DType, Shape};

/// `N` numbers that will be written before they are read.
pub(super) fn numbers(len: usize) -> Vec<f32> {
    vec![0.0; len]
}

pub(super) fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}

/// Whether all are f32: the kernels know nothing else.
fn single(tensors: &[&FlexTensor]) -> bool {
    tensors.iter().all(|t| t.dtype() == DType::F32)
}

pub(super) fn values(t: &FlexTensor) -> &[f32] {
    t.as_slice::<f32>().expect("a contiguous tensor of f32")
}

/// The sizes of one group.
fn sizes(x: [usize; 4], w: [usize; 4], conv: Conv) -> conv::Shape {
    let ([n, c, h, width], [m, seen, kh, kw]) = (x, w);
    let mut s = conv::Shape {
        n,
        c: seen,
        h,
        w: width,
        m: m / conv.groups,
        kh,
        kw,
        stride: conv.stride,
        padding: conv.padding,
        x_step: c * h * width,
        y_step: 0,
    };
    s.y_step = m * s.oh() * s.ow();
    s
}

pub fn conv(
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    conv: Conv,
    function: Function,
    constant: bool,
) -> FlexTensor {
    if !single(&[&x, &weight, &bias]) {
        return compose::conv::<Flex>(x, weight, bias, conv, function);
    }
    let _ = constant;
    let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), bias.to_contiguous());
    let s = sizes(x.shape().dims(), weight.shape().dims(), conv);
    let isa = Isa::current();
    let mut y = numbers(s.n * s.y_step);
    let (maps, kernels) = (s.c * s.h * s.w, s.m * s.depth());
    for g in 0..conv.groups {
        let panels = conv::pack(isa, &s, &values(&weight)[g * kernels..][..kernels]);
        let bias = &values(&bias)[g * s.m..][..s.m];
        let y = &mut y[g * s.m * s.oh() * s.ow()..];
        conv::forward(isa, &s, &values(&x)[g * maps..], &panels, Some(bias), function, y);
    }
    let y = tensor(y, Shape::from([s.n, s.m * conv.groups, s.oh(), s.ow()]));
    if matches!(function, Function::Identity | Function::Relu) { y } else { Flex::apply(y, function) }
}

pub fn conv_dx(x: FlexTensor, weight: FlexTensor, dz: FlexTensor, conv: Conv) -> FlexTensor {
    if !single(&[&x, &weight, &dz]) {
        return compose::conv_dx::<Flex>(x, weight, dz, conv);
    }
    let (weight, dz) = (weight.to_contiguous(), dz.to_contiguous());
    let s = sizes(x.shape().dims(), weight.shape().dims(), conv);
    let mut dx = numbers(s.n * s.x_step);
    let (maps, kernels, made) = (s.c * s.h * s.w, s.m * s.depth(), s.m * s.oh() * s.ow());
    for g in 0..conv.groups {
        let weight = &values(&weight)[g * kernels..][..kernels];
        conv::backward_x(Isa::current(), &s, weight, &values(&dz)[g * made..], &mut dx[g * maps..]);
    }
    tensor(dx, x.shape())
}

pub fn conv_dw(x: FlexTensor, weight: FlexTensor, dz: FlexTensor, conv: Conv) -> FlexTensor {
    if !single(&[&x, &weight, &dz]) {
        return compose::conv_dw::<Flex>(x, weight, dz, conv);
    }
    let (x, dz) = (x.to_contiguous(), dz.to_contiguous());
    let s = sizes(x.shape().dims(), weight.shape().dims(), conv);
    let (maps, kernels, made) = (s.c * s.h * s.w, s.m * s.depth(), s.m * s.oh() * s.ow());
    let mut dw = numbers(kernels * conv.groups);
    for (g, dw) in dw.chunks_exact_mut(kernels).enumerate() {
        conv::backward_w(Isa::current(), &s, &values(&x)[g * maps..], &values(&dz)[g * made..], dw);
    }
    tensor(dw, weight.shape())
}

pub fn fully_connected(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, function: Function) -> FlexTensor {
    if !single(&[&x, &weight, &bias]) {
        return compose::fully_connected::<Flex>(x, weight, bias, function);
    }
    let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), bias.to_contiguous());
    let ([n, k], [m, _]) = (x.shape().dims(), weight.shape().dims());
    let mut y = numbers(n * m);
    linear::forward(Isa::current(), [n, m, k], values(&x), values(&weight), values(&bias), &mut y);
    Flex::apply(tensor(y, Shape::from([n, m])), function)
}

pub fn fully_connected_dx(weight: FlexTensor, dz: FlexTensor) -> FlexTensor {
    if !single(&[&weight, &dz]) {
        return compose::fully_connected_dx::<Flex>(weight, dz);
    }
    let (weight, dz) = (weight.to_contiguous(), dz.to_contiguous());
    let ([n, m], [_, k]) = (dz.shape().dims(), weight.shape().dims());
    let mut dx = numbers(n * k);
    linear::backward_x(Isa::current(), [n, m, k], values(&weight), values(&dz), &mut dx);
    tensor(dx, Shape::from([n, k]))
}

pub fn fully_connected_dw(x: FlexTensor, dz: FlexTensor) -> FlexTensor {
    if !single(&[&x, &dz]) {
        return compose::fully_connected_dw::<Flex>(x, dz);
    }
    let (x, dz) = (x.to_contiguous(), dz.to_contiguous());
    let ([n, k], [_, m]) = (x.shape().dims(), dz.shape().dims());
    let mut dw = numbers(m * k);
    linear::backward_w(Isa::current(), [n, m, k], values(&x), values(&dz), &mut dw);
    tensor(dw, Shape::from([m, k]))
}
