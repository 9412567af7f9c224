//! The papers' ways to show a training image otherwise each time it is seen.

use crate::{
    DataError, Distortion,
    prepare::View,
    random::{Purpose, below, normal, stream},
};
use models::{Framing, InputSpec};
use serde::{Deserialize, Serialize};

/// The directions in which ImageNet's colours vary, and how far: standard deviation on 0..=255, then the direction in
/// red, green and blue (`color_pca` of the author's own `make-data/input_meta`, cuda-convnet2).
const COLOURS: [(f32, [f32; 3]); 3] = [
    (121.7801, [-0.56351, -0.57618, -0.59200]),
    (37.0939, [-0.71258, -0.02354, 0.70120]),
    (19.7208, [0.41796, -0.81698, 0.39731]),
];

/// What is done to a training image, each time anew. A pure function of (seed, epoch, index).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Augment {
    /// LeCun's planar distortions.
    pub distortion: Option<Distortion>,
    /// Where the image is cut out.
    pub crop: Option<Crop>,
    /// Mirrors every other image, left to right.
    pub flip: bool,
    /// Light of another colour (Krizhevsky 2012, 4.1): the standard deviation of the share of each principal colour that
    /// is added to all pixels of an image; 0.1 in the paper. The paper multiplies by an eigenvalue of the covariance of
    /// 0..=255 pixels, which can't be meant (0.1 would be 1,480 levels); as in the author's code it is the standard
    /// deviation, so that 0.1 shifts by some 12 levels.
    pub lighting: f32,
}

/// Where a training image is cut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Crop {
    /// Anywhere in the image with so many rows and columns of zeros round it, zero being the network's number, after
    /// whitening: 4 for NIN on CIFAR, as maxout does it (pylearn2, cifar10.yaml).
    Pad(usize),
    /// Anywhere in the middle square of the scaled image: AlexNet's 224x224 of 256x256 (Krizhevsky 2012, 4.1).
    Random,
    /// In one of the square's corners or its middle: with the mirror images, ZFNet's ten (Zeiler 2013, 3).
    Five,
}

impl Augment {
    /// Whether it can be done to what `spec` describes.
    ///
    /// # Errors
    /// Names the value.
    pub fn check(&self, spec: &InputSpec) -> Result<(), DataError> {
        self.distortion.as_ref().map_or(Ok(()), Distortion::check)?;
        let invalid = |problem: String| Err(DataError::Invalid(problem));
        match (self.crop, &spec.framing) {
            (Some(Crop::Pad(by)), _) if !(1..=spec.height.min(spec.width)).contains(&by) => {
                invalid(format!("crop: pad is {by}, expected 1 to the input's size"))
            }
            (Some(Crop::Random | Crop::Five), Framing::Centre) => {
                invalid("crop: random and five cut from a scaled image; this input is centred".into())
            }
            _ if !(0.0..=10.0).contains(&self.lighting) => {
                invalid(format!("lighting is {}, expected 0 to 10", self.lighting))
            }
            _ if self.lighting > 0.0 && spec.channels != 3 => invalid("lighting: the input has no colours".into()),
            _ => Ok(()),
        }
    }

    /// How image `index` is looked at.
    pub(crate) fn view(&self, seed: u64, epoch: u64, index: u32, spec: &InputSpec) -> View {
        let mut view = View::default();
        if let (Some(crop @ (Crop::Random | Crop::Five)), &Framing::ResizeCrop { shorter }) = (self.crop, &spec.framing)
        {
            let mut rng = stream(seed, Purpose::Crop, epoch, index.into());
            let [down, right] = [shorter - spec.height, shorter - spec.width];
            view.place = Some(match crop {
                Crop::Five => {
                    [[0, 0], [0, right], [down, 0], [down, right], [down / 2, right / 2]][below(&mut rng, 5) as usize]
                }
                _ => [down, right].map(|most| below(&mut rng, most as u32 + 1) as usize),
            });
        }
        if self.lighting > 0.0 {
            let mut rng = stream(seed, Purpose::Lighting, epoch, index.into());
            for (deviation, direction) in COLOURS {
                let share = self.lighting * normal(&mut rng) * deviation;
                view.light.iter_mut().zip(direction).for_each(|(light, d)| *light += share * d);
            }
        }
        view
    }

