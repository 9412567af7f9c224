use super::{misfit, spread};
use crate::back::Method;
use crate::draw::Draw;
use crate::layer::{Curvature, Layer, LayerConfig, Maps, Op, Seen, Shape, ShapeError, Spec, Window};
use alloc::{format, vec::Vec};
use burn::module::Module;
use burn::tensor::Tensor;

/// The mean over windows that don't overlap; without a kernel, over the whole map (Lin 2013, 3.2: global average
/// pooling).
#[derive(Clone, Copy, Debug)]
pub struct AvgPoolConfig {
    /// Side of the square window and step between windows; `None` for the whole map.
    pub kernel: Option<usize>,
}

/// See [`AvgPoolConfig`].
#[derive(Module, Debug)]
pub struct AvgPool {
    kernel: usize,
    #[module(skip)]
    spec: Spec,
}

impl LayerConfig for AvgPoolConfig {
    fn init(&self, input: Shape, draw: &Draw) -> Result<Op, ShapeError> {
        let [c, h, w] = input;
        let kernel = self.kernel.unwrap_or(h);
        if kernel == 0 || h % kernel != 0 || w % kernel != 0 {
            return Err(misfit(draw, format!("{kernel}x{kernel} windows don't tile a {h}x{w} map")));
        }
        let spec = Spec {
            output: [c, h / kernel, w / kernel],
            window: Some(Window { kernel: [kernel; 2], stride: kernel, padding: [0; 4] }),
            ..Spec::pointwise(if self.kernel.is_none() { "global-avg-pool" } else { "avg-pool" }, input)
        };
        Ok(Op::AvgPool(AvgPool { kernel, spec }))
    }
}

impl Layer for AvgPool {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn forward(&self, x: Maps) -> Maps {
        x.each(|x| kernels::avg_pool2d(x, self.kernel))
    }

    fn project(&self, signal: Maps, _: &Seen, _: Method) -> Maps {
        let [_, h, w] = self.spec.input;
        let share = 1.0 / (self.kernel * self.kernel) as f32;
        signal.each(|s| spread(s.mul_scalar(share), self.kernel, h, w))
    }

    fn curvature(&self, _: Tensor<4>, _: Tensor<4>, h: Tensor<4>) -> Option<Curvature> {
        let [_, height, width] = self.spec.input;
        let share = 1.0 / (self.kernel * self.kernel) as f32;
        Some(Curvature { input: spread(h.mul_scalar(share * share), self.kernel, height, width), weights: Vec::new() })
    }
}
