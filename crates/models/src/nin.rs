//! Network in Network (Lin, Chen, Yan, 2013), in the widths of the first author's own configuration files.

use crate::activation::Activation;
use crate::alexnet::imagenet;
use crate::input::{Framing, InputSpec, Normalise};
use crate::layer::LayerConfig;
use crate::layers::{AvgPoolConfig, ConvConfig, DropoutConfig, MaxPoolConfig, OverlapAvgPoolConfig, WeightInit};
use crate::network::Definition;
use crate::zoo::{Model, Variant};
use alloc::{string::ToString, vec};

/// The family, the CIFAR-10 net first.
pub(crate) const VARIANTS: &[Variant] = &[
    variant("nin-cifar10", "NIN for CIFAR-10", AUTHOR, 10, (966_986, 222_486_528), |model| {
        three(model, cifar(), &CIFAR, [0.05; 3], POOL)
    }),
    variant("nin-cifar100", "NIN for CIFAR-100", AUTHOR, 100, (984_356, 223_592_448), |model| {
        three(model, cifar(), &CIFAR, [0.001, 0.01, 0.05], POOL)
    }),
    variant("nin-svhn", "NIN for street view house numbers", AUTHOR, 10, (1_986_026, 274_235_392), |model| {
        three(model, cifar(), &SVHN, [0.05; 3], POOL)
    }),
    variant("nin-mnist", "NIN for MNIST", AUTHOR, 10, (349_674, 50_699_712), |model| {
        three(model, mnist(), &MNIST, [0.05; 3], POOL)
    }),
    variant(
        "nin-imagenet",
        "NIN for ImageNet, four blocks",
        "Lin's Caffe model, not in the paper",
        1000,
        (7_595_176, 1_100_188_800),
        four,
    ),
    variant(
        "nin-cifar10-caffe",
        "NIN for CIFAR-10 as Caffe's model zoo has it: pool2 takes means",
        "Lin's Caffe model, not in the paper",
        10,
        (966_986, 222_486_528),
        |model| three(model, cifar(), &CIFAR, [0.05; 3], MEAN),
    ),
    variant(
        "nin-chapter",
        "the chapter's example for CIFAR-100: 3x3 kernels, no padding, no pooling",
        "chapter, table 4.4",
        100,
        (81_960, 56_753_408),
        chapter,
    ),
];

const AUTHOR: &str = "Lin 2013; the author's configuration";

const fn variant(
    name: &'static str,
    title: &'static str,
    source: &'static str,
    classes: usize,
    (parameters, macs): (usize, usize),
    define: fn(&Model) -> Definition,
) -> Variant {
    let activations = &[Activation::Relu];
    Variant { name, family: "nin", title, source, classes, activations, parameters, macs, batch: 16, define }
}

/// A block of mlpconv: side of the window, maps after it and after the first 1x1 layer, and after the second; 0 for as
/// many as there are classes.
struct Block(usize, [usize; 3]);

const CIFAR: [Block; 3] = [Block(5, [192, 160, 96]), Block(5, [192, 192, 192]), Block(3, [192, 192, 0])];
const SVHN: [Block; 3] = [Block(5, [128, 96, 64]), Block(5, [320, 256, 128]), Block(5, [384, 256, 0])];
const MNIST: [Block; 3] = [Block(5, [96, 64, 48]), Block(5, [128, 96, 48]), Block(5, [128, 96, 0])];

const POOL: MaxPoolConfig = MaxPoolConfig { kernel: 3, stride: 2, ceil: true };
/// What Lin's Caffe model has for pool2; his paper and his own configuration files take maxima.
const MEAN: OverlapAvgPoolConfig = OverlapAvgPoolConfig { kernel: 3, stride: 2 };
const GAP: AvgPoolConfig = AvgPoolConfig { kernel: None };

fn cifar() -> InputSpec {
    // Mean and deviation of CIFAR-10's training pixels. The paper whitens instead: its recipes bring that with them.
    let normalise = Normalise::MeanStd { mean: vec![0.4914, 0.4822, 0.4465], std: vec![0.2470, 0.2435, 0.2616] };
    InputSpec {
        channels: 3,
        height: 32,
        width: 32,
        framing: Framing::ResizeCrop { shorter: 32 },
        normalise,
        whitening: None,
    }
}

