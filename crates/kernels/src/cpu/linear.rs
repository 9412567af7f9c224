//! Fully connected layers. At the batches of inference they wait for their weights to come from memory: each weight is
//! read once, in order, for all images.

use super::tile::{self, CHUNK, Steps, Tile};
use super::{Isa, par, vector};
use pulp::{Simd, WithSimd};

/// `y = x w^T + b` for `x` `[n, k]`, `weight` `[m, k]`, `bias` `[m]` or none.
pub fn forward(isa: Isa, [n, m, k]: [usize; 3], x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    // Rows of weights that are worth a task of their own.
    let rows = (1_usize << 17).div_ceil(k).clamp(24, m.div_ceil(par::threads()).max(24)).next_multiple_of(24);
    let y = par::Shared::new(y);
    par::each(m.div_ceil(rows), n * m * k, |task| {
        let rows = task * rows..(task * rows + rows).min(m);
        par::scratch([rows.len() * n], |[sums]| {
            let weight = &weight[rows.start * k..rows.end * k];
            isa.run(Dots { n, k, x: &x[..n * k], weight, sums });
            for (i, x) in sums.chunks_exact(rows.len()).enumerate() {
                // SAFETY: a task has its units to itself.
                let y = unsafe { y.part(i * m + rows.start..i * m + rows.end) };
                y.copy_from_slice(x);
                if let Some(bias) = bias {
                    for (y, b) in y.iter_mut().zip(&bias[rows.clone()]) {
                        *y += b;
                    }
                }
            }
        });
    });
}

/// `sums[i][r] = x_i . weight_r`.
struct Dots<'a> {
    n: usize,
    k: usize,
    x: &'a [f32],
    weight: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let rows = self.weight.len() / self.k;
        // With many images, a block of the weights stays near for all of them.
        let block = if self.n > 8 { 2048 } else { self.k };
        let mut from = 0;
        while from < self.k {
            let to = (from + block).min(self.k);
            let mut i = 0;
            while i < self.n {
                let images = match self.n - i {
                    8.. => 8,
                    4.. => 4,
                    rest => rest.min(2),
                };
                let mut r = 0;
                while r < rows {
                    let left = rows - r;
                    match (images, left) {
                        (8, 3..) => r += self.dots::<S, 8, 3>(simd, i, r, from, to),
                        (8, _) => r += self.dots::<S, 8, 1>(simd, i, r, from, to),
                        (4, 4..) => r += self.dots::<S, 4, 4>(simd, i, r, from, to),
                        (4, _) => r += self.dots::<S, 4, 1>(simd, i, r, from, to),
                        (2, 4..) => r += self.dots::<S, 2, 4>(simd, i, r, from, to),
                        (2, _) => r += self.dots::<S, 2, 1>(simd, i, r, from, to),
                        (_, 8..) => r += self.dots::<S, 1, 8>(simd, i, r, from, to),
                        (_, _) => r += self.dots::<S, 1, 1>(simd, i, r, from, to),
                    }
                }
                i += images;
            }
            from = to;
        }
    }
}

impl Dots<'_> {
    /// Images `i..`, rows `r..`, products `from..to`. Returns the number of rows.
    #[inline(always)]
    fn dots<S: Simd, const IMAGES: usize, const ROWS: usize>(
        &mut self,
        simd: S,
        i: usize,
        r: usize,
        from: usize,
        to: usize,
    ) -> usize {
        let k = self.k;
        let (len, rows) = (to - from, self.weight.len() / k);
        let whole = len / S::F32_LANES;
        let rest = len - whole * S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); ROWS]; IMAGES];
        let mut x = [&self.x[..0]; IMAGES];
        for (i, x) in (i..).zip(x.iter_mut()) {
            *x = &self.x[i * k + from..][..len];
        }
        let mut w = [&self.weight[..0]; ROWS];
        for (r, w) in (r..).zip(w.iter_mut()) {
            *w = &self.weight[r * k + from..][..len];
        }
        for v in 0..whole {
            let at = v * S::F32_LANES;
            let mut weights = [simd.splat_f32s(0.0); ROWS];
            for (vector, w) in weights.iter_mut().zip(w) {
                // SAFETY: `at` and a vector lie within `len`.
                *vector = unsafe { w.as_ptr().add(at).cast::<S::f32s>().read_unaligned() };
            }
            for (sums, x) in sums.iter_mut().zip(x) {
                // SAFETY: as above.
                let x = unsafe { x.as_ptr().add(at).cast::<S::f32s>().read_unaligned() };
                for (sum, w) in sums.iter_mut().zip(weights) {
                    *sum = vector::mul_add(simd, x, w, *sum);
                }
            }
        }
        if rest > 0 {
            for (sums, x) in sums.iter_mut().zip(x) {
                let x = simd.partial_load_f32s(&x[len - rest..]);
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = vector::mul_add(simd, x, simd.partial_load_f32s(&w[len - rest..]), *sum);
                }
            }
        }
        for (i, sums) in (i..).zip(sums) {
            for (r, sum) in (r..).zip(sums) {
                let sum = simd.reduce_sum_f32s(sum);
                let to = &mut self.sums[i * rows + r];
                *to = if from > 0 { *to + sum } else { sum };
            }
        }
        ROWS
    }
}

