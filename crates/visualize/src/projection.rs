//! From activations back to pixels.

use crate::error::Error;
use crate::numbers::{best, values};
use burn::tensor::{Tensor, TensorData};
use models::{Method, Network, Trace, UnknownLayer};
use serde::Serialize;

/// One unit of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Unit {
    /// Which map, from 0.
    pub map: usize,
    /// Which row of it.
    pub y: usize,
    /// Which column.
    pub x: usize,
}

/// The activations of a layer that are sent back; all others are set to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// One unit: the paper's choice.
    Unit(Unit),
    /// A whole map.
    Map(usize),
    /// The whole layer.
    Layer,
}

/// The named layer's output in `trace`, `[N, C, H, W]`.
pub(crate) fn output(trace: &Trace, layer: &str) -> Result<Tensor<4>, UnknownLayer> {
    trace.output(layer).ok_or_else(|| {
        let known = trace.outputs().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
        UnknownLayer { name: layer.into(), known }
    })
}

/// The strongest unit of `map` in `layer`, for image `image` of the trace; the first of equals in reading order.
///
/// # Errors
/// If there is no such layer, map or image.
pub fn strongest(trace: &Trace, layer: &str, image: usize, map: usize) -> Result<Unit, Error> {
    let output = output(trace, layer)?;
    let [n, maps, height, width] = output.dims();
    if map >= maps {
        return Err(Error::Unit { layer: layer.into(), maps, height, width, what: format!("map {map}") });
    }
    if image >= n {
        return Err(Error::Arguments(format!("there is no image {image} among {n}")));
    }
    let at = best(&values(output.narrow(0, image, 1).narrow(1, map, 1)));
    Ok(Unit { map, y: at / width, x: at % width })
}

/// Each part, with its activations as they are and everything else in its layer zero, sent back to pixels by `method`:
/// `[parts, C, H, W]`, like the network's input. Each part belongs to one of the trace's images, which it is given with.
///
/// # Errors
/// If there is no such layer, unit or image.
pub fn project(
    network: &Network,
    trace: &Trace,
    layer: &str,
    parts: &[(usize, Part)],
    method: Method,
) -> Result<Tensor<4>, Error> {
    let activations = output(trace, layer)?;
    let [n, maps, height, width] = activations.dims();
    let size = maps * height * width;
    let mut kept = vec![0f32; parts.len() * size];
    for ((image, part), kept) in parts.iter().zip(kept.chunks_exact_mut(size.max(1))) {
        if *image >= n {
            return Err(Error::Arguments(format!("there is no image {image} among {n}")));
        }
        let missing = |what| Err(Error::Unit { layer: layer.into(), maps, height, width, what });
        match *part {
            Part::Unit(Unit { map, y, x }) if map >= maps || y >= height || x >= width => {
                return missing(format!("unit at row {y}, column {x} of map {map}"));
            }
            Part::Map(map) if map >= maps => return missing(format!("map {map}")),
            Part::Unit(Unit { map, y, x }) => kept[(map * height + y) * width + x] = 1.0,
            Part::Map(map) => kept[map * height * width..][..height * width].fill(1.0),
            Part::Layer => kept.fill(1.0),
        }
    }
    let images: Vec<_> = parts.iter().map(|(image, _)| *image).collect();
    let trace = trace.select(&images);
    let kept = TensorData::new(kept, [parts.len(), maps, height, width]);
    let signal = output(&trace, layer)? * Tensor::from_data(kept, &activations.device());
    Ok(network.project(&trace, layer, signal, method)?)
}
