//! The gradient by the weights by Winograd's minimal filtering: the outputs' gradients, `OUT`x`OUT` of a tile, are the
//! kernels that filter its `T`x`T` inputs, and `TAPS`x`TAPS` comes out. Products are summed over all tiles before the
//! last transform.

use super::{Plan, input_1d, kernel_1d, output_1d, sized, spread};
use crate::cpu::conv::Shape;
use crate::cpu::tile::{CHUNK, Steps, Tile};
use crate::cpu::{Isa, par};
use pulp::{Simd, WithSimd};

/// Numbers of transformed inputs and gradients that are worked on at a time.
const NEAR: usize = 1 << 23;

/// As `conv::backward_w`.
pub fn backward(isa: Isa, s: &Shape, plan: Plan, x: &[f32], dz: &[f32], dw: &mut [f32]) {
    let width = isa.tile().1 * isa.lanes();
    let [down, across] = plan.grid(s);
    let [hp, wp] = plan.covered(s);
    let (products, per_image) = (plan.t * plan.t, down * across);
    let wide = Wide { c: s.c.next_multiple_of(width), m: s.m.next_multiple_of(CHUNK) };
    let group = (NEAR / (products * per_image * (wide.c + wide.m))).clamp(1, s.n);
    let tiles = group * per_image;
    let sizes = [products * tiles * wide.c, products * tiles * wide.m, products * wide.m * wide.c];
    par::scratch(sizes, |[inputs, gradients, sums]| {
        for first in (0..s.n).step_by(group) {
            let images = group.min(s.n - first);
            let tiles = images * per_image;
            {
                let (inputs, gradients) = (par::Shared::new(inputs), par::Shared::new(gradients));
                par::each(images, s.macs() / 4, |i| {
                    let (x, dz) = (&x[(first + i) * s.x_step..], &dz[(first + i) * s.y_step..]);
                    let map = [s.c.next_multiple_of(CHUNK) * hp * wp, wide.m * down * across * plan.out * plan.out];
                    par::scratch(map, |[maps, outs]| {
                        let at = i * per_image;
                        isa.run(Transform { s, plan, x, dz, at, tiles, wide, inputs, gradients, maps, outs });
                    });
                });
            }
            let (inputs, gradients): (&[f32], &[f32]) = (inputs, gradients);
            let shared = par::Shared::new(sums);
            par::each(products, s.macs() / 4, |product| {
                let a = &gradients[product * tiles * wide.m..][..tiles * wide.m];
                let b = &inputs[product * tiles * wide.c..][..tiles * wide.c];
                // SAFETY: a task has its product to itself.
                let out = unsafe { shared.part(product * wide.m * wide.c..(product + 1) * wide.m * wide.c) };
                isa.run(Multiply { isa, tiles, wide, a, b, out, add: first > 0 });
            });
        }
        let sums: &[f32] = sums;
        let dw = par::Shared::new(dw);
        par::each(s.m, products * s.m * s.c, |m| {
            let len = s.depth();
            // SAFETY: a task has its output map to itself.
            let dw = unsafe { dw.part(m * len..(m + 1) * len) };
            isa.run(Finish { s, plan, m, wide, sums, dw });
        });
    });
}

/// Maps in and out, rounded up.
#[derive(Clone, Copy)]
struct Wide {
    c: usize,
    m: usize,
}

/// One image's inputs and gradients, transformed: for each product `[tiles, maps]`.
struct Transform<'a> {
    s: &'a Shape,
    plan: Plan,
    x: &'a [f32],
    dz: &'a [f32],
    at: usize,
    tiles: usize,
    wide: Wide,
    inputs: par::Shared<'a>,
    gradients: par::Shared<'a>,
    maps: &'a mut [f32],
    outs: &'a mut [f32],
}

impl WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        sized!(self.plan, |T, OUT, TAPS| {
            let _ = TAPS;
            self.sized::<S, T, OUT>(simd)
        });
    }
}

