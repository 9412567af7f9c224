//! From an image's bytes to the numbers a network is fed.

use crate::{
    DataError,
    resize::{resized, scaled},
    whiten::whiten,
};
use models::{Framing, InputSpec};
use std::borrow::Cow;

/// An image that lives elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct ImageRef<'a> {
    /// Colour channels: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// `[channels, height, width]`, each 0..=255.
    pub pixels: &'a [u8],
}

/// How a training image is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct View {
    /// With [`Framing::ResizeCrop`]: top and left of what is cut out, in the middle square of the scaled image. The
    /// middle where there is none.
    pub(crate) place: Option<[usize; 2]>,
    /// Added to each pixel's red, green and blue, in levels of 0..=255.
    pub(crate) light: [f32; 3],
}

/// Carries out `spec`: frames and normalises `image` into `out`, `[channels, height, width]` of the specification.
///
/// A grey image is repeated for each colour; a coloured one becomes grey by its luma (ITU-R BT.601, as in PIL).
/// With an odd margin the extra row or column is at the bottom or right ([`Framing::Centre`]), or where torchvision's
/// `CenterCrop` leaves it ([`Framing::ResizeCrop`]).
///
/// # Errors
/// The specification cannot be carried out; `image.pixels` or `out` has the wrong length; the image does not fit
/// ([`Framing::Centre`]) or is too narrow to be scaled ([`Framing::ResizeCrop`]).
pub fn prepare_into(spec: &InputSpec, image: ImageRef<'_>, out: &mut [f32]) -> Result<(), DataError> {
    frame_into(spec, image, &View::default(), out)?;
    whiten(spec, out)
}

/// As [`prepare_into`], seen as `view` says, and without whitening.
pub(crate) fn frame_into(spec: &InputSpec, image: ImageRef<'_>, view: &View, out: &mut [f32]) -> Result<(), DataError> {
    check(spec, image)?;
    let ImageRef { channels, height, width, pixels } = image;
    let area = height * width;
    let canvas = spec.height * spec.width;
    if out.len() != spec.channels * canvas {
        return Err(DataError::Invalid(format!("{} numbers for an input of {:?}", out.len(), spec.shape())));
    }
    let pixels =
        if (channels, spec.channels) == (3, 1) { Cow::Owned(luma(pixels, area)) } else { Cow::Borrowed(pixels) };
    for (channel, out) in out.chunks_exact_mut(canvas).enumerate() {
        let plane = &pixels[if channels == spec.channels { channel * area } else { 0 }..][..area];
        let light = view.light[channel];
        let numbers: [f32; 256] = std::array::from_fn(|p| spec.normalise.apply(channel, p as f32 + light));
        let number = |p: &u8| numbers[usize::from(*p)];
        match spec.framing {
            Framing::Centre => {
                if height > spec.height || width > spec.width {
                    return Err(DataError::DoesNotFit { image: [height, width], input: [spec.height, spec.width] });
                }
                out.fill(numbers[0]);
                let (top, left) = ((spec.height - height) / 2, (spec.width - width) / 2);
                let rows = out.chunks_exact_mut(spec.width).skip(top);
                for (row, out) in plane.chunks_exact(width).zip(rows) {
                    out[left..].iter_mut().zip(row).for_each(|(out, p)| *out = number(p));
                }
            }
            Framing::ResizeCrop { shorter } => {
                let size = scaled(height, width, shorter)?;
                let [top, left] = match view.place {
                    None => middle(spec, size),
                    Some([down, right]) => [(size[0] - shorter) / 2 + down, (size[1] - shorter) / 2 + right],
                };
                let (rows, columns) = (top..top + spec.height, left..left + spec.width);
                let cut = resized(plane, [height, width], size, rows, columns);
                out.iter_mut().zip(&cut).for_each(|(out, p)| *out = number(p));
            }
        }
    }
    Ok(())
}

/// Ten ways to cut the middle square of `image` once it is scaled, one behind the other in `out`,
/// `[10, channels, height, width]`: top left, top right, bottom left, bottom right, the middle, and the same five mirrored
/// (Krizhevsky 2012, 4.1). torchvision's `TenCrop` takes the corners of the whole image.
///
/// # Errors
/// As [`prepare_into`]; and if `spec` doesn't scale.
pub fn ten_crops_into(spec: &InputSpec, image: ImageRef<'_>, out: &mut [f32]) -> Result<(), DataError> {
    frame_ten_into(spec, image, out)?;
    whiten(spec, out)
}

