use super::{function, gathered, misfit, per_map, spread, through};
use crate::activation::Activation;
use crate::back::Method;
use crate::draw::{Draw, Init};
use crate::layer::{Curvature, Layer, LayerConfig, Maps, Op, Seen, Shape, ShapeError, Spec, Window};
use alloc::{format, vec};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;

/// LeNet-5's trainable subsampling (LeCun 1998, II-B): the sum over a window, times the map's coefficient, plus the
/// map's bias, through the activation. Windows don't overlap.
#[derive(Clone, Copy, Debug)]
pub struct SubsampleConfig {
    /// Side of the square window, and the step between windows.
    pub kernel: usize,
    /// What is applied to the result.
    pub activation: Activation,
}

/// See [`SubsampleConfig`].
#[derive(Module, Debug)]
pub struct Subsample {
    /// `[C]`.
    coefficient: Param<Tensor<1>>,
    /// `[C]`.
    bias: Param<Tensor<1>>,
    kernel: usize,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    spec: Spec,
}

impl LayerConfig for SubsampleConfig {
    fn init(&self, input: Shape, draw: &Draw) -> Result<Op, ShapeError> {
        let ([c, h, w], k) = (input, self.kernel);
        if k == 0 || h % k != 0 || w % k != 0 {
            return Err(misfit(draw, format!("{k}x{k} windows don't tile a {h}x{w} map")));
        }
        let spec = Spec {
            output: [c, h / k, w / k],
            window: Some(Window { kernel: [k; 2], stride: k, padding: [0; 4] }),
            parameters: 2 * c,
            formula: format!("(1+1)·{c}"),
            activation: Some(self.activation.name()),
            ..Spec::pointwise("subsample", input)
        };
        Ok(Op::Subsample(Subsample {
            // The paper doesn't say how the coefficients start. At twice the mean's 1 / k^2 the signal reaches F6, which
            // LeCun's weights alone let die down: training starts at once, and validates no worse.
            coefficient: draw.param("coefficient", [c], Init::Constant(2.0 / (k * k) as f32)),
            bias: draw.param("bias", [c], Init::Constant(0.0)),
            kernel: k,
            activation: self.activation,
            spec,
        }))
    }
}

impl Layer for Subsample {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn forward(&self, x: Maps) -> Maps {
        let x = x.join_on(&self.bias.lazy_device());
        let function = function(Some(self.activation));
        Maps::one(kernels::subsample(x, self.coefficient.val(), self.bias.val(), self.kernel, function))
    }

    fn exchange(&self, towers: usize) -> (usize, usize) {
        (1, gathered(self.spec.input.iter().product(), towers, 1))
    }

    fn project(&self, signal: Maps, seen: &Seen, method: Method) -> Maps {
        let [c, h, w] = self.spec.input;
        let signal = method.rectify(Some(self.activation), signal.join(), &seen.output.0[0]);
        let coefficient = self.coefficient.val().reshape([1, c, 1, 1]);
        Maps::one(spread(signal * coefficient, self.kernel, h, w))
    }

    /// The coefficient's input is the sum over the window, so it is the sum that is squared.
    fn curvature(&self, x: Tensor<4>, y: Tensor<4>, h: Tensor<4>) -> Option<Curvature> {
        let [c, height, width] = self.spec.input;
        let h = through(Some(self.activation), y, h);
        let area = (self.kernel * self.kernel) as f32;
        let sum = avg_pool2d(x, AvgPoolOptions::new([self.kernel; 2])).mul_scalar(area);
        let squares = self.coefficient.val().square().reshape([1, c, 1, 1]);
        Some(Curvature {
            input: spread(h.clone() * squares, self.kernel, height, width),
            weights: vec![("coefficient", per_map(h.clone() * sum.square())), ("bias", per_map(h))],
        })
    }
}
