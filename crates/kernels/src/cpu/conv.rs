//! Convolution and its gradients: which kernel is for which sizes.

use super::winograd::{self, Plan};
use super::{Isa, linear, map, narrow, tile};
use crate::Function;

mod fold;
mod packed;
mod scatter;
mod weights;

pub(super) use packed::finish;

/// A convolution's sizes, one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Images.
    pub n: usize,
    /// Maps that come in.
    pub c: usize,
    /// Their height.
    pub h: usize,
    /// Their width.
    pub w: usize,
    /// Maps that go out.
    pub m: usize,
    /// Height of the kernel.
    pub kh: usize,
    /// Width of the kernel.
    pub kw: usize,
    /// Step down and across.
    pub stride: [usize; 2],
    /// Zeros around: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Numbers from one image that comes in to the next.
    pub x_step: usize,
    /// Numbers from one image that goes out to the next.
    pub y_step: usize,
}

impl Shape {
    /// Height of the maps that go out.
    pub fn oh(&self) -> usize {
        (self.h + self.padding[0] + self.padding[2] - self.kh) / self.stride[0] + 1
    }

    /// Their width.
    pub fn ow(&self) -> usize {
        (self.w + self.padding[1] + self.padding[3] - self.kw) / self.stride[1] + 1
    }

    /// Products in a unit's sum.
    pub fn depth(&self) -> usize {
        self.c * self.kh * self.kw
    }

    /// Multiply-accumulates.
    pub fn macs(&self) -> usize {
        self.n * self.m * self.depth() * self.oh() * self.ow()
    }

    /// Images, units and inputs of the fully connected layer that the convolution is, if its kernel covers the whole map.
    fn linear(&self) -> Option<[usize; 3]> {
        let whole = (self.kh, self.kw) == (self.h, self.w) && self.padding == [0; 4];
        let alone = self.x_step == self.depth() && self.y_step == self.m;
        (whole && alone).then(|| [self.n, self.m, self.depth()])
    }

    /// The convolution of the outputs' gradient that gives the inputs', for stride 1 and less padding than kernel.
    fn back(&self) -> Option<Self> {
        let [top, left, bottom, right] = self.padding;
        let fits = top < self.kh && bottom < self.kh && left < self.kw && right < self.kw;
        (self.stride == [1; 2] && fits).then(|| Self {
            c: self.m,
            m: self.c,
            h: self.oh(),
            w: self.ow(),
            padding: [self.kh - 1 - top, self.kw - 1 - left, self.kh - 1 - bottom, self.kw - 1 - right],
            x_step: self.y_step,
            y_step: self.x_step,
            ..*self
        })
    }
}

/// Weights as the kernels read them, for one shape of maps and one instruction set.
pub struct Packed {
    isa: Isa,
    plan: Option<Plan>,
    linear: bool,
    values: Vec<f32>,
}

impl Packed {
    /// `[M, C, kh, kw]`, packed.
    pub fn new(isa: Isa, s: &Shape, weight: &[f32]) -> Self {
        if s.linear().is_some() {
            return Self { isa, plan: None, linear: true, values: weight.to_vec() };
        }
        if let Some((f, plan)) = stepping(s) {
            let values = winograd::pack(isa, &f, plan, &fold::weights(s, &f, weight), false);
            return Self { isa, plan: Some(plan), linear: false, values };
        }
        if let Some(plan) = Plan::of(s) {
            return Self { isa, plan: Some(plan), linear: false, values: winograd::pack(isa, s, plan, weight, false) };
        }
        let mut values = vec![0.0; tile::panels_len(s.m, s.depth())];
        tile::pack_rows(isa, weight, s.m, s.depth(), s.depth(), &mut values);
        Self { isa, plan: None, linear: false, values }
    }

    /// Whether these are what [`Packed::new`] would make of the same weights for `s`.
    pub fn fits(&self, isa: Isa, s: &Shape) -> bool {
        self.isa == isa && self.linear == s.linear().is_some() && (self.linear || self.plan == plan(s))
    }
}

