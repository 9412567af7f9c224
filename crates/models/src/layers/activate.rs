use crate::activation::Activation;
use crate::back::Method;
use crate::draw::Draw;
use crate::layer::{Layer, LayerConfig, Maps, Op, Seen, Shape, ShapeError, Spec};
use burn::module::Module;
use burn::tensor::Tensor;

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

    fn project(&self, signal: Maps, seen: &Seen, method: Method) -> Maps {
        let outputs = &seen.output.0;
        let signals = signal.split_on(outputs.iter().map(Tensor::device)).0;
        let rectify = |(s, y)| method.rectify(Some(self.activation), s, y);
        Maps(signals.into_iter().zip(outputs).map(rectify).collect())
    }
}
