use crate::activation::Activation;
use crate::draw::Draw;
use crate::layer::{Layer, LayerConfig, Maps, Op, Seen, Shape, ShapeError, Spec};
use burn::module::Module;

/// An activation that stands by itself, where a paper puts something between it and the convolution.
#[derive(Clone, Copy, Debug)]
pub struct ActivateConfig(pub Activation);

/// See [`ActivateConfig`].
#[derive(Module, Debug)]
pub struct Activate {
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    spec: Spec,
}

impl LayerConfig for ActivateConfig {
    fn init(&self, input: Shape, _: &Draw) -> Result<Op, ShapeError> {
        let spec = Spec { activation: Some(self.0.name()), ..Spec::pointwise("activation", input) };
        Ok(Op::Activate(Activate { activation: self.0, spec }))
    }
}

impl Layer for Activate {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn forward(&self, x: Maps) -> Maps {
        x.each(|x| self.activation.forward(x))
    }

    fn project(&self, signal: Maps, _: &Seen) -> Maps {
        signal.each(|s| self.activation.rectify(s))
    }
}
