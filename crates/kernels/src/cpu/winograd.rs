//! Convolutions of stride 1 with 3x3 and 5x5 kernels by Winograd's minimal filtering (Lavin & Gray 2015): fewer
//! multiplications, at the price of transforms before and after.
//!
//! A tile of `T`x`T` inputs makes `OUT`x`OUT` outputs with `T`x`T` products for each pair of maps instead of
//! `OUT`x`OUT`x`TAPS`x`TAPS`. Points of interpolation: 0, ±1, ±2 and infinity for `T` = 6, and ±1/2 for `T` = 8.
#![allow(clippy::needless_range_loop)] // a row here is a column there: indices say it better than iterators

use super::conv::Shape;
use super::tile::CHUNK;
use super::turn::turn;
use super::vector;
use pulp::Simd;

mod forward;
mod kernels;
mod weights;

pub use forward::forward;
pub use kernels::pack;
pub use weights::backward as backward_w;

/// Which tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    t: usize,
    out: usize,
    taps: usize,
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
        Self::cheapest(s, s.kh * s.kw, 30)
    }

    /// As [`Plan::of`], for the gradient by the weights.
    pub fn of_weights(s: &Shape) -> Option<Self> {
        Self::cheapest(s, s.kh * s.kw, 60)
    }

    /// As [`Plan::of`], for the folded convolution `f` of one that steps, `s`, or for the way back through it.
    pub fn of_folded(f: &Shape, s: &Shape) -> Option<Self> {
        Self::cheapest(f, s.kh * s.kw / (s.stride[0] * s.stride[1]), 30)
    }

    /// As [`Plan::of_folded`], for the gradient by the weights.
    pub fn of_folded_weights(f: &Shape, s: &Shape) -> Option<Self> {
        Self::cheapest(f, s.kh * s.kw / (s.stride[0] * s.stride[1]), 60)
    }

    /// `taps` are those of each pair of maps if there is no filtering.
    ///
    /// `weight` says how many multiply-accumulates take the time in which a weight comes from memory, or goes there.
    /// 30 is 4 bytes at 15 GB/s against 118e9 multiply-accumulates a second, read off one machine; a gradient goes there and
    /// back. A guess for other machines: it moves the choice, not the result's tolerance.
    fn cheapest(s: &Shape, taps: usize, weight: usize) -> Option<Self> {
        let direct = taps * (s.n * s.oh() * s.ow() + weight);
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
    fn grid(&self, s: &Shape) -> [usize; 2] {
        [s.oh().div_ceil(self.out), s.ow().div_ceil(self.out)]
    }

    /// Tiles of all images.
    fn tiles(&self, s: &Shape) -> usize {
        let [down, across] = self.grid(s);
        s.n * down * across
    }

    /// Height and width of the padded maps that the tiles cover.
    fn covered(&self, s: &Shape) -> [usize; 2] {
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

use sized;

/// A kernel's values at the points, scaled so that the other transforms need no fractions.
#[inline(always)]
fn kernel_1d<S: Simd, const T: usize, const TAPS: usize>(simd: S, g: [S::f32s; TAPS]) -> [S::f32s; T] {
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
                even = vector::mul_add(simd, *g, term, even);
            } else {
                odd = vector::mul_add(simd, *g, term, odd);
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
fn input_1d<S: Simd, const T: usize>(simd: S, d: [S::f32s; T]) -> [S::f32s; T] {
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
    vector::mul_add(simd, a, b, c)
}

/// `T` products made `OUT` outputs.
#[inline(always)]
fn output_1d<S: Simd, const T: usize, const OUT: usize>(simd: S, m: [S::f32s; T]) -> [S::f32s; OUT] {
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
            value = vector::mul_add(simd, part, simd.splat_f32s(power), value);
        }
        *out = value;
    }
    out[0] = simd.add_f32s(out[0], m[0]);
    out[OUT - 1] = simd.add_f32s(out[OUT - 1], m[T - 1]);
    out
}

/// One image's maps with zeros around them, channels side by side in chunks: `[C / CHUNK, H, W, CHUNK]`.
#[inline(always)]
fn spread(s: &Shape, x: &[f32], [hp, wp]: [usize; 2], maps: &mut [f32]) {
    let [top, left, ..] = s.padding;
    for (chunk, maps) in maps.chunks_exact_mut(hp * wp * CHUNK).enumerate() {
        maps.fill(0.0);
        let channels = CHUNK.min(s.c - chunk * CHUNK);
        for y in 0..s.h.min(hp - top) {
            let to = &mut maps[((y + top) * wp + left) * CHUNK..][..s.w * CHUNK];
            turn(&x[(chunk * CHUNK * s.h + y) * s.w..], s.h * s.w, [channels, s.w], to, CHUNK);
        }
    }
}
