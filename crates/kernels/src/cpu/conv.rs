//! Convolution and its gradients as products of packed panels.

use super::planes::{Planes, runs};
use super::tile::{self, Steps, Tile};
use super::winograd::{self, Plan};
use super::{Isa, linear, narrow, par, winograd_weights};
use crate::Function;
use pulp::{Simd, WithSimd};

/// A convolution's sizes, one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Images.
    pub n: usize,
    /// Maps that come in.
    pub c: usize,
    /// Their height.
    pub h: usize,
    /// Their width.
    pub w: usize,
    /// Maps that go out.
    pub m: usize,
    /// Height of the kernel.
    pub kh: usize,
    /// Width of the kernel.
    pub kw: usize,
    /// Step down and across.
    pub stride: [usize; 2],
    /// Zeros around: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Numbers from one image that comes in to the next.
    pub x_step: usize,
    /// Numbers from one image that goes out to the next.
    pub y_step: usize,
}

impl Shape {
    /// Height of the maps that go out.
    pub fn oh(&self) -> usize {
        (self.h + self.padding[0] + self.padding[2] - self.kh) / self.stride[0] + 1
    }

    /// Their width.
    pub fn ow(&self) -> usize {
        (self.w + self.padding[1] + self.padding[3] - self.kw) / self.stride[1] + 1
    }

    /// Products in a unit's sum.
    pub fn depth(&self) -> usize {
        self.c * self.kh * self.kw
    }

    /// Multiply-accumulates.
    pub fn macs(&self) -> usize {
        self.n * self.m * self.depth() * self.oh() * self.ow()
    }

    /// Images, units and inputs of the fully connected layer that the convolution is, if its kernel covers the whole map.
    fn linear(&self) -> Option<[usize; 3]> {
        let whole = (self.kh, self.kw) == (self.h, self.w) && self.padding == [0; 4];
        let alone = self.x_step == self.depth() && self.y_step == self.m;
        (whole && alone).then(|| [self.n, self.m, self.depth()])
    }

    /// The convolution of the outputs' gradient that gives the inputs', for stride 1 and less padding than kernel.
    fn back(&self) -> Option<Self> {
        let [top, left, bottom, right] = self.padding;
        let fits = top < self.kh && bottom < self.kh && left < self.kw && right < self.kw;
        (self.stride == [1; 2] && fits).then(|| Self {
            c: self.m,
            m: self.c,
            h: self.oh(),
            w: self.ow(),
            padding: [self.kh - 1 - top, self.kw - 1 - left, self.kh - 1 - bottom, self.kw - 1 - right],
            x_step: self.y_step,
            y_step: self.x_step,
            ..*self
        })
    }
}

/// Weights as the kernels read them, for one shape of maps and one instruction set.
pub struct Packed {
    isa: Isa,
    plan: Option<Plan>,
    linear: bool,
    values: Vec<f32>,
}

impl Packed {
    /// `[M, C, kh, kw]`, packed.
    pub fn new(isa: Isa, s: &Shape, weight: &[f32]) -> Self {
        if s.linear().is_some() {
            return Self { isa, plan: None, linear: true, values: weight.to_vec() };
        }
        if let Some(plan) = Plan::of(s) {
            return Self { isa, plan: Some(plan), linear: false, values: winograd::pack(isa, s, plan, weight, false) };
        }
        let mut values = vec![0.0; tile::panels_len(s.m, s.depth())];
        tile::pack_rows(isa, weight, s.m, s.depth(), s.depth(), &mut values);
        Self { isa, plan: None, linear: false, values }
    }

    /// Whether these are what [`Packed::new`] would make of the same weights for `s`.
    pub fn fits(&self, isa: Isa, s: &Shape) -> bool {
        self.isa == isa && self.linear == s.linear().is_some() && (self.linear || self.plan == Plan::of(s))
    }
}

