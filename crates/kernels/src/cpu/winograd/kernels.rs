//! Weights, transformed.

use super::{Plan, kernel_1d, sized};
use crate::cpu::conv::Shape;
use crate::cpu::tile::CHUNK;
use crate::cpu::{Isa, par};
use pulp::{Simd, WithSimd};

/// Weights `[M, C, taps, taps]`, or `[C, M, taps, taps]` each turned by half a turn (`turned`), transformed: for each
/// product, columns of outputs in blocks of a tile's width.
pub fn pack(isa: Isa, s: &Shape, plan: Plan, weight: &[f32], turned: bool) -> Vec<f32> {
    let width = isa.tile().1 * isa.lanes();
    let deep = s.c.next_multiple_of(CHUNK);
    let blocks = s.m.div_ceil(width);
    let mut packed = vec![0.0; plan.t * plan.t * blocks * deep * width];
    let out = par::Shared::new(&mut packed);
    par::each(blocks, s.c * s.m * plan.t * plan.t, |block| {
        isa.run(Kernels { isa, s, plan, weight, turned, block, blocks, out });
    });
    packed
}

struct Kernels<'a> {
    isa: Isa,
    s: &'a Shape,
    plan: Plan,
    weight: &'a [f32],
    turned: bool,
    block: usize,
    blocks: usize,
    out: par::Shared<'a>,
}

impl WithSimd for Kernels<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        sized!(self.plan, |T, _OUT, TAPS| self.sized::<S, T, TAPS>(simd));
    }
}

impl Kernels<'_> {
    #[inline(always)]
    fn sized<S: Simd, const T: usize, const TAPS: usize>(self, simd: S) {
        let Self { isa, s, weight, turned, block, blocks, out, .. } = self;
        let lanes = S::F32_LANES;
        let width = isa.tile().1 * lanes;
        let deep = s.c.next_multiple_of(CHUNK);
        let area = TAPS * TAPS;
        for c in 0..s.c {
            for v in 0..width / lanes {
                let m = block * width + v * lanes;
                let mut kernel = [[simd.splat_f32s(0.0); TAPS]; TAPS];
                for i in 0..TAPS {
                    for j in 0..TAPS {
                        let mut values = [0.0; 16];
                        for (l, value) in values[..lanes].iter_mut().enumerate() {
                            if m + l < s.m {
                                *value = if turned {
                                    weight[(c * s.m + m + l) * area + area - 1 - (i * TAPS + j)]
                                } else {
                                    weight[((m + l) * s.c + c) * area + i * TAPS + j]
                                };
                            }
                        }
                        kernel[i][j] = S::as_simd_f32s(&values[..lanes]).0[0];
                    }
                }
                let mut half = [[simd.splat_f32s(0.0); TAPS]; T];
                for j in 0..TAPS {
                    let mut column = [simd.splat_f32s(0.0); TAPS];
                    for i in 0..TAPS {
                        column[i] = kernel[i][j];
                    }
                    let column = kernel_1d::<S, T, TAPS>(simd, column);
                    for i in 0..T {
                        half[i][j] = column[i];
                    }
                }
                for i in 0..T {
                    let row = kernel_1d::<S, T, TAPS>(simd, half[i]);
                    for j in 0..T {
                        let at = (((i * T + j) * blocks + block) * deep + c) * width + v * lanes;
                        // SAFETY: a task has its block to itself.
                        let to = unsafe { out.part(at..at + lanes) };
                        S::as_mut_simd_f32s(to).0[0] = row[j];
                    }
                }
            }
        }
    }
}