/// For a convolution that steps, the one without steps that fast filtering is cheaper for, and its tiles.
fn stepping(s: &Shape) -> Option<(Shape, Plan)> {
    let f = fold::folded(s)?;
    Some((f, Plan::of_folded(&f, s)?))
}

/// The tiles of the forward pass, if it is filtered fast.
fn plan(s: &Shape) -> Option<Plan> {
    stepping(s).map(|(_, plan)| plan).or_else(|| Plan::of(s))
}

/// `y = f(x * w + b)`.
pub fn forward(s: &Shape, x: &[f32], weight: &Packed, bias: Option<&[f32]>, function: Function, y: &mut [f32]) {
    let (isa, panels) = (weight.isa, &weight.values[..]);
    let relu = function == Function::Relu;
    if let Some(sizes) = s.linear() {
        linear::forward(isa, sizes, x, panels, bias, y);
        return map::apply_in_place(&mut y[..s.n * s.m], function);
    }
    if let Some(plan) = weight.plan {
        let way = if s.stride == [1; 2] { winograd::forward } else { fold::forward };
        way(isa, s, plan, x, panels, bias, relu, y);
    } else if narrow::takes(s) {
        return narrow::forward(isa, s, x, panels, bias, function, y);
    } else {
        packed::forward(isa, s, x, panels, bias, relu, y);
    }
    if !relu && function != Function::Identity {
        let image = s.m * s.oh() * s.ow();
        if image == s.y_step {
            return map::apply_in_place(&mut y[..s.n * image], function);
        }
        for y in y.chunks_mut(s.y_step).take(s.n) {
            map::apply_in_place(&mut y[..image], function);
        }
    }
}

/// The gradient by `x` for that by the outputs: `dx` is overwritten.
pub fn backward_x(isa: Isa, s: &Shape, weight: &[f32], dz: &[f32], dx: &mut [f32]) {
    if let Some(sizes) = s.linear() {
        return linear::backward_x(isa, sizes, weight, dz, dx);
    }
    let taps = s.kh * s.kw;
    // Few maps, small ones: most of what would be summed is padding.
    let scatter = |back: &Shape| s.c <= 16 && 2 * back.macs() > 3 * s.macs();
    if let Some(back) = s.back().filter(|back| !scatter(back)) {
        if let Some(plan) = Plan::of(&back) {
            let weight = winograd::pack(isa, &back, plan, weight, true);
            return winograd::forward(isa, &back, plan, dz, &weight, None, false, dx);
        }
        // Kernels turned by half a turn, from outputs to inputs.
        let mut turned = vec![0.0; weight.len()];
        for (m, kernels) in weight.chunks_exact(s.c * taps).enumerate() {
            for (c, kernel) in kernels.chunks_exact(taps).enumerate() {
                for (to, from) in turned[(c * s.m + m) * taps..][..taps].iter_mut().zip(kernel.iter().rev()) {
                    *to = *from;
                }
            }
        }
        let mut values = vec![0.0; tile::panels_len(back.m, back.depth())];
        tile::pack_rows(isa, &turned, back.m, back.depth(), back.depth(), &mut values);
        return forward(&back, dz, &Packed { isa, plan: None, linear: false, values }, None, Function::Identity, dx);
    }
    if fold::backward_x(isa, s, weight, dz, dx).is_none() {
        scatter::backward_x(isa, s, weight, dz, dx);
    }
}

/// The gradient by the weights: `dw`, `[M, C, kh, kw]`, is overwritten.
pub fn backward_w(isa: Isa, s: &Shape, x: &[f32], dz: &[f32], dw: &mut [f32]) {
    if let Some(sizes) = s.linear() {
        return linear::backward_w(isa, sizes, x, dz, dw);
    }
    if narrow::takes_weights(s) {
        return narrow::backward_w(isa, s, x, dz, dw);
    }
    if let Some(plan) = Plan::of_weights(s) {
        return winograd::backward_w(isa, s, plan, x, dz, dw);
    }
    if fold::backward_w(isa, s, x, dz, dw).is_none() {
        weights::backward_w(isa, s, x, dz, dw);
    }
}
