//! The gradient by the weights, in general.

use super::Shape;
use crate::cpu::planes::Planes;
use crate::cpu::tile::{self, Steps, Tile};
use crate::cpu::turn::turn;
use crate::cpu::{Isa, par};
use pulp::{Simd, WithSimd};

/// As [`super::backward_w`]: a product over places, of outputs' gradients and of maps blocked by a tile's width.
pub fn backward_w(isa: Isa, s: &Shape, x: &[f32], dz: &[f32], dw: &mut [f32]) {
    let width = isa.tile().1 * isa.lanes();
    let taps = s.kh * s.kw;
    // Columns of the product, in blocks of a tile's width: maps of one tap or, if they are few, (map, tap) pairs.
    let few = s.c * 2 <= width;
    let blocks = if few { s.depth().div_ceil(width) } else { s.c.div_ceil(width) };
    // Cut where the larger part is the smaller share.
    let panels = s.m.div_ceil(isa.tile().0);
    let by_columns = blocks.div_ceil(par::threads()) * panels <= panels.div_ceil(par::threads()) * blocks;
    let cuts = par::threads().min(if by_columns { blocks } else { panels });
    let dw = par::Shared::new(dw);
    par::each(cuts, s.macs(), |cut| {
        let tall = isa.tile().0;
        let (blocks, rows) = if by_columns {
            (par::part(blocks, cuts, cut), 0..s.m)
        } else {
            let panels = par::part(panels, cuts, cut);
            (0..blocks, panels.start * tall..(panels.end * tall).min(s.m))
        };
        let size = s.oh() * s.ow();
        let [top, left, bottom, right] = s.padding;
        let planes = Planes::new(s);
        let plane = if few { size } else { (s.h + top + bottom) * (s.w + left + right) };
        let tall_rows = rows.len().next_multiple_of(4);
        let sizes = [
            tile::panels_len(rows.len(), size),
            blocks.len() * plane * width,
            blocks.len() * if few { 1 } else { taps } * tall_rows * width,
            if few { planes.len(s.c) } else { 0 },
        ];
        par::scratch(sizes, |[a, b, sums, padded]| {
            isa.run(Weights { isa, s, x, dz, dw, few, blocks, rows, taps, a, b, sums, padded });
        });
    });
}

struct Weights<'a> {
    isa: Isa,
    s: &'a Shape,
    x: &'a [f32],
    dz: &'a [f32],
    dw: par::Shared<'a>,
    few: bool,
    blocks: core::ops::Range<usize>,
    rows: core::ops::Range<usize>,
    taps: usize,
    a: &'a mut [f32],
    b: &'a mut [f32],
    sums: &'a mut [f32],
    padded: &'a mut [f32],
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { isa, s, few, taps, a, b, sums, padded, .. } = self;
        let (oh, ow) = (s.oh(), s.ow());
        let size = oh * ow;
        let width = isa.tile().1 * S::F32_LANES;
        let [top, left, bottom, right] = s.padding;
        let (hp, wp) = (s.h + top + bottom, s.w + left + right);
        let rows = self.rows.len();
        let planes = Planes::new(s);
        let offsets = planes.steps(s);
        let table: Vec<u32> = if few {
            (0..size).map(|p| (p * width) as u32).collect()
        } else {
            (0..size).map(|p| ((p / ow * s.stride[0] * wp + p % ow * s.stride[1]) * width) as u32).collect()
        };
        let taps_of = if few { 1 } else { taps };
        let block_len = if few { size * width } else { hp * wp * width };
        let tall_rows = rows.next_multiple_of(4);
        {
            if !few {
                b.fill(0.0);
            }
            for n in 0..s.n {
                let x = &self.x[n * s.x_step..];
                let dz = &self.dz[n * s.y_step + self.rows.start * size..];
                tile::pack_rows(isa, dz, rows, size, size, a);
                if few {
                    planes.fill(s, x, padded);
                }
                for (i, block) in self.blocks.clone().enumerate() {
                    let b = &mut b[i * block_len..][..block_len];
                    if few {
                        let steps = &offsets[block * width..(block * width + width).min(offsets.len())];
                        for (p, row) in b.chunks_exact_mut(width).enumerate() {
                            let from = &padded[planes.row(s, p / ow) + p % ow..];
                            for (to, step) in row.iter_mut().zip(steps) {
                                *to = from[*step as usize];
                            }
                            row[steps.len()..].fill(0.0);
                        }
                    } else {
                        let maps = width.min(s.c - block * width);
                        for y in 0..s.h {
                            let to = &mut b[((y + top) * wp + left) * width..][..s.w * width];
                            turn(&x[(block * width * s.h + y) * s.w..], s.h * s.w, [maps, s.w], to, width);
                        }
                    }
                    let columns = width.min(if few { s.depth() } else { s.c } - block * width);
                    for tap in 0..taps_of {
                        let base = (tap / s.kw * wp + tap % s.kw) * width;
                        let sums = &mut sums[(i * taps_of + tap) * tall_rows * width..][..tall_rows * width];
                        let mut m = 0;
                        while m < rows {
                            let tall = tile::panel_rows(isa, rows, m);
                            Tile {
                                rows: tall,
                                vectors: columns.div_ceil(S::F32_LANES),
                                depth: size,
                                a: &a[tile::panel_start(m, size)..],
                                a_step: None,
                                b: &b[base..],
                                steps: Steps::Table(&table),
                                out: &mut sums[m * width..],
                                stride: width,
                                add: n > 0,
                            }
                            .run(simd);
                            m += tall;
                        }
                    }
                }
            }
            for (i, block) in self.blocks.clone().enumerate() {
                for m in 0..rows {
                    let start = (self.rows.start + m) * s.depth();
                    if few {
                        let count = width.min(s.depth() - block * width);
                        let from = &sums[(i * tall_rows + m) * width..][..count];
                        let start = start + block * width;
                        // SAFETY: a task has its rows and blocks to itself.
                        unsafe { self.dw.part(start..start + count) }.copy_from_slice(from);
                    } else {
                        let maps = width.min(s.c - block * width);
                        let start = start + block * width * taps;
                        // SAFETY: as above.
                        let to = unsafe { self.dw.part(start..start + maps * taps) };
                        for tap in 0..taps {
                            let from = &sums[((i * taps + tap) * tall_rows + m) * width..][..maps];
                            for (to, value) in to.iter_mut().skip(tap).step_by(taps).zip(from) {
                                *to = *value;
                            }
                        }
                    }
                }
            }
        }
    }
}
