//! Softmax cross-entropy of logits `[N, classes]`.

use super::par::{self, Shared};
use super::vector::{self, vectorized};

vectorized! {
    /// Writes `e^(x - max)` of a row, and gives their sum and the maximum.
    fn powers<'a, S>(simd: S, x: &'a [f32], out: &'a mut [f32]) -> (f32, f32) {
        // NaN is no maximum, but makes the sum NaN.
        let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shift = simd.splat_f32s(max);
        vector::map(simd, x, out, #[inline(always)] |x| vector::exp_or_zero(simd, simd.sub_f32s(x, shift)));
        (vector::sum(simd, out), max)
    }
}

vectorized! {
    fn scale<'a, S>(simd: S, x: &'a mut [f32], factor: f32) {
        let factor = simd.splat_f32s(factor);
        vector::update(simd, x, #[inline(always)] |x| simd.mul_f32s(x, factor));
    }
}

/// Mean of `ln sum e^x' - x` over images, x the logit of the true class.
///
/// # Panics
/// If a label is no class.
pub fn cross_entropy(logits: &[f32], classes: usize, label: impl Fn(usize) -> usize + Send + Sync) -> f32 {
    let n = logits.len() / classes;
    let row = |i: usize| &logits[i * classes..][..classes];
    par::scratch([n], |[losses]| {
        let all = Shared::new(losses);
        par::each(n, 8 * logits.len(), |i| {
            let (sum, max) = par::scratch([classes], |[out]| powers(row(i), out));
            // SAFETY: one number for each image.
            let loss = unsafe { all.part(i..i + 1) };
            loss[0] = sum.ln() + (max - row(i)[label(i)]);
        });
        (losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / n as f64) as f32
    })
}

/// The gradient by the logits for `dy`, that by the mean: `(softmax - truth) dy / N`.
///
/// # Panics
/// If a label is no class.
pub fn cross_entropy_dx(
    logits: &[f32],
    classes: usize,
    label: impl Fn(usize) -> usize + Send + Sync,
    dy: f32,
    dx: &mut [f32],
) {
    assert_eq!(logits.len(), dx.len());
    let share = dy / (logits.len() / classes) as f32;
    let out = Shared::new(dx);
    par::each(logits.len() / classes, 8 * logits.len(), |i| {
        let values = i * classes..(i + 1) * classes;
        // SAFETY: images don't overlap.
        let dx = unsafe { out.part(values.clone()) };
        let (sum, _) = powers(&logits[values], dx);
        scale(dx, share / sum);
        dx[label(i)] -= share;
    });
}
