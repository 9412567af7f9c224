//! Contact sheets: blocks of labelled tiles under their titles.

use super::Picture;
use anyhow::Result;
use plotters::prelude::*;

/// Heights of letters in pixels.
const TITLE: usize = 20;
const HEADING: usize = 15;
const LABEL: usize = 12;
const MARGIN: usize = 14;
const INK: RGBColor = RGBColor(25, 25, 25);
const QUIET: RGBColor = RGBColor(90, 90, 90);

/// A picture and what is written under it.
#[derive(Clone, Debug)]
pub struct Tile {
    /// The picture, drawn as it is.
    pub picture: Picture,
    /// Written under it; nothing if empty.
    pub label: String,
}

/// Tiles in rows and columns under a heading.
#[derive(Clone, Debug)]
pub struct Block {
    /// Written over them; nothing if empty.
    pub heading: String,
    /// Tiles in a row.
    pub columns: usize,
    /// Pixels between tiles.
    pub gap: usize,
    /// The tiles, row by row.
    pub tiles: Vec<Tile>,
}

/// A sheet: rows of blocks.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// Written on top.
    pub title: String,
    /// Written below the title, in quieter letters.
    pub note: String,
    rows: Vec<Vec<Block>>,
}

/// What is written where: left, middle or right of its width, and how tall.
struct Writing {
    text: String,
    left: usize,
    top: usize,
    width: usize,
    size: usize,
    quiet: bool,
    centred: bool,
}

impl Tile {
    /// A picture with a label.
    pub fn new(picture: Picture, label: impl Into<String>) -> Self {
        Self { picture, label: label.into() }
    }
}

impl Block {
    /// `columns` tiles in a row.
    pub fn new(heading: impl Into<String>, columns: usize, tiles: Vec<Tile>) -> Self {
        Self { heading: heading.into(), columns: columns.max(1), gap: 6, tiles }
    }

    /// Width of a column, height of a row of tiles, height of the labels.
    fn cell(&self) -> (usize, usize, usize) {
        let width = self.tiles.iter().map(|t| t.picture.width).max().unwrap_or(0);
        let height = self.tiles.iter().map(|t| t.picture.height).max().unwrap_or(0);
        let lines = self.tiles.iter().map(|t| t.label.lines().count()).max().unwrap_or(0);
        (width, height, lines * (LABEL + 3))
    }

    fn heading_height(&self) -> usize {
        if self.heading.is_empty() { 0 } else { HEADING + 7 }
    }

    fn size(&self) -> Result<(usize, usize)> {
        let (width, height, label) = self.cell();
        let columns = self.columns.min(self.tiles.len()).max(1);
        let rows = self.tiles.len().div_ceil(self.columns);
        let tiles = columns * width + (columns - 1) * self.gap;
        let heading = measure(&self.heading, HEADING)?;
        Ok((tiles.max(heading), self.heading_height() + rows * (height + label + self.gap)))
    }

    fn place(&self, sheet: &mut Picture, left: usize, top: usize, writings: &mut Vec<Writing>) -> Result<()> {
        let (width, height, label) = self.cell();
        let block = self.size()?.0;
        if !self.heading.is_empty() {
            let text = self.heading.clone();
            writings.push(Writing { text, left, top, width: block, size: HEADING, quiet: false, centred: false });
        }
        for (i, tile) in self.tiles.iter().enumerate() {
            let x = left + i % self.columns * (width + self.gap);
            let y = top + self.heading_height() + i / self.columns * (height + label + self.gap);
            let (dx, dy) = ((width - tile.picture.width) / 2, (height - tile.picture.height) / 2);
            sheet.place(&tile.picture, y + dy, x + dx);
            for (line, text) in tile.label.lines().enumerate() {
                let top = y + height + 2 + line * (LABEL + 3);
                let (text, width) = (text.to_string(), width + self.gap);
                let left = x.saturating_sub(self.gap / 2);
                writings.push(Writing { text, left, top, width, size: LABEL, quiet: true, centred: true });
            }
        }
        Ok(())
    }
}

impl Sheet {
    /// An empty sheet.
    pub fn new(title: impl Into<String>, note: impl Into<String>) -> Self {
        Self { title: title.into(), note: note.into(), rows: Vec::new() }
    }

