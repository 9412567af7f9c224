//! Pools: maximum and mean over windows, forward and back.

use super::par::{self, Shared};
use super::vector::{self, vectorized};
pub use super::windows::Windows;
use core::ops::Range;
use pulp::Simd;

/// Values of a task.
const RUN: usize = 1 << 15;

/// The larger; NaN if one is.
#[inline(always)]
fn maximum<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
    let larger = simd.select_f32s(simd.greater_than_f32s(a, b), a, b);
    simd.select_f32s(simd.equal_f32s(a, a), larger, a)
}

vectorized! {
    fn max_maps<'a, S>(simd: S, x: &'a [f32], windows: Windows, y: &'a mut [f32], rows: [&'a mut [f32]; 1],
    ) {
        let [dealt] = rows;
        for (x, y) in x.chunks_exact(windows.read()).zip(y.chunks_exact_mut(windows.made())) {
            windows.deal(simd, x, f32::NEG_INFINITY, dealt);
            windows.reduce(
                simd,
                dealt,
                y,
                #[inline(always)] |a, b| maximum(simd, a, b),
                #[inline(always)] |_, _, max| max,
            );
        }
    }
}

vectorized! {
    fn max_maps_dx<'a, S>(
        simd: S, x: &'a [f32], y: &'a [f32], dy: &'a [f32], windows: Windows, dx: &'a mut [f32], rows: [&'a mut [f32]; 2],
    ) {
        let [dealt, gradient] = rows;
        let maps = x.chunks_exact(windows.read()).zip(dx.chunks_exact_mut(windows.read()));
        let made = y.chunks_exact(windows.made()).zip(dy.chunks_exact(windows.made()));
        for ((x, dx), (y, dy)) in maps.zip(made) {
            windows.deal(simd, x, f32::NEG_INFINITY, dealt);
            gradient.fill(0.0);
            windows.each_vector(simd, #[inline(always)] |oy, ox| {
                let y = windows.load_made(simd, y, oy, ox);
                let mut dy = windows.load_made(simd, dy, oy, ox);
                let zero = simd.splat_f32s(0.0);
                for ky in 0..windows.rows(oy) {
                    for kx in 0..windows.size {
                        let at = windows.at(oy, ky, kx) + ox;
                        // The maximum is where x isn't less; who finds it takes the gradient and leaves zero.
                        let less = simd.less_than_f32s(vector::load(simd, dealt, at), y);
                        let taken = simd.select_f32s(less, zero, dy);
                        dy = simd.select_f32s(less, dy, zero);
                        let sum = simd.add_f32s(vector::load(simd, gradient, at), taken);
                        vector::store(simd, gradient, at, sum);
                    }
                }
            });
            windows.collect(simd, gradient, dx);
        }
    }
}

vectorized! {
    fn mean_maps<'a, S>(simd: S, x: &'a [f32], windows: Windows, y: &'a mut [f32], rows: [&'a mut [f32]; 2],
    ) {
        if windows.made() == 1 && windows.size >= windows.input[0].max(windows.input[1]) {
            let share = 1.0 / windows.read() as f32;
            for (x, y) in x.chunks_exact(windows.read()).zip(y) {
                *y = vector::sum(simd, x) * share;
            }
            return;
        }
        let [dealt, shares] = rows;
        windows.shares(shares);
        for (x, y) in x.chunks_exact(windows.read()).zip(y.chunks_exact_mut(windows.made())) {
            windows.deal(simd, x, 0.0, dealt);
            windows.reduce(simd, dealt, y, #[inline(always)] |a, b| simd.add_f32s(a, b), #[inline(always)] |oy, ox, sum| {
                let rows = simd.splat_f32s(1.0 / windows.rows(oy) as f32);
                simd.mul_f32s(simd.mul_f32s(sum, vector::load(simd, shares, ox)), rows)
            });
        }
    }
}

vectorized! {
    fn means_of_four<'a, S>(simd: S, x: &'a [f32], windows: Windows, y: &'a mut [f32], rows: [&'a mut [f32]; 1],
    ) {
        let [pairs] = rows;
        let ([oh, ow], many, share) = (windows.output, maps_at_once(windows), simd.splat_f32s(0.25));
        for (x, y) in x.chunks(many * windows.read()).zip(y.chunks_mut(many * windows.made())) {
            add_pairs(x, pairs);
            // As if the maps lay one below the other.
            for oy in 0..y.len() / windows.made() * oh {
                let mut ox = 0;
                while ox < ow {
                    let mean = simd.mul_f32s(add_rows(simd, pairs, ow, oy, ox), share);
                    vector::store_some(simd, y, oy * ow + ox, mean);
                    ox += S::F32_LANES;
                }
            }
        }
    }
}

vectorized! {
    fn mean_maps_dx<'a, S>(simd: S, dy: &'a [f32], windows: Windows, dx: &'a mut [f32], rows: [&'a mut [f32]; 2],
    ) {
        if windows.made() == 1 && windows.size >= windows.input[0].max(windows.input[1]) {
            let share = 1.0 / windows.read() as f32;
            for (dy, dx) in dy.iter().zip(dx.chunks_exact_mut(windows.read())) {
                dx.fill(dy * share);
            }
            return;
        }
        let [gradient, shares] = rows;
        windows.shares(shares);
        for (dy, dx) in dy.chunks_exact(windows.made()).zip(dx.chunks_exact_mut(windows.read())) {
            gradient.fill(0.0);
            windows.spread(simd, dy, gradient, #[inline(always)] |oy, ox, dy| {
                let rows = simd.splat_f32s(1.0 / windows.rows(oy) as f32);
                simd.mul_f32s(simd.mul_f32s(dy, vector::load(simd, shares, ox)), rows)
            });
            windows.collect(simd, gradient, dx);
        }
    }
}

