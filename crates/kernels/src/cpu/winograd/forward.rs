//! Inputs transformed, multiplied and transformed back.

use super::{Plan, input_1d, output_1d, sized, spread};
use crate::cpu::conv::Shape;
use crate::cpu::tile::{self, CHUNK, Steps, Tile};
use crate::cpu::{Isa, par};
use pulp::{Simd, WithSimd};

/// `y = x * w + b`, rectified or not, for weights that [`pack`] packed.
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
    let width = isa.tile().1 * isa.lanes();
    let [down, across] = plan.grid(s);
    let [hp, wp] = plan.covered(s);
    let (threads, per_image) = (par::threads(), down * across);
    // Images whose tiles go through together: enough to meet the weights often, few enough to stay near.
    let group = 96_usize.div_ceil(per_image).min(s.n.div_ceil(threads)).max(1);
    let groups = s.n.div_ceil(group);
    let blocks = s.m.div_ceil(width);
    // With fewer groups than threads, the outputs are shared out, and each thread transforms all inputs.
    let cuts = if groups >= threads { 1 } else { threads.min(blocks) };
    let deep = s.c.next_multiple_of(CHUNK);
    let y = par::Shared::new(y);
    let products = plan.t * plan.t;
    par::each(groups * cuts, s.macs() / 4, |task| {
        let first = task / cuts * group;
        let images = group.min(s.n - first);
        let blocks = par::part(blocks, cuts, task % cuts);
        let tiles = images * per_image;
        let wide = blocks.len() * width;
        let sizes = [
            deep * hp * wp,
            products * tile::panels_len(tiles, deep),
            products * tiles.next_multiple_of(4) * wide,
            plan.out * across * plan.out * width,
        ];
        par::scratch(sizes, |[maps, inputs, sums, strip]| {
            let x = &x[first * s.x_step..];
            let y_start = first * s.y_step;
            isa.run(Forward {
                isa,
                s,
                plan,
                x,
                packed,
                bias,
                relu,
                y,
                y_start,
                images,
                blocks,
                maps,
                inputs,
                sums,
                strip,
            });
        });
    });
}

