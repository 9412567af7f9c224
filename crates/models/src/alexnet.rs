//! AlexNet (Krizhevsky, Sutskever, Hinton: "ImageNet classification with deep convolutional neural networks", 2012).

use crate::activation::Activation;
use crate::input::{Framing, InputSpec, Normalise};
use crate::layers::{ActivateConfig, ConvConfig, DropoutConfig, LinearConfig, LrnConfig, MaxPoolConfig, WeightInit};
use crate::network::Definition;
use crate::zoo::{Model, Variant};
use alloc::vec;

const RELU: Option<Activation> = Some(Activation::Relu);
const POOL: MaxPoolConfig = MaxPoolConfig { kernel: 3, stride: 2, ceil: false };
/// Section 3.3's constants. The paper doesn't say whether the sum crosses between the GPUs; here it doesn't, for they
/// "communicate only in certain layers", of which these are none.
pub(crate) const LRN: LrnConfig = LrnConfig { size: 5, k: 2.0, alpha: 1e-4, beta: 0.75, across_towers: false };
/// Caffe's: alpha 1e-4 over the window's size, k 1, all maps in one.
const CAFFE_LRN: LrnConfig = LrnConfig { k: 1.0, alpha: 2e-5, across_towers: true, ..LRN };

/// The family, the paper's net first.
pub(crate) const VARIANTS: &[Variant] = &[
    variant(
        "alexnet",
        "AlexNet of 2012: two towers, conv -> ReLU -> LRN -> pool",
        "Krizhevsky 2012, 3.5",
        (60_965_224, 724_406_816),
        |model| towers(model, &PAPER),
    ),
    variant(
        "alexnet-caffenet",
        "CaffeNet: pool before LRN",
        "BVLC, bvlc_reference_caffenet",
        (60_965_224, 724_406_816),
        |model| towers(model, &CAFFENET),
    ),
    variant(
        "alexnet-bvlc",
        "Caffe's replication: LRN with k 1 and alpha / n",
        "BVLC, bvlc_alexnet",
        (60_965_224, 724_406_816),
        |model| towers(model, &BVLC),
    ),
    variant(
        "alexnet-chapter",
        "the chapter's order: conv -> pool -> LRN -> ReLU",
        "chapter, table 4.2",
        (60_965_224, 724_406_816),
        |model| towers(model, &CHAPTER),
    ),
    variant(
        "alexnet-single",
        "one tower, every map sees every map",
        "Krizhevsky 2012, without groups",
        (62_378_344, 1_135_256_096),
        |model| towers(model, &SINGLE),
    ),
    variant(
        "alexnet-torchvision",
        "one weird trick: 64-192-384-256-256, no LRN",
        "Krizhevsky 2014; torchvision",
        (61_100_840, 714_188_480),
        torchvision,
    ),
];

const fn variant(
    name: &'static str,
    title: &'static str,
    source: &'static str,
    (parameters, macs): (usize, usize),
    define: fn(&Model) -> Definition,
) -> Variant {
    let activations = &[Activation::Relu];
    Variant { name, family: "alexnet", title, source, classes: 1000, activations, parameters, macs, batch: 8, define }
}

/// Where LRN and ReLU stand in the first two blocks.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    ReluLrnPool,
    ReluPoolLrn,
    PoolLrnRelu,
}

/// How the nets of 2012 and their replicas differ.
struct Recipe {
    towers: usize,
    order: Order,
    lrn: LrnConfig,
    /// Side of the input: 224 with three rows and columns of zeros at the end (cuda-convnet), or 227 (Caffe).
    side: usize,
    /// Biases of conv2, conv4, conv5, fc6 and fc7.
    bias: f32,
    /// Standard deviation of the weights of fc6 and fc7.
    fc: f32,
}

const PAPER: Recipe = Recipe { towers: 2, order: Order::ReluLrnPool, lrn: LRN, side: 224, bias: 1.0, fc: 0.01 };
const CAFFENET: Recipe = Recipe { order: Order::ReluPoolLrn, lrn: CAFFE_LRN, side: 227, fc: 0.005, ..PAPER };
const BVLC: Recipe = Recipe { lrn: CAFFE_LRN, side: 227, bias: 0.1, fc: 0.005, ..PAPER };
const CHAPTER: Recipe = Recipe { order: Order::PoolLrnRelu, ..PAPER };
const SINGLE: Recipe = Recipe { towers: 1, ..PAPER };