/// `y = f(x * w + b)`. `function` is carried out if it is the identity or a rectifier; others are the caller's.
pub fn forward(s: &Shape, x: &[f32], weight: &Packed, bias: Option<&[f32]>, function: Function, y: &mut [f32]) {
    let (isa, panels) = (weight.isa, &weight.values[..]);
    if let Some(sizes) = s.linear() {
        linear::forward(isa, sizes, x, panels, bias, y);
        if function == Function::Relu {
            super::map::apply_in_place(&mut y[..s.n * s.m], function);
        }
        return;
    }
    if let Some(plan) = weight.plan {
        return winograd::forward(isa, s, plan, x, panels, bias, function == Function::Relu, y);
    }
    if narrow::takes(s) {
        return narrow::forward(isa, s, x, panels, bias, function == Function::Relu, y);
    }
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
                relu: function == Function::Relu,
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
pub(super) fn finish<S: Simd>(simd: S, from: &[f32], to: &mut [f32], bias: f32, relu: bool) {
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

/// The gradient by `x` for that by the outputs: `dx` is overwritten.
pub fn backward_x(isa: Isa, s: &Shape, weight: &[f32], dz: &[f32], dx: &mut [f32]) {
    if let Some(sizes) = s.linear() {
        return linear::backward_x(isa, sizes, weight, dz, dx);
    }
    let taps = s.kh * s.kw;
    // Few maps, small ones: most of what would be summed is padding.
    let scatter = |back: &Shape| s.c <= 16 && 2 * back.macs() > 3 * s.macs();
    if let Some(back) = s.back().filter(|back| !scatter(back)) {
        if let Some(plan) = Plan::of(&back) {
            let weight = winograd::pack(isa, &back, plan, weight, true);
            return winograd::forward(isa, &back, plan, dz, &weight, None, false, dx);
        }
        // Kernels turned by half a turn, from outputs to inputs.
        let mut turned = vec![0.0; weight.len()];
        for (m, kernels) in weight.chunks_exact(s.c * taps).enumerate() {
            for (c, kernel) in kernels.chunks_exact(taps).enumerate() {
                for (to, from) in turned[(c * s.m + m) * taps..][..taps].iter_mut().zip(kernel.iter().rev()) {
                    *to = *from;
                }
            }
        }
        let mut values = vec![0.0; tile::panels_len(back.m, back.depth())];
        tile::pack_rows(isa, &turned, back.m, back.depth(), back.depth(), &mut values);
        return forward(&back, dz, &Packed { isa, plan: None, linear: false, values }, None, Function::Identity, dx);
    }
    let depth = s.depth();
    let mut turned = vec![0.0; weight.len()];
    for (m, kernels) in weight.chunks_exact(depth).enumerate() {
        for (k, value) in kernels.iter().enumerate() {
            turned[k * s.m + m] = *value;
        }
    }
    let mut panels = vec![0.0; tile::panels_len(depth, s.m)];
    tile::pack_rows(isa, &turned, depth, s.m, s.m, &mut panels);
    let cuts = if s.n >= par::threads() { 1 } else { par::threads().min(s.c) };
    let dx = par::Shared::new(dx);
    par::each(s.n * cuts, s.macs(), |task| {
        let (n, channels) = (task / cuts, par::part(s.c, cuts, task % cuts));
        let width = isa.tile().1 * isa.lanes();
        let blocks = (s.oh() * s.ow()).div_ceil(width);
        let [top, left, bottom, right] = s.padding;
        let plane = (s.h + top + bottom) * (s.w + left + right);
        let sizes = [blocks * s.m * width, isa.tile().0 * blocks * width, channels.len() * plane];
        par::scratch(sizes, |[b, out, padded]| {
            let (dz, dx_start) = (&dz[n * s.y_step..], n * s.x_step);
            isa.run(Scatter { isa, s, panels: &panels, dz, dx, dx_start, channels, b, out, padded });
        });
    });
}

/// One image's gradient by `x` where the convolution steps: products of weights and outputs, added where they came from.
struct Scatter<'a> {
    isa: Isa,
    s: &'a Shape,
    panels: &'a [f32],
    dz: &'a [f32],
    dx: par::Shared<'a>,
    dx_start: usize,
    channels: core::ops::Range<usize>,
    b: &'a mut [f32],
    out: &'a mut [f32],
    padded: &'a mut [f32],
}

impl WithSimd for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { isa, s, panels, dz, b, out, padded, .. } = self;
        let (oh, ow, taps) = (s.oh(), s.ow(), s.kh * s.kw);
        let size = oh * ow;
        let (tall, vectors) = isa.tile();
        let width = vectors * S::F32_LANES;
        let [top, left, bottom, right] = s.padding;
        let (hp, wp) = (s.h + top + bottom, s.w + left + right);
        let blocks = size.div_ceil(width);
        {
            for (block, panel) in b.chunks_exact_mut(s.m * width).enumerate() {
                let count = width.min(size - block * width);
                for (m, row) in panel.chunks_exact_mut(width).enumerate() {
                    row[..count].copy_from_slice(&dz[m * size + block * width..][..count]);
                    row[count..].fill(0.0);
                }
            }
            padded.fill(0.0);
            // Panels begin at rows of full tiles, which needn't be where a map's kernel begins.
            let wanted = self.channels.start * taps..self.channels.end * taps;
            let mut first = wanted.start / tall * tall;
            while first < wanted.end {
                let rows = tile::panel_rows(isa, s.depth(), first);
                for block in 0..blocks {
                    Tile {
                        rows,
                        vectors: width.min(size - block * width).div_ceil(S::F32_LANES),
                        depth: s.m,
                        a: &panels[tile::panel_start(first, s.m)..],
                        a_step: None,
                        b: &b[block * s.m * width..],
                        steps: Steps::Even(width),
                        out: &mut out[block * width..],
                        stride: blocks * width,
                        add: false,
                    }
                    .run(simd);
                }
                for (r, row) in out.chunks_exact(blocks * width).take(rows).enumerate() {
                    let k = first + r;
                    if !wanted.contains(&k) {
                        continue;
                    }
                    let (c, i, j) = (k / taps - self.channels.start, k % taps / s.kw, k % s.kw);
                    for (y, row) in row[..size].chunks_exact(ow).enumerate() {
                        let to = &mut padded[(c * hp + y * s.stride[0] + i) * wp + j..];
                        if s.stride[1] == 1 {
                            for (to, value) in to.iter_mut().zip(row) {
                                *to += value;
                            }
                            continue;
                        }
                        for (to, value) in to.iter_mut().step_by(s.stride[1]).zip(row) {
                            *to += value;
                        }
                    }
                }
                first += rows;
            }
            for (i, c) in self.channels.clone().enumerate() {
                let start = self.dx_start + c * s.h * s.w;
                // SAFETY: a task has its image's maps to itself.
                let to = unsafe { self.dx.part(start..start + s.h * s.w) };
                for (y, row) in to.chunks_exact_mut(s.w).enumerate() {
                    row.copy_from_slice(&padded[(i * hp + y + top) * wp + left..][..s.w]);
                }
            }
        }
    }
}

