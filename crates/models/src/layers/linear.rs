use super::{WeightInit, function, gathered, misfit, per_map, through, tower_name};
use crate::activation::Activation;
use crate::back::Method;
use crate::draw::Draw;
use crate::layer::{Curvature, Layer, LayerConfig, Maps, Op, Seen, Shape, ShapeError, Spec, Window};
use alloc::{format, string::String, vec, vec::Vec};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

/// A fully connected layer: every unit reads all that comes in.
#[derive(Clone, Debug)]
pub struct LinearConfig {
    /// Units, over all towers.
    pub out: usize,
    /// Towers that share the units out among them; each reads what all towers made.
    pub towers: usize,
    /// What the weights start as.
    pub weight: WeightInit,
    /// What the biases start as, unless `weight` says.
    pub bias: f32,
    /// What is applied to the sum.
    pub activation: Option<Activation>,
}

impl LinearConfig {
    /// `out` units in one tower, LeCun's start, no activation.
    pub fn new(out: usize) -> Self {
        Self { out, towers: 1, weight: WeightInit::LeCun, bias: 0.0, activation: None }
    }
}

/// One tower's part.
#[derive(Module, Debug)]
struct Tower {
    /// `[out / towers, in]`, `in` running over channel, row, column.
    weight: Param<Tensor<2>>,
    /// `[out / towers]`.
    bias: Param<Tensor<1>>,
}

/// See [`LinearConfig`]. Works on maps: `[N, C, H, W]` in, `[N, out, 1, 1]` out.
#[derive(Module, Debug)]
pub struct Linear {
    towers: Vec<Tower>,
    #[module(skip)]
    activation: Option<Activation>,
    #[module(skip)]
    spec: Spec,
}

impl LayerConfig for LinearConfig {
    fn init(&self, input: Shape, draw: &Draw) -> Result<Op, ShapeError> {
        let [c, h, w] = input;
        let (fan_in, towers) = (c * h * w, self.towers);
        if towers == 0 || !self.out.is_multiple_of(towers) {
            return Err(misfit(draw, format!("{} units don't divide into {towers} towers", self.out)));
        }
        let made = self.out / towers;
        let part = |t: usize| {
            let tower = if towers == 1 { String::new() } else { format!("{}.", tower_name(t)) };
            Tower {
                weight: draw.param(&format!("{tower}weight"), [made, fan_in], self.weight.with_fan_in(fan_in)),
                bias: draw.param(&format!("{tower}bias"), [made], self.weight.bias(fan_in, self.bias)),
            }
        };
        let times = if towers == 1 { String::new() } else { format!("·{towers}") };
        let spec = Spec {
            output: [self.out, 1, 1],
            window: Some(Window { kernel: [h, w], stride: 1, padding: [0; 4] }),
            parameters: (fan_in + 1) * self.out,
            formula: format!("({fan_in}+1)·{made}{times}"),
            macs: fan_in * self.out,
            activation: self.activation.map(Activation::name),
            ..Spec::pointwise("linear", input)
        };
        Ok(Op::Linear(Linear { towers: (0..towers).map(part).collect(), activation: self.activation, spec }))
    }
}

impl Linear {
    /// The layer with tower t on the t-th of `devices`, from the first again when they run out.
    pub(crate) fn place(mut self, devices: &[Device]) -> Self {
        self.towers = self.towers.into_iter().zip(devices.iter().cycle()).map(|(t, device)| t.fork(device)).collect();
        self
    }
}

impl Layer for Linear {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn forward(&self, x: Maps) -> Maps {
        let made = self.towers.iter().map(|tower| {
            let x = x.clone().join_on(&tower.weight.lazy_device()).flatten::<2>(1, 3);
            let y = kernels::linear(x, tower.weight.val(), tower.bias.val(), function(self.activation));
            let [n, out] = y.dims();
            y.reshape([n, out, 1, 1])
        });
        Maps(made.collect())
    }

    fn exchange(&self, towers: usize) -> (usize, usize) {
        let parts = self.towers.len();
        (parts, gathered(self.spec.input.iter().product(), towers, parts))
    }

    fn project(&self, signal: Maps, seen: &Seen, method: Method) -> Maps {
        let [c, h, w] = self.spec.input;
        let devices = self.towers.iter().map(|tower| tower.weight.lazy_device());
        let device = self.towers[0].weight.lazy_device();
        let back = self.towers.iter().zip(signal.split_on(devices).0).zip(&seen.output.0).map(|((tower, s), y)| {
            let s = method.rectify(self.activation, s, y).flatten::<2>(1, 3);
            s.matmul(tower.weight.val()).to_device(&device)
        });
        let back = back.reduce(|a, b| a + b).expect("a tower");
        let n = back.dims()[0];
        Maps::one(back.reshape([n, c, h, w]))
    }

    fn curvature(&self, x: Tensor<4>, y: Tensor<4>, h: Tensor<4>) -> Option<Curvature> {
        let [tower] = &self.towers[..] else { return None };
        let shape = x.dims();
        let h = through(self.activation, y, h);
        let (flat, x) = (h.clone().flatten::<2>(1, 3), x.square().flatten::<2>(1, 3));
        Some(Curvature {
            input: flat.clone().matmul(tower.weight.val().square()).reshape(shape),
            weights: vec![("weight", flat.transpose().matmul(x).reshape([-1])), ("bias", per_map(h))],
        })
    }
}
