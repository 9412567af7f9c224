//! The strongest activations of chosen maps over a data set.

use crate::projection::Unit;
use burn::tensor::Tensor;
use serde::Serialize;

/// An image's strongest activation in one map.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// The image's number.
    pub image: usize,
    /// Where in the layer.
    #[serde(flatten)]
    pub unit: Unit,
    /// How strong.
    pub activation: f32,
}

/// Keeps the strongest activations of each chosen map while the images go by, in memory that doesn't grow with them.
///
/// Each image counts once for each map, with its strongest unit: the paper's figure 2 doesn't say whether one image may
/// fill several places. Of equals the earlier image, and the earlier unit in reading order, comes first, so batches and
/// their sizes change nothing.
#[derive(Clone, Debug)]
pub struct Top {
    count: usize,
    maps: Vec<usize>,
    best: Vec<Vec<Hit>>,
    seen: usize,
}

impl Top {
    /// The `count` strongest for each of `maps`; the paper shows 9.
    pub fn new(maps: Vec<usize>, count: usize) -> Self {
        Self { count, best: vec![Vec::with_capacity(count + 1); maps.len()], maps, seen: 0 }
    }

    /// Looks at the layer's output for the next images, `[N, C, H, W]`. A map that the layer doesn't have gets nothing.
    pub fn see(&mut self, output: Tensor<4>) {
        let [n, maps, height, width] = output.dims();
        let flat = output.reshape([n, maps, height * width]);
        // On the device, so that only two numbers for each map leave it.
        let (values, places) = flat.max_dim_with_indices(2);
        let values: Vec<f32> = values.into_data().iter::<f32>().collect();
        let places: Vec<i64> = places.into_data().iter::<i64>().collect();
        for image in 0..n {
            for (&map, best) in self.maps.iter().zip(&mut self.best).filter(|(map, _)| **map < maps) {
                let activation = values[image * maps + map];
                let place = places[image * maps + map] as usize;
                let at = best.partition_point(|hit| hit.activation >= activation);
                if at < self.count && !activation.is_nan() {
                    let unit = Unit { map, y: place / width, x: place % width };
                    best.insert(at, Hit { image: self.seen + image, unit, activation });
                    best.truncate(self.count);
                }
            }
        }
        self.seen += n;
    }

    /// Images seen so far.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Each map with its strongest activations, in the order in which the maps were chosen.
    pub fn hits(&self) -> impl Iterator<Item = (usize, &[Hit])> {
        self.maps.iter().copied().zip(self.best.iter().map(Vec::as_slice))
    }
}