struct Forward<'a> {
    isa: Isa,
    s: &'a Shape,
    plan: Plan,
    x: &'a [f32],
    packed: &'a [f32],
    bias: Option<&'a [f32]>,
    relu: bool,
    y: par::Shared<'a>,
    y_start: usize,
    images: usize,
    blocks: core::ops::Range<usize>,
    /// One image's padded maps, `[C / CHUNK, H, W, CHUNK]`.
    maps: &'a mut [f32],
    /// Transformed inputs: for each product, panels of tiles.
    inputs: &'a mut [f32],
    /// For each product, `[tiles, outputs]`.
    sums: &'a mut [f32],
    /// A row of tiles' outputs, `[OUT, W, lanes]`.
    strip: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        sized!(self.plan, |T, OUT, TAPS| {
            let _ = TAPS;
            self.sized::<S, T, OUT>(simd)
        });
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn sized<S: Simd, const T: usize, const OUT: usize>(self, simd: S) {
        let Self { isa, s, plan, x, packed, bias, relu, y, y_start, images, ref blocks, maps, inputs, sums, strip } =
            self;
        let lanes = S::F32_LANES;
        let (tall, vectors) = isa.tile();
        let width = vectors * lanes;
        let [down, across] = plan.grid(s);
        let [hp, wp] = plan.covered(s);
        let deep = s.c.next_multiple_of(CHUNK);
        let tiles = images * down * across;
        let panels = tile::panels_len(tiles, deep);
        for n in 0..images {
            spread(s, &x[n * s.x_step..], [hp, wp], maps);
            for t in 0..down * across {
                let (ty, tx) = (t / across, t % across);
                let tile = n * down * across + t;
                let (first, row) = (tile / tall * tall, tile % tall);
                let rows = tile::panel_rows(isa, tiles, first);
                for c in 0..deep / lanes {
                    // Channels `c * lanes..`: part `at` of chunk `chunk`.
                    let (chunk, at) = (c * lanes / CHUNK, c * lanes % CHUNK);
                    let from = &maps[((chunk * hp + ty * OUT) * wp + tx * OUT) * CHUNK + at..];
                    assert!(from.len() >= ((T - 1) * wp + T - 1) * CHUNK + lanes);
                    let mut d = [[simd.splat_f32s(0.0); T]; T];
                    for i in 0..T {
                        for j in 0..T {
                            // SAFETY: asserted above.
                            d[i][j] =
                                unsafe { from.as_ptr().add((i * wp + j) * CHUNK).cast::<S::f32s>().read_unaligned() };
                        }
                        d[i] = input_1d::<S, T>(simd, d[i]);
                    }
                    let to = tile::panel_start(first, deep) + (chunk * rows + row) * CHUNK + at;
                    assert!((T * T - 1) * panels + to + lanes <= inputs.len());
                    for j in 0..T {
                        let mut column = [simd.splat_f32s(0.0); T];
                        for i in 0..T {
                            column[i] = d[i][j];
                        }
                        let column = input_1d::<S, T>(simd, column);
                        for i in 0..T {
                            // SAFETY: asserted above.
                            unsafe {
                                let to = inputs.as_mut_ptr().add((i * T + j) * panels + to);
                                to.cast::<S::f32s>().write_unaligned(column[i]);
                            }
                        }
                    }
                }
            }
        }
        let (wide, tall_tiles) = (blocks.len() * width, tiles.next_multiple_of(4));
        let all_blocks = s.m.div_ceil(width);
        for product in 0..T * T {
            for (i, block) in blocks.clone().enumerate() {
                let b = &packed[(product * all_blocks + block) * deep * width..][..deep * width];
                let mut first = 0;
                while first < tiles {
                    let rows = tile::panel_rows(isa, tiles, first);
                    Tile {
                        rows,
                        vectors,
                        depth: deep,
                        a: &inputs[product * panels + tile::panel_start(first, deep)..],
                        a_step: None,
                        b,
                        steps: Steps::Even(width),
                        out: &mut sums[(product * tall_tiles + first) * wide + i * width..],
                        stride: wide,
                        add: false,
                    }
                    .run(simd);
                    first += rows;
                }
            }
        }
        let floor = simd.splat_f32s(if relu { 0.0 } else { f32::NEG_INFINITY });
        let (oh, ow) = (s.oh(), s.ow());
        let strip_row = across * OUT * lanes;
        for n in 0..images {
            for ty in 0..down {
                for v in 0..wide / lanes {
                    let m = blocks.start * width + v * lanes;
                    if m >= s.m {
                        continue;
                    }
                    let mut b = [0.0; 16];
                    if let Some(bias) = bias {
                        let count = lanes.min(s.m - m);
                        b[..count].copy_from_slice(&bias[m..m + count]);
                    }
                    let b = S::as_simd_f32s(&b[..lanes]).0[0];
                    for tx in 0..across {
                        let from = ((n * down + ty) * across + tx) * wide + v * lanes;
                        assert!((T * T - 1) * tall_tiles * wide + from + lanes <= sums.len());
                        let mut half = [[simd.splat_f32s(0.0); OUT]; T];
                        for i in 0..T {
                            let mut row = [simd.splat_f32s(0.0); T];
                            for j in 0..T {
                                // SAFETY: asserted above.
                                unsafe {
                                    let from = sums.as_ptr().add((i * T + j) * tall_tiles * wide + from);
                                    row[j] = from.cast::<S::f32s>().read_unaligned();
                                }
                            }
                            half[i] = output_1d::<S, T, OUT>(simd, row);
                        }
                        for j in 0..OUT {
                            let mut column = [simd.splat_f32s(0.0); T];
                            for i in 0..T {
                                column[i] = half[i][j];
                            }
                            let column = output_1d::<S, T, OUT>(simd, column);
                            for i in 0..OUT {
                                let value = simd.max_f32s(simd.add_f32s(column[i], b), floor);
                                let to = &mut strip[i * strip_row + (tx * OUT + j) * lanes..][..lanes];
                                S::as_mut_simd_f32s(to).0[0] = value;
                            }
                        }
                    }
                    let high = OUT.min(oh - ty * OUT);
                    for l in 0..lanes.min(s.m - m) {
                        let start = y_start + n * s.y_step + (m + l) * oh * ow + ty * OUT * ow;
                        // SAFETY: a task has its images' outputs of its blocks to itself.
                        let to = unsafe { y.part(start..start + high * ow) };
                        for (row, from) in to.chunks_exact_mut(ow).zip(strip.chunks_exact(strip_row)) {
                            for (to, from) in row.iter_mut().zip(from.chunks_exact(lanes)) {
                                *to = from[l];
                            }
                        }
                    }
                }
            }
        }
    }
}
