use super::{WeightInit, function, gathered, misfit, per_map, through, windows};
use crate::activation::Activation;
use crate::back::Method;
use crate::draw::Draw;
use crate::layer::{Curvature, Layer, LayerConfig, Maps, Op, Seen, Shape, ShapeError, Spec, Window};
use alloc::{format, string::String, vec, vec::Vec};
use burn::module::{Module, Param};
use burn::tensor::module::{conv_transpose2d, conv2d_weight_backward};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor};

/// A convolution with bias and, if any, its activation.
#[derive(Clone, Debug)]
pub struct ConvConfig {
    /// Maps that go out, over all towers.
    pub out: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Step between neighbouring outputs.
    pub stride: usize,
    /// Zeros around the input: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Towers that share the maps out among them (Krizhevsky 2012, 3.2: the GPUs).
    pub towers: usize,
    /// Whether a tower sees only the maps that it made itself: groups = towers.
    pub grouped: bool,
    /// What the weights start as.
    pub weight: WeightInit,
    /// What the biases start as, unless `weight` says.
    pub bias: f32,
    /// What is applied to the sum.
    pub activation: Option<Activation>,
}

impl ConvConfig {
    /// `out` maps from a `kernel`x`kernel` window: stride 1, no padding, one tower, LeCun's start, no activation.
    pub fn new(out: usize, kernel: usize) -> Self {
        Self {
            out,
            kernel,
            stride: 1,
            padding: [0; 4],
            towers: 1,
            grouped: false,
            weight: WeightInit::LeCun,
            bias: 0.0,
            activation: None,
        }
    }
}

/// One tower's part.
#[derive(Module, Debug)]
struct Tower {
    /// `[out / towers, in / groups, kernel, kernel]`.
    weight: Param<Tensor<4>>,
    /// `[out / towers]`.
    bias: Param<Tensor<1>>,
}

/// See [`ConvConfig`].
#[derive(Module, Debug)]
pub struct Conv {
    towers: Vec<Tower>,
    #[module(skip)]
    activation: Option<Activation>,
    #[module(skip)]
    window: Window,
    #[module(skip)]
    spec: Spec,
}

impl LayerConfig for ConvConfig {
    fn init(&self, input: Shape, draw: &Draw) -> Result<Op, ShapeError> {
        let [channels, height, width] = input;
        let (k, towers) = (self.kernel, self.towers);
        let groups = if self.grouped { towers } else { 1 };
        if towers == 0 || !self.out.is_multiple_of(towers) || !channels.is_multiple_of(groups) {
            return Err(misfit(draw, format!("{channels} -> {} maps don't divide into {towers} towers", self.out)));
        }
        let [top, left, bottom, right] = self.padding;
        let (Some(oh), Some(ow)) =
            (windows(height, top + bottom, k, self.stride, false), windows(width, left + right, k, self.stride, false))
        else {
            return Err(misfit(draw, format!("a {k}x{k}/{} kernel doesn't fit a {height}x{width} map", self.stride)));
        };
        let (seen, made) = (channels / groups, self.out / towers);
        let fan_in = k * k * seen;
        let part = |t: usize| {
            let tower = if towers == 1 { String::new() } else { format!("{}.", tower_name(t)) };
            Tower {
                weight: draw.param(&format!("{tower}weight"), [made, seen, k, k], self.weight.with_fan_in(fan_in)),
                bias: draw.param(&format!("{tower}bias"), [made], self.weight.bias(fan_in, self.bias)),
            }
        };
        let times = if towers == 1 { String::new() } else { format!("·{towers}") };
        let window = Window { kernel: [k; 2], stride: self.stride, padding: self.padding };
        let spec = Spec {
            output: [self.out, oh, ow],
            window: Some(window),
            groups,
            parameters: (fan_in + 1) * self.out,
            formula: format!("({k}·{k}·{seen}+1)·{made}{times}"),
            macs: fan_in * self.out * oh * ow,
            activation: self.activation.map(Activation::name),
            ..Spec::pointwise("conv", input)
        };
        Ok(Op::Conv(Conv { towers: (0..towers).map(part).collect(), activation: self.activation, window, spec }))
    }
}

