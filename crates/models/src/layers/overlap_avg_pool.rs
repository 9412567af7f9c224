use super::conv::adjoint;
use super::{misfit, windows};
use crate::back::Method;
use crate::draw::Draw;
use crate::layer::{Curvature, Layer, LayerConfig, Maps, Op, Seen, Shape, ShapeError, Spec, Window};
use alloc::{format, vec::Vec};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

/// The mean over windows that overlap; a last one that hangs over the edge is the mean of what it covers. Caffe's AVE.
#[derive(Clone, Copy, Debug)]
pub struct OverlapAvgPoolConfig {
    /// Side of the square window.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
}

/// See [`OverlapAvgPoolConfig`].
#[derive(Module, Debug)]
pub struct OverlapAvgPool {
    #[module(skip)]
    config: OverlapAvgPoolConfig,
    #[module(skip)]
    spec: Spec,
}

impl LayerConfig for OverlapAvgPoolConfig {
    fn init(&self, input: Shape, draw: &Draw) -> Result<Op, ShapeError> {
        let ([c, h, w], k) = (input, self.kernel);
        // A window that begins past the edge would cover nothing.
        let fits = (1..=k).contains(&self.stride);
        let side = |size| fits.then(|| windows(size, 0, k, self.stride, true)).flatten();
        let (Some(oh), Some(ow)) = (side(h), side(w)) else {
            return Err(misfit(draw, format!("{k}x{k} windows, {} apart, don't fit a {h}x{w} map", self.stride)));
        };
        let spec = Spec {
            output: [c, oh, ow],
            window: Some(Window { kernel: [k; 2], stride: self.stride, padding: [0; 4] }),
            ..Spec::pointwise("avg-pool", input)
        };
        Ok(Op::OverlapAvgPool(OverlapAvgPool { config: *self, spec }))
    }
}

impl OverlapAvgPool {
    /// Its window.
    pub fn config(&self) -> &OverlapAvgPoolConfig {
        &self.config
    }

    /// `[1, 1, H', W']`: what one unit weighs in the mean of each window.
    fn shares(&self, device: &Device) -> Tensor<4> {
        let ([_, h, w], [_, oh, ow]) = (self.spec.input, self.spec.output);
        let OverlapAvgPoolConfig { kernel, stride } = self.config;
        let covered = |size: usize, at: usize| kernel.min(size - at * stride);
        let share = |i: usize| 1.0 / (covered(h, i / ow) * covered(w, i % ow)) as f32;
        Tensor::from_data(TensorData::new((0..oh * ow).map(share).collect(), [1, 1, oh, ow]), device)
    }

    /// Each window's value added to every unit that the window covers.
    fn spread(&self, x: Tensor<4>) -> Tensor<4> {
        let ([c, h, w], [n, _, oh, ow]) = (self.spec.input, x.dims());
        let OverlapAvgPoolConfig { kernel, stride } = self.config;
        let over = |size: usize, count: usize| ((count - 1) * stride + kernel).saturating_sub(size);
        let window = Window { kernel: [kernel; 2], stride, padding: [0, 0, over(h, oh), over(w, ow)] };
        let ones = Tensor::ones([1, 1, kernel, kernel], &x.device());
        adjoint(x.reshape([n * c, 1, oh, ow]), ones, window, [1, h, w]).reshape([n, c, h, w])
    }
}

impl Layer for OverlapAvgPool {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn forward(&self, x: Maps) -> Maps {
        let OverlapAvgPoolConfig { kernel, stride } = self.config;
        Maps::one(kernels::overlap_avg_pool2d(x.join(), kernels::Pool { size: kernel, stride, ceil: true }))
    }

    fn project(&self, signal: Maps, _: &Seen, _: Method) -> Maps {
        let signal = signal.join();
        let shares = self.shares(&signal.device());
        Maps::one(self.spread(signal * shares))
    }

    fn curvature(&self, _: Tensor<4>, _: Tensor<4>, h: Tensor<4>) -> Option<Curvature> {
        let shares = self.shares(&h.device());
        Some(Curvature { input: self.spread(h * shares.square()), weights: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{device, reference};

    /// 2 maps of 6x7, windows of 3, 2 apart: the last ones hang over at the bottom.
    #[test]
    fn means_and_the_way_back_are_adjoint() {
        let device = device::parse("flex").unwrap();
        let draw = Draw { seed: 0, layer: "P".into(), device: device.clone() };
        let op = OverlapAvgPoolConfig { kernel: 3, stride: 2 }.init([2, 6, 7], &draw).unwrap();
        assert_eq!(op.layer().spec().output, [2, 3, 3]);
        let tensor = |salt, shape: [usize; 4]| {
            let values = reference::sines(salt, shape.iter().product(), 1.0);
            Tensor::<4>::from_data(TensorData::new(values, shape), &device)
        };
        let (x, s) = (tensor(1, [2, 2, 6, 7]), tensor(2, [2, 2, 3, 3]));
        let seen = op.layer().trace(Maps::one(x.clone()));
        let back = op.layer().project(Maps::one(s.clone()), &seen, Method::default()).join();
        let there = (seen.output.join() * s).sum().into_scalar::<f32>();
        let here = (x * back).sum().into_scalar::<f32>();
        assert!((there - here).abs() < 1e-5, "{there} {here}");
        // Constant maps stay what they are, at the edge too.
        let flat = op.layer().forward(Maps::one(Tensor::ones([1, 2, 6, 7], &device))).join().into_data();
        assert!(flat.iter::<f32>().all(|v| (v - 1.0).abs() < 1e-6), "{flat}");
    }

    #[test]
    fn windows_that_leave_gaps_are_refused() {
        let draw = Draw { seed: 0, layer: "P".into(), device: device::parse("flex").unwrap() };
        let error = OverlapAvgPoolConfig { kernel: 2, stride: 3 }.init([1, 6, 6], &draw).unwrap_err();
        assert_eq!(error.to_string(), "P: 2x2 windows, 3 apart, don't fit a 6x6 map");
    }
}
