//! Photos and drawings of digits.

use data::{Digit, Split, decode_image, digit, locate, open_split, read_image};
use image::{
    DynamicImage, GrayImage, ImageFormat, Luma, RgbaImage,
    imageops::{self, FilterType},
};
use std::{fs, io::Cursor, path::Path};

fn digit_of(image: impl Into<DynamicImage>) -> Digit {
    digit(&image.into()).expect("a digit")
}

/// Width and height of the ink, and its centre of mass.
fn measure(digit: &Digit) -> ([usize; 2], [f32; 2]) {
    let ink = || digit.pixels.iter().enumerate().filter(|(_, p)| **p > 0).map(|(i, p)| (i % 28, i / 28, f32::from(*p)));
    let extent = |of: fn((usize, usize, f32)) -> usize| {
        ink().map(of).max().expect("ink") - ink().map(of).min().expect("ink") + 1
    };
    let mass: f32 = ink().map(|(_, _, p)| p).sum();
    let centre = [ink().map(|(x, _, p)| x as f32 * p).sum::<f32>(), ink().map(|(_, y, p)| y as f32 * p).sum()];
    ([extent(|(x, _, _)| x), extent(|(_, y, _)| y)], centre.map(|sum| sum / mass))
}

fn is_centred(digit: &Digit) {
    let ([width, height], [x, y]) = measure(digit);
    assert!(width <= 20 && height <= 20 && width.max(height) >= 19, "{width} x {height}");
    assert!((x - 14.0).abs() <= 0.5 && (y - 14.0).abs() <= 0.5, "{x}, {y}");
}

/// Grain of up to `amount` levels either way.
fn grain(x: u32, y: u32, amount: i32) -> i32 {
    let hash = (x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77)).wrapping_mul(0xc2b2_ae3d);
    (hash >> 16) as i32 % (2 * amount + 1) - amount
}

/// A slanted dark "1" on paper lit from the left, grainy.
fn photo(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| {
        let paper = 235 - (x * 120 / width) as i32;
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let stroke = (0.3..0.8).contains(&v) && (u - 0.65 + 0.2 * v).abs() < 0.03;
        Luma([(if stroke { paper / 4 } else { paper } + grain(x, y, 6)).clamp(0, 255) as u8])
    })
}

#[test]
fn a_dark_stroke_on_unevenly_lit_paper() {
    for (width, height) in [(300, 400), (1200, 1600), (90, 120)] {
        let digit = digit_of(photo(width, height));
        assert!(digit.inverted && digit.cropped);
        assert!(digit.note.starts_with("dark ink on light paper, inverted"), "{}", digit.note);
        is_centred(&digit);
        let ([width, height], _) = measure(&digit);
        assert!(width < 10 && height == 20, "{width} x {height}");
        assert!(digit.pixels.iter().max() > Some(&200));
    }
}

#[test]
fn shadows_and_specks_are_dropped() {
    let clean = digit_of(photo(300, 400));
    let mut dirty = photo(300, 400);
    for (x, y) in [(40, 40), (250, 330), (60, 300)] {
        for i in 0..9 {
            dirty.put_pixel(x + i % 3, y + i / 3, Luma([20]));
        }
    }
    for (x, y, pixel) in dirty.enumerate_pixels_mut() {
        if x + y > 660 {
            *pixel = Luma([15]);
        }
    }
    let dirty = digit_of(dirty);
    assert!(dirty.note.contains("specks or shadows dropped"), "{}", dirty.note);
    let difference = clean.pixels.iter().zip(&dirty.pixels).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(difference < Some(60), "{difference:?}");
}

/// Sum of differences over sum of ink, at the best of nine positions: a centre of mass halfway between two pixels may
/// round either way.
fn difference(digit: &[u8; 784], original: &[u8]) -> f32 {
    let ink: u32 = original.iter().map(|p| u32::from(*p)).sum();
    let at = |dx: usize, dy: usize| -> u32 {
        let inside = (1..27).flat_map(|y| (1..27).map(move |x| (x, y)));
        inside.map(|(x, y)| u32::from(digit[(y + dy - 1) * 28 + x + dx - 1].abs_diff(original[y * 28 + x]))).sum()
    };
    (0..9).map(|i| at(i % 3, i / 3)).min().expect("nine positions") as f32 / ink as f32
}

#[test]
fn digits_of_mnist_come_back() {
    let (mnist, _) = open_split(&locate("mnist").unwrap(), Split::Test).unwrap();
    let differences = (0..200).map(|i| {
        let small = GrayImage::from_raw(28, 28, mnist.image(i).unwrap().pixels.to_vec()).unwrap();
        let mut large = imageops::resize(&small, 280, 280, FilterType::CatmullRom);
        imageops::invert(&mut large);
        let digit = digit_of(large);
        assert!(digit.inverted && digit.cropped);
        difference(&digit.pixels, &mnist.image(i).unwrap().pixels)
    });
    let differences: Vec<f32> = differences.collect();
    // Twice resampled, and off by up to half a pixel: a stroke two pixels wide shares about half of itself.
    let (mean, worst) = (differences.iter().sum::<f32>() / 200.0, differences.iter().copied().fold(0.0, f32::max));
    assert!(mean < 0.25 && worst < 0.6, "{mean}, {worst}");
}

