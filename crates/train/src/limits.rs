//! What keeps gradients small.

use crate::gradients::Gradient;
use burn::tensor::Tensor;

/// `gradients`, the same one on each device, scaled so that its Euclidean length, over all weights together, is `most` at
/// most: measured on the first one, so that all are scaled alike.
pub fn clip(gradients: Vec<Gradient>, most: f64) -> Vec<Gradient> {
    let square = |g: &Tensor<1>| f64::from(g.clone().square().sum().into_scalar::<f32>());
    let norm = gradients[0].values().map(square).sum::<f64>().sqrt();
    // What is not finite is left to be found in the loss of the next step.
    if !norm.is_finite() || norm <= most {
        return gradients;
    }
    let scaled = |gradient: Gradient| gradient.into_iter().map(|(name, g)| (name, g.mul_scalar(most / norm))).collect();
    gradients.into_iter().map(scaled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::device;

    #[test]
    fn a_long_gradient_is_cut_to_length_and_a_short_one_left() {
        let device = device::parse("flex").unwrap();
        let gradient: Gradient = [("a", [3.0, 0.0]), ("b", [0.0, 4.0])]
            .into_iter()
            .map(|(name, g)| (name.to_string(), Tensor::from_data(g, &device)))
            .collect();
        let values = |g: Vec<Gradient>| -> Vec<f32> {
            let all = g.into_iter().flat_map(Gradient::into_values);
            all.flat_map(|t| t.into_data().iter::<f32>().collect::<Vec<_>>()).collect()
        };
        let twice = vec![gradient.clone(), gradient];
        assert_eq!(values(clip(twice.clone(), 2.5)), [1.5, 0.0, 0.0, 2.0].repeat(2));
        assert_eq!(values(clip(twice, 5.0)), [3.0, 0.0, 0.0, 4.0].repeat(2));
    }
}
