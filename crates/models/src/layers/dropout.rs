use crate::back::Method;
use crate::draw::Draw;
use crate::layer::{Layer, LayerConfig, Maps, Op, Seen, Shape, ShapeError, Spec};
use burn::module::Module;

/// Each unit silenced with probability `p` while training, the others scaled by 1 / (1 - p); nothing at test time.
///
/// Krizhevsky 2012, 4.2, halves the outputs at test time instead, which is the same up to that factor.
#[derive(Clone, Copy, Debug)]
pub struct DropoutConfig(pub f64);

/// See [`DropoutConfig`].
#[derive(Module, Debug)]
pub struct Dropout {
    #[module(skip)]
    pub(crate) rate: f64,
    #[module(skip)]
    spec: Spec,
}

impl LayerConfig for DropoutConfig {
    fn init(&self, input: Shape, _: &Draw) -> Result<Op, ShapeError> {
        Ok(Op::Dropout(Dropout { rate: self.0, spec: Spec::pointwise("dropout", input) }))
    }
}

impl Layer for Dropout {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn forward(&self, x: Maps) -> Maps {
        x.each(|x| if self.rate > 0.0 && x.device().is_autodiff() { kernels::dropout(x, self.rate) } else { x })
    }

    fn project(&self, signal: Maps, _: &Seen, _: Method) -> Maps {
        signal
    }
}
