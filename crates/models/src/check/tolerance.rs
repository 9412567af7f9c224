//! How far two results may be apart.

use std::format;
use std::string::String;

/// How far two results may be apart: by `relative` of the expected value, and by `absolute` of the greatest one in the
/// same tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Share of the expected value.
    pub relative: f64,
    /// Share of the greatest value.
    pub absolute: f64,
}

/// A number that is too far from what was expected.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{what}: {got}, expected {expected} (the greatest is {greatest})")]
pub struct Difference {
    /// Which number of which tensor.
    pub what: String,
    /// What came out.
    pub got: f64,
    /// What should have.
    pub expected: f64,
    /// The tensor's greatest absolute value.
    pub greatest: f64,
}

impl Tolerance {
    /// Two ways to the same sums on one CPU, or two CPU backends.
    pub const CPU: Self = Self { relative: 1e-4, absolute: 1e-5 };
    /// PyTorch's logits, activations and losses.
    pub const TORCH: Self = Self { relative: 1e-3, absolute: 1e-4 };
    /// PyTorch's gradients. Where a ReLU unit is at its corner, rounding decides whether it passes its gradient on:
    /// PyTorch's own f32 and f64 are 2.6e-3 of the greatest gradient apart at conv1 of nin-imagenet, and one unit of
    /// conv2 moves a bias of alexnet's by 6e-3.
    pub const TORCH_GRADIENT: Self = Self { relative: 1e-2, absolute: 7e-3 };
    /// Differences of f32 losses a small step apart.
    pub const FINITE: Self = Self { relative: 1e-2, absolute: 5e-3 };

    /// How far a value may be from `expected` among values of at most `greatest`.
    pub fn allows(self, expected: f64, greatest: f64) -> f64 {
        self.relative * expected.abs() + self.absolute * greatest
    }

    /// The difference as a share of what is allowed; `what` names the number if that is more than 1, or no number.
    pub(super) fn share(
        self,
        what: impl FnOnce() -> String,
        got: f64,
        expected: f64,
        greatest: f64,
    ) -> Result<f64, Difference> {
        let (apart, allowed) = ((got - expected).abs(), self.allows(expected, greatest));
        // Written so that a NaN differs.
        if apart <= allowed {
            return Ok(if apart == 0.0 { 0.0 } else { apart / allowed });
        }
        Err(Difference { what: what(), got, expected, greatest })
    }

    /// Holds `got` against `expected`, number by number: the largest difference as a share of what is allowed.
    ///
    /// # Errors
    /// The first number that is too far off.
    ///
    /// # Panics
    /// If there aren't as many numbers.
    #[track_caller]
    pub fn compare(self, what: &str, got: &[f32], expected: &[f32]) -> Result<f64, Difference> {
        assert_eq!(got.len(), expected.len(), "{what}: number of values");
        let greatest = expected.iter().fold(0.0, |m: f64, v| m.max(f64::from(v.abs())));
        let pairs = got.iter().zip(expected).enumerate();
        let mut shares =
            pairs.map(|(i, (g, e))| self.share(|| format!("{what}, element {i}"), (*g).into(), (*e).into(), greatest));
        shares.try_fold(0.0, |most: f64, share| Ok(most.max(share?)))
    }
}