    /// One more row of blocks, beside each other. Blocks without tiles are left out.
    pub fn row(&mut self, blocks: Vec<Block>) {
        let blocks: Vec<_> = blocks.into_iter().filter(|block| !block.tiles.is_empty()).collect();
        if !blocks.is_empty() {
            self.rows.push(blocks);
        }
    }

    /// The sheet as a picture: as large as what is on it.
    ///
    /// # Errors
    /// If the drawing fails.
    pub fn draw(&self) -> Result<Picture> {
        let between = 2 * MARGIN;
        let mut width = measure(&self.title, TITLE)?.max(measure(&self.note, LABEL)?);
        let head = MARGIN + TITLE + 8 + if self.note.is_empty() { 0 } else { LABEL + 10 };
        let mut height = head;
        let mut places = Vec::new();
        for row in &self.rows {
            let (mut left, mut tallest) = (MARGIN, 0);
            for block in row {
                let (w, h) = block.size()?;
                places.push((block, left, height));
                left += w + between;
                tallest = tallest.max(h);
            }
            width = width.max(left - between - MARGIN);
            height += tallest + MARGIN;
        }
        let mut sheet = Picture::new(width + 2 * MARGIN, height, [255; 3]);
        let mut writings = Vec::new();
        let mut write = |text: &String, top, size, quiet| {
            let text = text.clone();
            writings.push(Writing { text, left: MARGIN, top, width, size, quiet, centred: false });
        };
        write(&self.title, MARGIN, TITLE, false);
        write(&self.note, MARGIN + TITLE + 8, LABEL, true);
        for (block, left, top) in places {
            block.place(&mut sheet, left, top, &mut writings)?;
        }
        sheet.over(|area| {
            for w in &writings {
                let colour = if w.quiet { QUIET } else { INK };
                let style = ("sans-serif", w.size as f64).into_font().color(&colour);
                let text = shorten(&w.text, w.width, w.size)?;
                let spare = w.width.saturating_sub(measure(&text, w.size)?);
                let left = w.left + if w.centred { spare / 2 } else { 0 };
                area.draw_text(&text, &style, (left as i32, w.top as i32))?;
            }
            Ok(())
        })?;
        Ok(sheet)
    }
}

/// How wide `text` is in letters `size` pixels high.
fn measure(text: &str, size: usize) -> Result<usize> {
    if text.is_empty() {
        return Ok(0);
    }
    let mut scratch = Picture::new(1, 1, [0; 3]);
    let mut width = 0;
    scratch.over(|area| {
        width = area.estimate_text_size(text, &("sans-serif", size as f64).into_text_style(area))?.0 as usize;
        Ok(())
    })?;
    Ok(width)
}

/// `text`, or as much of it as fits and an ellipsis.
fn shorten(text: &str, width: usize, size: usize) -> Result<String> {
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
    fn sheets_hold_what_is_put_on_them() {
        let tile = |side, colour| Tile::new(Picture::new(side, side, colour), "C3 7");
        let mut sheet = Sheet::new("a title", "a note");
        sheet.row(vec![Block::new("one", 2, vec![tile(40, [200, 0, 0]); 5]), Block::new("two", 9, vec![])]);
        sheet.row(vec![Block::new("", 1, vec![tile(300, [0, 0, 200])])]);
        let picture = sheet.draw().unwrap();
        let count = |colour: [u8; 3]| picture.pixels.chunks_exact(3).filter(|p| **p == colour).count();
        assert_eq!((count([200, 0, 0]), count([0, 0, 200])), (5 * 1600, 90_000));
        assert!(picture.width >= 300 + 2 * MARGIN && picture.height > 300 + 3 * 40, "{picture:?}");
    }

    #[test]
    fn long_labels_are_shortened() {
        let text = "a class name that goes on and on";
        let short = shorten(text, 60, LABEL).unwrap();
        assert!(short.ends_with('…') && text.starts_with(short.trim_end_matches('…')), "{short}");
        assert!(measure(&short, LABEL).unwrap() <= 60);
        assert_eq!(shorten("7", 60, LABEL).unwrap(), "7");
    }
}
