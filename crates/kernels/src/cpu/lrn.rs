//! Local response normalisation across maps, and its gradient: one pass over memory each.

use super::par::{self, Shared};
use super::vector::{self, vectorized};
use crate::Lrn;
use core::ops::Range;
use pulp::Simd;

/// Places of a task: a window of rows so long stays in the first-level cache.
const BLOCK: usize = 512;

/// `[N, C, places]` and the constants.
#[derive(Clone, Copy)]
struct Normal {
    maps: usize,
    places: usize,
    lrn: Lrn,
}

impl Normal {
    /// The maps that map `c` is normalised by.
    fn window(self, c: usize) -> Range<usize> {
        let half = self.lrn.size / 2;
        c.saturating_sub(half)..self.maps.min(c + half + 1)
    }

    /// `block` of map `c` in an image.
    fn row(self, c: usize, block: &Range<usize>) -> Range<usize> {
        c * self.places + block.start..c * self.places + block.end
    }

    /// The scales `s = k + alpha sum x'^2` of map `c`, and their `s^-beta` if that isn't 3/4.
    #[inline(always)]
    fn scales<S: Simd>(self, simd: S, x: &[f32], c: usize, block: &Range<usize>, s: &mut [f32], powers: &mut [f32]) {
        let Lrn { size, alpha, beta, k } = self.lrn;
        let window = self.window(c);
        let (alpha, k) = (simd.splat_f32s(alpha), simd.splat_f32s(k));
        if size == 5 && window.len() == 5 {
            // The papers' window, in registers.
            let mut rows = [(&[][..], &[][..]); 5];
            for (row, c) in rows.iter_mut().zip(window) {
                *row = S::as_simd_f32s(&x[self.row(c, block)]);
            }
            let [a, b, c, d, e] = rows;
            let (whole, rest) = S::as_mut_simd_f32s(s);
            let others = a.0.iter().zip(b.0).zip(c.0).zip(d.0).zip(e.0);
            for (s, ((((a, b), c), d), e)) in whole.iter_mut().zip(others) {
                let sum = simd.mul_f32s(*a, *a);
                let sum = vector::mul_add(simd, *b, *b, sum);
                let sum = vector::mul_add(simd, *c, *c, sum);
                let sum = vector::mul_add(simd, *d, *d, sum);
                let sum = vector::mul_add(simd, *e, *e, sum);
                *s = vector::mul_add(simd, alpha, sum, k);
            }
            if !rest.is_empty() {
                let mut sum = simd.splat_f32s(0.0);
                for (_, row) in rows {
                    let x = simd.partial_load_f32s(row);
                    sum = vector::mul_add(simd, x, x, sum);
                }
                simd.partial_store_f32s(rest, vector::mul_add(simd, alpha, sum, k));
            }
        } else {
            s.fill(0.0);
            for c in window {
                let row = &x[self.row(c, block)];
                vector::update_with(
                    simd,
                    row,
                    s,
                    #[inline(always)]
                    |x, sum| vector::mul_add(simd, x, x, sum),
                );
            }
            vector::update(
                simd,
                s,
                #[inline(always)]
                |sum| vector::mul_add(simd, alpha, sum, k),
            );
        }
        if beta != 0.75 {
            for (power, s) in powers.iter_mut().zip(s) {
                *power = s.powf(-beta);
            }
        }
    }
}

/// `s^-3/4` and `1 / s`.
#[inline(always)]
fn three_quarters<S: Simd>(simd: S, s: S::f32s) -> (S::f32s, S::f32s) {
    let inverse = simd.div_f32s(simd.splat_f32s(1.0), s);
    (simd.mul_f32s(inverse, simd.sqrt_f32s(simd.sqrt_f32s(s))), inverse)
}

