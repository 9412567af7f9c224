//! Convolutions and fully connected layers.

use super::kernels::{known, made, ordered, values};
use crate::compose;
use crate::cpu::{Isa, conv, linear};
use crate::ops::{Conv, Function, Kernels};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{Bytes, Shape};
use std::sync::{Arc, Mutex, Weak};

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

/// Packed weights, and the buffer that they were made of.
struct Kept {
    weight: Weak<Bytes>,
    start: usize,
    shape: [usize; 4],
    groups: usize,
    packed: Arc<Vec<conv::Packed>>,
}

/// The weights of inference, packed once. An entry lives as long as the tensor that it was made of: who holds a weak
/// reference to a buffer keeps everyone from writing to it in place.
static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// The weights packed for the kernels, group by group; from last time, if they are `constant`.
fn packed(weight: &FlexTensor, s: &conv::Shape, groups: usize, constant: bool) -> Arc<Vec<conv::Packed>> {
    let isa = Isa::current();
    let pack = || {
        let kernels = values(weight).chunks_exact(s.m * s.depth());
        Arc::new(kernels.map(|kernels| conv::Packed::new(isa, s, kernels)).collect())
    };
    if !constant {
        return pack();
    }
    let (buffer, start, shape) = (weight.data_arc(), weight.layout().start_offset(), weight.shape().dims());
    let same = |kept: &Kept| {
        core::ptr::eq(kept.weight.as_ptr(), Arc::as_ptr(&buffer))
            && (kept.start, kept.shape, kept.groups) == (start, shape, groups)
            && kept.packed.iter().all(|packed| packed.fits(isa, s))
    };
    let lock = || KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(kept) = lock().iter().find(|kept| same(kept)) {
        return kept.packed.clone();
    }
    let packed: Arc<Vec<_>> = pack();
    let mut all = lock();
    all.retain(|kept| kept.weight.strong_count() > 0);
    let weight = Arc::downgrade(&buffer);
    all.push(Kept { weight, start, shape, groups, packed: packed.clone() });
    packed
}

pub fn conv(
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    conv: Conv,
    function: Function,
    constant: bool,
) -> FlexTensor {
    if !known([&x, &weight, &bias]) {
        return compose::conv::<Flex>(x, weight, bias, conv, function);
    }
    let (x, weight, bias) = (ordered(x), ordered(weight), ordered(bias));
    let s = sizes(x.shape().dims(), weight.shape().dims(), conv);
    let packed = packed(&weight, &s, conv.groups, constant);
    let maps = s.c * s.h * s.w;
    made(Shape::from([s.n, s.m * conv.groups, s.oh(), s.ow()]), |y| {
        for (g, packed) in packed.iter().enumerate() {
            let bias = &values(&bias)[g * s.m..][..s.m];
            let y = &mut y[g * s.m * s.oh() * s.ow()..];
            conv::forward(&s, &values(&x)[g * maps..], packed, Some(bias), function, y);
        }
    })
}

pub fn conv_dx(x: FlexTensor, weight: FlexTensor, dz: FlexTensor, conv: Conv) -> FlexTensor {
    if !known([&x, &weight, &dz]) {
        return compose::conv_dx::<Flex>(x, weight, dz, conv);
    }
    let (weight, dz) = (ordered(weight), ordered(dz));
    let s = sizes(x.shape().dims(), weight.shape().dims(), conv);
    let (maps, kernels, outputs) = (s.c * s.h * s.w, s.m * s.depth(), s.m * s.oh() * s.ow());
    made(x.shape(), |dx| {
        for g in 0..conv.groups {
            let weight = &values(&weight)[g * kernels..][..kernels];
            conv::backward_x(Isa::current(), &s, weight, &values(&dz)[g * outputs..], &mut dx[g * maps..]);
        }
    })
}

pub fn conv_dw(x: FlexTensor, weight: FlexTensor, dz: FlexTensor, conv: Conv) -> FlexTensor {
    if !known([&x, &weight, &dz]) {
        return compose::conv_dw::<Flex>(x, weight, dz, conv);
    }
    let (x, dz) = (ordered(x), ordered(dz));
    let s = sizes(x.shape().dims(), weight.shape().dims(), conv);
    let (maps, kernels, outputs) = (s.c * s.h * s.w, s.m * s.depth(), s.m * s.oh() * s.ow());
    made(weight.shape(), |dw| {
        for (g, dw) in dw.chunks_exact_mut(kernels).enumerate() {
            conv::backward_w(Isa::current(), &s, &values(&x)[g * maps..], &values(&dz)[g * outputs..], dw);
        }
    })
}

pub fn fully_connected(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, function: Function) -> FlexTensor {
    if !known([&x, &weight, &bias]) {
        return compose::fully_connected::<Flex>(x, weight, bias, function);
    }
    let (x, weight, bias) = (ordered(x), ordered(weight), ordered(bias));
    let ([n, k], [m, _]) = (x.shape().dims(), weight.shape().dims());
    let y = made(Shape::from([n, m]), |y| {
        linear::forward(Isa::current(), [n, m, k], values(&x), values(&weight), Some(values(&bias)), y);
    });
    Flex::apply(y, function)
}

pub fn fully_connected_dx(weight: FlexTensor, dz: FlexTensor) -> FlexTensor {
    if !known([&weight, &dz]) {
        return compose::fully_connected_dx::<Flex>(weight, dz);
    }
    let (weight, dz) = (ordered(weight), ordered(dz));
    let ([n, m], [_, k]) = (dz.shape().dims(), weight.shape().dims());
    made(Shape::from([n, k]), |dx| {
        linear::backward_x(Isa::current(), [n, m, k], values(&weight), values(&dz), dx);
    })
}

pub fn fully_connected_dw(x: FlexTensor, dz: FlexTensor) -> FlexTensor {
    if !known([&x, &dz]) {
        return compose::fully_connected_dw::<Flex>(x, dz);
    }
    let (x, dz) = (ordered(x), ordered(dz));
    let ([n, k], [_, m]) = (x.shape().dims(), dz.shape().dims());
    made(Shape::from([m, k]), |dw| {
        linear::backward_w(Isa::current(), [n, m, k], values(&x), values(&dz), dw);
    })
}