    /// What is done to the network's numbers, `[channels, height, width]` of `spec`.
    pub(crate) fn apply(&self, seed: u64, epoch: u64, index: u32, spec: &InputSpec, numbers: &mut [f32]) {
        if let Some(distortion) = &self.distortion {
            distortion.apply(seed, epoch, index, spec, numbers);
        }
        if let Some(Crop::Pad(by)) = self.crop {
            let mut rng = stream(seed, Purpose::Crop, epoch, index.into());
            let [down, right] = [(); 2].map(|()| below(&mut rng, 2 * by as u32 + 1) as isize - by as isize);
            for plane in numbers.chunks_exact_mut(spec.height * spec.width) {
                shift(plane, spec.width, down, right);
            }
        }
        if self.flip && below(&mut stream(seed, Purpose::Flip, epoch, index.into()), 2) == 1 {
            numbers.chunks_exact_mut(spec.width).for_each(<[f32]>::reverse);
        }
    }
}

/// Moves what is in a plane so many rows up and columns to the left; zeros move in.
fn shift(plane: &mut [f32], width: usize, up: isize, left: isize) {
    let from = plane.to_vec();
    let height = (plane.len() / width) as isize;
    plane.fill(0.0);
    for (y, out) in plane.chunks_exact_mut(width).enumerate() {
        let y = y as isize + up;
        if (0..height).contains(&y) {
            let row = &from[y as usize * width..][..width];
            let by = left.unsigned_abs();
            if left < 0 {
                out[by..].copy_from_slice(&row[..width - by])
            } else {
                out[..width - by].copy_from_slice(&row[by..])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::Normalise;

    fn spec(side: usize) -> InputSpec {
        let normalise = Normalise::Range { background: 0.0, ink: 255.0 };
        let framing = Framing::ResizeCrop { shorter: 256.max(side) };
        InputSpec { channels: 3, height: side, width: side, framing, normalise, whitening: None }
    }

    #[test]
    fn shifting_moves_zeros_in() {
        let shifted = |up, left| {
            let mut plane: Vec<f32> = (1..=9).map(|v| v as f32).collect();
            shift(&mut plane, 3, up, left);
            plane
        };
        assert_eq!(shifted(0, 0), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        assert_eq!(shifted(1, 1), [5.0, 6.0, 0.0, 8.0, 9.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(shifted(-1, -2), [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 4.0]);
    }

    #[test]
    fn alexnet_s_crops_reach_every_corner_and_zfnet_s_nothing_else() {
        let places = |crop, n: u32| -> Vec<[usize; 2]> {
            let augment = Augment { crop: Some(crop), ..Augment::default() };
            (0..n).map(|i| augment.view(1, 0, i, &spec(224)).place.unwrap()).collect()
        };
        let random = places(Crop::Random, 4000);
        for end in [0, 32] {
            assert!(random.iter().any(|p| p[0] == end) && random.iter().any(|p| p[1] == end));
        }
        assert!(random.iter().flatten().all(|p| *p <= 32));
        let mut five = places(Crop::Five, 200);
        five.sort_unstable();
        five.dedup();
        assert_eq!(five, [[0, 0], [0, 32], [16, 16], [32, 0], [32, 32]]);
    }

    #[test]
    fn light_varies_along_the_principal_colours() {
        let augment = Augment { lighting: 0.1, ..Augment::default() };
        let lights: Vec<_> = (0..4000).map(|i| augment.view(1, 0, i, &spec(224)).light).collect();
        for (deviation, direction) in COLOURS {
            let along = lights.iter().map(|l| l.iter().zip(direction).map(|(a, b)| a * b).sum::<f32>());
            let variance = along.map(|v| v * v).sum::<f32>() / 4000.0;
            assert!((variance.sqrt() / (0.1 * deviation) - 1.0).abs() < 0.05, "{variance} {deviation}");
        }
    }

    #[test]
    fn half_of_the_images_are_mirrored() {
        let augment = Augment { flip: true, ..Augment::default() };
        let first = |i| {
            let mut numbers: Vec<f32> = (0..12).map(|v| v as f32).collect();
            augment.apply(1, 0, i, &spec(2), &mut numbers);
            numbers[0]
        };
        let mirrored = (0..1000).filter(|i| first(*i) == 1.0).count();
        assert!((450..550).contains(&mirrored), "{mirrored}");
    }

    #[test]
    fn what_can_t_be_done_is_named() {
        let error = |augment: Augment, spec: &InputSpec| augment.check(spec).unwrap_err().to_string();
        let crop = |crop| Augment { crop: Some(crop), ..Augment::default() };
        assert!(error(crop(Crop::Pad(0)), &spec(32)).contains("pad is 0"));
        assert!(error(crop(Crop::Random), &InputSpec::lenet()).contains("this input is centred"));
        let lighting = |lighting| Augment { lighting, ..Augment::default() };
        assert!(error(lighting(0.1), &InputSpec::lenet()).contains("no colours"));
        assert!(error(lighting(f32::NAN), &spec(32)).contains("lighting is NaN"));
    }
}