vectorized! {
    /// `block` of one image, all maps.
    fn forward_block<'a, S>(
        simd: S, x: &'a [f32], normal: Normal, block: Range<usize>, out: Shared<'a>, image: usize,
        rows: [&'a mut [f32]; 2],
    ) {
        let [s, powers] = rows;
        for c in 0..normal.maps {
            normal.scales(simd, x, c, &block, s, powers);
            let row = normal.row(c, &block);
            let x = &x[row.clone()];
            // SAFETY: blocks of images don't overlap.
            let y = unsafe { out.part(image + row.start..image + row.end) };
            if normal.lrn.beta == 0.75 {
                vector::map2(simd, x, s, y, #[inline(always)] |x, s| simd.mul_f32s(x, three_quarters(simd, s).0));
            } else {
                vector::map2(simd, x, powers, y, #[inline(always)] |x, power| simd.mul_f32s(x, power));
            }
        }
    }
}

vectorized! {
    /// `dx = dy s^-beta - 2 alpha beta x sum' (dy x s^(-beta - 1))'`. The sum reaches maps ahead: rows of what it adds up
    /// are kept for a window, and of the first term for half of one.
    fn backward_block<'a, S>(
        simd: S, x: &'a [f32], dy: &'a [f32], normal: Normal, block: Range<usize>, out: Shared<'a>, image: usize,
        rows: [&'a mut [f32]; 4],
    ) {
        let [s, powers, ratios, terms] = rows;
        let (width, Lrn { size, alpha, beta, .. }) = (block.len(), normal.lrn);
        let half = size / 2;
        for ahead in 0..normal.maps + half {
            if ahead < normal.maps {
                normal.scales(simd, x, ahead, &block, s, powers);
                let row = normal.row(ahead, &block);
                let (x, dy) = (&x[row.clone()], &dy[row]);
                let term = &mut terms[ahead % (half + 1) * width..][..width];
                let ratio = &mut ratios[ahead % size * width..][..width];
                if beta == 0.75 {
                    vector::map2(simd, dy, s, term, #[inline(always)] |dy, s| {
                        simd.mul_f32s(dy, three_quarters(simd, s).0)
                    });
                } else {
                    vector::map2(simd, dy, powers, term, #[inline(always)] |dy, power| simd.mul_f32s(dy, power));
                }
                vector::map2(simd, term, s, ratio, #[inline(always)] |term, s| simd.div_f32s(term, s));
                vector::update_with(simd, x, ratio, #[inline(always)] |x, ratio| simd.mul_f32s(x, ratio));
            }
            if let Some(c) = ahead.checked_sub(half) {
                s.fill(0.0);
                for other in normal.window(c) {
                    let ratio = &ratios[other % size * width..][..width];
                    vector::update_with(simd, ratio, s, #[inline(always)] |ratio, sum| simd.add_f32s(ratio, sum));
                }
                let row = normal.row(c, &block);
                let factor = simd.splat_f32s(-2.0 * alpha * beta);
                vector::update_with(simd, &x[row.clone()], s, #[inline(always)] |x, sum| {
                    simd.mul_f32s(simd.mul_f32s(x, factor), sum)
                });
                let term = &terms[c % (half + 1) * width..][..width];
                // SAFETY: blocks of images don't overlap.
                let dx = unsafe { out.part(image + row.start..image + row.end) };
                vector::map2(simd, term, s, dx, #[inline(always)] |term, across| simd.add_f32s(term, across));
            }
        }
    }
}

/// `f(image's first value, block of places)` for all blocks of `[N, C, places]`.
fn blocks([n, c, places]: [usize; 3], f: impl Fn(usize, Range<usize>) + Send + Sync) {
    let parts = places.div_ceil(BLOCK);
    // A value costs two roots and a division.
    par::each(n * parts, 8 * n * c * places, |task| {
        f(task / parts * c * places, par::part(places, parts, task % parts))
    });
}

/// Normalises `x`, `[N, C, places]`.
pub fn forward(x: &[f32], shape: [usize; 3], lrn: Lrn, y: &mut [f32]) {
    let [n, maps, places] = shape;
    assert!(x.len() == n * maps * places && y.len() == x.len() && lrn.size % 2 == 1);
    let out = Shared::new(y);
    blocks(shape, |image, block| {
        let x = &x[image..image + maps * places];
        par::scratch([block.len(); 2], |rows| {
            forward_block(x, Normal { maps, places, lrn }, block, out, image, rows);
        });
    });
}

/// The gradient by `x` for `dy`, that by what [`forward`] makes.
pub fn backward(x: &[f32], dy: &[f32], shape: [usize; 3], lrn: Lrn, dx: &mut [f32]) {
    let [n, maps, places] = shape;
    assert!(x.len() == n * maps * places && dy.len() == x.len() && dx.len() == x.len() && lrn.size % 2 == 1);
    let out = Shared::new(dx);
    blocks(shape, |image, block| {
        let values = image..image + maps * places;
        let (x, dy, width) = (&x[values.clone()], &dy[values], block.len());
        par::scratch([width, width, lrn.size * width, (lrn.size / 2 + 1) * width], |rows| {
            backward_block(x, dy, Normal { maps, places, lrn }, block, out, image, rows);
        });
    });
}
