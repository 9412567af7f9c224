//! Functions of each element, what gradients pass through them, and sums of maps.

use super::par::{self, Shared};
use super::vector::{self, vectorized};
use crate::Function;
use pulp::Simd;

/// Values of a task: its inputs and outputs fit the second-level cache.
const RUN: usize = 1 << 15;

/// The function of a vector.
#[inline(always)]
pub(crate) fn value<S: Simd>(simd: S, function: Function, x: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    match function {
        Function::Identity => x,
        // Not a maximum: NaN must stay.
        Function::Relu => simd.select_f32s(simd.less_than_or_equal_f32s(x, zero), zero, x),
        Function::Tanh { amplitude, slope } => {
            let tanh = vector::tanh(simd, simd.mul_f32s(x, simd.splat_f32s(slope)));
            simd.mul_f32s(tanh, simd.splat_f32s(amplitude))
        }
        Function::Sigmoid => vector::sigmoid(simd, x),
    }
}

/// `dy f'`, `y` the function's value.
#[inline(always)]
fn slope<S: Simd>(simd: S, function: Function, y: S::f32s, dy: S::f32s) -> S::f32s {
    match function {
        Function::Identity => dy,
        Function::Relu => {
            let zero = simd.splat_f32s(0.0);
            simd.select_f32s(simd.less_than_or_equal_f32s(y, zero), zero, dy)
        }
        Function::Tanh { amplitude, slope } => {
            let square = simd.mul_f32s(y, y);
            let (most, less) = (simd.splat_f32s(slope * amplitude), simd.splat_f32s(-slope / amplitude));
            simd.mul_f32s(dy, vector::mul_add(simd, square, less, most))
        }
        Function::Sigmoid => simd.mul_f32s(dy, simd.mul_f32s(y, simd.sub_f32s(simd.splat_f32s(1.0), y))),
    }
}

/// What a value costs, in multiply-accumulates.
fn cost(function: Function) -> usize {
    match function {
        Function::Identity | Function::Relu => 1,
        Function::Tanh { .. } | Function::Sigmoid => 4,
    }
}

/// `f(range)` over runs of `0..len`.
pub(super) fn runs(len: usize, cost: usize, f: impl Fn(core::ops::Range<usize>) + Send + Sync) {
    par::each(len.div_ceil(RUN), len * cost, |task| f(task * RUN..len.min((task + 1) * RUN)));
}

vectorized! {
    fn update<'a, S>(simd: S, x: &'a mut [f32], function: Function) {
        vector::update(simd, x, #[inline(always)] |x| value(simd, function, x));
    }
}

vectorized! {
    fn map<'a, S>(simd: S, x: &'a [f32], function: Function, y: &'a mut [f32]) {
        vector::map(simd, x, y, #[inline(always)] |x| value(simd, function, x));
    }
}

vectorized! {
    fn slopes<'a, S>(simd: S, y: &'a [f32], dy: &'a [f32], function: Function, dx: &'a mut [f32]) {
        vector::map2(simd, y, dy, dx, #[inline(always)] |y, dy| slope(simd, function, y, dy));
    }
}

vectorized! {
    fn update_slopes<'a, S>(simd: S, y: &'a [f32], dy: &'a mut [f32], function: Function) {
        vector::update_with(simd, y, dy, #[inline(always)] |y, dy| slope(simd, function, y, dy));
    }
}

vectorized! {
    /// Adds to each sum the values of its run of `len`.
    fn sums<'a, S>(simd: S, x: &'a [f32], len: usize, sums: &'a mut [f32]) {
        for (x, sum) in x.chunks_exact(len).zip(sums) {
            *sum = vector::sum(simd, x);
        }
    }
}

vectorized! {
    /// Adds the rows of `x` up.
    fn columns<'a, S>(simd: S, x: &'a [f32], sums: &'a mut [f32]) {
        for row in x.chunks_exact(sums.len()) {
            vector::update_with(simd, row, sums, #[inline(always)] |x, sum| simd.add_f32s(x, sum));
        }
    }
}

/// The function of each element.
pub fn apply(x: &[f32], function: Function, y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    let out = Shared::new(y);
    runs(x.len(), cost(function), |run| {
        // SAFETY: runs don't overlap.
        map(&x[run.clone()], function, unsafe { out.part(run) });
    });
}

/// [`apply`] where it is.
pub fn apply_in_place(x: &mut [f32], function: Function) {
    if function == Function::Identity {
        return;
    }
    let (len, all) = (x.len(), Shared::new(x));
    // SAFETY: runs don't overlap.
    runs(len, cost(function), |run| update(unsafe { all.part(run) }, function));
}

/// `dx = dy f'`, the slope told from the function's value `y`.
pub fn through(y: &[f32], dy: &[f32], function: Function, dx: &mut [f32]) {
    assert!(y.len() == dy.len() && y.len() == dx.len());
    let out = Shared::new(dx);
    runs(y.len(), 1, |run| {
        // SAFETY: runs don't overlap.
        slopes(&y[run.clone()], &dy[run.clone()], function, unsafe { out.part(run) });
    });
}

/// [`through`] where `dy` is.
pub fn through_in_place(y: &[f32], dy: &mut [f32], function: Function) {
    assert_eq!(y.len(), dy.len());
    let out = Shared::new(dy);
    // SAFETY: runs don't overlap.
    runs(y.len(), 1, |run| update_slopes(&y[run.clone()], unsafe { out.part(run) }, function));
}

/// Sums `[C]` over images and places of `x`, `[N, C, places]`.
pub fn sum_maps(x: &[f32], [n, c, places]: [usize; 3], out: &mut [f32]) {
    assert!(x.len() == n * c * places && out.len() == c);
    out.fill(0.0);
    if places == 1 {
        // Tasks are ranges of columns, of whole cache lines.
        let width = 256;
        let all = Shared::new(out);
        return par::each(c.div_ceil(width), x.len(), |task| {
            let from = task * width;
            let to = c.min(from + width);
            // SAFETY: ranges don't overlap.
            let sums = unsafe { all.part(from..to) };
            if c <= width {
                columns(x, sums);
            } else {
                x.chunks_exact(c).for_each(|row| columns(&row[from..to], sums));
            }
        });
    }
    par::scratch([n * c], |[parts]| {
        let all = Shared::new(parts);
        let per_task = (RUN / places.max(1)).max(1);
        par::each((n * c).div_ceil(per_task), x.len(), |task| {
            let run = task * per_task..(n * c).min((task + 1) * per_task);
            // SAFETY: runs don't overlap.
            sums(&x[run.start * places..run.end * places], places, unsafe { all.part(run) });
        });
        columns(parts, out);
    });
}