/// The gradient by `x`: `dz w`, `[n, k]`, for `dz` `[n, m]`.
pub fn backward_x(isa: Isa, [n, m, k]: [usize; 3], weight: &[f32], dz: &[f32], dx: &mut [f32]) {
    let lanes = isa.lanes();
    let width = isa.tile().1 * lanes;
    let mut a = vec![0.0; tile::panels_len(n, m)];
    tile::pack_rows(isa, dz, n, m, m, &mut a);
    // Columns that a task takes: a page of each row of weights, and a part of them at least for each thread.
    let columns = k.div_ceil(par::threads()).next_multiple_of(width).min(1024);
    let dx = par::Shared::new(dx);
    par::each(k.div_ceil(columns), n * m * k, |task| {
        let (first, last) = (task * columns, (task * columns + columns).min(k));
        let rows = n.next_multiple_of(4);
        let padded = (last - first).next_multiple_of(lanes);
        // Where a vector would reach beyond a row of weights, the rows are copied.
        let copied = if padded == last - first { 0 } else { m * padded };
        par::scratch([rows * padded, copied], |[sums, rows_of_weights]| {
            let (b, stride) = if copied == 0 {
                (&weight[first..], k)
            } else {
                for (to, from) in rows_of_weights.chunks_exact_mut(padded).zip(weight.chunks_exact(k)) {
                    to[..last - first].copy_from_slice(&from[first..last]);
                    to[last - first..].fill(0.0);
                }
                (&*rows_of_weights, padded)
            };
            isa.run(Across { isa, n, m, a: &a, b, stride, padded, sums });
            for (i, sums) in sums.chunks_exact(padded).take(n).enumerate() {
                // SAFETY: a task has its columns to itself.
                unsafe { dx.part(i * k + first..i * k + last) }.copy_from_slice(&sums[..last - first]);
            }
        });
    });
}

/// `sums = a b`, a few rows of `b` at a time, so that they come from memory in few streams.
struct Across<'a> {
    isa: Isa,
    n: usize,
    m: usize,
    a: &'a [f32],
    b: &'a [f32],
    stride: usize,
    padded: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Across<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { isa, n, m, a, b, stride, padded, sums } = self;
        let vectors = isa.tile().1;
        let mut k = 0;
        while k < m {
            let depth = (2 * CHUNK).min(m - k);
            let mut column = 0;
            while column < padded {
                let vectors = vectors.min((padded - column) / S::F32_LANES);
                let mut row = 0;
                while row < n {
                    let rows = tile::panel_rows(isa, n, row);
                    Tile {
                        rows,
                        vectors,
                        depth,
                        a: &a[tile::panel_start(row, m) + k * rows..],
                        a_step: None,
                        b: &b[k * stride + column..],
                        steps: Steps::Even(stride),
                        out: &mut sums[row * padded + column..],
                        stride: padded,
                        add: k > 0,
                    }
                    .run(simd);
                    row += rows;
                }
                column += vectors * S::F32_LANES;
            }
            k += depth;
        }
    }
}

/// The gradient by the weights: `dz^T x`, `[m, k]`.
pub fn backward_w(isa: Isa, [n, m, k]: [usize; 3], x: &[f32], dz: &[f32], dw: &mut [f32]) {
    let lanes = isa.lanes();
    let padded = k.next_multiple_of(lanes);
    let wide;
    let x = if padded == k {
        x
    } else {
        let mut copy = vec![0.0; n * padded];
        for (to, from) in copy.chunks_exact_mut(padded).zip(x.chunks_exact(k)) {
            to[..k].copy_from_slice(from);
        }
        wide = copy;
        &wide
    };
    let tall = isa.tile().0;
    let rows = (1_usize << 16).div_ceil(k).clamp(tall, m.div_ceil(par::threads()).max(tall)).next_multiple_of(tall);
    let dw = par::Shared::new(dw);
    par::each(m.div_ceil(rows), n * m * k, |task| {
        let (first, last) = (task * rows, (task * rows + rows).min(m));
        let count = (last - first).next_multiple_of(4);
        let direct = padded == k && count == last - first;
        let sizes = [(last - first) * n, tile::panels_len(count, n), if direct { 0 } else { count * padded }];
        par::scratch(sizes, |[turned, a, sums]| {
            for (r, turned) in turned.chunks_exact_mut(n).enumerate() {
                for (i, to) in turned.iter_mut().enumerate() {
                    *to = dz[i * m + first + r];
                }
            }
            tile::pack_rows(isa, turned, last - first, n, n, a);
            if direct {
                // SAFETY: a task has its rows to itself.
                let out = unsafe { dw.part(first * k..last * k) };
                isa.run(Outer { isa, rows: last - first, n, a, x, padded, out });
            } else {
                isa.run(Outer { isa, rows: last - first, n, a, x, padded, out: sums });
                for (r, sums) in sums.chunks_exact(padded).take(last - first).enumerate() {
                    // SAFETY: as above.
                    unsafe { dw.part((first + r) * k..(first + r + 1) * k) }.copy_from_slice(&sums[..k]);
                }
            }
        });
    });
}

/// `out = a x`, row panels by columns.
struct Outer<'a> {
    isa: Isa,
    rows: usize,
    n: usize,
    a: &'a [f32],
    x: &'a [f32],
    padded: usize,
    out: &'a mut [f32],
}

impl WithSimd for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { isa, rows, n, a, x, padded, out } = self;
        let mut row = 0;
        while row < rows {
            let tall = tile::panel_rows(isa, rows, row);
            let mut column = 0;
            while column < padded {
                let vectors = isa.tile().1.min((padded - column) / S::F32_LANES);
                Tile {
                    rows: tall,
                    vectors,
                    depth: n,
                    a: &a[tile::panel_start(row, n)..],
                    a_step: None,
                    b: &x[column..],
                    steps: Steps::Even(padded),
                    out: &mut out[row * padded + column..],
                    stride: padded,
                    add: false,
                }
                .run(simd);
                column += vectors * S::F32_LANES;
            }
            row += tall;
        }
    }
}
