//! The way back from a unit to pixels: what each method does where a network isn't linear.

use crate::activation::Activation;
use alloc::string::{String, ToString};
use burn::tensor::Tensor;
use core::{fmt, str::FromStr};

/// A method of sending a signal back through a network. They share the transposed filters and a max pool's switches, and
/// differ where the network isn't linear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Zeiler & Fergus 2013, 2.1: the signal itself is rectified, whatever the unit's activation was
    /// ([`Activation::rectify`]); local response normalisation, of which the paper says nothing, lets it through
    /// unchanged.
    Deconvnet(Overlap),
    /// Springenberg et al. 2014: the gradient, rectified too.
    Guided,
    /// The gradient.
    Gradient,
}

/// What a deconvnet does where overlapping windows of a max pool share their maximum, so that one place is met more than
/// once. The paper doesn't say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// The values add up, as a gradient's would.
    #[default]
    Add,
    /// The last window in reading order wins, as in an unpooling that writes.
    Overwrite,
}

impl Default for Method {
    fn default() -> Self {
        Self::Deconvnet(Overlap::Add)
    }
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Deconvnet(Overlap::Add), Self::Deconvnet(Overlap::Overwrite), Self::Guided, Self::Gradient];

    /// `signal` on an activation's output, which was `output`, carried back to its input.
    pub(crate) fn rectify(self, activation: Option<Activation>, signal: Tensor<4>, output: &Tensor<4>) -> Tensor<4> {
        let Some(activation) = activation else { return signal };
        match self {
            Self::Deconvnet(_) => activation.rectify(signal),
            Self::Gradient => signal * activation.slope(output.clone()),
            Self::Guided => activation.rectify(signal * activation.slope(output.clone())),
        }
    }

    /// Whether normalisation is differentiated, or passed through.
    pub(crate) fn differentiates(self) -> bool {
        !matches!(self, Self::Deconvnet(_))
    }

    /// What happens where windows overlap.
    pub(crate) fn overlap(self) -> Overlap {
        match self {
            Self::Deconvnet(overlap) => overlap,
            Self::Guided | Self::Gradient => Overlap::Add,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deconvnet(Overlap::Add) => "deconvnet",
            Self::Deconvnet(Overlap::Overwrite) => "deconvnet-overwrite",
            Self::Guided => "guided",
            Self::Gradient => "gradient",
        })
    }
}

/// No method has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no method is called '{0}'; there are deconvnet, deconvnet-overwrite, guided and gradient")]
pub struct UnknownMethod(String);

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|m| m.to_string() == name).ok_or_else(|| UnknownMethod(name.to_string()))
    }
}
