//! The layers. Each file holds a layer's line in a definition (its config) and the layer with its weights.

mod activate;
mod avg_pool;
mod codes;
mod conv;
mod dropout;
mod linear;
mod lrn;
mod max_pool;
mod overlap_avg_pool;
mod rbf;
mod subsample;
mod table_conv;

pub use activate::{Activate, ActivateConfig};
pub use avg_pool::{AvgPool, AvgPoolConfig};
pub use codes::code;
pub(crate) use conv::tower_name;
pub use conv::{Conv, ConvConfig};
pub use dropout::{Dropout, DropoutConfig};
pub use linear::{Linear, LinearConfig};
pub use lrn::{Lrn, LrnConfig};
pub use max_pool::{MaxPool, MaxPoolConfig};
pub use overlap_avg_pool::{OverlapAvgPool, OverlapAvgPoolConfig};
pub use rbf::{Rbf, RbfConfig};
pub use subsample::{Subsample, SubsampleConfig};
pub use table_conv::{TableConv, TableConvConfig, TableError};

use crate::activation::Activation;
use crate::draw::{Draw, Init};
use crate::layer::ShapeError;
use alloc::string::String;
use burn::tensor::Tensor;

/// How weights start: a network's own rule, or LeCun's, which depends on the unit's fan-in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightInit {
    /// Even over ±2.4 / F, F the unit's fan-in (LeCun 1998, appendix A).
    LeCun,
    /// Gaussian with this standard deviation.
    Normal(f32),
    /// Even over ±1 / sqrt(F), biases too: what `torch.nn` starts its convolutions and linear layers with.
    Torch,
}

impl WeightInit {
    /// The rule for units that each read `fan_in` inputs.
    pub fn with_fan_in(self, fan_in: usize) -> Init {
        match self {
            Self::LeCun => Init::Uniform(2.4 / fan_in as f32),
            Self::Normal(deviation) => Init::Normal(deviation),
            Self::Torch => Init::Uniform(1.0 / libm::sqrtf(fan_in as f32)),
        }
    }

    /// The rule for the biases of such units, `constant` where a layer may choose.
    fn bias(self, fan_in: usize, constant: f32) -> Init {
        match self {
            Self::Torch => self.with_fan_in(fan_in),
            Self::LeCun | Self::Normal(_) => Init::Constant(constant),
        }
    }
}

/// What the kernels apply for `activation`, or for none.
fn function(activation: Option<Activation>) -> kernels::Function {
    activation.map_or(kernels::Function::Identity, Activation::function)
}

/// Second derivatives carried from an activation's output `y` back to its input: times f'(x)^2, the term with f'' left
/// out (LeCun 1998, appendix C).
fn through(activation: Option<Activation>, y: Tensor<4>, h: Tensor<4>) -> Tensor<4> {
    match activation {
        Some(activation) => h * activation.slope(y).square(),
        None => h,
    }
}

/// Sums over images and positions, `[C]`.
fn per_map(x: Tensor<4>) -> Tensor<1> {
    let channels = x.dims()[1];
    x.sum_dim(0).sum_dim(2).sum_dim(3).reshape([channels])
}

/// Each value of `[N, C, H, W]` laid over its own `k`x`k` block of `[N, C, height, width]`; what no block covers is 0.
fn spread(x: Tensor<4>, k: usize, height: usize, width: usize) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let x = x.reshape([n, c, h, 1, w, 1]).expand([n, c, h, k, w, k]).reshape([n, c, h * k, w * k]);
    x.pad((0, width - w * k, 0, height - h * k), 0.0)
}

/// How many numbers of an image's maps of `size` numbers, shared out to `towers` towers, cross to another tower when
/// `parts` towers each read all of them.
fn gathered(size: usize, towers: usize, parts: usize) -> usize {
    (0..parts).map(|part| if part < towers { size - size / towers } else { size }).sum()
}

/// A sliding window's outputs along one side, counted the Caffe way: `ceil` keeps a last window that hangs over. `None`
/// if no window fits, or none ever moves on.
fn windows(size: usize, padding: usize, kernel: usize, stride: usize, ceil: bool) -> Option<usize> {
    if kernel == 0 || stride == 0 {
        return None;
    }
    let span = (size + padding).checked_sub(kernel)?;
    Some(if ceil { span.div_ceil(stride) } else { span / stride } + 1)
}

/// An error of the layer that `draw` draws for.
fn misfit(draw: &Draw, problem: String) -> ShapeError {
    ShapeError { layer: draw.layer.clone(), problem }
}
