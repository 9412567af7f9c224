//! LeNet-5's subsampling: `f(coefficient * sum + bias)` over windows that tile a map, and its gradients.

use super::map;
use super::par::{self, Shared};
use super::pool::{self, Windows};
use super::vector::{self, vectorized};
use crate::Function;

vectorized! {
    /// Maps `first..` of all images.
    fn forward_maps<'a, S>(
        simd: S, x: &'a [f32], first: usize, coefficient: &'a [f32], bias: &'a [f32], windows: Windows,
        function: Function, y: &'a mut [f32], rows: [&'a mut [f32]; 1],
    ) {
        let [read, made] = [windows.input, windows.output].map(|[h, w]| h * w);
        let [dealt] = rows;
        for (i, (x, y)) in x.chunks_exact(read).zip(y.chunks_exact_mut(made)).enumerate() {
            let c = (first + i) % bias.len();
            let (coefficient, bias) = (simd.splat_f32s(coefficient[c]), simd.splat_f32s(bias[c]));
            windows.deal(simd, x, 0.0, dealt);
            windows.reduce(simd, dealt, y, #[inline(always)] |a, b| simd.add_f32s(a, b), #[inline(always)] |_, _, sum| {
                map::value(simd, function, vector::mul_add(simd, coefficient, sum, bias))
            });
        }
    }
}

vectorized! {
    /// As `forward_maps`, of windows of 2.
    fn forward_by_two<'a, S>(
        simd: S, x: &'a [f32], first: usize, coefficient: &'a [f32], bias: &'a [f32], windows: Windows,
        function: Function, y: &'a mut [f32], rows: [&'a mut [f32]; 1],
    ) {
        let [pairs] = rows;
        let ([oh, ow], many) = (windows.output, pool::maps_at_once(windows));
        let mut c = first % bias.len();
        for (x, y) in x.chunks(many * windows.read()).zip(y.chunks_mut(many * windows.made())) {
            pool::add_pairs(x, pairs);
            for oy in 0..y.len() / windows.made() * oh {
                let (coefficient, bias_of) = (simd.splat_f32s(coefficient[c]), simd.splat_f32s(bias[c]));
                let mut ox = 0;
                while ox < ow {
                    let sum = pool::add_rows(simd, pairs, ow, oy, ox);
                    let value = vector::mul_add(simd, coefficient, sum, bias_of);
                    vector::store_some(simd, y, oy * ow + ox, value);
                    ox += S::F32_LANES;
                }
                if oy % oh == oh - 1 {
                    c = (c + 1) % bias.len();
                }
            }
            // Rows fill vectors badly; all of them together don't.
            vector::update(simd, y, #[inline(always)] |y| map::value(simd, function, y));
        }
    }
}

vectorized! {
    fn dx_maps<'a, S>(
        simd: S, dz: &'a [f32], first: usize, coefficient: &'a [f32], windows: Windows, dx: &'a mut [f32], rows: [&'a mut [f32]; 1],
    ) {
        let [read, made] = [windows.input, windows.output].map(|[h, w]| h * w);
        let [gradient] = rows;
        for (i, (dz, dx)) in dz.chunks_exact(made).zip(dx.chunks_exact_mut(read)).enumerate() {
            let coefficient = simd.splat_f32s(coefficient[(first + i) % coefficient.len()]);
            gradient.fill(0.0);
            windows.spread(simd, dz, gradient, #[inline(always)] |_, _, dz| simd.mul_f32s(dz, coefficient));
            windows.collect(simd, gradient, dx);
        }
    }
}

vectorized! {
    fn dw_maps<'a, S>(simd: S, x: &'a [f32], dz: &'a [f32], windows: Windows, sums: &'a mut [f32], rows: [&'a mut [f32]; 2],
    ) {
        let [read, made] = [windows.input, windows.output].map(|[h, w]| h * w);
        let [dealt, windowed] = rows;
        for ((x, dz), sum) in x.chunks_exact(read).zip(dz.chunks_exact(made)).zip(sums) {
            windows.deal(simd, x, 0.0, dealt);
            windows.reduce(simd, dealt, windowed, #[inline(always)] |a, b| simd.add_f32s(a, b), #[inline(always)] |_, _, sum| sum);
                *sum = vector::dot(simd, windowed, dz);
        }
    }
}

/// `f(coefficient * sum + bias)` over windows of `[N, C, H, W]`; `coefficient` and `bias` are `[C]`.
pub fn forward(x: &[f32], coefficient: &[f32], bias: &[f32], windows: Windows, function: Function, y: &mut [f32]) {
    let [read, made] = [windows.input, windows.output].map(|[h, w]| h * w);
    let maps = y.len() / made;
    assert!(x.len() == maps * read && y.len() == maps * made && coefficient.len() == bias.len());
    let out = Shared::new(y);
    pool::tasks(maps, windows, |run| {
        // SAFETY: runs of maps don't overlap.
        let y = unsafe { out.part(pool::values(&run, made)) };
        let x = &x[pool::values(&run, read)];
        if pool::tile_by_two(windows) {
            return par::scratch([pool::pairs_len(windows)], |rows| {
                forward_by_two(x, run.start, coefficient, bias, windows, function, y, rows);
            });
        }
        par::scratch([windows.dealt()], |rows| {
            forward_maps(x, run.start, coefficient, bias, windows, function, y, rows);
        });
    });
}

/// The gradient by `x` for `dz`, that by what the function is applied to.
pub fn dx(dz: &[f32], coefficient: &[f32], windows: Windows, dx: &mut [f32]) {
    let [read, made] = [windows.input, windows.output].map(|[h, w]| h * w);
    let maps = dz.len() / made;
    assert!(dx.len() == maps * read && dz.len() == maps * made);
    let out = Shared::new(dx);
    pool::tasks(maps, windows, |run| {
        // SAFETY: runs of maps don't overlap.
        let dx = unsafe { out.part(pool::values(&run, read)) };
        let dz = &dz[pool::values(&run, made)];
        if pool::tile_by_two(windows) {
            for ((i, dz), dx) in run.clone().zip(dz.chunks_exact(made)).zip(dx.chunks_exact_mut(read)) {
                pool::double(dz, windows.output[1], coefficient[i % coefficient.len()], dx);
            }
            return;
        }
        par::scratch([windows.dealt()], |rows| dx_maps(dz, run.start, coefficient, windows, dx, rows));
    });
}

/// The gradient by `coefficient`, `[C]`.
pub fn dw(x: &[f32], dz: &[f32], windows: Windows, out: &mut [f32]) {
    let [read, made] = [windows.input, windows.output].map(|[h, w]| h * w);
    let maps = dz.len() / made;
    assert!(x.len() == maps * read && dz.len() == maps * made);
    par::scratch([maps], |[sums]| {
        let all = Shared::new(sums);
        pool::tasks(maps, windows, |run| {
            // SAFETY: runs of maps don't overlap.
            let sums = unsafe { all.part(run.clone()) };
            let (x, dz) = (&x[pool::values(&run, read)], &dz[pool::values(&run, made)]);
            par::scratch([windows.dealt(), made], |rows| dw_maps(x, dz, windows, sums, rows));
        });
        map::sum_maps(sums, [maps / out.len(), out.len(), 1], out);
    });
}
