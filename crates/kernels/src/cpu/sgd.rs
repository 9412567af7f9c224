//! A step of gradient descent with momentum.

use super::map::runs;
use super::par::Shared;
use super::vector::{self, vectorized};
use crate::Sgd;
use pulp::Simd;

vectorized! {
    fn step_run<'a, S>(simd: S, weight: &'a mut [f32], velocity: &'a mut [f32], gradient: &'a [f32], step: Sgd) {
        let ((w, w_rest), (v, v_rest)) = (S::as_mut_simd_f32s(weight), S::as_mut_simd_f32s(velocity));
        let (g, g_rest) = S::as_simd_f32s(gradient);
        for ((w, v), g) in w.iter_mut().zip(v).zip(g) {
            (*w, *v) = next(simd, step, *w, *v, *g);
        }
        if !g_rest.is_empty() {
            let (w, v) = (simd.partial_load_f32s(w_rest), simd.partial_load_f32s(v_rest));
            let (w, v) = next(simd, step, w, v, simd.partial_load_f32s(g_rest));
            simd.partial_store_f32s(w_rest, w);
            simd.partial_store_f32s(v_rest, v);
        }
    }
}

/// A vector of weights and their velocities after the step.
#[inline(always)]
fn next<S: Simd>(simd: S, step: Sgd, w: S::f32s, v: S::f32s, g: S::f32s) -> (S::f32s, S::f32s) {
    let force = vector::mul_add(simd, simd.splat_f32s(step.decay), w, g);
    let v = vector::mul_add(simd, simd.splat_f32s(step.momentum), v, force);
    (vector::mul_add(simd, simd.splat_f32s(-step.rate), v, w), v)
}

/// `v = momentum v + g + decay w`, `w = w - rate v`, where they are.
pub fn step(weight: &mut [f32], velocity: &mut [f32], gradient: &[f32], step: Sgd) {
    assert!(weight.len() == gradient.len() && velocity.len() == gradient.len());
    let (weights, velocities) = (Shared::new(weight), Shared::new(velocity));
    runs(gradient.len(), 1, |run| {
        // SAFETY: runs don't overlap.
        let (w, v) = unsafe { (weights.part(run.clone()), velocities.part(run.clone())) };
        step_run(w, v, &gradient[run], step);
    });
}
