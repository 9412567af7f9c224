//! Occlusion sensitivity (Zeiler & Fergus 2013, 4.2 and figure 7): what an answer hangs on, by covering it up.

use crate::error::Error;
use crate::field::{Region, up_to};
use crate::numbers::{best, values};
use crate::projection::output;
use burn::tensor::{Tensor, TensorData, activation};
use models::Network;
use serde::Serialize;

/// The patch that covers a part of the image. The paper's is grey; neither its size nor its step is stated.
#[derive(Clone, Debug, PartialEq)]
pub struct Occluder {
    /// Side of the square in pixels.
    pub size: usize,
    /// Pixels from one place to the next. The last place of a row hangs over the edge if it doesn't fit.
    pub stride: usize,
    /// What it is filled with, as the network sees it: a number for each channel.
    pub fill: Vec<f32>,
}

/// What the network makes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Response {
    /// Logit of the class that is watched.
    pub logit: f32,
    /// Its probability.
    pub probability: f32,
    /// The most probable class.
    pub answer: usize,
    /// Sum over the watched map.
    pub activity: f32,
}

/// Responses to an image with each part of it covered in turn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Occlusion {
    /// The class that is watched.
    pub class: usize,
    /// The map that is watched: of the layer's maps, the one with the greatest sum for the whole image.
    pub map: usize,
    /// Height and width of the image.
    pub image: [usize; 2],
    /// Places down and across.
    pub places: [usize; 2],
    /// The covered pixels, row by row.
    pub regions: Vec<Region>,
    /// The response to the image as it is.
    pub whole: Response,
    /// The response with each region covered.
    pub covered: Vec<Response>,
}

impl Occluder {
    /// The patch for an image of `height` x `width`. Not given: a third of the shorter side, and steps that make some 30
    /// places along it, as in the paper's figure.
    pub fn new(height: usize, width: usize, size: Option<usize>, stride: Option<usize>, fill: Vec<f32>) -> Self {
        let side = height.min(width);
        let size = size.unwrap_or(side / 3);
        let stride = stride.unwrap_or_else(|| (side.saturating_sub(size) / 30).max(1));
        Self { size, stride, fill }
    }

    /// The regions that it covers in an image of `height` x `width`, row by row, and how many are below and beside each
    /// other.
    pub fn regions(&self, height: usize, width: usize) -> ([usize; 2], Vec<Region>) {
        let steps = |side: usize| side.div_ceil(self.stride);
        // Steps wider than the patch would take the last place outside.
        let along = |side: usize| (steps(side.saturating_sub(self.size)) + 1).min(steps(side));
        let places = [along(height), along(width)];
        let regions = (0..places[0] * places[1]).map(|i| {
            let (top, left) = (i / places[1] * self.stride, i % places[1] * self.stride);
            Region { top, left, height: self.size.min(height - top), width: self.size.min(width - left) }
        });
        (places, regions.collect())
    }
}

impl Occlusion {
    /// A value for each pixel of the image, `[H, W]`: the mean of `value` over the regions that cover it.
    pub fn heat(&self, value: impl Fn(&Response) -> f32) -> Vec<f32> {
        let [height, width] = self.image;
        let mut sums = vec![(0f64, 0u32); height * width];
        for (region, response) in self.regions.iter().zip(&self.covered) {
            let v = f64::from(value(response));
            for y in region.top..region.top + region.height {
                for (sum, count) in &mut sums[y * width + region.left..][..region.width] {
                    *sum += v;
                    *count += 1;
                }
            }
        }
        let outside = f64::from(value(&self.whole)); // where a step wider than the patch leaves a gap
        sums.into_iter().map(|(sum, n)| if n == 0 { outside as f32 } else { (sum / f64::from(n)) as f32 }).collect()
    }
}

/// Covers each part of `image`, `[1, C, H, W]`, in turn, `batch` at a time, and watches `class` (or what the network
/// takes the image for) and the strongest map of `layer`. `done` hears how many of how many places are done, and
/// says whether to go on.
///
/// # Errors
/// If the image doesn't fit, or layer, class or patch can't be; [`Error::Stopped`] if `done` says so.
pub fn occlude(
    network: &Network,
    image: Tensor<4>,
    layer: &str,
    class: Option<usize>,
    occluder: &Occluder,
    batch: usize,
    mut done: impl FnMut(usize, usize) -> bool,
) -> Result<Occlusion, Error> {
    let [n, channels, height, width] = image.dims();
    let arguments = |problem: String| Err(Error::Arguments(problem));
    if n != 1 {
        return arguments(format!("one image is covered at a time, not {n}"));
    }
    let Occluder { size, stride, .. } = occluder;
    let fits = 1..=height.min(width);
    if !fits.contains(size) || !fits.contains(stride) || batch == 0 {
        return arguments(format!(
            "a patch of {size} pixels in steps of {stride} can't cover an image of {height}x{width}, {batch} at a time"
        ));
    }
    if occluder.fill.len() != channels {
        return arguments(format!("{} fills for {channels} channels", occluder.fill.len()));
    }
    if class.is_some_and(|class| class >= network.classes()) {
        return arguments(format!("there is no class {class:?} among {}", network.classes()));
    }
    up_to(network, layer)?;
    let (logits, trace) = network.forward_traced(image.clone())?;
    let class = class.unwrap_or_else(|| best(&values(logits.clone())));
    let maps = output(&trace, layer)?;
    let map = best(&values(maps.clone().sum_dim(2).sum_dim(3)));
    let whole = respond(logits, maps, class, map)[0];

    let (places, regions) = occluder.regions(height, width);
    let device = image.device();
    let pixels = values(image);
    let mut covered = Vec::with_capacity(regions.len());
    for some in regions.chunks(batch) {
        let mut images = Vec::with_capacity(some.len() * pixels.len());
        for region in some {
            let start = images.len();
            images.extend_from_slice(&pixels);
            for (plane, fill) in images[start..].chunks_exact_mut(height * width).zip(&occluder.fill) {
                for y in region.top..region.top + region.height {
                    plane[y * width + region.left..][..region.width].fill(*fill);
                }
            }
        }
        let images = Tensor::from_data(TensorData::new(images, [some.len(), channels, height, width]), &device);
        let (logits, trace) = network.forward_traced(images)?;
        covered.extend(respond(logits, output(&trace, layer)?, class, map));
        if !done(covered.len(), regions.len()) {
            return Err(Error::Stopped);
        }
    }
    Ok(Occlusion { class, map, image: [height, width], places, regions, whole, covered })
}

fn respond(logits: Tensor<2>, maps: Tensor<4>, class: usize, map: usize) -> Vec<Response> {
    let classes = logits.dims()[1];
    let probabilities = values(activation::softmax(logits.clone(), 1));
    let activities = values(maps.narrow(1, map, 1).sum_dim(2).sum_dim(3));
    let rows = values(logits);
    let rows = rows.chunks_exact(classes).zip(probabilities.chunks_exact(classes)).zip(activities);
    rows.map(|((logits, probabilities), activity)| Response {
        logit: logits[class],
        probability: probabilities[class],
        answer: best(logits),
        activity,
    })
    .collect()
}