fn mnist() -> InputSpec {
    // The author's MNIST was raw, in a range that nobody states: 0 to 255 is our reading. Within 0..=1 the signal fades on
    // its way through nine layers of deviation 0.05, and an epoch at the author's rate leaves the loss at ln(10).
    let normalise = Normalise::Range { background: 0.0, ink: 255.0 };
    InputSpec { channels: 1, height: 28, width: 28, framing: Framing::Centre, normalise, whitening: None }
}

fn conv(out: usize, kernel: usize, deviation: f32) -> ConvConfig {
    ConvConfig {
        padding: [kernel / 2; 4],
        weight: WeightInit::Normal(deviation),
        activation: Some(Activation::Relu),
        ..ConvConfig::new(out, kernel)
    }
}

/// The nets for small images. `spreads` are the standard deviations of conv1, of cccp1 and cccp2, and of the rest. ReLU
/// follows every layer, the last one too, and the mean over its maps are the logits.
fn three(
    model: &Model,
    input: InputSpec,
    blocks: &[Block; 3],
    spreads: [f32; 3],
    pool2: impl LayerConfig + Clone + 'static,
) -> Definition {
    let mut net = Definition::new(input);
    for (i, Block(kernel, maps)) in blocks.iter().enumerate() {
        let spread = if i == 0 { [spreads[0], spreads[1]] } else { [spreads[2]; 2] };
        let name = |kind: &str, n: usize| kind.to_string() + &n.to_string();
        let maps = maps.map(|m| if m == 0 { model.classes } else { m });
        net = net
            .with(&name("conv", i + 1), conv(maps[0], *kernel, spread[0]))
            .with(&name("cccp", 2 * i + 1), conv(maps[1], 1, spread[1]))
            .with(&name("cccp", 2 * i + 2), conv(maps[2], 1, spread[1]));
        net = match i {
            0 => net.with("pool1", POOL).with("drop1", DropoutConfig(0.5)),
            1 => net.with("pool2", pool2.clone()).with("drop2", DropoutConfig(0.5)),
            _ => net,
        };
    }
    net.with("gap", GAP)
}

fn four(model: &Model) -> Definition {
    Definition::new(imagenet(224))
        .with("conv1", ConvConfig { stride: 4, padding: [0; 4], ..conv(96, 11, 0.01) }) // [96, 54, 54]
        .with("cccp1", conv(96, 1, 0.05))
        .with("cccp2", conv(96, 1, 0.05))
        .with("pool0", POOL) // [96, 27, 27]
        .with("conv2", conv(256, 5, 0.05)) // [256, 27, 27]
        .with("cccp3", conv(256, 1, 0.05))
        .with("cccp4", conv(256, 1, 0.05))
        .with("pool2", POOL) // [256, 13, 13]
        .with("conv3", conv(384, 3, 0.01)) // [384, 13, 13]
        .with("cccp5", conv(384, 1, 0.05))
        .with("cccp6", conv(384, 1, 0.05))
        .with("pool3", POOL) // [384, 6, 6]
        .with("drop", DropoutConfig(0.5))
        .with("conv4", conv(1024, 3, 0.05)) // [1024, 6, 6]
        .with("cccp7", conv(1024, 1, 0.05))
        .with("cccp8", conv(model.classes, 1, 0.01)) // [1000, 6, 6]
        .with("gap", GAP)
}

fn chapter(model: &Model) -> Definition {
    let unpadded = |out| ConvConfig { padding: [0; 4], ..conv(out, 3, 0.05) };
    Definition::new(cifar())
        .with("L11", unpadded(16)) // [16, 30, 30]
        .with("L12", conv(16, 1, 0.05))
        .with("L21", unpadded(64)) // [64, 28, 28]
        .with("L22", conv(64, 1, 0.05))
        .with("L31", unpadded(model.classes)) // [100, 26, 26]
        .with("L32", conv(model.classes, 1, 0.05))
        .with("gap", GAP)
}
