//! Labelled images, wherever they live.

use crate::{
    DataError, ImageRef, Images,
    prepare::{View, frame_into, frame_ten_into},
};
use models::InputSpec;
use std::{borrow::Cow, fmt::Debug, ops::Range, sync::Arc};

/// One image: its pixels lent, or decoded for the occasion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture<'a> {
    /// Colour channels: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// `[channels, height, width]`, each 0..=255.
    pub pixels: Cow<'a, [u8]>,
}

impl Picture<'_> {
    /// For [`crate::prepare_into`].
    pub fn view(&self) -> ImageRef<'_> {
        ImageRef { channels: self.channels, height: self.height, width: self.width, pixels: &self.pixels }
    }
}

/// Where labelled images come from.
pub trait Source: Debug + Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// The class of image `i`.
    ///
    /// # Panics
    /// `i` is `count()` or more.
    fn label(&self, i: usize) -> u16;

    /// Image `i`.
    ///
    /// # Errors
    /// It can't be read or decoded.
    ///
    /// # Panics
    /// `i` is `count()` or more.
    fn image(&self, i: usize) -> Result<Picture<'_>, DataError>;

    /// Where image `i` is, for messages.
    fn place(&self, i: usize) -> String {
        format!("image {i}")
    }
}

impl Source for Images {
    fn count(&self) -> usize {
        self.len()
    }

    fn label(&self, i: usize) -> u16 {
        self.labels[i]
    }

    fn image(&self, i: usize) -> Result<Picture<'_>, DataError> {
        let Self { channels, height, width, .. } = *self;
        Ok(Picture { channels, height, width, pixels: Cow::Borrowed(Self::image(self, i)) })
    }
}

#[derive(Debug)]
struct Repeated {
    images: Samples,
    times: usize,
}

impl Source for Repeated {
    fn count(&self) -> usize {
        self.images.len().saturating_mul(self.times)
    }

    fn label(&self, i: usize) -> u16 {
        self.images.label(i % self.images.len())
    }

    fn image(&self, i: usize) -> Result<Picture<'_>, DataError> {
        self.images.image(i % self.images.len())
    }

    fn place(&self, i: usize) -> String {
        self.images.place(i % self.images.len())
    }
}

/// Labelled images, or a run of them: cheap to clone.
#[derive(Clone, Debug)]
pub struct Samples {
    source: Arc<dyn Source>,
    range: Range<usize>,
}

impl Samples {
    /// All of `source`.
    pub fn new(source: impl Source + 'static) -> Self {
        let range = 0..source.count();
        Self { source: Arc::new(source), range }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The class of image `i`.
    ///
    /// # Panics
    /// `i` is `len()` or more.
    pub fn label(&self, i: usize) -> u16 {
        self.source.label(self.at(i))
    }

    /// Image `i`.
    ///
    /// # Errors
    /// It can't be read or decoded.
    ///
    /// # Panics
    /// `i` is `len()` or more.
    pub fn image(&self, i: usize) -> Result<Picture<'_>, DataError> {
        self.source.image(self.at(i))
    }

    /// Where image `i` is, for messages.
    pub(crate) fn place(&self, i: usize) -> String {
        self.source.place(self.at(i))
    }

    /// Image `i`, framed as [`frame_into`] does.
    pub(crate) fn frame_into(&self, i: usize, spec: &InputSpec, view: &View, out: &mut [f32]) -> Result<(), DataError> {
        frame_into(spec, self.image(i)?.view(), view, out).map_err(|cause| self.unfit(i, cause))
    }

    /// The ten crops of image `i`, as [`frame_ten_into`] cuts them.
    pub(crate) fn frame_ten_into(&self, i: usize, spec: &InputSpec, out: &mut [f32]) -> Result<(), DataError> {
        frame_ten_into(spec, self.image(i)?.view(), out).map_err(|cause| self.unfit(i, cause))
    }

    /// Names image `i`, which can't be framed.
    pub(crate) fn unfit(&self, i: usize, cause: DataError) -> DataError {
        DataError::Unfit { place: self.place(i), cause: Box::new(cause) }
    }

    /// The same images `times` times over, one pass behind the other: where a loader augments them, each time otherwise.
    #[must_use]
    pub fn repeat(self, times: usize) -> Self {
        Self::new(Repeated { images: self, times })
    }

    /// All but the last `n` images, and the last `n`.
    ///
    /// # Errors
    /// `n` is `len()` or more.
    pub fn split_off_last(self, n: usize) -> Result<(Self, Self), DataError> {
        let len = self.len();
        if n >= len {
            return Err(DataError::TooFew { wanted: n, len });
        }
        let Range { start, end } = self.range;
        let cut = end - n;
        Ok((Self { source: self.source.clone(), range: start..cut }, Self { source: self.source, range: cut..end }))
    }

    /// The first `n` images, or all if there are fewer.
    #[must_use]
    pub fn take(mut self, n: usize) -> Self {
        self.range.end = self.range.end.min(self.range.start.saturating_add(n));
        self
    }

    fn at(&self, i: usize) -> usize {
        assert!(i < self.len(), "image {i} of {}", self.len());
        self.range.start + i
    }
}

impl From<Images> for Samples {
    fn from(images: Images) -> Self {
        Self::new(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn five() -> Samples {
        Images { channels: 1, height: 1, width: 1, pixels: (0..5).collect(), labels: (0..5).collect() }.into()
    }

    #[test]
    fn parts_hold_their_own_images() {
        let (first, last) = five().split_off_last(2).unwrap();
        assert_eq!((first.len(), last.len()), (3, 2));
        assert_eq!((last.label(0), &*last.image(1).unwrap().pixels), (3, &[4][..]));
        assert_eq!(first.clone().take(2).len(), 2);
        assert_eq!(first.take(9).len(), 3);
        five().split_off_last(5).unwrap_err();
    }

    #[test]
    fn a_part_repeats_itself() {
        let twice = five().split_off_last(2).unwrap().1.repeat(2);
        assert_eq!((0..twice.len()).map(|i| twice.label(i)).collect::<Vec<_>>(), [3, 4, 3, 4]);
        assert_eq!(&*twice.image(3).unwrap().pixels, [4]);
    }
}
