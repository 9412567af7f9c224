//! Letters, placed to a fraction of a pixel: plotters rounds each to a whole one, which tears small words apart.

use super::Picture;
use ab_glyph::{Font, FontRef, Glyph, ScaleFont, point};
use anyhow::{Context, Result};

/// The font that all our pictures are lettered in.
fn font() -> Result<FontRef<'static>> {
    FontRef::try_from_slice(dejavu::sans::regular()).context("the font can't be read")
}

/// Each letter in its place on a line that begins at 0 and whose top is at `top`, and the line's end.
fn line(font: &FontRef<'_>, text: &str, size: f32, left: f32, top: f32) -> (Vec<Glyph>, f32) {
    let scaled = font.as_scaled(size);
    let (mut x, mut before) = (left, None);
    let mut glyphs = Vec::new();
    for letter in text.chars() {
        let mut glyph = scaled.scaled_glyph(letter);
        x += before.map_or(0.0, |before| scaled.kern(before, glyph.id));
        glyph.position = point(x, top + scaled.ascent());
        x += scaled.h_advance(glyph.id);
        before = Some(glyph.id);
        glyphs.push(glyph);
    }
    (glyphs, x)
}

/// How wide `text` is in letters `size` pixels high.
pub fn measure(text: &str, size: usize) -> Result<usize> {
    Ok(line(&font()?, text, size as f32, 0.0, 0.0).1.ceil() as usize)
}

/// Writes `text` over the picture, in letters `size` pixels high.
pub fn write(picture: &mut Picture, text: &str, left: usize, top: usize, size: usize, colour: [u8; 3]) -> Result<()> {
    let font = font()?;
    for glyph in line(&font, text, size as f32, left as f32, top as f32).0 {
        let Some(outline) = font.outline_glyph(glyph) else { continue };
        let (x0, y0) = (outline.px_bounds().min.x as i64, outline.px_bounds().min.y as i64);
        outline.draw(|x, y, cover| {
            let (x, y) = (x0 + i64::from(x), y0 + i64::from(y));
            if (0..picture.width as i64).contains(&x) && (0..picture.height as i64).contains(&y) {
                let at = (y as usize * picture.width + x as usize) * 3;
                for (pixel, ink) in picture.pixels[at..at + 3].iter_mut().zip(colour) {
                    *pixel = (f32::from(*pixel) * (1.0 - cover) + f32::from(ink) * cover).round() as u8;
                }
            }
        });
    }
    Ok(())
}

/// `text`, or as much of it as fits into `width` and an ellipsis.
pub fn shorten(text: &str, width: usize, size: usize) -> Result<String> {
    if measure(text, size)? <= width {
        return Ok(text.into());
    }
    let letters: Vec<char> = text.chars().collect();
    for n in (1..letters.len()).rev() {
        let short: String = letters[..n].iter().collect::<String>().trim_end().to_string() + "…";
        if measure(&short, size)? <= width {
            return Ok(short);
        }
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_stay_within_their_measure() {
        let text = "deconvnet C3";
        let (width, mut picture) = (measure(text, 15).unwrap(), Picture::new(200, 30, [255; 3]));
        write(&mut picture, text, 20, 5, 15, [0; 3]).unwrap();
        let inked = |x: usize| (0..30).any(|y| picture.at(y, x)[0] < 128);
        assert!((20..20 + width).any(inked) && !(0..19).any(inked) && !(21 + width..200).any(inked), "{width}");
        assert!((5..22).contains(&(0..30).find(|&y| (0..200).any(|x| picture.at(y, x)[0] < 128)).unwrap()));
        // What hangs over the picture is left out.
        write(&mut picture, text, 190, 25, 15, [0; 3]).unwrap();
    }

    #[test]
    fn long_labels_are_shortened() {
        let text = "a class name that goes on and on";
        let short = shorten(text, 60, 12).unwrap();
        assert!(short.ends_with('…') && text.starts_with(short.trim_end_matches('…')), "{short}");
        assert!(measure(&short, 12).unwrap() <= 60);
        assert_eq!(shorten("7", 60, 12).unwrap(), "7");
    }
}
