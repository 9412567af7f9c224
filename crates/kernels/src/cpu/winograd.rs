//! Convolutions of stride 1 with 3x3 and 5x5 kernels by Winograd's minimal filtering (Lavin & Gray 2015): fewer
//! multiplications, at the price of transforms before and after.
//!
//! A tile of `T`x`T` inputs makes `OUT`x`OUT` outputs with `T`x`T` products for each pair of maps instead of
//! `OUT`x`OUT`x`TAPS`x`TAPS`. Points of interpolation: 0, ±1, ±2 and infinity for `T` = 6, and ±1/2 for `T` = 8.

use super::conv::Shape;
use super::tile::{self, CHUNK, Steps, Tile};
use super::{Isa, par};
use pulp::{Simd, WithSimd};

/// Which tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(super) t: usize,
    pub(super) out: usize,
    pub(super) taps: usize,
}

impl Plan {
    const ALL: [Self; 4] = [
        Self { t: 6, out: 4, taps: 3 },
        Self { t: 8, out: 6, taps: 3 },
        Self { t: 6, out: 2, taps: 5 },
        Self { t: 8, out: 4, taps: 5 },
    ];

    /// The tiles that promise to take least time for the convolution, if less than the sums themselves.
    pub fn of(s: &Shape) -> Option<Self> {
        Self::cheapest(s, 30)
    }

    /// As [`Plan::of`], for the gradient by the weights.
    pub fn of_weights(s: &Shape) -> Option<Self> {
        Self::cheapest(s, 60)
    }

    /// `weight` says how many multiply-accumulates take the time in which a weight comes from memory, or goes there.
    fn cheapest(s: &Shape, weight: usize) -> Option<Self> {
        let direct = s.kh * s.kw * (s.n * s.oh() * s.ow() + weight);
        let cost = |p: &Self| {
            let transforms = (p.t * p.t) * p.tiles(s) * 16 * (s.c + s.m) / (s.c * s.m);
            p.t * p.t * (p.tiles(s) + weight) + transforms
        };
        let fits = |p: &&Self| s.stride == [1; 2] && s.kh == p.taps && s.kw == p.taps && s.c.min(s.m) >= 16;
        Self::ALL
            .iter()
            .filter(fits)
            .map(|p| (cost(p), *p))
            .filter(|(cost, _)| *cost < direct)
            .min_by_key(|p| p.0)
            .map(|p| p.1)
    }

    /// Tiles down and across an image.
    pub(super) fn grid(&self, s: &Shape) -> [usize; 2] {
        [s.oh().div_ceil(self.out), s.ow().div_ceil(self.out)]
    }

    /// Tiles of all images.
    pub(super) fn tiles(&self, s: &Shape) -> usize {
        let [down, across] = self.grid(s);
        s.n * down * across
    }

    /// Height and width of the padded maps that the tiles cover.
    pub(super) fn covered(&self, s: &Shape) -> [usize; 2] {
        self.grid(s).map(|tiles| tiles * self.out + self.taps - 1)
    }
}

/// Runs `$body` with the plan's sizes as constants.
macro_rules! sized {
    ($plan:expr, |$t:ident, $out:ident, $taps:ident| $body:expr) => {
        match ($plan.t, $plan.taps) {
            (6, 3) => {
                const $t: usize = 6;
                const $out: usize = 4;
                const $taps: usize = 3;
                $body
            }
            (8, 3) => {
                const $t: usize = 8;
                const $out: usize = 6;
                const $taps: usize = 3;
                $body
            }
            (6, 5) => {
                const $t: usize = 6;
                const $out: usize = 2;
                const $taps: usize = 5;
                $body
            }
            _ => {
                const $t: usize = 8;
                const $out: usize = 4;
                const $taps: usize = 5;
                $body
            }
        }
    };
}

pub(super) use sized;

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

/// A kernel's values at the points, scaled so that the other transforms need no fractions.
#[inline(always)]
pub(super) fn kernel_1d<S: Simd, const T: usize, const TAPS: usize>(simd: S, g: [S::f32s; TAPS]) -> [S::f32s; T] {
    let mut out = [simd.splat_f32s(0.0); T];
    // The scale, and its point: the even powers' sum and the odd powers'.
    let pairs: [(f32, f32); 3] = if T == 6 {
        [(-1.0 / 6.0, 1.0), (1.0 / 24.0, 2.0), (0.0, 0.0)]
    } else {
        [(-2.0 / 9.0, 1.0), (1.0 / 90.0, 2.0), (32.0 / 45.0, 0.5)]
    };
    out[0] = simd.mul_f32s(g[0], simd.splat_f32s(if T == 6 { 0.25 } else { 1.0 }));
    for p in 0..(T - 2) / 2 {
        let (scale, point) = pairs[p];
        let (mut even, mut odd) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
        let mut power = scale;
        for (i, g) in g.iter().enumerate() {
            let term = simd.splat_f32s(power);
            if i % 2 == 0 {
                even = simd.mul_add_e_f32s(*g, term, even);
            } else {
                odd = simd.mul_add_e_f32s(*g, term, odd);
            }
            power *= point;
        }
        out[1 + 2 * p] = simd.add_f32s(even, odd);
        out[2 + 2 * p] = simd.sub_f32s(even, odd);
    }
    out[T - 1] = g[TAPS - 1];
    out
}

