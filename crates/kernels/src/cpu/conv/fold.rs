//! Steps folded away. A convolution that steps by `t` with a kernel of `k` is one that steps by 1 with a kernel of
//! `k / t`, rounded up, over `t * t` times as many maps: each map's phases, the places that lie `t` apart. What the larger
//! kernel has too many is zero, and of such convolutions Winograd's filtering leaves less than a third of the products.

use super::Shape;
use crate::cpu::winograd::{self, Plan};
use crate::cpu::{Isa, par};

/// Numbers of folded maps at a time: 16 MB.
const NEAR: usize = 1 << 22;

/// The convolution of stride 1, for the same step down as across.
pub fn folded(s: &Shape) -> Option<Shape> {
    let [step, across] = s.stride;
    if step == 1 || step != across || s.kh != s.kw {
        return None;
    }
    let (c, taps) = (s.c * step * step, s.kh.div_ceil(step));
    let [h, w] = [s.oh() + taps - 1, s.ow() + taps - 1];
    let (kh, kw, stride, padding) = (taps, taps, [1; 2], [0; 4]);
    Some(Shape { c, h, w, kh, kw, stride, padding, x_step: c * h * w, ..*s })
}

/// `[M, C, k, k]` as `[M, C * step * step, taps, taps]`, or back.
fn each_weight(s: &Shape, f: &Shape, mut each: impl FnMut(usize, usize)) {
    let (step, k, taps) = (s.stride[0], s.kh, f.kh);
    for map in 0..s.m * s.c {
        for i in 0..k {
            for j in 0..k {
                let phase = (map * step + i % step) * step + j % step;
                each((map * k + i) * k + j, (phase * taps + i / step) * taps + j / step);
            }
        }
    }
}

/// The weights of the folded convolution.
pub fn weights(s: &Shape, f: &Shape, weight: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; f.m * f.depth()];
    each_weight(s, f, |from, to| out[to] = weight[from]);
    out
}

/// `each(row of x, row of its phase j, j, the column of x at which that begins)` for all rows of one image's maps that
/// windows read; both rows are told by where they begin.
fn each_row(s: &Shape, f: &Shape, mut each: impl FnMut(usize, usize, [usize; 2])) {
    let (step, [top, left, ..]) = (s.stride[0], s.padding);
    for c in 0..s.c {
        for r in 0..s.h {
            let (i, y) = ((r + top) % step, (r + top) / step);
            if y >= f.h {
                continue;
            }
            for j in 0..step {
                // Column x of the phase is column x * step + j - left of the map.
                let first = left.saturating_sub(j).div_ceil(step);
                if first >= f.w {
                    continue;
                }
                let phase = (c * step + i) * step + j;
                each((c * s.h + r) * s.w, (phase * f.h + y) * f.w + first, [first, first * step + j - left]);
            }
        }
    }
}

/// One image's maps, folded.
fn fold(s: &Shape, f: &Shape, x: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    each_row(s, f, |from, to, [first, column]| {
        let row = &x[from + column.min(s.w)..from + s.w];
        let out = &mut out[to..to + f.w - first];
        for (out, value) in out.iter_mut().zip(row.iter().step_by(s.stride[0])) {
            *out = *value;
        }
    });
}

/// One image's maps from folded ones; those that no window reads are zero.
fn unfold(s: &Shape, f: &Shape, folded: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    each_row(s, f, |to, from, [first, column]| {
        let row = &mut out[to + column.min(s.w)..to + s.w];
        let folded = &folded[from..from + f.w - first];
        for (out, value) in row.iter_mut().step_by(s.stride[0]).zip(folded) {
            *out = *value;
        }
    });
}

/// `work(first image, convolution of some images, their folded maps)` for all images in turn.
fn groups(f: &Shape, mut work: impl FnMut(usize, &Shape, &mut [f32])) {
    let group = (NEAR / f.x_step).clamp(1, f.n);
    par::scratch([group * f.x_step], |[maps]| {
        for first in (0..f.n).step_by(group) {
            let n = group.min(f.n - first);
            work(first, &Shape { n, ..*f }, &mut maps[..n * f.x_step]);
        }
    });
}

/// All of `x` from image `first` on that `f` has, folded.
fn fold_all(s: &Shape, f: &Shape, x: &[f32], first: usize, maps: &mut [f32]) {
    let maps = par::Shared::new(maps);
    par::each(f.n, 4 * f.n * f.x_step, |n| {
        // SAFETY: a task has its image to itself.
        let to = unsafe { maps.part(n * f.x_step..(n + 1) * f.x_step) };
        fold(s, f, &x[(first + n) * s.x_step..], to);
    });
}

/// As [`super::forward`], for weights that were folded and packed.
#[allow(clippy::too_many_arguments)] // sizes, inputs, outputs
pub fn forward(
    isa: Isa,
    s: &Shape,
    plan: Plan,
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
    y: &mut [f32],
) {
    let Some(f) = folded(s) else { unreachable!("{s:?} has a plan") };
    groups(&f, |first, f, maps| {
        fold_all(s, f, x, first, maps);
        winograd::forward(isa, f, plan, maps, packed, bias, relu, &mut y[first * s.y_step..]);
    });
}

/// As [`super::backward_x`], if that is a way.
pub fn backward_x(isa: Isa, s: &Shape, weight: &[f32], dz: &[f32], dx: &mut [f32]) -> Option<()> {
    let f = folded(s)?;
    let back = f.back()?;
    let plan = Plan::of_folded(&back, s)?;
    let packed = winograd::pack(isa, &back, plan, &weights(s, &f, weight), true);
    let dx = par::Shared::new(dx);
    groups(&f, |first, f, maps| {
        let back = Shape { n: f.n, ..back };
        winograd::forward(isa, &back, plan, &dz[first * s.y_step..], &packed, None, false, maps);
        let maps: &[f32] = maps;
        par::each(f.n, 4 * f.n * f.x_step, |n| {
            let start = (first + n) * s.x_step;
            // SAFETY: a task has its image's maps to itself.
            let to = unsafe { dx.part(start..start + s.c * s.h * s.w) };
            unfold(s, f, &maps[n * f.x_step..(n + 1) * f.x_step], to);
        });
    });
    Some(())
}

/// As [`super::backward_w`], if that is a way.
pub fn backward_w(isa: Isa, s: &Shape, x: &[f32], dz: &[f32], dw: &mut [f32]) -> Option<()> {
    let f = folded(s)?;
    let plan = Plan::of_folded_weights(&f, s)?;
    dw.fill(0.0);
    let mut part = vec![0.0; f.m * f.depth()];
    groups(&f, |first, f, maps| {
        fold_all(s, f, x, first, maps);
        winograd::backward_w(isa, f, plan, maps, &dz[first * s.y_step..], &mut part);
        each_weight(s, f, |to, from| dw[to] += part[from]);
    });
    Some(())
}
