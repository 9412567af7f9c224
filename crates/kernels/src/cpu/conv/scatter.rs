//! The gradient by the inputs of a convolution that steps, or that would mostly sum padding.

use super::Shape;
use crate::cpu::tile::{self, Steps, Tile};
use crate::cpu::{Isa, par};
use pulp::{Simd, WithSimd};

/// As [`super::backward_x`]: products of weights and outputs' gradients, added where they came from.
pub fn backward_x(isa: Isa, s: &Shape, weight: &[f32], dz: &[f32], dx: &mut [f32]) {
    let depth = s.depth();
    let mut turned = vec![0.0; weight.len()];
    for (m, kernels) in weight.chunks_exact(depth).enumerate() {
        for (k, value) in kernels.iter().enumerate() {
            turned[k * s.m + m] = *value;
        }
    }
    let mut panels = vec![0.0; tile::panels_len(depth, s.m)];
    tile::pack_rows(isa, &turned, depth, s.m, s.m, &mut panels);
    let cuts = if s.n >= par::threads() { 1 } else { par::threads().min(s.c) };
    let dx = par::Shared::new(dx);
    par::each(s.n * cuts, s.macs(), |task| {
        let (n, channels) = (task / cuts, par::part(s.c, cuts, task % cuts));
        let width = isa.tile().1 * isa.lanes();
        let blocks = (s.oh() * s.ow()).div_ceil(width);
        let [top, left, bottom, right] = s.padding;
        let plane = (s.h + top + bottom) * (s.w + left + right);
        let sizes = [blocks * s.m * width, isa.tile().0 * blocks * width, channels.len() * plane];
        par::scratch(sizes, |[b, out, padded]| {
            let (dz, dx_start) = (&dz[n * s.y_step..], n * s.x_step);
            isa.run(Scatter { isa, s, panels: &panels, dz, dx, dx_start, channels, b, out, padded });
        });
    });
}

/// One image's gradient by `x` where the convolution steps: products of weights and outputs, added where they came from.
struct Scatter<'a> {
    isa: Isa,
    s: &'a Shape,
    panels: &'a [f32],
    dz: &'a [f32],
    dx: par::Shared<'a>,
    dx_start: usize,
    channels: core::ops::Range<usize>,
    b: &'a mut [f32],
    out: &'a mut [f32],
    padded: &'a mut [f32],
}

impl WithSimd for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { isa, s, panels, dz, b, out, padded, .. } = self;
        let (oh, ow, taps) = (s.oh(), s.ow(), s.kh * s.kw);
        let size = oh * ow;
        let (tall, vectors) = isa.tile();
        let width = vectors * S::F32_LANES;
        let [top, left, bottom, right] = s.padding;
        let (hp, wp) = (s.h + top + bottom, s.w + left + right);
        let blocks = size.div_ceil(width);
        {
            for (block, panel) in b.chunks_exact_mut(s.m * width).enumerate() {
                let count = width.min(size - block * width);
                for (m, row) in panel.chunks_exact_mut(width).enumerate() {
                    row[..count].copy_from_slice(&dz[m * size + block * width..][..count]);
                    row[count..].fill(0.0);
                }
            }
            padded.fill(0.0);
            // Panels begin at rows of full tiles, which needn't be where a map's kernel begins.
            let wanted = self.channels.start * taps..self.channels.end * taps;
            let mut first = wanted.start / tall * tall;
            while first < wanted.end {
                let rows = tile::panel_rows(isa, s.depth(), first);
                for block in 0..blocks {
                    Tile {
                        rows,
                        vectors: width.min(size - block * width).div_ceil(S::F32_LANES),
                        depth: s.m,
                        a: &panels[tile::panel_start(first, s.m)..],
                        a_step: None,
                        b: &b[block * s.m * width..],
                        steps: Steps::Even(width),
                        out: &mut out[block * width..],
                        stride: blocks * width,
                        add: false,
                    }
                    .run(simd);
                }
                for (r, row) in out.chunks_exact(blocks * width).take(rows).enumerate() {
                    let k = first + r;
                    if !wanted.contains(&k) {
                        continue;
                    }
                    let (c, i, j) = (k / taps - self.channels.start, k % taps / s.kw, k % s.kw);
                    for (y, row) in row[..size].chunks_exact(ow).enumerate() {
                        let to = &mut padded[(c * hp + y * s.stride[0] + i) * wp + j..];
                        if s.stride[1] == 1 {
                            for (to, value) in to.iter_mut().zip(row) {
                                *to += value;
                            }
                            continue;
                        }
                        for (to, value) in to.iter_mut().step_by(s.stride[1]).zip(row) {
                            *to += value;
                        }
                    }
                }
                first += rows;
            }
            for (i, c) in self.channels.clone().enumerate() {
                let start = self.dx_start + c * s.h * s.w;
                // SAFETY: a task has its image's maps to itself.
                let to = unsafe { self.dx.part(start..start + s.h * s.w) };
                for (y, row) in to.chunks_exact_mut(s.w).enumerate() {
                    row.copy_from_slice(&padded[(i * hp + y + top) * wp + left..][..s.w]);
                }
            }
        }
    }
}