/// Side of the square that ten crops are cut from.
///
/// # Errors
/// `spec` doesn't scale.
pub(crate) fn square(spec: &InputSpec) -> Result<usize, DataError> {
    match spec.framing {
        Framing::ResizeCrop { shorter } => Ok(shorter),
        Framing::Centre => {
            Err(DataError::Invalid("ten crops need an input that is scaled and cut; this one is centred".into()))
        }
    }
}

/// As [`ten_crops_into`], without whitening.
pub(crate) fn frame_ten_into(spec: &InputSpec, image: ImageRef<'_>, out: &mut [f32]) -> Result<(), DataError> {
    check(spec, image)?;
    let side = square(spec)?;
    let one: usize = spec.shape().iter().product();
    if out.len() != 10 * one {
        return Err(DataError::Invalid(format!("{} numbers for ten inputs of {:?}", out.len(), spec.shape())));
    }
    let ImageRef { channels, height, width, pixels } = image;
    let size = scaled(height, width, side)?;
    let [rows, columns] = size.map(|all| (all - side) / 2..(all + side) / 2);
    let planes = pixels.chunks_exact(height * width);
    let planes: Vec<_> =
        planes.map(|plane| resized(plane, [height, width], size, rows.clone(), columns.clone())).collect();
    let [below, right] = margins(spec, [side; 2]);
    let places = [[0, 0], [0, right], [below, 0], [below, right], [below / 2, right / 2]];
    let cut_already = InputSpec { framing: Framing::Centre, ..spec.clone() };
    for (i, out) in out.chunks_exact_mut(one).enumerate() {
        let [top, left] = places[i % 5];
        let mut pixels = Vec::with_capacity(channels * spec.height * spec.width);
        for plane in &planes {
            for row in plane.chunks_exact(side).skip(top).take(spec.height) {
                let row = &row[left..left + spec.width];
                if i < 5 { pixels.extend(row) } else { pixels.extend(row.iter().rev()) }
            }
        }
        let image = ImageRef { channels, height: spec.height, width: spec.width, pixels: &pixels };
        frame_into(&cut_already, image, &View::default(), out)?;
    }
    Ok(())
}

fn check(spec: &InputSpec, image: ImageRef<'_>) -> Result<(), DataError> {
    spec.check().map_err(|problem| DataError::Invalid(format!("the input's description: {problem}")))?;
    let ImageRef { channels, height, width, pixels } = image;
    if !matches!(channels, 1 | 3) || height * width == 0 || pixels.len() != channels * height * width {
        let found = pixels.len();
        return Err(DataError::Invalid(format!(
            "an image of [{channels}, {height}, {width}] has {found} pixel values"
        )));
    }
    Ok(())
}

/// Rows and columns that are too many.
fn margins(spec: &InputSpec, [tall, wide]: [usize; 2]) -> [usize; 2] {
    [tall - spec.height, wide - spec.width]
}

/// Top and left of the middle as torchvision takes it: half the margin, and a half rounded to the even number.
fn middle(spec: &InputSpec, size: [usize; 2]) -> [usize; 2] {
    margins(spec, size).map(|margin| margin / 2 + usize::from(margin % 4 == 3))
}