/// The gradient by the weights: `dw`, `[M, C, kh, kw]`, is overwritten.
pub fn backward_w(isa: Isa, s: &Shape, x: &[f32], dz: &[f32], dw: &mut [f32]) {
    if let Some(sizes) = s.linear() {
        return linear::backward_w(isa, sizes, x, dz, dw);
    }
    if narrow::takes_weights(s) {
        return narrow::backward_w(isa, s, x, dz, dw);
    }
    if let Some(plan) = Plan::of_weights(s) {
        return winograd_weights::backward(isa, s, plan, x, dz, dw);
    }
    let width = isa.tile().1 * isa.lanes();
    let taps = s.kh * s.kw;
    // Columns of the product, in blocks of a tile's width: maps of one tap or, if they are few, (map, tap) pairs.
    let few = s.c * 2 <= width;
    let blocks = if few { s.depth().div_ceil(width) } else { s.c.div_ceil(width) };
    let by_columns = blocks >= par::threads();
    let cuts = par::threads().min(if by_columns { blocks } else { s.m.div_ceil(isa.tile().0) });
    let dw = par::Shared::new(dw);
    par::each(cuts, s.macs(), |cut| {
        let tall = isa.tile().0;
        let (blocks, rows) = if by_columns {
            (par::part(blocks, cuts, cut), 0..s.m)
        } else {
            let panels = par::part(s.m.div_ceil(tall), cuts, cut);
            (0..blocks, panels.start * tall..(panels.end * tall).min(s.m))
        };
        let size = s.oh() * s.ow();
        let [top, left, bottom, right] = s.padding;
        let planes = Planes::new(s);
        let plane = if few { size } else { (s.h + top + bottom) * (s.w + left + right) };
        let tall_rows = rows.len().next_multiple_of(4);
        let sizes = [
            tile::panels_len(rows.len(), size),
            blocks.len() * plane * width,
            blocks.len() * if few { 1 } else { taps } * tall_rows * width,
            if few { planes.len(s.c) } else { 0 },
        ];
        par::scratch(sizes, |[a, b, sums, padded]| {
            isa.run(Weights { isa, s, x, dz, dw, few, blocks, rows, taps, a, b, sums, padded });
        });
    });
}

