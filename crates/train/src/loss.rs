//! What training makes small.

use crate::recipe::Loss;
use burn::tensor::{Int, Tensor, activation};

impl Loss {
    /// Mean loss `[1]` of logits `[N, classes]` where the truth is `labels` `[N]`.
    pub fn forward(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
        if *self == (Self::CrossEntropy { smoothing: 0.0 }) {
            return kernels::cross_entropy(logits, labels);
        }
        let labels = labels.unsqueeze_dim::<2>(1);
        match *self {
            Self::CrossEntropy { smoothing } => {
                let log = activation::log_softmax(logits, 1);
                let right = log.clone().gather(1, labels).mean().neg();
                right.mul_scalar(1.0 - smoothing) + log.mean().neg().mul_scalar(smoothing)
            }
            // An RBF's logit is its penalty negated.
            Self::Penalty => logits.gather(1, labels).mean().neg(),
            Self::Map { j } => {
                let right = logits.clone().gather(1, labels).mean().neg();
                right + log_sum_exp_with(logits, -j).mean()
            }
        }
    }
}

/// log(e^extra + sum_i e^x_i) for each row of `[N, classes]`: `[N, 1]`. The greatest term is taken out first, so that
/// penalties of hundreds don't vanish.
fn log_sum_exp_with(x: Tensor<2>, extra: f32) -> Tensor<2> {
    let greatest = x.clone().detach().max_dim(1).clamp_min(extra);
    let sum = (x - greatest.clone()).exp().sum_dim(1) + (greatest.clone().neg() + extra).exp();
    sum.log() + greatest
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn loss(loss: Loss, logits: [[f32; 3]; 2]) -> f32 {
        let device = Device::flex();
        loss.forward(Tensor::from_data(logits, &device), Tensor::from_data([0, 2], &device)).into_scalar::<f32>()
    }

    const LOGITS: [[f32; 3]; 2] = [[-1.0, -2.0, -3.0], [-200.0, -300.0, -250.0]];

    #[test]
    fn penalty_is_equation_8() {
        assert_eq!(loss(Loss::Penalty, LOGITS), (1.0 + 250.0) / 2.0);
    }

    #[test]
    fn map_is_equation_9() {
        // By hand, j = 2: 1 + ln(e^-2 + e^-1 + e^-2 + e^-3), and 250 + ln(e^-2) to within e^-198.
        let first = 1.0 + ((-2f64).exp() + (-1f64).exp() + (-2f64).exp() + (-3f64).exp()).ln();
        let expected = (first + 250.0 - 2.0) / 2.0;
        assert!((f64::from(loss(Loss::Map { j: 2.0 }, LOGITS)) - expected).abs() < 1e-4);
    }

    #[test]
    fn a_far_rubbish_class_makes_map_cross_entropy() {
        let map = loss(Loss::Map { j: 1000.0 }, LOGITS);
        let cross_entropy = loss(Loss::CrossEntropy { smoothing: 0.0 }, LOGITS);
        assert!((map - cross_entropy).abs() < 1e-4, "{map} {cross_entropy}");
    }

    #[test]
    fn smoothing_mixes_in_the_mean_over_classes() {
        // torch.nn.functional.cross_entropy(…, label_smoothing=0.1) on the same logits: 0.9 a + 0.1 b, where
        // a = mean of -log p(truth), b = mean of -log p over all classes.
        let log = |row: [f64; 3]| {
            let greatest = row.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = row.iter().map(|v| (v - greatest).exp()).sum();
            row.map(|v| v - greatest - sum.ln())
        };
        let rows = [log([-1.0, -2.0, -3.0]), log([-200.0, -300.0, -250.0])];
        let a = -(rows[0][0] + rows[1][2]) / 2.0;
        let b = -rows.iter().flatten().sum::<f64>() / 6.0;
        let got = f64::from(loss(Loss::CrossEntropy { smoothing: 0.1 }, LOGITS));
        assert!((got - (0.9 * a + 0.1 * b)).abs() < 1e-4, "{got}");
    }
}
