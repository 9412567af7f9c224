use super::{misfit, windows};
use crate::back::{Method, Overlap};
use crate::draw::Draw;
use crate::layer::{Layer, LayerConfig, Maps, Op, Seen, Shape, ShapeError, Spec, Window};
use alloc::{format, vec::Vec};
use burn::module::Module;
use burn::tensor::module::max_pool2d_with_indices;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{IndexingUpdateOp, Int, Tensor};

/// The maximum over windows; `kernel > stride` makes them overlap (Krizhevsky 2012, 3.4).
#[derive(Clone, Copy, Debug)]
pub struct MaxPoolConfig {
    /// Side of the square window.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Whether a last window that hangs over the edge counts, as in cuda-convnet and Caffe.
    pub ceil: bool,
}

/// See [`MaxPoolConfig`].
#[derive(Module, Debug)]
pub struct MaxPool {
    #[module(skip)]
    config: MaxPoolConfig,
    #[module(skip)]
    spec: Spec,
}

impl LayerConfig for MaxPoolConfig {
    fn init(&self, input: Shape, draw: &Draw) -> Result<Op, ShapeError> {
        let [c, h, w] = input;
        let side = |size| windows(size, 0, self.kernel, self.stride, self.ceil);
        let (Some(oh), Some(ow)) = (side(h), side(w)) else {
            return Err(misfit(
                draw,
                format!("a {0}x{0}/{1} window doesn't fit a {h}x{w} map", self.kernel, self.stride),
            ));
        };
        let spec = Spec {
            output: [c, oh, ow],
            window: Some(Window { kernel: [self.kernel; 2], stride: self.stride, padding: [0; 4] }),
            ..Spec::pointwise("max-pool", input)
        };
        Ok(Op::MaxPool(MaxPool { config: *self, spec }))
    }
}

impl MaxPool {
    /// Its window.
    pub fn config(&self) -> &MaxPoolConfig {
        &self.config
    }

    fn options(&self) -> MaxPoolOptions<2> {
        MaxPoolOptions::new([self.config.kernel; 2])
            .with_stride([self.config.stride; 2])
            .with_ceil_mode(self.config.ceil)
    }
}

impl Layer for MaxPool {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn forward(&self, x: Maps) -> Maps {
        let MaxPoolConfig { kernel, stride, ceil } = self.config;
        x.each(|x| kernels::max_pool2d(x, kernels::Pool { size: kernel, stride, ceil }))
    }

    fn trace(&self, x: Maps) -> Seen {
        let input = x.clone();
        let (output, switches): (Vec<_>, Vec<_>) =
            x.0.into_iter().map(|x| max_pool2d_with_indices(x, self.options())).unzip();
        Seen { input, output: Maps(output), switches: Some(switches) }
    }

    /// Each value goes back to where its maximum was. Windows overlap, so one place can be met twice: see [`Overlap`].
    fn project(&self, signal: Maps, seen: &Seen, method: Method) -> Maps {
        let switches = seen.switches.as_ref().expect("a max pool leaves switches");
        let [_, h, w] = self.spec.input;
        let devices = switches.iter().map(Tensor::device);
        let back = signal.split_on(devices).0.into_iter().zip(switches).map(|(s, at)| {
            let [n, c, oh, ow] = s.dims();
            let flat = [n, c, oh * ow];
            let (s, at) = (s.reshape(flat), at.clone().reshape(flat));
            let s = match method.overlap() {
                Overlap::Add => s,
                Overlap::Overwrite => last(s, at.clone(), h * w),
            };
            Tensor::<3>::zeros([n, c, h * w], &s.device())
                .scatter(2, at, s, IndexingUpdateOp::Add)
                .reshape([n, c, h, w])
        });
        Maps(back.collect())
    }
}

/// `signal` `[N, C, windows]` without what a later window, with its maximum at the same of `places` places, overwrites.
fn last(signal: Tensor<3>, at: Tensor<3, Int>, places: usize) -> Tensor<3> {
    let [n, c, windows] = signal.dims();
    let number = Tensor::<1, Int>::arange(0..windows as i64, &signal.device()).reshape([1, 1, windows]);
    let number = number.expand([n, c, windows]);
    let none = Tensor::<3, Int>::zeros([n, c, places], &signal.device());
    let winner = none.scatter(2, at.clone(), number.clone(), IndexingUpdateOp::Max).gather(2, at);
    signal.mask_fill(winner.not_equal(number), 0.0)
}
