//! Pictures: pixels, letters, colours, and sheets of labelled tiles.

mod colour;
mod letters;
mod sheet;

pub use colour::{CATEGORIES, grey, signed, viridis};
pub use letters::{measure, write};
pub use sheet::{Block, Sheet, Tile};

use anyhow::{Result, anyhow};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage, imageops};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

/// An area that plotters draws on.
pub type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// A picture in red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[height, width, 3]`.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// All of one colour.
    pub fn new(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self { width, height, pixels: colour.repeat(width * height) }
    }

    /// Each pixel's colour in turn, row by row.
    pub fn from_colours(width: usize, height: usize, colours: impl Iterator<Item = [u8; 3]>) -> Self {
        let pixels = colours.flatten().collect();
        Self { width, height, pixels }
    }

    /// The colour at row `y`, column `x`.
    pub fn at(&self, y: usize, x: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }

    /// `tile` with its top left corner at row `top`, column `left`; what hangs over is cut off.
    pub fn place(&mut self, tile: &Self, top: usize, left: usize) {
        let columns = tile.width.min(self.width.saturating_sub(left));
        for y in 0..tile.height.min(self.height.saturating_sub(top)) {
            let to = ((top + y) * self.width + left) * 3;
            self.pixels[to..to + columns * 3].copy_from_slice(&tile.pixels[y * tile.width * 3..][..columns * 3]);
        }
    }

    /// A rectangle's outline, `thick` pixels inside it.
    pub fn frame(&mut self, [top, left, height, width]: [usize; 4], thick: usize, colour: [u8; 3]) {
        for y in top..(top + height).min(self.height) {
            for x in left..(left + width).min(self.width) {
                let edge = (y - top).min(top + height - 1 - y).min((x - left).min(left + width - 1 - x));
                if edge < thick {
                    self.pixels[(y * self.width + x) * 3..][..3].copy_from_slice(&colour);
                }
            }
        }
    }

    /// A part of it.
    pub fn cut(&self, [top, left, height, width]: [usize; 4]) -> Self {
        let rows = (top..top + height).flat_map(|y| (left..left + width).map(move |x| (y, x)));
        Self::from_colours(width, height, rows.map(|(y, x)| self.at(y, x)))
    }

    /// Turned a quarter to the left: what was at the right is on top.
    pub fn turned(&self) -> Self {
        let (width, height) = (self.height, self.width);
        let at = |i: usize| self.at(i % width, height - 1 - i / width);
        Self::from_colours(width, height, (0..width * height).map(at))
    }

    /// As large as `side` pixels allow, its shape kept: enlarged by a whole factor, so that pixels stay square and sharp,
    /// or made smaller.
    pub fn fit(&self, side: usize) -> Self {
        let longest = self.width.max(self.height).max(1);
        if longest <= side {
            return self.enlarge(side / longest);
        }
        let scale = |n: usize| ((n * side + longest / 2) / longest).max(1);
        let image = RgbImage::from_raw(self.width as u32, self.height as u32, self.pixels.clone()).unwrap_or_default();
        let small = imageops::resize(
            &image,
            scale(self.width) as u32,
            scale(self.height) as u32,
            imageops::FilterType::Triangle,
        );
        Self { width: small.width() as usize, height: small.height() as usize, pixels: small.into_raw() }
    }

    /// `factor` times as large.
    pub fn enlarge(&self, factor: usize) -> Self {
        let (width, height) = (self.width * factor, self.height * factor);
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (y / factor, x / factor)));
        Self::from_colours(width, height, places.map(|(y, x)| self.at(y, x)))
    }

    /// What `draw` draws on white.
    ///
    /// # Errors
    /// If the drawing fails.
    pub fn draw(width: usize, height: usize, draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<Self> {
        register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
            .map_err(|_| anyhow!("the font can't be read"))?;
        let mut picture = Self::new(width, height, [255; 3]);
        let size = (width as u32, height as u32);
        let area = BitMapBackend::with_buffer(&mut picture.pixels, size).into_drawing_area();
        draw(&area)?;
        area.present()?;
        drop(area);
        Ok(picture)
    }

    /// As a PNG file.
    ///
    /// # Errors
    /// If it is empty.
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut png = Vec::new();
        let (width, height) = (self.width as u32, self.height as u32);
        let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Best, FilterType::Adaptive);
        encoder.write_image(&self.pixels, width, height, ExtendedColorType::Rgb8)?;
        Ok(png)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_keep_their_shape() {
        let wide = Picture::new(40, 10, [9; 3]);
        let size = |p: &Picture| (p.width, p.height);
        assert_eq!(size(&wide.fit(100)), (80, 20));
        assert_eq!(size(&wide.fit(20)), (20, 5));
        assert_eq!(size(&Picture::new(3, 1000, [0; 3]).fit(100)), (1, 100));
    }

    #[test]
    fn what_hangs_over_is_cut_off() {
        let mut picture = Picture::new(3, 3, [0; 3]);
        picture.place(&Picture::new(4, 4, [7; 3]), 2, 1);
        let lit: Vec<_> = (0..9).filter(|i| picture.pixels[i * 3] == 7).collect();
        assert_eq!(lit, [7, 8]);
        picture.frame([0, 0, 3, 3], 1, [1; 3]);
        assert_eq!((picture.at(1, 1), picture.at(0, 1)), ([0; 3], [1; 3]));
        let png = picture.png().unwrap();
        assert_eq!(image::load_from_memory(&png).unwrap().into_rgb8().into_raw(), picture.pixels);
    }
}
