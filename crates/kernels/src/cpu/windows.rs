//! Windows over a map, as vectors.
//!
//! A map's columns are dealt out by their remainder modulo the stride first, so that what neighbouring windows read lies
//! side by side; then windows are vectors, and all steps happen within the first two levels of cache.

use super::vector;
use pulp::Simd;

/// Vectors of any kind may read and write so much beyond the last value of a dealt map.
const SLACK: usize = 16;

/// Windows over a map.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// Rows and columns that go in.
    pub input: [usize; 2],
    /// Rows and columns that go out.
    pub output: [usize; 2],
    /// Side of a window.
    pub size: usize,
    /// Step between windows.
    pub stride: usize,
}

impl Windows {
    /// Over a map of `input`. With `ceil`, a last window that begins within the map and hangs over its edge counts.
    ///
    /// # Panics
    /// If no window fits.
    pub fn new(input: [usize; 2], size: usize, stride: usize, ceil: bool) -> Self {
        let output = input.map(|len| {
            let steps = if ceil {
                assert!(len + stride > size, "a window of {size} doesn't fit {len}");
                let steps = (len + stride - 1 - size) / stride;
                if steps * stride >= len { steps - 1 } else { steps }
            } else {
                assert!(len >= size, "a window of {size} doesn't fit {len}");
                (len - size) / stride
            };
            steps + 1
        });
        Self { input, output, size, stride }
    }

    pub(super) fn read(self) -> usize {
        self.input[0] * self.input[1]
    }

