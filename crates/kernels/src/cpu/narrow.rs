//! Convolutions of stride 1 that make few maps, as LeNet-5's: there packing would take longer than the sums, so the
//! kernels read the padded maps where they are.
//!
//! A run over a padded map's places counts those between the rows, too, which no output has; they are left out in the
//! end, or meet zeros.

use super::conv::{Shape, finish};
use super::planes::Planes;
use super::tile::{self, Steps, Tile};
use super::{Isa, map, par, vector};
use crate::Function;
use pulp::{Simd, WithSimd};

/// The most maps that are few.
const FEW: usize = 16;

/// Whether these kernels are for the convolution.
pub fn takes(s: &Shape) -> bool {
    s.stride == [1; 2] && s.m <= FEW
}

/// Whether the gradient by the weights is for these kernels.
pub fn takes_weights(s: &Shape) -> bool {
    takes(s) && s.depth() <= 512
}

/// Places of an output map among those of a padded one, a row's end to the next one's start counted.
fn span(s: &Shape, row: usize) -> usize {
    (s.oh() - 1) * row + s.ow()
}

/// As `conv::forward`.
pub fn forward(
    isa: Isa,
    s: &Shape,
    x: &[f32],
    panels: &[f32],
    bias: Option<&[f32]>,
    function: Function,
    y: &mut [f32],
) {
    let planes = Planes::new(s);
    let steps = planes.steps(s);
    let (tall, vectors) = isa.tile();
    let width = vectors * isa.lanes();
    let y = par::Shared::new(y);
    let cuts = par::threads().min(s.n);
    par::each(cuts, s.macs(), |cut| {
        let images = par::part(s.n, cuts, cut);
        par::scratch([planes.len(s.c) + width, tall * width], |[padded, out]| {
            let steps = &steps[..];
            isa.run(Forward { isa, s, images, x, planes, steps, panels, bias, function, y, padded, out });
        });
    });
}

struct Forward<'a> {
    isa: Isa,
    s: &'a Shape,
    images: core::ops::Range<usize>,
    x: &'a [f32],
    planes: Planes,
    steps: &'a [u32],
    panels: &'a [f32],
    bias: Option<&'a [f32]>,
    function: Function,
    y: par::Shared<'a>,
    padded: &'a mut [f32],
    out: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { isa, s, planes, padded, out, .. } = self;
        let (lanes, width) = (S::F32_LANES, isa.tile().1 * S::F32_LANES);
        let (row, ow, size) = (planes.row(s, 1), s.ow(), s.oh() * s.ow());
        let span = span(s, row);
        for n in self.images.clone() {
            planes.fill(s, &self.x[n * s.x_step..], &mut padded[..planes.len(s.c)]);
            let mut q = 0;
            while q < span {
                let count = width.min(span - q);
                let mut m = 0;
                while m < s.m {
                    let rows = tile::panel_rows(isa, s.m, m);
                    Tile {
                        rows,
                        vectors: count.div_ceil(lanes),
                        depth: s.depth(),
                        a: &self.panels[tile::panel_start(m, s.depth())..],
                        a_step: None,
                        b: &padded[q..],
                        steps: Steps::Table(self.steps),
                        out,
                        stride: width,
                        add: false,
                    }
                    .run(simd);
                    let mut at = q;
                    while at < q + count {
                        let (y, x) = (at / row, at % row);
                        let end = (y * row + ow).min(q + count);
                        if x < ow {
                            let start = n * s.y_step + y * ow + x;
                            for r in 0..rows.min(s.m - m) {
                                let from = &out[r * width + at - q..r * width + end - q];
                                let to = start + (m + r) * size;
                                // SAFETY: a task has its images to itself.
                                let to = unsafe { self.y.part(to..to + end - at) };
                                let bias = match self.bias {
                                    Some(bias) => bias[m + r],
                                    None => 0.0,
                                };
                                finish(simd, from, to, bias, self.function == Function::Relu);
                            }
                        }
                        at = (y + 1) * row;
                    }
                    m += rows;
                }
                q += width;
            }
            if !matches!(self.function, Function::Identity | Function::Relu) {
                let image = n * s.y_step;
                // SAFETY: a task has its images to itself.
                let maps = unsafe { self.y.part(image..image + s.m * size) };
                vector::update(
                    simd,
                    maps,
                    #[inline(always)]
                    |x| map::value(simd, self.function, x),
                );
            }
        }
    }
}