struct Weights<'a> {
    isa: Isa,
    s: &'a Shape,
    x: &'a [f32],
    dz: &'a [f32],
    dw: par::Shared<'a>,
    few: bool,
    blocks: core::ops::Range<usize>,
    rows: core::ops::Range<usize>,
    taps: usize,
    a: &'a mut [f32],
    b: &'a mut [f32],
    sums: &'a mut [f32],
    padded: &'a mut [f32],
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { isa, s, few, taps, a, b, sums, padded, .. } = self;
        let (oh, ow) = (s.oh(), s.ow());
        let size = oh * ow;
        let width = isa.tile().1 * S::F32_LANES;
        let [top, left, bottom, right] = s.padding;
        let (hp, wp) = (s.h + top + bottom, s.w + left + right);
        let rows = self.rows.len();
        let planes = Planes::new(s);
        let offsets = planes.steps(s);
        let table: Vec<u32> = if few {
            (0..size).map(|p| (p * width) as u32).collect()
        } else {
            (0..size).map(|p| ((p / ow * s.stride[0] * wp + p % ow * s.stride[1]) * width) as u32).collect()
        };
        let taps_of = if few { 1 } else { taps };
        let block_len = if few { size * width } else { hp * wp * width };
        let tall_rows = rows.next_multiple_of(4);
        {
            if !few {
                b.fill(0.0);
            }
            for n in 0..s.n {
                let x = &self.x[n * s.x_step..];
                let dz = &self.dz[n * s.y_step + self.rows.start * size..];
                tile::pack_rows(isa, dz, rows, size, size, a);
                if few {
                    planes.fill(s, x, padded);
                }
                for (i, block) in self.blocks.clone().enumerate() {
                    let b = &mut b[i * block_len..][..block_len];
                    if few {
                        let steps = &offsets[block * width..(block * width + width).min(offsets.len())];
                        for (p, row) in b.chunks_exact_mut(width).enumerate() {
                            let from = &padded[planes.row(s, p / ow) + p % ow..];
                            for (to, step) in row.iter_mut().zip(steps) {
                                *to = from[*step as usize];
                            }
                            row[steps.len()..].fill(0.0);
                        }
                    } else {
                        let maps = width.min(s.c - block * width);
                        for y in 0..s.h {
                            let to = &mut b[((y + top) * wp + left) * width..][..s.w * width];
                            for c in 0..maps {
                                let from = &x[((block * width + c) * s.h + y) * s.w..][..s.w];
                                for (to, value) in to.chunks_exact_mut(width).zip(from) {
                                    to[c] = *value;
                                }
                            }
                        }
                    }
                    for tap in 0..taps_of {
                        let base = (tap / s.kw * wp + tap % s.kw) * width;
                        let sums = &mut sums[(i * taps_of + tap) * tall_rows * width..][..tall_rows * width];
                        let mut m = 0;
                        while m < rows {
                            let tall = tile::panel_rows(isa, rows, m);
                            Tile {
                                rows: tall,
                                vectors: isa.tile().1,
                                depth: size,
                                a: &a[tile::panel_start(m, size)..],
                                a_step: None,
                                b: &b[base..],
                                steps: Steps::Table(&table),
                                out: &mut sums[m * width..],
                                stride: width,
                                add: n > 0,
                            }
                            .run(simd);
                            m += tall;
                        }
                    }
                }
            }
            for (i, block) in self.blocks.clone().enumerate() {
                for m in 0..rows {
                    let start = (self.rows.start + m) * s.depth();
                    if few {
                        let count = width.min(s.depth() - block * width);
                        let from = &sums[(i * tall_rows + m) * width..][..count];
                        let start = start + block * width;
                        // SAFETY: a task has its rows and blocks to itself.
                        unsafe { self.dw.part(start..start + count) }.copy_from_slice(from);
                    } else {
                        let maps = width.min(s.c - block * width);
                        let start = start + block * width * taps;
                        // SAFETY: as above.
                        let to = unsafe { self.dw.part(start..start + maps * taps) };
                        for tap in 0..taps {
                            let from = &sums[((i * taps + tap) * tall_rows + m) * width..][..maps];
                            for (to, value) in to.iter_mut().skip(tap).step_by(taps).zip(from) {
                                *to = *value;
                            }
                        }
                    }
                }
            }
        }
    }
}
