//! Telling ink from paper.

use image::{ImageBuffer, Luma, imageops, imageops::FilterType};

/// Longest side of the coarse image that the paper is estimated on.
const COARSE: usize = 64;

/// A grey image in floating point, ink bright.
#[derive(Clone, Debug)]
pub(crate) struct Plane {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// `[height, width]`, in grey levels.
    pub(crate) values: Vec<f32>,
}

impl Plane {
    pub(crate) fn new(width: usize, height: usize, values: Vec<f32>) -> Self {
        Self { width, height, values }
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.values.iter_mut().zip(&other.values).for_each(|(a, b)| *a -= b);
    }

    fn resized(&self, width: usize, height: usize) -> Self {
        // The image crate takes floating point for 0..=1 and clamps; so in and out by 255.
        let values: Vec<_> = self.values.iter().map(|v| v / 255.0).collect();
        let from = ImageBuffer::<Luma<f32>, _>::from_raw(self.width as u32, self.height as u32, values);
        let to = imageops::resize(&from.unwrap_or_default(), width as u32, height as u32, FilterType::Triangle);
        Self::new(width, height, to.into_raw().into_iter().map(|v| v * 255.0).collect())
    }

    fn transposed(&self) -> Self {
        let at = |i: usize| self.values[i % self.height * self.width + i / self.height];
        Self::new(self.height, self.width, (0..self.values.len()).map(at).collect())
    }

    /// Every row made longer by `by` at both ends, mirrored in place and in value, so that a slope stays a slope.
    fn padded(&self, by: usize) -> Self {
        let last = self.width - 1;
        let row = |row: &[f32]| -> Vec<f32> {
            let before = (1..=by).rev().map(|i| 2.0 * row[0] - row[i.min(last)]);
            let after = (1..=by).map(|i| 2.0 * row[last] - row[last.saturating_sub(i)]);
            before.chain(row.iter().copied()).chain(after).collect()
        };
        Self::new(self.width + 2 * by, self.height, self.values.chunks_exact(self.width).flat_map(row).collect())
    }

    /// Each value replaced by `best` of its row's values up to `by` away.
    fn filtered(&self, by: usize, best: fn(f32, f32) -> f32) -> Self {
        let row = |row: &[f32]| -> Vec<f32> {
            let around = |x: usize| &row[x.saturating_sub(by)..row.len().min(x + by + 1)];
            (0..row.len()).map(|x| around(x).iter().copied().reduce(best).unwrap_or(row[x])).collect()
        };
        Self::new(self.width, self.height, self.values.chunks_exact(self.width).flat_map(row).collect())
    }

    fn trimmed(&self, by: usize) -> Self {
        let row = |row: &[f32]| row[by..row.len() - by].to_vec();
        Self::new(self.width - 2 * by, self.height, self.values.chunks_exact(self.width).flat_map(row).collect())
    }
}

/// How bright the paper is under and around the ink: a morphological opening, which takes away all that is bright and
/// narrower than a third of the image, and leaves shadows and slopes of light.
pub(crate) fn estimate(ink: &Plane) -> Plane {
    let longest = ink.width.max(ink.height);
    let side = |n: usize| if longest > COARSE { (n * COARSE / longest).max(1) } else { n };
    let (width, height) = (side(ink.width), side(ink.height));
    let by = width.max(height) / 6;
    let both = |plane: Plane, pass: &dyn Fn(&Plane) -> Plane| pass(&pass(&plane).transposed()).transposed();
    let wide = both(ink.resized(width, height), &|plane| plane.padded(2 * by));
    let eroded = both(wide, &|plane| plane.filtered(by, f32::min));
    let opened = both(eroded, &|plane| plane.filtered(by, f32::max));
    both(opened, &|plane| plane.trimmed(2 * by)).resized(ink.width, ink.height)
}

