//! A photo or drawing of a digit, made into what MNIST's digits are.

use crate::{
    DataError,
    paper::{self, Plane},
};
use image::{DynamicImage, GenericImageView, GrayImage, Luma, imageops, imageops::FilterType};

/// Side of MNIST's images in pixels.
const SIDE: usize = 28;
/// Side of the box that MNIST's ink fits in.
const BOX: usize = 20;
/// Longest side worked on; larger images are scaled down first.
const WORKING: u32 = 768;
/// Least difference between ink and paper, in grey levels.
const CONTRAST: f32 = 24.0;

/// A digit like MNIST's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digit {
    /// `[28, 28]`, paper 0 and ink up to 255.
    pub pixels: [u8; 784],
    /// Whether the ink was darker than the paper.
    pub inverted: bool,
    /// Whether the ink was cut out and scaled; otherwise the image was one of MNIST's already.
    pub cropped: bool,
    /// What was done, for people.
    pub note: String,
}

/// Makes a photo or drawing of one digit into an image like MNIST's: paper made even and black, ink white, scaled to
/// fit 20x20 pixels and placed in 28x28 with its centre of mass at pixel (14, 14), to the nearest pixel, where MNIST
/// has it (LeCun 1998, III-A). Transparent parts count as white paper; specks and shadows at the border are dropped.
///
/// An image of 28x28 pixels with a dark border is passed through.
///
/// # Errors
/// No ink is found.
pub fn digit(image: &DynamicImage) -> Result<Digit, DataError> {
    let mut grey = shrink(flatten(image));
    let (least, most) = grey.iter().fold((255, 0), |(least, most), &p| (p.min(least), p.max(most)));
    if f32::from(most.saturating_sub(least)) < CONTRAST {
        return Err(DataError::NoInk("the image is all one shade".into()));
    }
    let border = border(&grey);
    if grey.dimensions() == (SIDE as u32, SIDE as u32) && border < 64 {
        let pixels = std::array::from_fn(|i| grey.as_raw()[i]);
        let note = "28x28 with a dark border: taken as it is".into();
        return Ok(Digit { pixels, inverted: false, cropped: false, note });
    }
    // Grain would count as contrast; strokes are some pixels wide where this blurs at all.
    let blur = grey.width().max(grey.height()) as f32 / 500.0;
    if blur > 0.3 {
        grey = imageops::blur(&grey, blur);
    }
    let inverted = u16::from(border) * 2 > u16::from(least) + u16::from(most);
    let value = |p: &u8| f32::from(if inverted { 255 - p } else { *p });
    let mut ink = Plane::new(grey.width() as usize, grey.height() as usize, grey.iter().map(value).collect());
    ink.subtract(&paper::estimate(&ink));

    let noise = paper::noise(&ink);
    ink.values.iter_mut().for_each(|v| *v = (*v - noise).clamp(0.0, 255.0));
    let threshold = paper::otsu(&ink.values);
    if paper::mean_above(ink.values.iter().copied(), threshold) < CONTRAST {
        return Err(DataError::NoInk("nothing stands out from the paper".into()));
    }
    let parts = paper::Parts::find(&ink, threshold / 2.0, threshold);
    let kept = parts.kept();
    let dropped = kept.iter().skip(1).filter(|&&kept| !kept).count();
    if dropped + 1 == kept.len() {
        return Err(DataError::NoInk("there are only specks".into()));
    }
    let inside = |i: usize| kept[parts.labels[i] as usize];
    let level = paper::mean_above((0..ink.values.len()).filter(|&i| inside(i)).map(|i| ink.values[i]), threshold);
    // Ink at its mean level is white: the strokes are solid, like those of bilevel images scaled down.
    let white = |i: usize| if inside(i) { (ink.values[i] * 255.0 / level).min(255.0).round() as u8 } else { 0 };
    let cut = cut(ink.width, white, (0..ink.values.len()).filter(|&i| inside(i)));
    let (width, height) = cut.dimensions();
    let scale = BOX as f32 / width.max(height) as f32;
    let side = |n: u32| ((n as f32 * scale).round() as u32).max(1);
    let small = imageops::resize(&cut, side(width), side(height), FilterType::Triangle);
    let note = format!(
        "{}; {width} x {height} pixels of ink scaled to {} x {}{}",
        if inverted { "dark ink on light paper, inverted" } else { "light ink on dark paper" },
        small.width(),
        small.height(),
        match dropped {
            0 => String::new(),
            1 => "; 1 speck or shadow dropped".into(),
            n => format!("; {n} specks or shadows dropped"),
        }
    );
    Ok(Digit { pixels: place(&small), inverted, cropped: true, note })
}

