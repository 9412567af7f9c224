//! Dropout, forward and, being a product with the same factors, back.

use super::par::{self, Shared};
use super::vector::vectorized;
use crate::choice::{BLOCK, Dropout, number};

vectorized! {
    fn silence<'a, S>(_simd: S, x: &'a [f32], key: [u32; 2], threshold: u32, scale: f32, y: &'a mut [f32]) {
        for ((x, y), i) in x.iter().zip(y).zip(0..) {
            *y = if number(key, i) < threshold { 0.0 } else { x * scale };
        }
    }
}

vectorized! {
    fn silence_in_place<'a, S>(_simd: S, x: &'a mut [f32], key: [u32; 2], threshold: u32, scale: f32) {
        for (x, i) in x.iter_mut().zip(0..) {
            *x = if number(key, i) < threshold { 0.0 } else { *x * scale };
        }
    }
}

/// `f(block, its range)` for the blocks of `0..len`.
fn blocks(len: usize, f: impl Fn(usize, core::ops::Range<usize>) + Send + Sync) {
    // Some ten operations for each number.
    par::each(len.div_ceil(BLOCK), 8 * len, |block| f(block, block * BLOCK..len.min((block + 1) * BLOCK)));
}

/// Some of `x` silenced, the others scaled.
pub fn apply(x: &[f32], dropout: Dropout, y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    let out = Shared::new(y);
    blocks(x.len(), |block, run| {
        // SAFETY: blocks don't overlap.
        let y = unsafe { out.part(run.clone()) };
        silence(&x[run], dropout.block(block), dropout.threshold(), dropout.scale(), y);
    });
}

/// [`apply`] where it is.
pub fn apply_in_place(x: &mut [f32], dropout: Dropout) {
    let (len, all) = (x.len(), Shared::new(x));
    blocks(len, |block, run| {
        // SAFETY: blocks don't overlap.
        let x = unsafe { all.part(run) };
        silence_in_place(x, dropout.block(block), dropout.threshold(), dropout.scale());
    });
}
