//! An image's maps with their padding, laid out so that what a tile reads lies in runs.

use super::conv::Shape;

/// The layout of one image's padded maps: `[C][rows][phases][run]`, where column `x` of a row is in phase
/// `x % phases` at `x / phases`. With as many phases as the stride, neighbouring outputs read neighbouring numbers.
#[derive(Clone, Copy)]
pub struct Planes {
    rows: usize,
    phases: usize,
    run: usize,
}

impl Planes {
    pub fn new(s: &Shape) -> Self {
        let [top, left, bottom, right] = s.padding;
        Self { rows: s.h + top + bottom, phases: s.stride[1], run: (s.w + left + right).div_ceil(s.stride[1]) }
    }

    /// Numbers in one image.
    pub fn len(&self, channels: usize) -> usize {
        channels * self.rows * self.phases * self.run
    }

    /// Fills `planes` with the maps of `x`, `[C, H, W]`, and zeros around them.
    pub fn fill(&self, s: &Shape, x: &[f32], planes: &mut [f32]) {
        let [top, left, ..] = s.padding;
        let row_len = self.phases * self.run;
        for c in 0..s.c {
            for r in 0..self.rows {
                let to = &mut planes[(c * self.rows + r) * row_len..][..row_len];
                let Some(row) = r.checked_sub(top).filter(|r| *r < s.h) else {
                    to.fill(0.0);
                    continue;
                };
                let from = &x[(c * s.h + row) * s.w..][..s.w];
                if self.phases == 1 {
                    to[..left].fill(0.0);
                    to[left..left + s.w].copy_from_slice(from);
                    to[left + s.w..].fill(0.0);
                } else {
                    to.fill(0.0);
                    for (i, value) in from.iter().enumerate() {
                        let at = i + left;
                        to[at % self.phases * self.run + at / self.phases] = *value;
                    }
                }
            }
        }
    }

    /// Where step `k = (c, i, j)` of the sum lies, from an output's own place on.
    pub fn steps(&self, s: &Shape) -> Vec<u32> {
        let row_len = self.phases * self.run;
        let mut steps = Vec::with_capacity(s.depth());
        for c in 0..s.c {
            for i in 0..s.kh {
                let row = (c * self.rows + i) * row_len;
                steps.extend((0..s.kw).map(|j| (row + j % self.phases * self.run + j / self.phases) as u32));
            }
        }
        steps
    }

    /// Where output row `oh` begins.
    pub fn row(&self, s: &Shape, oh: usize) -> usize {
        oh * s.stride[0] * self.phases * self.run
    }
}

/// A run of a panel's columns that lie side by side in the planes.
#[derive(Clone, Copy)]
pub struct Run {
    pub from: usize,
    pub to: usize,
    pub len: usize,
}

/// The runs of columns `first..first + count` of images whose planes are `image` numbers apart.
pub fn runs(s: &Shape, planes: &Planes, image: usize, first: usize, count: usize, runs: &mut Vec<Run>) {
    runs.clear();
    let (ow, size) = (s.ow(), s.oh() * s.ow());
    let mut done = 0;
    while done < count {
        let q = first + done;
        let (n, p) = (q / size, q % size);
        let (y, x) = (p / ow, p % ow);
        let len = (ow - x).min(count - done);
        runs.push(Run { from: n * image + planes.row(s, y) + x, to: done, len });
        done += len;
    }
}