impl Transform<'_> {
    #[inline(always)]
    fn sized<S: Simd, const T: usize, const OUT: usize>(self, simd: S) {
        let Self { s, plan, x, dz, at, tiles, wide, inputs, gradients, maps, outs } = self;
        let lanes = S::F32_LANES;
        let [down, across] = plan.grid(s);
        let [hp, wp] = plan.covered(s);
        spread(s, x, [hp, wp], maps);
        // The gradients are maps without padding.
        let (oh, ow) = (down * OUT, across * OUT);
        let made = Shape { c: s.m, h: s.oh(), w: s.ow(), padding: [0; 4], ..*s };
        spread(&made, dz, [oh, ow], outs);
        let (deep, wide_c, wide_m) = (s.c.next_multiple_of(CHUNK), wide.c, wide.m);
        for t in 0..down * across {
            let (ty, tx) = (t / across, t % across);
            for c in (0..wide_c).step_by(lanes) {
                let mut d = [[simd.splat_f32s(0.0); T]; T];
                if c < deep {
                    let from = &maps[((c / CHUNK * hp + ty * OUT) * wp + tx * OUT) * CHUNK + c % CHUNK..];
                    for i in 0..T {
                        for j in 0..T {
                            let vector = &from[(i * wp + j) * CHUNK..][..lanes];
                            d[i][j] = S::as_simd_f32s(vector).0[0];
                        }
                        d[i] = input_1d::<S, T>(simd, d[i]);
                    }
                }
                for j in 0..T {
                    let mut column = [simd.splat_f32s(0.0); T];
                    for i in 0..T {
                        column[i] = d[i][j];
                    }
                    let column = input_1d::<S, T>(simd, column);
                    for i in 0..T {
                        let to = ((i * T + j) * tiles + at + t) * wide_c + c;
                        // SAFETY: a task has its image's tiles to itself.
                        S::as_mut_simd_f32s(unsafe { inputs.part(to..to + lanes) }).0[0] = column[i];
                    }
                }
            }
            for m in (0..wide_m).step_by(lanes) {
                let from = &outs[((m / CHUNK * oh + ty * OUT) * ow + tx * OUT) * CHUNK + m % CHUNK..];
                let mut half = [[simd.splat_f32s(0.0); OUT]; T];
                for j in 0..OUT {
                    let mut column = [simd.splat_f32s(0.0); OUT];
                    for i in 0..OUT {
                        column[i] = S::as_simd_f32s(&from[(i * ow + j) * CHUNK..][..lanes]).0[0];
                    }
                    let column = kernel_1d::<S, T, OUT>(simd, column);
                    for i in 0..T {
                        half[i][j] = column[i];
                    }
                }
                for i in 0..T {
                    let row = kernel_1d::<S, T, OUT>(simd, half[i]);
                    for j in 0..T {
                        let to = ((i * T + j) * tiles + at + t) * wide_m + m;
                        // SAFETY: as above.
                        S::as_mut_simd_f32s(unsafe { gradients.part(to..to + lanes) }).0[0] = row[j];
                    }
                }
            }
        }
    }
}

/// One product's sum over tiles, `[M, C]`.
struct Multiply<'a> {
    isa: Isa,
    tiles: usize,
    wide: Wide,
    a: &'a [f32],
    b: &'a [f32],
    out: &'a mut [f32],
    add: bool,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { isa, tiles, wide, a, b, out, add } = self;
        let (tall, vectors) = isa.tile();
        let width = vectors * S::F32_LANES;
        for column in (0..wide.c).step_by(width) {
            let mut m = 0;
            while m < wide.m {
                let rows = tall.min(wide.m - m);
                Tile {
                    rows,
                    vectors,
                    depth: tiles,
                    a: &a[m..],
                    a_step: Some(wide.m),
                    b: &b[column..],
                    steps: Steps::Even(wide.c),
                    out: &mut out[m * wide.c + column..],
                    stride: wide.c,
                    add,
                }
                .run(simd);
                m += rows;
            }
        }
    }
}

/// One output map's weights' gradients.
struct Finish<'a> {
    s: &'a Shape,
    plan: Plan,
    m: usize,
    wide: Wide,
    sums: &'a [f32],
    dw: &'a mut [f32],
}

impl WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        sized!(self.plan, |T, OUT, TAPS| {
            let _ = OUT;
            self.sized::<S, T, TAPS>(simd)
        });
    }
}

impl Finish<'_> {
    #[inline(always)]
    fn sized<S: Simd, const T: usize, const TAPS: usize>(self, simd: S) {
        let Self { s, m, wide, sums, dw, .. } = self;
        let lanes = S::F32_LANES;
        for c in (0..s.c).step_by(lanes) {
            let mut half = [[simd.splat_f32s(0.0); TAPS]; T];
            for i in 0..T {
                let mut row = [simd.splat_f32s(0.0); T];
                for j in 0..T {
                    let from = ((i * T + j) * wide.m + m) * wide.c + c;
                    row[j] = S::as_simd_f32s(&sums[from..from + lanes]).0[0];
                }
                half[i] = output_1d::<S, T, TAPS>(simd, row);
            }
            for j in 0..TAPS {
                let mut column = [simd.splat_f32s(0.0); T];
                for i in 0..T {
                    column[i] = half[i][j];
                }
                let column = output_1d::<S, T, TAPS>(simd, column);
                for i in 0..TAPS {
                    let mut values = [0.0; 16];
                    S::as_mut_simd_f32s(&mut values[..lanes]).0[0] = column[i];
                    for (l, value) in values[..lanes.min(s.c - c)].iter().enumerate() {
                        dw[(c + l) * TAPS * TAPS + i * TAPS + j] = *value;
                    }
                }
            }
        }
    }
}