/// Grey on white paper (ITU-R BT.601 luma).
fn flatten(image: &DynamicImage) -> GrayImage {
    let luma = |[r, g, b, a]: [u8; 4]| {
        let luma = 299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b);
        ((luma * u32::from(a) + 255_000 * (255 - u32::from(a)) + 127_500) / 255_000) as u8
    };
    let pixels = image.pixels().map(|(_, _, pixel)| luma(pixel.0)).collect();
    GrayImage::from_raw(image.width(), image.height(), pixels).unwrap_or_default()
}

fn shrink(grey: GrayImage) -> GrayImage {
    let (width, height) = grey.dimensions();
    let longest = width.max(height);
    if longest <= WORKING {
        return grey;
    }
    let side = |n: u32| (n * WORKING / longest).max(1);
    imageops::resize(&grey, side(width), side(height), FilterType::Triangle)
}

/// Median of the outermost pixels.
fn border(grey: &GrayImage) -> u8 {
    let (right, bottom) = (grey.width() - 1, grey.height() - 1);
    let mut border: Vec<u8> = (0..=right)
        .flat_map(|x| [(x, 0), (x, bottom)])
        .chain((0..=bottom).flat_map(|y| [(0, y), (right, y)]))
        .map(|(x, y)| grey.get_pixel(x, y).0[0])
        .collect();
    let middle = border.len() / 2;
    *border.select_nth_unstable(middle).1
}

/// The bounding box of the pixels `inside`.
fn cut(width: usize, white: impl Fn(usize) -> u8, inside: impl Iterator<Item = usize>) -> GrayImage {
    let (mut left, mut right, mut top, mut bottom) = (usize::MAX, 0, usize::MAX, 0);
    for i in inside {
        let (x, y) = (i % width, i / width);
        (left, right, top, bottom) = (left.min(x), right.max(x), top.min(y), bottom.max(y));
    }
    GrayImage::from_fn((right - left + 1) as u32, (bottom - top + 1) as u32, |x, y| {
        Luma([white((top + y as usize) * width + left + x as usize)])
    })
}

/// Puts at most 20x20 pixels of ink into 28x28, centre of mass in the middle as far as all of the ink stays inside.
fn place(ink: &GrayImage) -> [u8; 784] {
    let (mut mass, mut x_mass, mut y_mass) = (0.0, 0.0, 0.0);
    for (x, y, pixel) in ink.enumerate_pixels() {
        let p = f32::from(pixel.0[0]);
        (mass, x_mass, y_mass) = (mass + p, x_mass + p * x as f32, y_mass + p * y as f32);
    }
    let offset =
        |sum: f32, side: u32| ((SIDE as f32 / 2.0 - sum / mass).round().max(0.0) as usize).min(SIDE - side as usize);
    let (left, top) = (offset(x_mass, ink.width()), offset(y_mass, ink.height()));
    let mut pixels = [0; SIDE * SIDE];
    for (x, y, pixel) in ink.enumerate_pixels() {
        pixels[(top + y as usize) * SIDE + left + x as usize] = pixel.0[0];
    }
    pixels
}
