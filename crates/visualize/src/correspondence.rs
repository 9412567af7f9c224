//! Whether hiding the same part of different images changes features alike (Zeiler & Fergus 2013, 4.3 and table 1).

use crate::error::Error;
use crate::field::Region;
use crate::numbers::values;
use crate::projection::output;
use burn::tensor::{Tensor, TensorData};
use models::Network;
use serde::Serialize;

/// What a feature that didn't change at all counts as: rectified features often don't, and the paper doesn't say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zero {
    /// A sign of its own, different from plus and minus.
    #[default]
    Own,
    /// Nothing: in a pair, features that stayed the same in either image are left out.
    Ignored,
}

/// The paper's Delta as a mean over pairs of images and over features, 0..=1: smaller means that hiding the part did more
/// of the same to each image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Mean over the pairs.
    pub mean: f64,
    /// Standard deviation over the pairs.
    pub deviation: f64,
}

/// Hides in each of `images`, `[N, C, H, W]`, its one of `regions` behind `fill` (a number for each channel), and compares
/// the signs of the changes in the features of `layer`, for every pair of images.
///
/// # Errors
/// If the images don't fit, there are fewer than two, or layer or regions aren't theirs.
pub fn correspondence(
    network: &Network,
    images: &Tensor<4>,
    regions: &[Region],
    layer: &str,
    fill: &[f32],
    zero: Zero,
) -> Result<Agreement, Error> {
    let [n, channels, height, width] = images.dims();
    if n < 2 || regions.len() != n || fill.len() != channels {
        return Err(Error::Arguments(format!(
            "{n} images, {} regions and {} fills for {channels} channels: there must be two images at least, and a \
             region for each",
            regions.len(),
            fill.len()
        )));
    }
    let outside = |r: &&Region| r.height * r.width == 0 || r.top + r.height > height || r.left + r.width > width;
    if let Some(Region { top, left, height: h, width: w }) = regions.iter().find(outside) {
        return Err(Error::Arguments(format!(
            "a part at row {top}, column {left} of {h}x{w} pixels isn't inside an image of {height}x{width}"
        )));
    }
    let mut pixels = values(images.clone());
    for (image, region) in pixels.chunks_exact_mut(channels * height * width).zip(regions) {
        for (plane, fill) in image.chunks_exact_mut(height * width).zip(fill) {
            for y in region.top..region.top + region.height {
                plane[y * width + region.left..][..region.width].fill(*fill);
            }
        }
    }
    let hidden = Tensor::from_data(TensorData::new(pixels, [n, channels, height, width]), &images.device());
    let features = |images| Ok::<_, Error>(output(&network.forward_traced(images)?.1, layer)?);
    let changes = values(features(images.clone())? - features(hidden)?);
    let signs: Vec<i8> = changes.iter().map(|&e| i8::from(e > 0.0) - i8::from(e < 0.0)).collect();
    let signs: Vec<_> = signs.chunks_exact(signs.len() / n).collect();
    let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    let apart: Vec<f64> = pairs.map(|(i, j)| hamming(signs[i], signs[j], zero)).collect();
    let mean = apart.iter().sum::<f64>() / apart.len() as f64;
    let variance = apart.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / apart.len() as f64;
    Ok(Agreement { mean, deviation: variance.sqrt() })
}

/// Share of the features whose signs differ.
fn hamming(a: &[i8], b: &[i8], zero: Zero) -> f64 {
    let counted = || a.iter().zip(b).filter(|(a, b)| zero == Zero::Own || **a * **b != 0);
    let all = counted().count();
    counted().filter(|(a, b)| a != b).count() as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_compared() {
        let (a, b) = ([1, -1, 0, 1], [1, 1, 1, 1]);
        assert_eq!(hamming(&a, &b, Zero::Own), 0.5);
        assert_eq!(hamming(&a, &b, Zero::Ignored), 1.0 / 3.0);
        assert_eq!(hamming(&[0], &[0], Zero::Ignored), 0.0);
    }
}
