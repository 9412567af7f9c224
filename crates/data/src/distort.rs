//! LeCun 1998's planar distortions.

use crate::{
    DataError,
    random::{Purpose, stream, uniform},
};
use models::InputSpec;
use serde::{Deserialize, Serialize};

/// Random planar distortions of a training image: translation, scaling, squeezing and horizontal shearing, but no
/// rotation (LeCun 1998, III-A). The ranges are ours: the paper gives none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Distortion {
    /// Furthest translation in pixels, each way, horizontal and vertical.
    pub translate: f32,
    /// Largest scaling, relative: 0.12 enlarges up to 1.12 times, or shrinks as much.
    pub scale: f32,
    /// Largest squeeze, relative: horizontal compression with the same vertical elongation, or the reverse.
    pub squeeze: f32,
    /// Largest horizontal shear, pixels to the side for each pixel down.
    pub shear: f32,
}

impl Default for Distortion {
    /// Ranges that keep MNIST's 20x20 ink inside LeNet's 32x32.
    fn default() -> Self {
        Self { translate: 2.0, scale: 0.12, squeeze: 0.12, shear: 0.25 }
    }
}

impl Distortion {
    /// Whether the ranges make sense.
    ///
    /// # Errors
    /// A range that is negative, not finite or over its limit: 64 pixels, 1 for the others.
    pub fn check(&self) -> Result<(), DataError> {
        let Self { translate, scale, squeeze, shear } = *self;
        let ranges =
            [("translate", translate, 64.0), ("scale", scale, 1.0), ("squeeze", squeeze, 1.0), ("shear", shear, 1.0)];
        match ranges.iter().find(|(_, range, most)| !(0.0..=*most).contains(range)) {
            Some((name, range, most)) => {
                Err(DataError::Invalid(format!("distortion: {name} is {range}, expected 0 to {most}")))
            }
            None => Ok(()),
        }
    }

    /// Distorts `canvas`, one image that [`crate::prepare_into`] made for `spec`: one affine map about the centre,
    /// bilinear, with pixel value 0 outside. A pure function of (seed, epoch, index), `index` being the image's
    /// position in the dataset.
    ///
    /// # Panics
    /// `canvas` is not `[channels, height, width]` of `spec`.
    pub fn apply(&self, seed: u64, epoch: u64, index: u32, spec: &InputSpec, canvas: &mut [f32]) {
        assert_eq!(canvas.len(), spec.shape().iter().product::<usize>(), "canvas length");
        let mut rng = stream(seed, Purpose::Distortion, epoch, index.into());
        let mut draw = |range: f32| uniform(&mut rng, -range, range);
        let (right, down) = (draw(self.translate), draw(self.translate));
        let (scale, squeeze, shear) = (factor(draw(self.scale)), factor(draw(self.squeeze)), draw(self.shear));
        // Forward: (x, y) -> scale * (x / squeeze + shear * y, y * squeeze) + (right, down). Backward, row by row:
        let (middle_x, middle_y) = ((spec.width as f32 - 1.0) / 2.0, (spec.height as f32 - 1.0) / 2.0);
        let area = spec.height * spec.width;
        let mut from = vec![0.0; area];
        for (channel, plane) in canvas.chunks_exact_mut(area).enumerate() {
            from.copy_from_slice(plane);
            let background = spec.normalise.apply(channel, 0.0);
            let at = |x: i64, y: i64| {
                let inside = (0..spec.width as i64).contains(&x) && (0..spec.height as i64).contains(&y);
                if inside { from[y as usize * spec.width + x as usize] } else { background }
            };
            for (row, out) in plane.chunks_exact_mut(spec.width).enumerate() {
                let y = (row as f32 - middle_y - down) / scale / squeeze;
                for (column, out) in out.iter_mut().enumerate() {
                    let x = ((column as f32 - middle_x - right) / scale - shear * y) * squeeze;
                    *out = bilinear(x + middle_x, y + middle_y, at);
                }
            }
        }
    }
}

