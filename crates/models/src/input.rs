//! What a network wants to be fed. Data only: the `data` crate carries it out, and a weight file's metadata keeps it.

use alloc::{format, string::String, sync::Arc, vec::Vec};
use serde::{Deserialize, Serialize};

/// Size and preprocessing of a network's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Colour channels: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// How an image of another size gets to `height` x `width`.
    pub framing: Framing,
    /// How a pixel's 0..=255 becomes the network's number.
    pub normalise: Normalise,
    /// What is done to the image's numbers together, after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whitening: Option<Whitening>,
}

/// Global contrast normalisation and ZCA whitening, as maxout and NIN have it (pylearn2,
/// `make_cifar10_gcn_whitened.py`): an image's mean is subtracted from its numbers, they are scaled to the length
/// `contrast`, the training set's mean image is subtracted, and the rest is multiplied by (C + ridge I)^-1/2, C being the
/// training set's covariance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whitening {
    /// Euclidean length of an image's numbers: 55 on CIFAR.
    pub contrast: f32,
    /// Added to the covariance's diagonal: 0.1 on CIFAR.
    pub ridge: f32,
    /// The training set's. In a weight file they are tensors beside the weights, not part of the card.
    #[serde(skip)]
    pub statistics: Option<Arc<Statistics>>,
}

/// What whitening learns from a training set of images with `d` numbers each.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// `[d]`, the mean image.
    pub mean: Vec<f32>,
    /// `[d, d]`, symmetric: (C + ridge I)^-1/2.
    pub matrix: Vec<f32>,
}

/// How an image gets to the input's size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Framing {
    /// Put in the middle of the canvas, unscaled, the rest filled with pixel value 0. LeNet-5's 28x28 digit in 32x32.
    Centre,
    /// Shorter side scaled to `shorter` (triangle filter, antialiased), then the middle cut out.
    ResizeCrop {
        /// Length of the shorter side after scaling, in pixels.
        shorter: usize,
    },
}

/// How a pixel value p in 0..=255 becomes a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Normalise {
    /// Linear: 0 becomes `background`, 255 becomes `ink`. LeCun 1998, II-B: -0.1 and 1.175.
    Range {
        /// What pixel value 0 becomes.
        background: f32,
        /// What pixel value 255 becomes.
        ink: f32,
    },
    /// `(p / 255 - mean) / std`, a mean and a deviation for each channel.
    MeanStd {
        /// Mean of each channel, in 0..=1.
        mean: Vec<f32>,
        /// Standard deviation of each channel, in 0..=1.
        std: Vec<f32>,
    },
}

impl Normalise {
    /// The number that pixel value `p` of channel `channel` becomes.
    pub fn apply(&self, channel: usize, p: f32) -> f32 {
        match self {
            Self::Range { background, ink } => background + (ink - background) * p / 255.0,
            Self::MeanStd { mean, std } => (p / 255.0 - mean[channel]) / std[channel],
        }
    }

    /// The pixel value that the number `x` of channel `channel` came from, unrounded.
    pub fn invert(&self, channel: usize, x: f32) -> f32 {
        match self {
            Self::Range { background, ink } => (x - background) / (ink - background) * 255.0,
            Self::MeanStd { mean, std } => (x * std[channel] + mean[channel]) * 255.0,
        }
    }
}

impl InputSpec {
    /// LeNet-5's: a grey digit in the middle of 32x32, background -0.1 and ink 1.175 (LeCun 1998, II-A and II-B).
    pub fn lenet() -> Self {
        Self {
            channels: 1,
            height: 32,
            width: 32,
            framing: Framing::Centre,
            normalise: Normalise::Range { background: -0.1, ink: 1.175 },
            whitening: None,
        }
    }

    /// `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// What stands for nothing, a number for each channel: paper where ink is drawn on paper, elsewhere the training
    /// set's mean colour.
    pub fn blank(&self) -> Vec<f32> {
        let blank = match self.normalise {
            Normalise::Range { background, .. } => background,
            Normalise::MeanStd { .. } => 0.0,
        };
        alloc::vec![blank; self.channels]
    }

    /// Whether the description can be carried out.
    ///
    /// # Errors
    /// A sentence that names the field: a size of 0 or over 4096, channels other than 1 or 3, a mean or deviation for
    /// another number of channels, a range or a deviation of 0, a number that is not finite, whitening without statistics
    /// or with those of another size.
    pub fn check(&self) -> Result<(), String> {
        if !matches!(self.channels, 1 | 3) {
            return Err(format!("channels is {}, expected 1 or 3", self.channels));
        }
        for (name, size) in [("height", self.height), ("width", self.width)] {
            if !(1..=4096).contains(&size) {
                return Err(format!("{name} is {size}, expected 1 to 4096"));
            }
        }
        if let Framing::ResizeCrop { shorter } = self.framing
            && !(self.height.max(self.width)..=4096).contains(&shorter)
        {
            return Err(format!("shorter is {shorter}, expected at least the input's size and at most 4096"));
        }
        if let Some(Whitening { contrast, ridge, statistics }) = &self.whitening {
            for (name, value) in [("contrast", contrast), ("ridge", ridge)] {
                if !(value.is_finite() && *value > 0.0) {
                    return Err(format!("whitening: {name} is {value}, expected a positive number"));
                }
            }
            let d = self.channels * self.height * self.width;
            match statistics {
                Some(s) if s.mean.len() == d && s.matrix.len() == d * d => {}
                Some(s) => return Err(format!("whitening: statistics of {} numbers for {d}", s.mean.len())),
                None => return Err(String::from("whitening: the training set's statistics are missing")),
            }
        }
        match &self.normalise {
            Normalise::Range { background, ink } => {
                if !(background.is_finite() && ink.is_finite()) || background == ink {
                    return Err(format!("the range {background} to {ink} is empty or not finite"));
                }
            }
            Normalise::MeanStd { mean, std } => {
                if mean.len() != self.channels || std.len() != self.channels {
                    return Err(format!(
                        "{} means and {} deviations for {} channels",
                        mean.len(),
                        std.len(),
                        self.channels
                    ));
                }
                if mean.iter().any(|m| !m.is_finite()) || std.iter().any(|s| !s.is_finite() || *s <= 0.0) {
                    return Err(String::from("a mean is not finite or a deviation is not positive"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lenet_maps_white_and_black_as_the_paper_says() {
        let input = InputSpec::lenet();
        assert!((input.normalise.apply(0, 0.0) + 0.1).abs() < 1e-7);
        assert!((input.normalise.apply(0, 255.0) - 1.175).abs() < 1e-6);
        assert!((input.normalise.invert(0, input.normalise.apply(0, 77.0)) - 77.0).abs() < 1e-3);
        input.check().unwrap();
    }

    #[test]
    fn impossible_descriptions_are_named() {
        let bad = |change: fn(&mut InputSpec)| {
            let mut input = InputSpec::lenet();
            change(&mut input);
            input.check().unwrap_err()
        };
        assert_eq!(bad(|i| i.channels = 2), "channels is 2, expected 1 or 3");
        assert_eq!(bad(|i| i.height = 0), "height is 0, expected 1 to 4096");
        assert!(bad(|i| i.framing = Framing::ResizeCrop { shorter: 16 }).starts_with("shorter is 16"));
        assert!(bad(|i| i.normalise = Normalise::Range { background: 1.0, ink: 1.0 }).contains("empty"));
        assert!(
            bad(|i| i.normalise = Normalise::MeanStd { mean: alloc::vec![0.5], std: alloc::vec![0.0] })
                .contains("not positive")
        );
    }
}
