use super::{code, gathered, misfit};
use crate::back::Method;
use crate::draw::Draw;
use crate::layer::{Curvature, Layer, LayerConfig, Maps, Op, Seen, Shape, ShapeError, Spec, Window};
use alloc::{format, vec::Vec};
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

/// LeNet-5's Euclidean RBF output (LeCun 1998, eq. 7): one unit a class, whose penalty is the squared distance of the 84
/// inputs to the class's fixed 7x12 bitmap of ±1. Goes out negated, so that the greatest is the answer, as with logits.
#[derive(Clone, Copy, Debug)]
pub struct RbfConfig {
    /// Units: the characters from '0' on, at most 79 (`~`).
    pub out: usize,
}

/// See [`RbfConfig`]. The codes are data, not parameters: they are neither trained nor saved.
#[derive(Module, Debug)]
pub struct Rbf {
    /// `[out, 84]`.
    codes: Tensor<2>,
    #[module(skip)]
    spec: Spec,
}

impl LayerConfig for RbfConfig {
    fn init(&self, input: Shape, draw: &Draw) -> Result<Op, ShapeError> {
        let [c, h, w] = input;
        if c * h * w != 84 {
            return Err(misfit(draw, format!("the codes have 84 pixels, {} units come in", c * h * w)));
        }
        let characters = (0..self.out).map(|i| u8::try_from(i + usize::from(b'0')).ok().and_then(code));
        let Some(codes) = characters.collect::<Option<Vec<_>>>() else {
            return Err(misfit(draw, format!("{} classes, but only 79 characters from '0' have a code", self.out)));
        };
        let codes = Tensor::from_data(TensorData::new(codes.concat(), [self.out, 84]), &draw.device);
        let spec = Spec {
            output: [self.out, 1, 1],
            window: Some(Window { kernel: [h, w], stride: 1, padding: [0; 4] }),
            macs: 84 * self.out,
            ..Spec::pointwise("rbf", input)
        };
        Ok(Op::Rbf(Rbf { codes, spec }))
    }
}

impl Rbf {
    /// The fixed codes, `[out, 84]`, each ±1.
    pub fn codes(&self) -> &Tensor<2> {
        &self.codes
    }
}

impl Layer for Rbf {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn forward(&self, x: Maps) -> Maps {
        let x = x.join().flatten::<2>(1, 3);
        let codes = self.codes.clone().to_device(&x.device());
        let distance = x.unsqueeze_dim::<3>(1) - codes.unsqueeze_dim::<3>(0);
        let [n, out, _] = distance.dims();
        Maps::one(distance.square().sum_dim(2).neg().reshape([n, out, 1, 1]))
    }

    fn exchange(&self, towers: usize) -> (usize, usize) {
        (1, gathered(self.spec.input.iter().product(), towers, 1))
    }

    /// In a deconvnet, a class's signal goes back along its code, the point where its penalty is 0; as a gradient, along
    /// twice the way from the input to the code.
    fn project(&self, signal: Maps, seen: &Seen, method: Method) -> Maps {
        let [c, h, w] = self.spec.input;
        let signal = signal.join().flatten::<2>(1, 3);
        let codes = self.codes.clone().to_device(&signal.device());
        let n = signal.dims()[0];
        let along = signal.clone().matmul(codes);
        let back = if method.differentiates() {
            let x = seen.input.clone().join().to_device(&signal.device()).flatten::<2>(1, 3);
            (along - x * signal.sum_dim(1)).mul_scalar(2.0)
        } else {
            along
        };
        Maps::one(back.reshape([n, c, h, w]))
    }

    /// The penalty of the right class, y = sum (x - w)^2, has the second derivative 2 everywhere (LeCun 1998, eq. 7
    /// and 8). Eq. 9's other term is left out: it only flattens the loss.
    fn curvature(&self, x: Tensor<4>, _: Tensor<4>, _: Tensor<4>) -> Option<Curvature> {
        Some(Curvature { input: x.full_like(2.0), weights: Vec::new() })
    }
}
