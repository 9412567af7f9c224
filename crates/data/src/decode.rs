//! Photos and drawings from files that nobody vouches for.

use crate::{DataError, source::hex};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::{
    fs::File,
    io::{Cursor, Read},
    panic::catch_unwind,
    path::Path,
};

const SIDE: u32 = 16384;
const PIXELS: u64 = 100_000_000;
const FILE: u64 = 512 << 20;

/// Reads a PNG or JPEG file and turns it upright by its EXIF orientation.
///
/// # Errors
/// The file cannot be read, is over 512 MiB, is neither PNG nor JPEG, is damaged or cut short, has a side over 16384
/// pixels or over 100 megapixels; the size is checked before anything is decoded.
pub fn read_image(path: &Path) -> Result<DynamicImage, DataError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE + 1).read_to_end(&mut bytes));
    match read {
        Ok(n) if n as u64 <= FILE => decode_image(path, &bytes),
        Ok(_) => Err(DataError::Image { path: path.into(), problem: "is over 512 MiB. Use a smaller file.".into() }),
        Err(cause) => Err(DataError::Read { path: path.into(), cause }),
    }
}

/// Decodes the bytes of a PNG or JPEG file like [`read_image`]; `path` is for messages.
///
/// # Errors
/// As [`read_image`].
pub fn decode_image(path: &Path, bytes: &[u8]) -> Result<DynamicImage, DataError> {
    // A decoder's bug must not take a server down.
    let decoded = catch_unwind(|| decode(bytes)).unwrap_or_else(|_| Err("made the decoder panic".into()));
    decoded.map_err(|problem| DataError::Image { path: path.into(), problem })
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let damaged = |error| format!("cannot be decoded: {error}. Save it again as PNG or JPEG.");
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    match reader.format() {
        Some(ImageFormat::Png) => {}
        Some(ImageFormat::Jpeg) if jpeg_is_whole(bytes) => {}
        Some(ImageFormat::Jpeg) => return Err("is a JPEG that was cut short. Copy or save it again.".into()),
        _ => {
            let start = hex(&bytes[..bytes.len().min(4)], " ");
            return Err(format!("is neither PNG nor JPEG (starts with {start}). Save it as PNG or JPEG."));
        }
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(8 * PIXELS + (64 << 20)); // 16 bits for each of four channels
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > SIDE || u64::from(width) * u64::from(height) > PIXELS {
        return Err(format!(
            "is {width} x {height} pixels, expected at most {SIDE} each side and {} megapixels. Scale it down.",
            PIXELS / 1_000_000
        ));
    }
    let orientation = decoder.orientation().map_err(damaged)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// Whether a JPEG has its end marker. The decoder fills what is missing with grey and says nothing.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        match bytes.get(at..at + 2) {
            Some([0xff, 0xd9]) => return true,
            // Fill bytes, and markers without a length; between them a scan's data, where 0xff is followed by 0.
            Some([0xff, 0x00 | 0x01 | 0xd0..=0xd8]) => at += 2,
            Some([0xff, 0xff]) | Some([0..=0xfe, _]) => at += 1,
            Some(_) => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => at += 2 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
            None => return false,
        }
    }
}