    pub(super) fn made(self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Columns of each remainder that windows read.
    pub(super) fn columns(self) -> usize {
        self.output[1] + (self.size - 1) / self.stride
    }

    /// Columns of each remainder that there is room for.
    pub(super) fn pitch(self) -> usize {
        self.columns().max(self.input[1].div_ceil(self.stride)).next_multiple_of(16)
    }

    /// Numbers of a dealt map.
    pub(super) fn dealt(self) -> usize {
        self.input[0] * self.stride * self.pitch() + SLACK
    }

    /// Where the values lie in a dealt map that windows of row `oy` read at (`ky`, `kx`).
    pub(super) fn at(self, oy: usize, ky: usize, kx: usize) -> usize {
        ((oy * self.stride + ky) * self.stride + kx % self.stride) * self.pitch() + kx / self.stride
    }

    /// Rows of the map under windows of row `oy`.
    pub(super) fn rows(self, oy: usize) -> usize {
        self.size.min(self.input[0] - oy * self.stride)
    }

    /// 1 / columns under each window; a row of it is a pitch long.
    pub(super) fn shares(self, shares: &mut [f32]) {
        let [_, w] = self.input;
        for (ox, share) in shares.iter_mut().enumerate() {
            *share = 1.0 / self.size.min(w.saturating_sub(ox * self.stride).max(1)) as f32;
        }
    }

    /// Deals the columns of `map` out, `neutral` beyond the edge.
    #[inline(always)]
    pub(super) fn deal<S: Simd>(self, _: S, map: &[f32], neutral: f32, dealt: &mut [f32]) {
        let ([_, w], pitch) = (self.input, self.pitch());
        let mut start = 0;
        for rows in dealt[..self.input[0] * self.stride * pitch].chunks_exact_mut(self.stride * pitch) {
            match self.stride {
                1 => rows[..w].copy_from_slice(&map[start..start + w]),
                2 => {
                    let (even, odd) = rows.split_at_mut(pitch);
                    // Whole vectors as far as the map goes: what belongs to the next row is overwritten below. Pair by
                    // pair: of a loop over vectors within the loop over chunks the compiler makes gathers.
                    let pairs = w.div_ceil(2).next_multiple_of(16).min((map.len() - start) / 2);
                    let from = map[start..][..2 * pairs].as_chunks::<2>().0;
                    for ((pair, even), odd) in from.iter().zip(&mut *even).zip(odd) {
                        *even = pair[0];
                        *odd = pair[1];
                    }
                    if 2 * pairs < w {
                        even[pairs] = map[start + w - 1];
                    }
                }
                stride => {
                    for x in 0..w {
                        rows[x % stride * pitch + x / stride] = map[start + x];
                    }
                }
            }
            for (phase, row) in rows.chunks_exact_mut(pitch).enumerate() {
                let there = w.saturating_sub(phase).div_ceil(self.stride);
                if let Some(beyond) = row.get_mut(there..self.columns()) {
                    beyond.fill(neutral);
                }
            }
            start += w;
        }
    }

    /// The other way: what [`Self::deal`] dealt out.
    #[inline(always)]
    pub(super) fn collect<S: Simd>(self, _: S, dealt: &[f32], map: &mut [f32]) {
        let ([_, w], pitch) = (self.input, self.pitch());
        let mut start = 0;
        for rows in dealt[..self.input[0] * self.stride * pitch].chunks_exact(self.stride * pitch) {
            match self.stride {
                1 => map[start..start + w].copy_from_slice(&rows[..w]),
                2 => {
                    let (even, odd) = rows.split_at(pitch);
                    // Whole vectors as far as the map goes: the next row overwrites what is its own.
                    let pairs = w.div_ceil(2).next_multiple_of(16).min((map.len() - start) / 2);
                    let to = map[start..][..2 * pairs].as_chunks_mut::<2>().0;
                    for ((pair, even), odd) in to.iter_mut().zip(even).zip(odd) {
                        *pair = [*even, *odd];
                    }
                    if 2 * pairs < w {
                        map[start + w - 1] = even[pairs];
                    }
                }
                stride => {
                    for x in 0..w {
                        map[start + x] = rows[x % stride * pitch + x / stride];
                    }
                }
            }
            start += w;
        }
    }

    /// Reduces windows of a dealt map by `reduce`; `finish(oy, ox, value)` makes what goes to `out`.
    #[inline(always)]
    pub(super) fn reduce<S: Simd>(
        self,
        simd: S,
        dealt: &[f32],
        out: &mut [f32],
        reduce: impl Fn(S::f32s, S::f32s) -> S::f32s,
        finish: impl Fn(usize, usize, S::f32s) -> S::f32s,
    ) {
        let ow = self.output[1];
        self.each_vector(
            simd,
            #[inline(always)]
            |oy, ox| {
                let mut value = vector::load(simd, dealt, self.at(oy, 0, 0) + ox);
                for ky in 0..self.rows(oy) {
                    for kx in usize::from(ky == 0)..self.size {
                        value = reduce(value, vector::load(simd, dealt, self.at(oy, ky, kx) + ox));
                    }
                }
                let value = finish(oy, ox, value);
                // What reaches beyond the row is overwritten by the next one.
                vector::store_some(simd, out, oy * ow + ox, value);
            },
        );
    }

    /// `f(oy, ox)` for each vector of windows.
    #[inline(always)]
    pub(super) fn each_vector<S: Simd>(self, _: S, mut f: impl FnMut(usize, usize)) {
        for oy in 0..self.output[0] {
            for ox in (0..self.output[1]).step_by(S::F32_LANES) {
                f(oy, ox);
            }
        }
    }

    /// The vector of `made` at (`oy`, `ox`), zeros beyond the row.
    #[inline(always)]
    pub(super) fn load_made<S: Simd>(self, simd: S, made: &[f32], oy: usize, ox: usize) -> S::f32s {
        let ow = self.output[1];
        let at = oy * ow + ox;
        if ox + S::F32_LANES <= ow {
            vector::load(simd, made, at)
        } else {
            simd.partial_load_f32s(&made[at..oy * ow + ow])
        }
    }

    /// Adds `weight(oy, ox, dy)` to all values under each window, of a dealt map that holds zeros.
    #[inline(always)]
    pub(super) fn spread<S: Simd>(
        self,
        simd: S,
        dy: &[f32],
        dealt: &mut [f32],
        weight: impl Fn(usize, usize, S::f32s) -> S::f32s,
    ) {
        self.each_vector(
            simd,
            #[inline(always)]
            |oy, ox| {
                let value = weight(oy, ox, self.load_made(simd, dy, oy, ox));
                for ky in 0..self.rows(oy) {
                    for kx in 0..self.size {
                        let at = self.at(oy, ky, kx) + ox;
                        let sum = simd.add_f32s(vector::load(simd, dealt, at), value);
                        vector::store(simd, dealt, at, sum);
                    }
                }
            },
        );
    }
}
