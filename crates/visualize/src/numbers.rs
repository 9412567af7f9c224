//! A tensor's numbers.

use burn::tensor::Tensor;

/// The numbers of `x`, row by row.
pub fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

/// Index of the greatest value, the first of equals; 0 of nothing.
pub fn best(values: &[f32]) -> usize {
    (0..values.len()).reduce(|a, b| if values[b] > values[a] { b } else { a }).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_is_best() {
        assert_eq!((best(&[1.0, 3.0, 3.0]), best(&[])), (1, 0));
    }
}
