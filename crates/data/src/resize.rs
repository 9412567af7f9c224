//! Scaling with the triangle filter, antialiased, of no more than is looked at.

use crate::DataError;
use std::ops::Range;

/// Longest side that a scaled image may have in pixels: a guard against slivers, whose memory grows without bound.
const LONGEST: usize = 16384;

/// Height and width of an image of `height` x `width` pixels once its shorter side is `shorter`.
///
/// # Errors
/// The longer side would be too long.
pub(crate) fn scaled(height: usize, width: usize, shorter: usize) -> Result<[usize; 2], DataError> {
    let [tall, wide] = [height, width].map(|side| side * shorter / height.min(width));
    if tall.max(wide) > LONGEST {
        return Err(DataError::Invalid(format!(
            "an image of {height} x {width} pixels is too narrow: scaled to {shorter} it is {tall} x {wide}. Crop it."
        )));
    }
    Ok([tall, wide])
}

/// Of `plane` `[height, width]`, scaled to `[tall, wide]`, the given rows and columns.
pub(crate) fn resized(
    plane: &[u8],
    [height, width]: [usize; 2],
    [tall, wide]: [usize; 2],
    rows: Range<usize>,
    columns: Range<usize>,
) -> Vec<u8> {
    if [tall, wide] == [height, width] {
        let mut out = Vec::with_capacity(rows.len() * columns.len());
        for row in plane.chunks_exact(width).skip(rows.start).take(rows.len()) {
            out.extend_from_slice(&row[columns.clone()]);
        }
        return out;
    }
    let (vertical, horizontal) = (Taps::new(height, tall, rows.clone()), Taps::new(width, wide, columns.clone()));
    let seen = horizontal.seen();
    let mut out = Vec::with_capacity(rows.len() * columns.len());
    let mut line = vec![0.0_f32; seen.len()];
    for (first, weights) in vertical.iter() {
        line.fill(0.0);
        for (row, weight) in plane[first * width..].chunks_exact(width).zip(weights) {
            for (sum, p) in line.iter_mut().zip(&row[seen.clone()]) {
                *sum += weight * f32::from(*p);
            }
        }
        for (first, weights) in horizontal.iter() {
            let values = &line[first - seen.start..][..weights.len()];
            let sum: f32 = values.iter().zip(weights).map(|(v, w)| v * w).sum();
            out.push((sum + 0.5) as u8); // saturates
        }
    }
    out
}

/// For each place after scaling, where the filter begins before scaling, and its weights there.
struct Taps {
    first: Vec<usize>,
    /// Where each place's weights end in `weights`.
    end: Vec<usize>,
    weights: Vec<f32>,
}

impl Taps {
    fn new(from: usize, to: usize, places: Range<usize>) -> Self {
        let ratio = from as f32 / to as f32;
        let reach = ratio.max(1.0);
        let mut taps = Self { first: Vec::new(), end: Vec::new(), weights: Vec::new() };
        for place in places {
            let centre = (place as f32 + 0.5) * ratio;
            let first = ((centre - reach).floor().max(0.0) as usize).min(from - 1);
            let last = ((centre + reach).ceil() as usize).clamp(first + 1, from);
            let start = taps.weights.len();
            taps.weights.extend((first..last).map(|i| (1.0 - (i as f32 + 0.5 - centre).abs() / reach).max(0.0)));
            let sum: f32 = taps.weights[start..].iter().sum();
            taps.weights[start..].iter_mut().for_each(|w| *w /= sum);
            taps.first.push(first);
            taps.end.push(taps.weights.len());
        }
        taps
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let start = std::iter::once(0).chain(self.end.iter().copied());
        self.first.iter().zip(start.zip(&self.end)).map(|(first, (start, end))| (*first, &self.weights[start..*end]))
    }

    /// All that any place looks at.
    fn seen(&self) -> Range<usize> {
        let last = self.iter().map(|(first, weights)| first + weights.len()).max().unwrap_or(0);
        self.first.first().copied().unwrap_or(0)..last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_that_part_of_the_whole() {
        let plane: Vec<u8> = (0..40 * 50).map(|i| (i * 37 % 251) as u8).collect();
        for [tall, wide] in [[20, 25], [64, 80], [40, 50]] {
            let whole = resized(&plane, [40, 50], [tall, wide], 0..tall, 0..wide);
            let part = resized(&plane, [40, 50], [tall, wide], 3..17, 5..19);
            let expected: Vec<u8> = (3..17).flat_map(|y| whole[y * wide + 5..y * wide + 19].to_vec()).collect();
            assert_eq!(part, expected, "{tall} x {wide}");
        }
    }
}
