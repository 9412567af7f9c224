//! Images of one size in memory.

/// Images of one size and their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Colour channels: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// `[n, channels, height, width]`, each 0..=255.
    pub pixels: Vec<u8>,
    /// `[n]`, the class of each image; empty where it is not known.
    pub labels: Vec<u16>,
}

impl Images {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.size().max(1)
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pixels of image `i`, `[channels, height, width]`.
    ///
    /// # Panics
    /// `i` is `len()` or more.
    pub fn image(&self, i: usize) -> &[u8] {
        &self.pixels[i * self.size()..(i + 1) * self.size()]
    }

    fn size(&self) -> usize {
        self.channels * self.height * self.width
    }
}