/// `f(range of maps)` over tasks of some of `maps` each.
pub(super) fn tasks(maps: usize, windows: Windows, f: impl Fn(Range<usize>) + Send + Sync) {
    let per_task = (RUN / windows.read()).max(1);
    par::each(maps.div_ceil(per_task), 2 * maps * windows.read(), |task| {
        f(task * per_task..maps.min((task + 1) * per_task));
    });
}

/// Where the values of `maps` lie, maps being `size` long.
pub(super) fn values(maps: &Range<usize>, size: usize) -> Range<usize> {
    maps.start * size..maps.end * size
}

/// Whether each value belongs to one window, as in LeNet-5's pools of 2: then the way back is a copy.
pub(super) fn tile_by_two(windows: Windows) -> bool {
    windows.size == 2 && windows.stride == 2 && windows.output.map(|len| 2 * len) == windows.input
}

/// Maps of which the pairs of columns are added up together: they stay in the first level of cache.
pub(super) fn maps_at_once(windows: Windows) -> usize {
    (4096 / windows.read()).max(1)
}

/// Room for [`add_pairs`] of so many maps, and for a vector beyond.
pub(super) fn pairs_len(windows: Windows) -> usize {
    maps_at_once(windows) * windows.read() / 2 + 16
}

/// The sums of neighbouring columns, 1st and 2nd, 3rd and 4th, …, of maps of even width.
#[inline(always)]
pub(super) fn add_pairs(maps: &[f32], sums: &mut [f32]) {
    for (pair, sum) in maps.as_chunks::<2>().0.iter().zip(sums) {
        *sum = pair[0] + pair[1];
    }
}

/// The sums under the windows of 2 of row `oy`, `ox` on, where the sums of a map's columns are.
#[inline(always)]
pub(super) fn add_rows<S: Simd>(simd: S, pairs: &[f32], ow: usize, oy: usize, ox: usize) -> S::f32s {
    let at = 2 * oy * ow + ox;
    simd.add_f32s(vector::load(simd, pairs, at), vector::load(simd, pairs, at + ow))
}

/// Each value of a map times `scale`, on the four places of its window.
pub(super) fn double(map: &[f32], width: usize, scale: f32, to: &mut [f32]) {
    for (row, to) in map.chunks_exact(width).zip(to.chunks_exact_mut(4 * width)) {
        let (upper, lower) = to.split_at_mut(2 * width);
        for (value, pair) in row.iter().zip(upper.as_chunks_mut::<2>().0) {
            *pair = [value * scale; 2];
        }
        lower.copy_from_slice(upper);
    }
}

/// The maximum over windows of each map.
pub fn max(x: &[f32], windows: Windows, y: &mut [f32]) {
    let (read, made, maps) = (windows.read(), windows.made(), y.len() / windows.made());
    assert!(x.len() == maps * read && y.len() == maps * made);
    let out = Shared::new(y);
    tasks(maps, windows, |run| {
        // SAFETY: runs of maps don't overlap.
        let y = unsafe { out.part(values(&run, made)) };
        par::scratch([windows.dealt()], |rows| max_maps(&x[values(&run, read)], windows, y, rows));
    });
}

/// The gradient by `x`: of equal values in a window the first takes it.
pub fn max_dx(x: &[f32], y: &[f32], dy: &[f32], windows: Windows, dx: &mut [f32]) {
    let (read, made, maps) = (windows.read(), windows.made(), y.len() / windows.made());
    assert!(x.len() == maps * read && dx.len() == x.len() && y.len() == maps * made && dy.len() == y.len());
    let out = Shared::new(dx);
    tasks(maps, windows, |run| {
        let made = values(&run, made);
        // SAFETY: runs of maps don't overlap.
        let dx = unsafe { out.part(values(&run, read)) };
        par::scratch([windows.dealt(); 2], |rows| {
            max_maps_dx(&x[values(&run, read)], &y[made.clone()], &dy[made], windows, dx, rows);
        });
    });
}

/// The mean over windows of each map; of one that hangs over, over what it covers.
pub fn mean(x: &[f32], windows: Windows, y: &mut [f32]) {
    let (read, made, maps) = (windows.read(), windows.made(), y.len() / windows.made());
    assert!(x.len() == maps * read && y.len() == maps * made);
    let out = Shared::new(y);
    tasks(maps, windows, |run| {
        // SAFETY: runs of maps don't overlap.
        let y = unsafe { out.part(values(&run, made)) };
        if tile_by_two(windows) {
            let x = &x[values(&run, read)];
            return par::scratch([pairs_len(windows)], |rows| means_of_four(x, windows, y, rows));
        }
        par::scratch([windows.dealt(), windows.pitch()], |rows| mean_maps(&x[values(&run, read)], windows, y, rows));
    });
}

/// The gradient by `x` of [`mean`].
pub fn mean_dx(dy: &[f32], windows: Windows, dx: &mut [f32]) {
    let (read, made, maps) = (windows.read(), windows.made(), dy.len() / windows.made());
    assert!(dx.len() == maps * read && dy.len() == maps * made);
    let out = Shared::new(dx);
    tasks(maps, windows, |run| {
        // SAFETY: runs of maps don't overlap.
        let dx = unsafe { out.part(values(&run, read)) };
        if tile_by_two(windows) {
            for (dy, dx) in dy[values(&run, made)].chunks_exact(made).zip(dx.chunks_exact_mut(read)) {
                double(dy, windows.output[1], 0.25, dx);
            }
            return;
        }
        par::scratch([windows.dealt(), windows.pitch()], |rows| {
            mean_maps_dx(&dy[values(&run, made)], windows, dx, rows);
        });
    });
}