/// RGB, shorter side to 256, the middle cut out, the training set's mean colour subtracted (cuda-convnet2's means).
pub(crate) fn imagenet(side: usize) -> InputSpec {
    let mean = vec![127.305 / 255.0, 119.715 / 255.0, 104.913 / 255.0];
    InputSpec {
        channels: 3,
        height: side,
        width: side,
        framing: Framing::ResizeCrop { shorter: 256 },
        normalise: Normalise::MeanStd { mean, std: vec![1.0 / 255.0; 3] },
        whitening: None,
    }
}

fn towers(model: &Model, r: &Recipe) -> Definition {
    let end = if r.side == 224 { 3 } else { 0 };
    let conv = |out, kernel, grouped, bias| ConvConfig {
        padding: [kernel / 2; 4],
        towers: r.towers,
        grouped: grouped && r.towers > 1,
        weight: WeightInit::Normal(0.01),
        bias,
        activation: RELU,
        ..ConvConfig::new(out, kernel)
    };
    let fc = |out| LinearConfig {
        towers: r.towers,
        weight: WeightInit::Normal(r.fc),
        bias: r.bias,
        activation: RELU,
        ..LinearConfig::new(out)
    };
    let conv1 = ConvConfig { stride: 4, padding: [0, 0, end, end], ..conv(96, 11, false, 0.0) };
    let net = Definition::new(imagenet(r.side));
    let net = block(net, r, ["conv1", "norm1", "pool1", "relu1"], conv1); // [96, 27, 27]
    let net = block(net, r, ["conv2", "norm2", "pool2", "relu2"], conv(256, 5, true, r.bias)); // [256, 13, 13]
    net.with("conv3", conv(384, 3, false, 0.0)) // [384, 13, 13]
        .with("conv4", conv(384, 3, true, r.bias)) // [384, 13, 13]
        .with("conv5", conv(256, 3, true, r.bias)) // [256, 13, 13]
        .with("pool5", POOL) // [256, 6, 6]
        .with("fc6", fc(4096)) // [4096, 1, 1]
        .with("drop6", DropoutConfig(0.5))
        .with("fc7", fc(4096)) // [4096, 1, 1]
        .with("drop7", DropoutConfig(0.5))
        .with("fc8", LinearConfig { weight: WeightInit::Normal(0.01), ..LinearConfig::new(model.classes) })
}

fn block(net: Definition, r: &Recipe, [conv, norm, pool, relu]: [&str; 4], config: ConvConfig) -> Definition {
    match r.order {
        Order::ReluLrnPool => net.with(conv, config).with(norm, r.lrn).with(pool, POOL),
        Order::ReluPoolLrn => net.with(conv, config).with(pool, POOL).with(norm, r.lrn),
        Order::PoolLrnRelu => net
            .with(conv, ConvConfig { activation: None, ..config })
            .with(pool, POOL)
            .with(norm, r.lrn)
            .with(relu, ActivateConfig(Activation::Relu)),
    }
}

fn torchvision(model: &Model) -> Definition {
    let conv = |out, kernel| ConvConfig {
        padding: [kernel / 2; 4],
        weight: WeightInit::Torch,
        activation: RELU,
        ..ConvConfig::new(out, kernel)
    };
    let fc = |out, activation| LinearConfig { weight: WeightInit::Torch, activation, ..LinearConfig::new(out) };
    let normalise = Normalise::MeanStd { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] };
    Definition::new(InputSpec { normalise, ..imagenet(224) })
        .with("conv1", ConvConfig { stride: 4, padding: [2; 4], ..conv(64, 11) }) // [64, 55, 55]
        .with("pool1", POOL) // [64, 27, 27]
        .with("conv2", conv(192, 5)) // [192, 27, 27]
        .with("pool2", POOL) // [192, 13, 13]
        .with("conv3", conv(384, 3)) // [384, 13, 13]
        .with("conv4", conv(256, 3)) // [256, 13, 13]
        .with("conv5", conv(256, 3)) // [256, 13, 13]
        .with("pool5", POOL) // [256, 6, 6]
        .with("drop5", DropoutConfig(0.5))
        .with("fc6", fc(4096, RELU)) // [4096, 1, 1]
        .with("drop6", DropoutConfig(0.5))
        .with("fc7", fc(4096, RELU)) // [4096, 1, 1]
        .with("fc8", fc(model.classes, None)) // [1000, 1, 1]
}
