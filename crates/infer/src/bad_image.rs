//! `--on-bad-image`, of `infer` and `train`.

use serde::{Deserialize, Serialize};

/// What becomes of an image that can't be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBadImage {
    /// It is named and counted, and left out
    Skip,
    /// It is an error
    #[default]
    Fail,
}

impl From<OnBadImage> for data::OnBadImage {
    fn from(what: OnBadImage) -> Self {
        match what {
            OnBadImage::Skip => Self::Skip,
            OnBadImage::Fail => Self::Fail,
        }
    }
}