/// What tower `t` is called in the names of weights: `a`, `b`, ….
pub(crate) fn tower_name(t: usize) -> char {
    char::from(b'a' + t as u8)
}

impl Conv {
    fn options(&self) -> ConvOptions<2> {
        let [top, left, bottom, right] = self.window.padding;
        ConvOptions {
            stride: [self.window.stride; 2],
            padding: [(top, bottom), (left, right)],
            dilation: [1; 2],
            groups: 1,
        }
    }

    fn devices(&self) -> impl ExactSizeIterator<Item = Device> {
        self.towers.iter().map(|tower| tower.weight.lazy_device())
    }

    /// What each tower reads of `x`, on the device where its weights are.
    fn reads(&self, x: Maps) -> Vec<Tensor<4>> {
        if self.spec.groups == 1 {
            self.devices().map(|device| x.clone().join_on(&device)).collect()
        } else {
            x.split_on(self.devices()).0
        }
    }

    /// The layer with tower t on the t-th of `devices`, from the first again when they run out.
    pub(crate) fn place(mut self, devices: &[Device]) -> Self {
        self.towers = self.towers.into_iter().zip(devices.iter().cycle()).map(|(t, device)| t.fork(device)).collect();
        self
    }
}

impl Layer for Conv {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn forward(&self, x: Maps) -> Maps {
        let conv = kernels::Conv { stride: [self.window.stride; 2], padding: self.window.padding, groups: 1 };
        let made = self.towers.iter().zip(self.reads(x)).map(|(tower, x)| {
            kernels::conv2d(x, tower.weight.val(), tower.bias.val(), conv, function(self.activation))
        });
        Maps(made.collect())
    }

    fn exchange(&self, towers: usize) -> (usize, usize) {
        let (parts, size) = (self.towers.len(), self.spec.input.iter().product());
        let crossing = match (self.spec.groups, towers) {
            (1, _) => gathered(size, towers, parts),
            (groups, 1) => size - size / groups,
            _ => 0,
        };
        (parts, crossing)
    }

    fn project(&self, signal: Maps, seen: &Seen, method: Method) -> Maps {
        let back: Vec<_> = self
            .towers
            .iter()
            .zip(signal.split_on(self.devices()).0)
            .zip(&seen.output.0)
            .map(|((tower, s), y)| {
                let s = method.rectify(self.activation, s, y);
                adjoint(s, tower.weight.val(), self.window, self.spec.input)
            })
            .collect();
        if self.spec.groups > 1 {
            return Maps(back);
        }
        let device = back[0].device();
        Maps::one(back.into_iter().map(|x| x.to_device(&device)).reduce(|a, b| a + b).expect("a tower"))
    }

    fn curvature(&self, x: Tensor<4>, y: Tensor<4>, h: Tensor<4>) -> Option<Curvature> {
        let [tower] = &self.towers[..] else { return None };
        let h = through(self.activation, y, h);
        let squares = tower.weight.val().square();
        let weight = conv2d_weight_backward(x.square(), squares.clone(), h.clone(), self.options());
        Some(Curvature {
            input: adjoint(h.clone(), squares, self.window, self.spec.input),
            weights: vec![("weight", weight.reshape([-1])), ("bias", per_map(h))],
        })
    }
}

/// The transposed filtering of a deconvnet: `signal` `[N, out, H', W']` through `weight` `[out, in, k, k]` back to
/// `[N, in, H, W]`. The adjoint of the convolution with the same window.
pub(crate) fn adjoint(signal: Tensor<4>, weight: Tensor<4>, window: Window, input: Shape) -> Tensor<4> {
    let [_, height, width] = input;
    let [_, _, oh, ow] = signal.dims();
    let ([kh, kw], s, [top, left, bottom, right]) = (window.kernel, window.stride, window.padding);
    // Rows and columns that the last window doesn't reach come back as zeros; the padding is cut off.
    let rest = [height + top + bottom - (oh - 1) * s - kh, width + left + right - (ow - 1) * s - kw];
    let options = ConvTransposeOptions::new([s; 2], [0; 2], rest, [1; 2], 1);
    conv_transpose2d(signal, weight, None, options).narrow(2, top, height).narrow(3, left, width)
}
