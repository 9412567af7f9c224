use super::{gathered, misfit};
use crate::back::Method;
use crate::draw::Draw;
use crate::layer::{Layer, LayerConfig, Maps, Op, Seen, Shape, ShapeError, Spec};
use alloc::{format, vec::Vec};
use burn::module::Module;
use burn::tensor::Tensor;

/// Local response normalisation across maps (Krizhevsky 2012, 3.3): `b = a / (k + alpha * sum a'^2)^beta`, the sum over
/// `size` neighbouring maps.
///
/// `alpha` multiplies the plain sum, as the paper prints it. Caffe, PyTorch, ONNX and the author's own code divide
/// theirs by `size`: their 1e-4 is 2e-5 here.
#[derive(Clone, Copy, Debug)]
pub struct LrnConfig {
    /// The paper's n, odd.
    pub size: usize,
    /// The paper's k.
    pub k: f32,
    /// The paper's alpha.
    pub alpha: f32,
    /// The paper's beta.
    pub beta: f32,
    /// Whether the sum crosses from one tower's maps to the other's. The paper doesn't say; Caffe's nets do.
    pub across_towers: bool,
}

/// See [`LrnConfig`].
#[derive(Module, Debug)]
pub struct Lrn {
    #[module(skip)]
    config: LrnConfig,
    #[module(skip)]
    spec: Spec,
}

impl LayerConfig for LrnConfig {
    fn init(&self, input: Shape, draw: &Draw) -> Result<Op, ShapeError> {
        if self.size.is_multiple_of(2) {
            return Err(misfit(draw, format!("a window of {} maps has no middle", self.size)));
        }
        Ok(Op::Lrn(Lrn { config: *self, spec: Spec::pointwise("lrn", input) }))
    }
}

impl Lrn {
    /// Its constants.
    pub fn config(&self) -> &LrnConfig {
        &self.config
    }

    /// Each map with its neighbours', added up.
    fn around(&self, x: Tensor<4>) -> Tensor<4> {
        let (size, channels) = (self.config.size, x.dims()[1]);
        let x = x.pad([(0, 0), (size / 2, size / 2), (0, 0), (0, 0)], 0.0);
        (0..size).map(|i| x.clone().narrow(1, i, channels)).reduce(|a, b| a + b).expect("size is odd")
    }

    /// The paper's `k + alpha * sum a'^2`.
    fn scale(&self, x: Tensor<4>) -> Tensor<4> {
        self.around(x.square()).mul_scalar(self.config.alpha).add_scalar(self.config.k)
    }

    /// The gradient by `x` of `<normalise(x), signal>`.
    fn differentiate(&self, x: Tensor<4>, signal: Tensor<4>) -> Tensor<4> {
        let LrnConfig { alpha, beta, .. } = self.config;
        let scale = self.scale(x.clone());
        let own = signal * scale.clone().powf_scalar(-beta);
        let others = self.around(own.clone() * x.clone() / scale);
        own - x * others.mul_scalar(2.0 * alpha * beta)
    }

    fn normalise(&self, x: Tensor<4>) -> Tensor<4> {
        let LrnConfig { size, k, alpha, beta, .. } = self.config;
        kernels::lrn(x, kernels::Lrn { size, alpha, beta, k })
    }
}

impl Layer for Lrn {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn forward(&self, x: Maps) -> Maps {
        if self.config.across_towers && x.0.len() > 1 {
            let devices: Vec<_> = x.0.iter().map(Tensor::device).collect();
            return Maps::one(self.normalise(x.join())).split_on(devices.into_iter());
        }
        x.each(|x| self.normalise(x))
    }

    /// Across towers, the first tower normalises all maps and hands the others theirs back.
    fn exchange(&self, towers: usize) -> (usize, usize) {
        let size = self.spec.input.iter().product();
        (towers, if self.config.across_towers { 2 * gathered(size, towers, 1) } else { 0 })
    }

    /// Passed through unchanged in a deconvnet: the paper doesn't say how to undo it.
    fn project(&self, signal: Maps, seen: &Seen, method: Method) -> Maps {
        if !method.differentiates() {
            return signal;
        }
        if self.config.across_towers {
            let signal = signal.join();
            let x = seen.input.clone().join_on(&signal.device());
            return Maps::one(self.differentiate(x, signal));
        }
        let inputs = &seen.input.0;
        let signals = signal.split_on(inputs.iter().map(Tensor::device)).0;
        Maps(signals.into_iter().zip(inputs).map(|(s, x)| self.differentiate(x.clone(), s)).collect())
    }
}
