//! Contact sheets: blocks of labelled tiles under their titles.

use super::Picture;
use super::letters::{measure, shorten, write};
use anyhow::Result;

/// Heights of letters in pixels.
const TITLE: usize = 22;
const HEADING: usize = 17;
const LABEL: usize = 13;
const MARGIN: usize = 14;
const INK: [u8; 3] = [25; 3];
const QUIET: [u8; 3] = [90; 3];

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
        (width, height, if lines == 0 { 0 } else { lines * (LABEL + 3) + 4 })
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
                let top = y + height + 5 + line * (LABEL + 3);
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
        let top = MARGIN + TITLE + 8 + if self.note.is_empty() { 0 } else { LABEL + 10 };
        let mut height = top;
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
        let mut head = |text: &String, top, size, quiet| {
            let text = text.clone();
            writings.push(Writing { text, left: MARGIN, top, width, size, quiet, centred: false });
        };
        head(&self.title, MARGIN, TITLE, false);
        head(&self.note, MARGIN + TITLE + 8, LABEL, true);
        for (block, left, top) in places {
            block.place(&mut sheet, left, top, &mut writings)?;
        }
        for w in &writings {
            let text = shorten(&w.text, w.width, w.size)?;
            let spare = w.width.saturating_sub(measure(&text, w.size)?);
            let left = w.left + if w.centred { spare / 2 } else { 0 };
            write(&mut sheet, &text, left, w.top, w.size, if w.quiet { QUIET } else { INK })?;
        }
        Ok(sheet)
    }
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
}
