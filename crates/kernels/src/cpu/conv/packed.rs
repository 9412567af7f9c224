//! The general case: packed panels of columns, a tile of sums in registers.

use super::Shape;
use crate::cpu::planes::{Planes, runs};
use crate::cpu::tile::{self, Steps, Tile};
use crate::cpu::{Isa, par};
use pulp::{Simd, WithSimd};

/// As [`super::forward`]: maps packed into panels of columns, on which weights' panels are laid.
pub fn forward(isa: Isa, s: &Shape, x: &[f32], panels: &[f32], bias: Option<&[f32]>, relu: bool, y: &mut [f32]) {
    let planes = Planes::new(s);
    // Without padding and steps, the image is what its planes would be.
    let direct = s.stride[1] == 1 && s.padding == [0; 4];
    let steps = planes.steps(s);
    let size = s.oh() * s.ow();
    // As many images together as make the last, narrower tile rare.
    let group = 256_usize.div_ceil(size).min(s.n.div_ceil(par::threads())).max(1);
    let groups = s.n.div_ceil(group);
    let (tall, vectors) = isa.tile();
    let (width, depth) = (vectors * isa.lanes(), s.depth());
    // A few panels of columns meet each panel of weights while it is near.
    let block = width * (131_072 / (depth * width)).clamp(2, 8);
    let cuts = if groups >= par::threads() { 1 } else { par::threads() };
    let y = par::Shared::new(y);
    par::each(groups * cuts, s.macs(), |task| {
        let (first, cut) = (task / cuts * group, task % cuts);
        let images = group.min(s.n - first);
        let panels_of = par::part((images * size).div_ceil(width), cuts, cut);
        let columns = panels_of.start * width..(panels_of.end * width).min(images * size);
        let sizes = [if direct { 0 } else { images * planes.len(s.c) + width }, depth * block + width, tall * width];
        par::scratch(sizes, |[padded, b, out]| {
            isa.run(Forward {
                isa,
                s,
                x: &x[first * s.x_step..],
                y_start: first * s.y_step,
                columns,
                planes,
                direct,
                steps: &steps,
                panels,
                bias,
                relu,
                y,
                block,
                padded,
                b: &mut b[..depth * block],
                out,
            });
        });
    });
}

struct Forward<'a> {
    isa: Isa,
    s: &'a Shape,
    x: &'a [f32],
    y_start: usize,
    columns: core::ops::Range<usize>,
    planes: Planes,
    direct: bool,
    steps: &'a [u32],
    panels: &'a [f32],
    bias: Option<&'a [f32]>,
    relu: bool,
    y: par::Shared<'a>,
    /// Columns that are packed together.
    block: usize,
    padded: &'a mut [f32],
    b: &'a mut [f32],
    out: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { isa, s, planes, steps, padded, b, out, block, .. } = self;
        let (lanes, depth, size) = (S::F32_LANES, s.depth(), s.oh() * s.ow());
        let width = isa.tile().1 * lanes;
        let (mut at, last) = (self.columns.start, self.columns.end);
        if at >= last {
            return;
        }
        let mut image = s.x_step;
        if !self.direct {
            image = planes.len(s.c);
            for n in at / size..last.div_ceil(size) {
                planes.fill(s, &self.x[n * s.x_step..], &mut padded[n * image..][..image]);
            }
        }
        let source: &[f32] = if self.direct { self.x } else { padded };
        let mut segments = Vec::new();
        while at < last {
            let wide = block.min(last - at);
            for (i, panel) in b.chunks_exact_mut(depth * width).take(wide.div_ceil(width)).enumerate() {
                let count = width.min(wide - i * width);
                runs(s, &planes, image, at + i * width, count, &mut segments);
                for (row, step) in panel.chunks_exact_mut(width).zip(steps) {
                    let source = &source[*step as usize..];
                    for run in &segments {
                        if run.len == width {
                            row.copy_from_slice(&source[run.from..run.from + width]);
                        } else if self.direct {
                            row[run.to..run.to + run.len].copy_from_slice(&source[run.from..run.from + run.len]);
                        } else {
                            copy(simd, &source[run.from..], &mut row[run.to..], run.len);
                        }
                    }
                    row[count..].fill(0.0);
                }
            }
            let mut m = 0;
            while m < s.m {
                let rows = tile::panel_rows(isa, s.m, m);
                let a = &self.panels[tile::panel_start(m, depth)..];
                for i in 0..wide.div_ceil(width) {
                    let count = width.min(wide - i * width);
                    let tile = Tile {
                        rows,
                        vectors: count.div_ceil(lanes),
                        depth,
                        a,
                        a_step: None,
                        b: &b[i * depth * width..],
                        steps: Steps::Even(width),
                        out,
                        stride: width,
                        add: false,
                    };
                    tile.run(simd);
                    let place = Place { m, rows: rows.min(s.m - m), q: at + i * width, count, width };
                    put(simd, s, out, &place, self.y_start, self.bias, self.relu, self.y);
                }
                m += rows;
            }
            at += wide;
        }
    }
}

/// Where a tile belongs.
struct Place {
    m: usize,
    rows: usize,
    q: usize,
    count: usize,
    width: usize,
}

/// Writes a tile to the maps, bias and function applied: rows `m..m + rows`, columns `q..q + count`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn put<S: Simd>(
    simd: S,
    s: &Shape,
    out: &[f32],
    place: &Place,
    y_start: usize,
    bias: Option<&[f32]>,
    relu: bool,
    y: par::Shared<'_>,
) {
    let size = s.oh() * s.ow();
    for r in 0..place.rows {
        let row = &out[r * place.width..][..place.width];
        let m = place.m + r;
        let bias = match bias {
            Some(bias) => bias[m],
            None => 0.0,
        };
        let mut done = 0;
        while done < place.count {
            let (n, p) = ((place.q + done) / size, (place.q + done) % size);
            let len = (size - p).min(place.count - done);
            let start = y_start + n * s.y_step + m * size + p;
            // SAFETY: a task has its columns to itself.
            let to = unsafe { y.part(start..start + len) };
            finish(simd, &row[done..done + len], to, bias, relu);
            done += len;
        }
    }
}

/// `to = from + bias`, rectified or not.
#[inline(always)]
pub fn finish<S: Simd>(simd: S, from: &[f32], to: &mut [f32], bias: f32, relu: bool) {
    let (b, floor) = (simd.splat_f32s(bias), simd.splat_f32s(if relu { 0.0 } else { f32::NEG_INFINITY }));
    let (from, from_rest) = S::as_simd_f32s(from);
    let (to, to_rest) = S::as_mut_simd_f32s(to);
    for (to, from) in to.iter_mut().zip(from) {
        *to = simd.max_f32s(simd.add_f32s(*from, b), floor);
    }
    let rest = simd.max_f32s(simd.add_f32s(simd.partial_load_f32s(from_rest), b), floor);
    simd.partial_store_f32s(to_rest, rest);
}

/// Copies `len` numbers and what follows them up to a whole vector: both slices are long enough for that.
#[inline(always)]
fn copy<S: Simd>(_: S, from: &[f32], to: &mut [f32], len: usize) {
    let lanes = S::F32_LANES;
    let whole = len.next_multiple_of(lanes);
    if from.len() < whole || to.len() < whole {
        to[..len].copy_from_slice(&from[..len]);
        return;
    }
    for (to, from) in S::as_mut_simd_f32s(&mut to[..whole]).0.iter_mut().zip(S::as_simd_f32s(&from[..whole]).0) {
        *to = *from;
    }
}
