//! Images made up by arithmetic, for benchmarks and smoke tests: nothing to download, and something to learn.

use crate::{
    DataError, Dataset, Picture, Samples,
    random::{Purpose, Rng, stream, uniform},
    samples::Source,
};
use models::InputSpec;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, f64::consts::PI};

/// Pixels from crest to crest of a grating, as a share of the image's side.
const PERIOD: f64 = 0.25;

/// A made-up dataset: gratings, whose direction is the class, in places that differ by a third of a period, under grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synthetic {
    /// Classes to tell apart.
    pub classes: u16,
    /// Images to train on.
    pub train: u32,
    /// Images to test on.
    pub test: u32,
}

impl Synthetic {
    /// The dataset, for a network that is fed as `spec` says; images are made when they are asked for.
    ///
    /// # Errors
    /// There are fewer than 2 classes, or no images to train on or to test on.
    pub fn dataset(&self, spec: &InputSpec) -> Result<Dataset, DataError> {
        if self.classes < 2 || self.train == 0 || self.test == 0 {
            return Err(DataError::Invalid(format!("{self:?}: expected 2 classes and an image of each kind at least")));
        }
        let [channels, height, width] = spec.shape();
        let samples =
            |half, count| Samples::new(Gratings { channels, height, width, classes: self.classes, count, half });
        let classes = (0..self.classes).map(|class| class.to_string()).collect();
        Ok(Dataset { name: "synthetic".into(), classes, train: samples(0, self.train), test: samples(1, self.test) })
    }
}

#[derive(Debug)]
struct Gratings {
    channels: usize,
    height: usize,
    width: usize,
    classes: u16,
    count: u32,
    half: u64,
}

impl Source for Gratings {
    fn count(&self) -> usize {
        self.count as usize
    }

    fn label(&self, i: usize) -> u16 {
        (i % usize::from(self.classes)) as u16
    }

    fn image(&self, i: usize) -> Result<Picture<'_>, DataError> {
        let Self { channels, height, width, classes, .. } = *self;
        let mut rng = stream(0, Purpose::Synthetic, self.half, i as u64);
        let angle = PI * f64::from(self.label(i)) / f64::from(classes);
        let step = 2.0 * PI / (PERIOD * height.min(width) as f64);
        let (right, down) = (step * libm::cos(angle), step * libm::sin(angle));
        let phase = f64::from(uniform(&mut rng, -1.0, 1.0));
        // sin(a + b) from tables of a and b: a sine for each row and column, not for each pixel.
        let across: Vec<_> = (0..width).map(|x| libm::sincos(right * x as f64 + phase)).collect();
        let along: Vec<_> = (0..height).map(|y| libm::sincos(down * y as f64)).collect();
        let mut pixels = Vec::with_capacity(channels * height * width);
        for _ in 0..channels {
            let strength = f64::from(uniform(&mut rng, 40.0, 90.0));
            for (sin_y, cos_y) in &along {
                for (sin_x, cos_x) in &across {
                    let grain = f64::from(rng.next_u32() >> 27);
                    pixels.push((112.0 + strength * (sin_x * cos_y + cos_x * sin_y) + grain) as u8);
                }
            }
        }
        Ok(Picture { channels, height, width, pixels: Cow::Owned(pixels) })
    }
}
