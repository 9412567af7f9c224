//! How far features move when the image does (Zeiler & Fergus 2013, 4.1 and figure 5).

use crate::error::Error;
use crate::numbers::values;
use crate::projection::output;
use burn::tensor::{Tensor, TensorData, activation};
use models::Network;
use serde::Serialize;

/// What is done to an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Shifted down by so many pixels; up by negative ones.
    Shift(f32),
    /// Enlarged about the middle.
    Scale(f32),
    /// Turned about the middle, counter-clockwise, by so many degrees.
    Rotate(f32),
}

/// What the network makes of a changed image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Changed {
    /// What was done to it.
    pub change: Change,
    /// Euclidean distance from the unchanged image's features in the first feature layer.
    pub first: f32,
    /// The same in the last.
    pub last: f32,
    /// Probability of the class that is watched.
    pub probability: f32,
}

/// The first layer, and the last before the classifier: the paper's layers 1 and 7. Dropout isn't counted.
pub fn feature_layers(network: &Network) -> [String; 2] {
    let rows = network.summary();
    let names: Vec<_> = rows.iter().filter(|row| row.spec.kind != "dropout").map(|row| &row.name).collect();
    [names[0].clone(), names[names.len().saturating_sub(2)].clone()]
}

/// `image`, `[1, C, H, W]`, changed: bilinear between pixels, `fill` (a number for each channel) where the image doesn't
/// reach.
pub fn transform(image: &Tensor<4>, change: Change, fill: &[f32]) -> Tensor<4> {
    let [_, channels, height, width] = image.dims();
    let pixels = values(image.clone());
    let (cy, cx) = ((height - 1) as f32 / 2.0, (width - 1) as f32 / 2.0);
    let mut out = Vec::with_capacity(pixels.len());
    for (plane, &fill) in pixels.chunks_exact(height * width).zip(fill) {
        let at = |y: i64, x: i64| {
            let inside = (0..height as i64).contains(&y) && (0..width as i64).contains(&x);
            if inside { plane[y as usize * width + x as usize] } else { fill }
        };
        for i in 0..height * width {
            let (y, x) = ((i / width) as f32, (i % width) as f32);
            // Where this pixel comes from.
            let (sy, sx) = match change {
                Change::Shift(by) => (y - by, x),
                Change::Scale(by) => ((y - cy) / by + cy, (x - cx) / by + cx),
                Change::Rotate(degrees) => {
                    let (sin, cos) = degrees.to_radians().sin_cos();
                    let (dy, dx) = (y - cy, x - cx);
                    (cy + cos * dy + sin * dx, cx + cos * dx - sin * dy)
                }
            };
            let (fy, fx) = (sy - sy.floor(), sx - sx.floor());
            let (y0, x0) = (sy.floor() as i64, sx.floor() as i64);
            let row = |y: i64| {
                if fx == 0.0 { at(y, x0) } else { at(y, x0) * (1.0 - fx) + at(y, x0 + 1) * fx }
            };
            out.push(if fy == 0.0 { row(y0) } else { row(y0) * (1.0 - fy) + row(y0 + 1) * fy });
        }
    }
    Tensor::from_data(TensorData::new(out, [1, channels, height, width]), &image.device())
}

/// Changes `image`, `[1, C, H, W]`, in each way and measures how far its features in `layers` move, and the probability of
/// `class`. The distances are plain, not over anything: the paper doesn't say how its own are scaled.
///
/// # Errors
/// If the image doesn't fit, or a layer or the class isn't there.
pub fn invariance(
    network: &Network,
    image: &Tensor<4>,
    class: usize,
    layers: [&str; 2],
    changes: &[Change],
    fill: &[f32],
) -> Result<Vec<Changed>, Error> {
    let channels = image.dims()[1];
    if fill.len() != channels || class >= network.classes() {
        let classes = network.classes();
        return Err(Error::Arguments(format!(
            "class {class} of {classes} and {} fills for {channels} channels",
            fill.len()
        )));
    }
    let look = |images: Tensor<4>| {
        let (logits, trace) = network.forward_traced(images)?;
        let [first, last] = layers;
        Ok::<_, Error>((logits, [output(&trace, first)?, output(&trace, last)?]))
    };
    let (_, whole) = look(image.clone())?;
    let mut changed = Vec::with_capacity(changes.len());
    for some in changes.chunks(16) {
        let images = Tensor::cat(some.iter().map(|change| transform(image, *change, fill)).collect(), 0);
        let (logits, features) = look(images)?;
        let probabilities = values(activation::softmax(logits, 1).narrow(1, class, 1));
        let [first, last] = [0, 1].map(|i| {
            let apart: Tensor<2> = (features[i].clone() - whole[i].clone()).flatten(1, 3);
            values(apart.square().sum_dim(1).sqrt())
        });
        changed.extend((0..some.len()).map(|i| Changed {
            change: some[i],
            first: first[i],
            last: last[i],
            probability: probabilities[i],
        }));
    }
    Ok(changed)
}
