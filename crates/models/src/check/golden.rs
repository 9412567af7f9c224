//! The files that tests/golden/generate.py writes.

use super::{Difference, Tolerance};
use serde::Deserialize;
use std::format;
use std::string::String;
use std::vec::Vec;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    pub model: String,
    /// What the input's formula numbers are multiplied with.
    pub scale: f32,
    pub logits: Vec<f32>,
    pub loss: f32,
    /// LeCun 1998, equation 9.
    pub map_loss: Option<f32>,
    pub deconvnet: Option<Deconvnet>,
    pub activations: Vec<Sampled>,
    pub gradients: Vec<Sampled>,
    pub rate: f32,
    pub momentum: f32,
    /// Before each step, and after the last.
    pub losses: Vec<f32>,
    /// After the last step.
    pub weights: Vec<Sampled>,
}

/// Formula numbers sent back from a layer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deconvnet {
    pub layer: String,
    pub image: Sampled,
}

/// A tensor, in full or by 32 of its elements.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampled {
    pub name: String,
    size: usize,
    sum: f64,
    abs: f64,
    max: f64,
    values: Vec<f32>,
}

impl Golden {
    /// One of the files that are linked in.
    ///
    /// # Panics
    /// If it isn't what generate.py writes.
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|e| panic!("a golden file is damaged: {e}"))
    }
}

impl Sampled {
    /// The largest difference as a share of what is allowed.
    ///
    /// # Errors
    /// The first number that is too far off.
    ///
    /// # Panics
    /// If there aren't as many numbers.
    pub fn compare(&self, kind: &str, got: &[f32], tolerance: Tolerance) -> Result<f64, Difference> {
        let what = format!("{kind} {}", self.name);
        assert_eq!(got.len(), self.size, "{what}: number of values");
        let full = self.values.len() == self.size;
        let mut most = 0.0_f64;
        for (i, &expected) in self.values.iter().enumerate() {
            let at = if full { i } else { (i as u32).wrapping_mul(2_654_435_761) as usize % self.size };
            let what = || format!("{what}, element {at}");
            most = most.max(tolerance.share(what, got[at].into(), expected.into(), self.max)?);
        }
        let wide = || got.iter().map(|v| f64::from(*v));
        let sums: [(_, f64, f64); 2] =
            [("sum", wide().sum(), self.sum), ("sum of sizes", wide().map(f64::abs).sum(), self.abs)];
        // Sums of values of both signs may cancel: they are as exact as the sizes that they are made of.
        let sum = Tolerance { relative: 0.0, absolute: tolerance.relative };
        for (name, got, expected) in sums {
            most = most.max(sum.share(|| format!("{what}, {name}"), got, expected, self.abs)?);
        }
        Ok(most)
    }
}