fn luma(pixels: &[u8], area: usize) -> Vec<u8> {
    let at = |i: usize, channel: usize| u32::from(pixels[channel * area + i]);
    (0..area).map(|i| ((299 * at(i, 0) + 587 * at(i, 1) + 114 * at(i, 2) + 500) / 1000) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::Normalise;

    fn spec(channels: usize, side: usize, framing: Framing) -> InputSpec {
        let normalise = Normalise::Range { background: 0.0, ink: 255.0 };
        InputSpec { channels, height: side, width: side, framing, normalise, whitening: None }
    }

    #[test]
    fn a_digit_lands_two_pixels_in() {
        let mut out = [9.0; 1024];
        let image = ImageRef { channels: 1, height: 28, width: 28, pixels: &[255; 784] };
        prepare_into(&InputSpec::lenet(), image, &mut out).unwrap();
        for (i, x) in out.iter().enumerate() {
            let inside = (2..30).contains(&(i / 32)) && (2..30).contains(&(i % 32));
            assert!((x - if inside { 1.175 } else { -0.1 }).abs() < 1e-6, "{i}: {x}");
        }
    }

    #[test]
    fn an_odd_margin_is_larger_at_the_bottom_and_right() {
        let mut out = [0.0; 16];
        let image = ImageRef { channels: 1, height: 1, width: 1, pixels: &[7] };
        prepare_into(&spec(1, 4, Framing::Centre), image, &mut out).unwrap();
        assert_eq!(out.iter().position(|&x| x == 7.0), Some(4 + 1));
    }

    #[test]
    fn an_image_too_large_names_both_sizes() {
        let image = ImageRef { channels: 1, height: 33, width: 28, pixels: &[0; 33 * 28] };
        let error = prepare_into(&InputSpec::lenet(), image, &mut [0.0; 1024]).unwrap_err().to_string();
        assert!(error.starts_with("an image of 33 x 28 pixels does not fit the input of 32 x 32"), "{error}");
    }

    #[test]
    fn resize_crop_takes_the_middle() {
        // Twice as wide as tall: halved, then the middle half of the columns.
        let pixels: Vec<u8> = (0..8 * 16).map(|i| (i % 16 * 10) as u8).collect();
        let image = ImageRef { channels: 1, height: 8, width: 16, pixels: &pixels };
        let mut out = [0.0; 16];
        prepare_into(&spec(1, 4, Framing::ResizeCrop { shorter: 4 }), image, &mut out).unwrap();
        for row in out.chunks(4) {
            assert_eq!(row, [45.0, 65.0, 85.0, 105.0]);
        }
    }

    /// Pixel (y, x) is 10 y + x, and the shorter side is 5 already: no pixel is scaled.
    #[test]
    fn ten_crops_are_corners_and_middle_of_the_middle_square_and_their_mirror_images() {
        let spec = |framing| spec(1, 3, framing);
        let mut out = [0.0; 90];
        for (height, width, expected) in [
            // Columns 2 to 6: cut at column 2 or 4, row 0 or 2, or at (1, 3); mirrored, the third pixel comes first.
            (5, 9, [2.0, 4.0, 22.0, 24.0, 13.0, 4.0, 6.0, 24.0, 26.0, 15.0]),
            // Rows 2 to 6.
            (9, 5, [20.0, 22.0, 40.0, 42.0, 31.0, 22.0, 24.0, 42.0, 44.0, 33.0]),
            // One column too many: the right one.
            (5, 6, [0.0, 2.0, 20.0, 22.0, 11.0, 2.0, 4.0, 22.0, 24.0, 13.0]),
        ] {
            let pixels: Vec<u8> = (0..height * width).map(|i| (i / width * 10 + i % width) as u8).collect();
            let image = ImageRef { channels: 1, height, width, pixels: &pixels };
            ten_crops_into(&spec(Framing::ResizeCrop { shorter: 5 }), image, &mut out).unwrap();
            let first: Vec<_> = out.chunks(9).map(|crop| crop[0]).collect();
            assert_eq!(first, expected, "{height} x {width}");
            assert_eq!(out[1..4], [expected[0] + 1.0, expected[0] + 2.0, expected[0] + 10.0]);
            let error = ten_crops_into(&spec(Framing::Centre), image, &mut out).unwrap_err().to_string();
            assert!(error.starts_with("ten crops need"), "{error}");
        }
    }

    #[test]
    fn the_corners_are_those_that_training_cuts() {
        let pixels: Vec<u8> = (0..37 * 23).map(|i| (i * 37 % 251) as u8).collect();
        let image = ImageRef { channels: 1, height: 37, width: 23, pixels: &pixels };
        let spec = spec(1, 8, Framing::ResizeCrop { shorter: 11 });
        let (mut ten, mut one) = ([0.0; 640], [0.0; 64]);
        ten_crops_into(&spec, image, &mut ten).unwrap();
        for (crop, place) in ten.chunks(64).zip([[0, 0], [0, 3], [3, 0], [3, 3], [1, 1]]) {
            let view = View { place: Some(place), ..View::default() };
            frame_into(&spec, image, &view, &mut one).unwrap();
            assert_eq!(crop, one, "{place:?}");
        }
    }

    #[test]
    fn a_sliver_is_refused() {
        let image = ImageRef { channels: 1, height: 1, width: 10_000, pixels: &[0; 10_000] };
        let error = prepare_into(&spec(1, 4, Framing::ResizeCrop { shorter: 4 }), image, &mut [0.0; 16]).unwrap_err();
        assert!(error.to_string().contains("too narrow"), "{error}");
    }

    #[test]
    fn colours_follow_the_specification() {
        let mut three = [0.0; 3];
        let grey = ImageRef { channels: 1, height: 1, width: 1, pixels: &[7] };
        prepare_into(&spec(3, 1, Framing::Centre), grey, &mut three).unwrap();
        assert_eq!(three, [7.0; 3]);
        let mut one = [0.0];
        let green = ImageRef { channels: 3, height: 1, width: 1, pixels: &[0, 255, 0] };
        prepare_into(&spec(1, 1, Framing::Centre), green, &mut one).unwrap();
        assert_eq!(one, [150.0]);
    }
}
