//! Squashing functions and rectifiers.

use alloc::string::{String, ToString};
use burn::tensor::{Tensor, activation};
use core::{fmt, str::FromStr};
use kernels::Function;
use serde::{Deserialize, Serialize};

/// What is applied to each unit's weighted sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// 1.7159 tanh(2x / 3), so that f(1) = 1 and f(-1) = -1 (LeCun 1998, appendix A).
    ScaledTanh,
    /// tanh(x).
    Tanh,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// max(x, 0) (Krizhevsky 2012, 3.1).
    Relu,
}

/// Amplitude of the scaled tanh (LeCun 1998, appendix A).
pub const AMPLITUDE: f32 = 1.7159;
/// Slope of the scaled tanh at the origin, over the amplitude.
pub const SLOPE: f32 = 2.0 / 3.0;

impl Activation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ScaledTanh, Self::Tanh, Self::Sigmoid, Self::Relu];

    /// As the command line and the weight files write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScaledTanh => "scaled-tanh",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Relu => "relu",
        }
    }

    /// f, as the kernels apply it to a layer's sums.
    pub const fn function(self) -> Function {
        match self {
            Self::ScaledTanh => Function::Tanh { amplitude: AMPLITUDE, slope: SLOPE },
            Self::Tanh => Function::Tanh { amplitude: 1.0, slope: 1.0 },
            Self::Sigmoid => Function::Sigmoid,
            Self::Relu => Function::Relu,
        }
    }

    /// f(x), element by element.
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        kernels::apply(x, self.function())
    }

    /// f'(x), told from y = f(x).
    pub fn slope<const D: usize>(self, y: Tensor<D>) -> Tensor<D> {
        match self {
            Self::ScaledTanh => y.square().neg().add_scalar(AMPLITUDE * AMPLITUDE).mul_scalar(SLOPE / AMPLITUDE),
            Self::Tanh => y.square().neg().add_scalar(1.0),
            Self::Sigmoid => y.clone() - y.square(),
            Self::Relu => y.greater_elem(0.0).float(),
        }
    }

    /// The rectifier of a deconvnet: the signal held within the values that the activation can take. For ReLU that is
    /// Zeiler's own rule, max(R, 0); for the tanh and sigmoid nets, which the paper doesn't treat, it is our choice.
    pub fn rectify<const D: usize>(self, signal: Tensor<D>) -> Tensor<D> {
        match self {
            Self::ScaledTanh => signal.clamp(-AMPLITUDE, AMPLITUDE),
            Self::Tanh => signal.clamp(-1.0, 1.0),
            Self::Sigmoid => signal.clamp(0.0, 1.0),
            Self::Relu => activation::relu(signal),
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No activation has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no activation is called '{0}'; there are scaled-tanh, tanh, sigmoid and relu")]
pub struct UnknownActivation(String);

impl FromStr for Activation {
    type Err = UnknownActivation;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|a| a.name() == name).ok_or_else(|| UnknownActivation(name.to_string()))
    }
}