#[test]
fn a_digit_of_mnist_is_passed_through() {
    let mut pixels = [0; 784];
    pixels[300..320].fill(200);
    let digit = digit_of(GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap());
    assert_eq!(digit.pixels, pixels);
    assert!(!digit.inverted && !digit.cropped);
    assert_eq!(digit.note, "28x28 with a dark border: taken as it is");
}

#[test]
fn light_ink_on_dark_paper_and_black_ink_on_nothing() {
    let mut light = photo(300, 400);
    imageops::invert(&mut light);
    let digit = digit_of(light);
    assert!(!digit.inverted && digit.cropped);
    is_centred(&digit);

    let mut drawing = RgbaImage::new(200, 200);
    for (x, y, pixel) in drawing.enumerate_pixels_mut() {
        pixel.0[3] = if (90..110).contains(&x) && (40..160).contains(&y) { 255 } else { 0 };
    }
    let digit = digit_of(drawing);
    assert!(digit.inverted);
    is_centred(&digit);
}

#[test]
fn a_blank_page_is_an_error() {
    let white = GrayImage::from_pixel(200, 200, Luma([255]));
    let grainy = GrayImage::from_fn(200, 200, |x, y| Luma([(200 + grain(x, y, 8)) as u8]));
    let sloped = GrayImage::from_fn(300, 200, |x, y| Luma([(230 - x as i32 / 2 + grain(x, y, 5)) as u8]));
    let tiny = GrayImage::from_pixel(1, 1, Luma([0]));
    for blank in [white, grainy, sloped, tiny, GrayImage::new(28, 28)] {
        let error = digit(&blank.into()).expect_err("no digit").to_string();
        assert!(error.starts_with("no ink found: "), "{error}");
    }
}

#[test]
fn no_image_makes_it_panic() {
    for (width, height) in [(1, 1), (1, 2), (2, 1), (1, 900), (900, 1), (5, 5), (28, 28), (3000, 2)] {
        for kind in 0..3 {
            let at = |x: u32, y: u32| match kind {
                0 => (grain(x, y, 100) + 120) as u8,
                1 => ((x + y) % 2 * 255) as u8,
                _ => (x.min(255) + y.min(255)).min(255) as u8,
            };
            let _ = digit(&GrayImage::from_fn(width, height, |x, y| Luma([at(x, y)])).into());
        }
    }
}

/// 65 bytes of PNG.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8; 4], data: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(name);
        crc.update(data);
        png.extend((data.len() as u32).to_be_bytes());
        png.extend(name);
        png.extend(data);
        png.extend(crc.sum().to_be_bytes());
    };
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    chunk(b"IHDR", &[size.as_slice(), &[8, 0, 0, 0, 0]].concat());
    chunk(b"IDAT", &[0x78, 0x01, 0x03, 0, 0, 0, 0, 1]);
    chunk(b"IEND", &[]);
    png
}

#[test]
fn a_small_file_that_claims_a_huge_image_is_refused() {
    let png = png_of(60_000, 60_000);
    assert_eq!(png.len(), 65);
    let error = decode_image(Path::new("bomb.png"), &png).unwrap_err().to_string();
    assert!(error.starts_with("bomb.png: is 60000 x 60000 pixels, expected at most 16384 each side"), "{error}");
    let error = decode_image(Path::new("bomb.png"), &png_of(16_000, 16_000)).unwrap_err().to_string();
    assert!(error.contains("and 100 megapixels"), "{error}");
}

#[test]
fn damaged_and_foreign_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("photo.jpg");
    let mut jpeg = Vec::new();
    photo(300, 400).write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg).unwrap();
    fs::write(&path, &jpeg).unwrap();
    is_centred(&digit(&read_image(&path).unwrap()).unwrap());
    for length in (0..jpeg.len()).step_by(97) {
        fs::write(&path, &jpeg[..length]).unwrap();
        let error = read_image(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: is ", path.display())), "{error}");
    }
    let mut png = Vec::new();
    photo(90, 120).write_to(&mut Cursor::new(&mut png), ImageFormat::Png).unwrap();
    let error = decode_image(Path::new("a.png"), &png[..png.len() / 2]).unwrap_err().to_string();
    assert!(error.starts_with("a.png: cannot be decoded: "), "{error}");
    let error = decode_image(Path::new("a.gif"), b"GIF89a").unwrap_err().to_string();
    assert_eq!(error, "a.gif: is neither PNG nor JPEG (starts with 47 49 46 38). Save it as PNG or JPEG.");
    read_image(&dir.path().join("absent.png")).unwrap_err();
}

#[test]
fn exif_orientation_is_applied() {
    let mut jpeg = Vec::new();
    GrayImage::new(20, 10).write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg).unwrap();
    // An APP1 segment: big-endian TIFF with one entry, orientation 6 (turn a quarter clockwise).
    let exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    jpeg.splice(2..2, exif.iter().copied());
    let image = decode_image(Path::new("a.jpg"), &jpeg).unwrap();
    assert_eq!((image.width(), image.height()), (10, 20));
}