/// 1 + r, or the reciprocal for a negative r. No exponential: it may differ in the last bit between platforms.
fn factor(r: f32) -> f32 {
    if r < 0.0 { 1.0 / (1.0 - r) } else { 1.0 + r }
}

fn bilinear(x: f32, y: f32, at: impl Fn(i64, i64) -> f32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let (u, v) = (x - left, y - top);
    let (left, top) = (left as i64, top as i64);
    (at(left, top) * (1.0 - u) + at(left + 1, top) * u) * (1.0 - v)
        + (at(left, top + 1) * (1.0 - u) + at(left + 1, top + 1) * u) * v
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Distortion = Distortion { translate: 0.0, scale: 0.0, squeeze: 0.0, shear: 0.0 };

    /// A blob of ink on LeNet's canvas.
    fn canvas() -> Vec<f32> {
        let mut canvas = vec![-0.1; 1024];
        for i in 0..64 {
            canvas[(12 + i / 8) * 32 + 13 + i % 8] = 0.1 + i as f32 / 64.0;
        }
        canvas
    }

    fn distorted(by: &Distortion, seed: u64, epoch: u64, index: u32) -> Vec<f32> {
        let mut canvas = canvas();
        by.apply(seed, epoch, index, &InputSpec::lenet(), &mut canvas);
        canvas
    }

    fn centre(canvas: &[f32]) -> [f32; 2] {
        let ink = |i: usize| canvas[i] + 0.1;
        let mass: f32 = (0..1024).map(ink).sum();
        [
            (0..1024).map(|i| ink(i) * (i % 32) as f32).sum::<f32>() / mass,
            (0..1024).map(|i| ink(i) * (i / 32) as f32).sum::<f32>() / mass,
        ]
    }

    #[test]
    fn ranges_of_zero_change_nothing() {
        assert_eq!(distorted(&NONE, 1, 2, 3), canvas());
    }

    #[test]
    fn a_distortion_depends_on_seed_epoch_and_index_only() {
        let by = Distortion::default();
        let first = distorted(&by, 1, 2, 3);
        assert_eq!(first, distorted(&by, 1, 2, 3));
        for (seed, epoch, index) in [(0, 2, 3), (1, 0, 3), (1, 2, 0)] {
            assert_ne!(first, distorted(&by, seed, epoch, index));
        }
    }

    #[test]
    fn translation_moves_the_centre_of_mass() {
        let by = Distortion { translate: 5.0, ..NONE };
        let [x, y] = centre(&canvas());
        for index in 0..20 {
            let mut rng = stream(1, Purpose::Distortion, 0, index.into());
            let (right, down) = (uniform(&mut rng, -5.0, 5.0), uniform(&mut rng, -5.0, 5.0));
            let [moved_x, moved_y] = centre(&distorted(&by, 1, 0, index));
            assert!((moved_x - x - right).abs() < 1e-3, "{moved_x} {x} {right}");
            assert!((moved_y - y - down).abs() < 1e-3, "{moved_y} {y} {down}");
        }
    }

    #[test]
    fn squeezing_keeps_the_amount_of_ink() {
        let mass = |canvas: &[f32]| canvas.iter().map(|x| x + 0.1).sum::<f32>();
        for index in 0..20 {
            let squeezed = mass(&distorted(&Distortion { squeeze: 0.3, ..NONE }, 1, 0, index));
            assert!((squeezed / mass(&canvas()) - 1.0).abs() < 0.05, "{squeezed}");
        }
    }

    #[test]
    fn ranges_are_checked() {
        Distortion::default().check().unwrap();
        for scale in [-0.1, 1.1, f32::NAN] {
            let error = Distortion { scale, ..NONE }.check().unwrap_err().to_string();
            assert_eq!(error, format!("distortion: scale is {scale}, expected 0 to 1"));
        }
    }
}