/// `T` inputs transformed.
#[inline(always)]
pub(super) fn input_1d<S: Simd, const T: usize>(simd: S, d: [S::f32s; T]) -> [S::f32s; T] {
    let mut out = [simd.splat_f32s(0.0); T];
    let k = |v: f32| simd.splat_f32s(v);
    if T == 6 {
        let (even, odd) = (fms(simd, k(-4.0), d[2], d[4]), fms(simd, k(-4.0), d[1], d[3]));
        let (even2, odd2) = (simd.sub_f32s(d[4], d[2]), simd.mul_f32s(k(2.0), simd.sub_f32s(d[3], d[1])));
        out[0] = fms(simd, k(-5.0), d[2], fms(simd, k(4.0), d[0], d[4]));
        out[1] = simd.add_f32s(even, odd);
        out[2] = simd.sub_f32s(even, odd);
        out[3] = simd.add_f32s(even2, odd2);
        out[4] = simd.sub_f32s(even2, odd2);
        out[5] = fms(simd, k(-5.0), d[3], fms(simd, k(4.0), d[1], d[5]));
    } else {
        let even = fms(simd, k(-4.25), d[4], simd.add_f32s(d[2], d[6]));
        let odd = fms(simd, k(-4.25), d[3], simd.add_f32s(d[1], d[5]));
        let even2 = fms(simd, k(0.25), d[2], fms(simd, k(-1.25), d[4], d[6]));
        let odd2 = fms(simd, k(0.5), d[1], fms(simd, k(-2.5), d[3], simd.mul_f32s(k(2.0), d[5])));
        let even3 = fms(simd, k(4.0), d[2], fms(simd, k(-5.0), d[4], d[6]));
        let odd3 = fms(simd, k(2.0), d[1], fms(simd, k(-2.5), d[3], simd.mul_f32s(k(0.5), d[5])));
        out[0] = fms(simd, k(5.25), simd.sub_f32s(d[4], d[2]), simd.sub_f32s(d[0], d[6]));
        out[1] = simd.add_f32s(even, odd);
        out[2] = simd.sub_f32s(even, odd);
        out[3] = simd.add_f32s(even2, odd2);
        out[4] = simd.sub_f32s(even2, odd2);
        out[5] = simd.add_f32s(even3, odd3);
        out[6] = simd.sub_f32s(even3, odd3);
        out[7] = fms(simd, k(5.25), simd.sub_f32s(d[3], d[5]), simd.sub_f32s(d[7], d[1]));
    }
    out
}

/// `a b + c`.
#[inline(always)]
fn fms<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(a, b, c)
}

/// `T` products made `OUT` outputs.
#[inline(always)]
pub(super) fn output_1d<S: Simd, const T: usize, const OUT: usize>(simd: S, m: [S::f32s; T]) -> [S::f32s; OUT] {
    let mut out = [simd.splat_f32s(0.0); OUT];
    let points: [f32; 3] = [1.0, 2.0, 0.5];
    let mut sums = [simd.splat_f32s(0.0); 3];
    let mut differences = [simd.splat_f32s(0.0); 3];
    for p in 0..(T - 2) / 2 {
        sums[p] = simd.add_f32s(m[1 + 2 * p], m[2 + 2 * p]);
        differences[p] = simd.sub_f32s(m[1 + 2 * p], m[2 + 2 * p]);
    }
    for (j, out) in out.iter_mut().enumerate() {
        let mut value = simd.splat_f32s(0.0);
        for p in 0..(T - 2) / 2 {
            let mut power = 1.0;
            for _ in 0..j {
                power *= points[p];
            }
            let part = if j % 2 == 0 { sums[p] } else { differences[p] };
            value = simd.mul_add_e_f32s(part, simd.splat_f32s(power), value);
        }
        *out = value;
    }
    out[0] = simd.add_f32s(out[0], m[0]);
    out[OUT - 1] = simd.add_f32s(out[OUT - 1], m[T - 1]);
    out
}

/// `y = x * w + b`, rectified or not, for weights that [`pack`] packed.
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

/// One image's maps with zeros around them, channels side by side in chunks: `[C / CHUNK, H, W, CHUNK]`.
#[inline(always)]
pub(super) fn spread(s: &Shape, x: &[f32], [hp, wp]: [usize; 2], maps: &mut [f32]) {
    let [top, left, ..] = s.padding;
    for (chunk, maps) in maps.chunks_exact_mut(hp * wp * CHUNK).enumerate() {
        maps.fill(0.0);
        let channels = CHUNK.min(s.c - chunk * CHUNK);
        for y in 0..s.h.min(hp - top) {
            let to = &mut maps[((y + top) * wp + left) * CHUNK..][..s.w * CHUNK];
            for c in 0..channels {
                let from = &x[((chunk * CHUNK + c) * s.h + y) * s.w..][..s.w];
                for (to, value) in to.chunks_exact_mut(CHUNK).zip(from) {
                    to[c] = *value;
                }
            }
        }
    }
}
