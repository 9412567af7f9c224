//! ZFNet (Zeiler, Fergus: "Visualizing and understanding convolutional networks", 2013).

use crate::activation::Activation;
use crate::alexnet::{LRN, imagenet};
use crate::layers::{ConvConfig, DropoutConfig, LinearConfig, MaxPoolConfig, WeightInit};
use crate::network::Definition;
use crate::zoo::{Model, Variant};

const RELU: Option<Activation> = Some(Activation::Relu);

/// The family, figure 3's net first.
pub(crate) const VARIANTS: &[Variant] = &[
    Variant {
        name: "zfnet",
        family: "zfnet",
        title: "ZFNet of figure 3: 7x7/2 and 5x5/2, pool then normalise",
        source: "Zeiler 2013, fig. 3",
        classes: 1000,
        activations: &[Activation::Relu],
        parameters: 62_357_608,
        macs: 1_168_032_896,
        batch: 8,
        define: |model| figure_3(model, [384, 384, 256]),
    },
    Variant {
        name: "zfnet-b",
        family: "zfnet",
        title: "ZFNet's model (b): conv3 to conv5 with 512, 1024 and 512 maps",
        source: "Zeiler 2013, table 2",
        classes: 1000,
        activations: &[Activation::Relu],
        parameters: 107_627_624,
        macs: 2_476_704_896,
        batch: 8,
        define: |model| figure_3(model, [512, 1024, 512]),
    },
    Variant {
        name: "zfnet512",
        family: "zfnet",
        title: "the ONNX model zoo's ZFNet-512: no padding in conv1, normalise then pool, fc7 with 1024 units",
        source: "onnx/models, zfnet512",
        classes: 1000,
        activations: &[Activation::Relu],
        parameters: 87_250_536,
        macs: 1_481_727_008,
        batch: 8,
        define: zoo_512,
    },
];

fn conv(out: usize, kernel: usize, stride: usize, padding: usize) -> ConvConfig {
    ConvConfig {
        stride,
        padding: [padding; 4],
        weight: WeightInit::Normal(0.01),
        activation: RELU,
        ..ConvConfig::new(out, kernel)
    }
}

fn fc(out: usize, activation: Option<Activation>) -> LinearConfig {
    LinearConfig { weight: WeightInit::Normal(0.01), activation, ..LinearConfig::new(out) }
}

/// No layers yet. Filters are held within a radius of 0.1, "crucial, especially in the first layer of the model, where the
/// input images are roughly in the [-128, 128] range" (section 3).
fn net() -> Definition {
    Definition { filter_radius: Some(0.1), ..Definition::new(imagenet(224)) }
}

/// The paper prints no padding; one pixel round conv1 and pools that keep a last partial window give its sizes. It gives
/// no constants for the normalisation either, and cites Krizhevsky: his are used.
fn figure_3(model: &Model, [maps3, maps4, maps5]: [usize; 3]) -> Definition {
    let pool = MaxPoolConfig { kernel: 3, stride: 2, ceil: true };
    net()
        .with("conv1", conv(96, 7, 2, 1)) // [96, 110, 110]
        .with("pool1", pool) // [96, 55, 55]
        .with("norm1", LRN)
        .with("conv2", conv(256, 5, 2, 0)) // [256, 26, 26]
        .with("pool2", pool) // [256, 13, 13]
        .with("norm2", LRN)
        .with("conv3", conv(maps3, 3, 1, 1)) // [384, 13, 13]
        .with("conv4", conv(maps4, 3, 1, 1)) // [384, 13, 13]
        .with("conv5", conv(maps5, 3, 1, 1)) // [256, 13, 13]
        .with("pool5", pool) // [256, 6, 6]
        .with("fc6", fc(4096, RELU)) // [4096, 1, 1]
        .with("drop6", DropoutConfig(0.5))
        .with("fc7", fc(4096, RELU)) // [4096, 1, 1]
        .with("drop7", DropoutConfig(0.5))
        .with("fc8", fc(model.classes, None)) // [1000, 1, 1]
}

fn zoo_512(model: &Model) -> Definition {
    let pool = MaxPoolConfig { kernel: 3, stride: 2, ceil: false };
    net()
        .with("conv1", conv(96, 7, 2, 0)) // [96, 109, 109]
        .with("norm1", LRN) // the file's alpha is 5e-4, over the window's size
        .with("pool1", pool) // [96, 54, 54]
        .with("conv2", conv(256, 5, 2, 0)) // [256, 25, 25]
        .with("norm2", LRN)
        .with("pool2", pool) // [256, 12, 12]
        .with("conv3", conv(512, 3, 1, 1)) // [512, 12, 12]
        .with("conv4", conv(512, 3, 1, 1)) // [512, 12, 12]
        .with("conv5", conv(512, 3, 1, 1)) // [512, 12, 12]
        .with("pool5", MaxPoolConfig { kernel: 2, ..pool }) // [512, 6, 6]
        .with("fc6", fc(4096, RELU)) // [4096, 1, 1]
        .with("drop6", DropoutConfig(0.5))
        .with("fc7", fc(1024, RELU)) // [1024, 1, 1]
        .with("drop7", DropoutConfig(0.5))
        .with("fc8", fc(model.classes, None)) // [1000, 1, 1]
}