/// As `conv::backward_w`: each weight's gradient is a dot product of an output map's gradient with a shifted input map.
pub fn backward_w(isa: Isa, s: &Shape, x: &[f32], dz: &[f32], dw: &mut [f32]) {
    let planes = Planes::new(s);
    let steps = planes.steps(s);
    let row = planes.row(s, 1);
    let lanes = isa.lanes();
    // The gradient's rows as far apart as the padded maps', zeros in between and after.
    let long = span(s, row).next_multiple_of(lanes);
    let plane = planes.len(s.c) + lanes;
    let cuts = par::threads().min(s.c);
    let dw = par::Shared::new(dw);
    par::each(cuts, s.macs(), |cut| {
        let taps = s.kh * s.kw;
        let channels = par::part(s.c, cuts, cut);
        let columns = channels.start * taps..channels.end * taps;
        par::scratch([s.n * plane, s.n * s.m * long], |[padded, rows]| {
            rows.fill(0.0);
            for n in 0..s.n {
                planes.fill(s, &x[n * s.x_step..], &mut padded[n * plane..][..planes.len(s.c)]);
                padded[n * plane + planes.len(s.c)..(n + 1) * plane].fill(0.0);
                let maps = dz[n * s.y_step..][..s.m * s.oh() * s.ow()].chunks_exact(s.oh() * s.ow());
                for (map, to) in maps.zip(rows[n * s.m * long..].chunks_exact_mut(long)) {
                    for (from, to) in map.chunks_exact(s.ow()).zip(to.chunks_mut(row)) {
                        to[..s.ow()].copy_from_slice(from);
                    }
                }
            }
            isa.run(Weights { s, columns: columns.clone(), steps: &steps, padded, plane, rows, long, dw });
        });
    });
}

struct Weights<'a> {
    s: &'a Shape,
    columns: core::ops::Range<usize>,
    steps: &'a [u32],
    padded: &'a [f32],
    plane: usize,
    rows: &'a [f32],
    long: usize,
    dw: par::Shared<'a>,
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut m = 0;
        while m < self.s.m {
            let left = self.s.m - m;
            let mut k = self.columns.start;
            let rows = if left.is_multiple_of(4) { 4 } else { left.min(3) };
            while k < self.columns.end {
                let five = self.columns.end - k >= 5;
                match (rows, five) {
                    (4, true) => self.dots::<S, 4, 5>(simd, m, k),
                    (4, false) => self.dots::<S, 4, 1>(simd, m, k),
                    (3, true) => self.dots::<S, 3, 5>(simd, m, k),
                    (3, false) => self.dots::<S, 3, 1>(simd, m, k),
                    (2, true) => self.dots::<S, 2, 5>(simd, m, k),
                    (2, false) => self.dots::<S, 2, 1>(simd, m, k),
                    (_, true) => self.dots::<S, 1, 5>(simd, m, k),
                    (_, false) => self.dots::<S, 1, 1>(simd, m, k),
                }
                k += if five { 5 } else { 1 };
            }
            m += rows;
        }
    }
}

impl Weights<'_> {
    /// Rows `m..` and columns `k..` of the gradient, over all images.
    #[inline(always)]
    fn dots<S: Simd, const ROWS: usize, const COLUMNS: usize>(&self, simd: S, m: usize, k: usize) {
        let Self { s, steps, padded, plane, rows, long, .. } = *self;
        let lanes = S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); COLUMNS]; ROWS];
        for n in 0..s.n {
            let mut x = [&padded[..0]; COLUMNS];
            for (c, x) in x.iter_mut().enumerate() {
                *x = &padded[n * plane + steps[k + c] as usize..][..long];
            }
            let mut dz = [&rows[..0]; ROWS];
            for (r, dz) in dz.iter_mut().enumerate() {
                *dz = &rows[(n * s.m + m + r) * long..][..long];
            }
            for v in 0..long / lanes {
                let at = v * lanes;
                let mut maps = [simd.splat_f32s(0.0); COLUMNS];
                for (vector, x) in maps.iter_mut().zip(x) {
                    // SAFETY: `at` and a vector lie within `long`.
                    *vector = unsafe { x.as_ptr().add(at).cast::<S::f32s>().read_unaligned() };
                }
                for (sums, dz) in sums.iter_mut().zip(dz) {
                    // SAFETY: as above.
                    let dz = unsafe { dz.as_ptr().add(at).cast::<S::f32s>().read_unaligned() };
                    for (sum, x) in sums.iter_mut().zip(maps) {
                        *sum = vector::mul_add(simd, dz, x, *sum);
                    }
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let start = (m + r) * s.depth() + k;
            // SAFETY: a task has its columns to itself.
            let to = unsafe { self.dw.part(start..start + COLUMNS) };
            for (to, sum) in to.iter_mut().zip(sums) {
                *to = simd.reduce_sum_f32s(*sum);
            }
        }
    }
}
