//! What a unit sees of the image.

use crate::error::Error;
use models::{Network, Row, UnknownLayer};
use serde::Serialize;

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Region {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Region {
    /// Whether the pixel is in it.
    pub fn contains(&self, y: usize, x: usize) -> bool {
        (self.top..self.top + self.height).contains(&y) && (self.left..self.left + self.width).contains(&x)
    }
}

/// The layers up to `layer`, that one included.
pub(crate) fn up_to(network: &Network, layer: &str) -> Result<Vec<Row>, UnknownLayer> {
    let mut rows = network.summary();
    match rows.iter().position(|row| row.name == layer) {
        Some(last) => {
            rows.truncate(last + 1);
            Ok(rows)
        }
        None => {
            let known = rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>().join(", ");
            Err(UnknownLayer { name: layer.into(), known })
        }
    }
}

/// The last convolution whose maps have more than one unit: the layer that is most worth looking into.
pub fn last_convolution(rows: &[Row]) -> Option<&Row> {
    rows.iter().rfind(|row| row.spec.kind.ends_with("conv") && row.spec.output[1] * row.spec.output[2] > 1)
}

/// The pixels that the unit at row `y`, column `x` of each map of `layer` depends on: its receptive field, cut off where
/// the image, or a map on the way, ends.
///
/// # Errors
/// If there is no such layer or unit.
pub fn receptive_field(network: &Network, layer: &str, y: usize, x: usize) -> Result<Region, Error> {
    let rows = up_to(network, layer)?;
    let [maps, height, width] = rows.last().map_or(network.input().shape(), |row| row.spec.output);
    if y >= height || x >= width {
        let what = format!("unit at row {y}, column {x}");
        return Err(Error::Unit { layer: layer.into(), maps, height, width, what });
    }
    // First and last index along each side. Padding holds no units, so each layer cuts the range to its own input.
    let mut spans = [(y, y), (x, x)];
    for row in rows.iter().rev() {
        let Some(window) = row.spec.window else { continue };
        let [top, left, ..] = window.padding;
        for (side, before) in [top, left].into_iter().enumerate() {
            let (first, last) = spans[side];
            let start = (first * window.stride).saturating_sub(before);
            let end = (last * window.stride + window.kernel[side]).saturating_sub(before + 1);
            spans[side] = (start, end.min(row.spec.input[side + 1] - 1));
        }
    }
    let [(top, bottom), (left, right)] = spans;
    Ok(Region { top, left, height: bottom + 1 - top, width: right + 1 - left })
}