/// The level that the paper's grain stays below: median and four deviations, 0 for a clean drawing.
pub(crate) fn noise(ink: &Plane) -> f32 {
    let median = |mut values: Vec<f32>| {
        let middle = values.len() / 2;
        *values.select_nth_unstable_by(middle, f32::total_cmp).1
    };
    let level = median(ink.values.clone());
    // 1.4826 times the median deviation is the standard deviation of Gaussian grain.
    level + 4.0 * 1.4826 * median(ink.values.iter().map(|v| (v - level).abs()).collect())
}

/// Otsu's threshold: the one that parts `values`, 0..=255, into the two most different classes.
pub(crate) fn otsu(values: &[f32]) -> f32 {
    let mut counts = [0.0_f64; 256];
    values.iter().for_each(|v| counts[*v as usize] += 1.0);
    let sum = |counts: &[f64]| counts.iter().enumerate().map(|(v, n)| v as f64 * n).sum::<f64>();
    let (total, all) = (values.len() as f64, sum(&counts));
    let (mut below, mut mass, mut best, mut threshold) = (0.0, 0.0, 0.0, 0);
    for (v, n) in counts.iter().enumerate() {
        below += n;
        mass += v as f64 * n;
        let above = total - below;
        if below > 0.0 && above > 0.0 {
            let apart = mass / below - (all - mass) / above;
            let variance = below * above * apart * apart;
            if variance > best {
                (best, threshold) = (variance, v + 1);
            }
        }
    }
    threshold as f32
}

/// Mean of the values of at least `threshold`, 0 if there are none.
pub(crate) fn mean_above(values: impl Iterator<Item = f32>, threshold: f32) -> f32 {
    let (sum, n) = values.filter(|&v| v >= threshold).fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
    if threshold > 0.0 && n > 0.0 { sum / n } else { 0.0 }
}

/// The connected parts of what may be ink.
pub(crate) struct Parts {
    /// `[height, width]`, the part of each pixel: from 1 on, 0 for paper.
    pub(crate) labels: Vec<u32>,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Default)]
struct Part {
    /// Pixels that are surely ink.
    area: usize,
    /// Pixels at the image's border.
    contact: usize,
}

impl Parts {
    /// Parts of pixels over `faint`, connected by sides or corners, that have a pixel of at least `sure`.
    pub(crate) fn find(ink: &Plane, faint: f32, sure: f32) -> Self {
        let (width, height) = (ink.width, ink.height);
        let (mut labels, mut parts) = (vec![0; width * height], Vec::new());
        let mut stack = Vec::new();
        for start in 0..labels.len() {
            if labels[start] != 0 || ink.values[start] < sure {
                continue;
            }
            let (label, mut part) = (parts.len() as u32 + 1, Part::default());
            labels[start] = label;
            stack.push(start);
            while let Some(i) = stack.pop() {
                let (x, y) = (i % width, i / width);
                part.area += usize::from(ink.values[i] >= sure);
                part.contact += usize::from(x == 0 || y == 0 || x + 1 == width || y + 1 == height);
                for y in y.saturating_sub(1)..height.min(y + 2) {
                    for x in x.saturating_sub(1)..width.min(x + 2) {
                        let i = y * width + x;
                        if labels[i] == 0 && ink.values[i] > faint {
                            labels[i] = label;
                            stack.push(i);
                        }
                    }
                }
            }
            parts.push(part);
        }
        Self { labels, parts }
    }

    /// Whether the part of each label belongs to the digit; `[0]` is the paper.
    ///
    /// A shadow or the edge of the paper lies along the border, where a stroke at most crosses it: such a part goes if
    /// something else of some size remains. Of the rest, parts under 3% of the largest are specks.
    pub(crate) fn kept(&self) -> Vec<bool> {
        let along = |part: &Part| part.contact * part.contact > part.area;
        let largest = |want: bool| self.parts.iter().filter(|p| along(p) == want).map(|p| p.area).max().unwrap_or(0);
        let (inside, border) = (largest(false), largest(true));
        let only_inside = inside * 50 >= border;
        let least = (if only_inside { inside } else { border } / 33).max(4);
        let kept = |part: &Part| part.area >= least && !(only_inside && along(part));
        [false].into_iter().chain(self.parts.iter().map(kept)).collect()
    }
}
