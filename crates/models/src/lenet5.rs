//! LeNet-5 (LeCun, Bottou, Bengio, Haffner: "Gradient-based learning applied to document recognition", 1998, II-B).

use crate::activation::Activation;
use crate::input::InputSpec;
use crate::layers::{AvgPoolConfig, ConvConfig, LinearConfig, RbfConfig, SubsampleConfig, TableConvConfig};
use crate::network::Definition;
use crate::zoo::{Model, Variant};

/// Which maps of S2 each of C3's sixteen maps sees (table I): six see three neighbours, six four neighbours, three four
/// that aren't, one all six.
pub const TABLE_I: [&[usize]; 16] = [
    &[0, 1, 2],
    &[1, 2, 3],
    &[2, 3, 4],
    &[3, 4, 5],
    &[0, 4, 5],
    &[0, 1, 5],
    &[0, 1, 2, 3],
    &[1, 2, 3, 4],
    &[2, 3, 4, 5],
    &[0, 3, 4, 5],
    &[0, 1, 4, 5],
    &[0, 1, 2, 5],
    &[0, 1, 3, 4],
    &[1, 2, 4, 5],
    &[0, 2, 3, 5],
    &[0, 1, 2, 3, 4, 5],
];

const ACTIVATIONS: &[Activation] = &[Activation::ScaledTanh, Activation::Tanh, Activation::Sigmoid];

/// The family, the chapter's net first.
pub(crate) const VARIANTS: &[Variant] = &[
    Variant {
        name: "lenet5",
        family: "lenet5",
        title: "LeNet-5 of 1998 with a linear output: trainable subsampling, C3 by table I",
        source: "chapter, table 4.1",
        classes: 10,
        activations: ACTIVATIONS,
        parameters: 60_850,
        macs: 326_520,
        batch: 64,
        define: |model| trunk(model).with("OUTPUT", LinearConfig::new(model.classes)),
    },
    Variant {
        name: "lenet5-rbf",
        family: "lenet5",
        title: "LeNet-5 as published: Euclidean RBF output with fixed 7x12 codes",
        source: "LeCun 1998, II-B",
        classes: 10,
        activations: ACTIVATIONS,
        parameters: 60_000,
        macs: 326_520,
        batch: 64,
        define: |model| trunk(model).with("OUTPUT", RbfConfig { out: model.classes }),
    },
    Variant {
        name: "lenet5-dense",
        family: "lenet5",
        title: "LeNet-5 as usually rebuilt: C3 sees all maps, plain average pooling, linear output",
        source: "common practice",
        classes: 10,
        activations: ACTIVATIONS,
        parameters: 61_706,
        macs: 416_520,
        batch: 64,
        define: dense,
    },
];

/// C1 to F6, alike in the net of the paper and the net of the chapter.
fn trunk(model: &Model) -> Definition {
    let activation = model.activation;
    let squash = Some(activation);
    let table = TABLE_I.iter().map(|row| row.to_vec()).collect();
    Definition::new(InputSpec::lenet())
        .with("C1", ConvConfig { activation: squash, ..ConvConfig::new(6, 5) }) // [6, 28, 28]
        .with("S2", SubsampleConfig { kernel: 2, activation }) // [6, 14, 14]
        .with("C3", TableConvConfig { table, kernel: 5, activation: squash }) // [16, 10, 10]
        .with("S4", SubsampleConfig { kernel: 2, activation }) // [16, 5, 5]
        .with("C5", ConvConfig { activation: squash, ..ConvConfig::new(120, 5) }) // [120, 1, 1]
        .with("F6", LinearConfig { activation: squash, ..LinearConfig::new(84) }) // [84, 1, 1]
}

fn dense(model: &Model) -> Definition {
    let squash = Some(model.activation);
    Definition::new(InputSpec::lenet())
        .with("C1", ConvConfig { activation: squash, ..ConvConfig::new(6, 5) }) // [6, 28, 28]
        .with("S2", AvgPoolConfig { kernel: Some(2) }) // [6, 14, 14]
        .with("C3", ConvConfig { activation: squash, ..ConvConfig::new(16, 5) }) // [16, 10, 10]
        .with("S4", AvgPoolConfig { kernel: Some(2) }) // [16, 5, 5]
        .with("C5", ConvConfig { activation: squash, ..ConvConfig::new(120, 5) }) // [120, 1, 1]
        .with("F6", LinearConfig { activation: squash, ..LinearConfig::new(84) }) // [84, 1, 1]
        .with("OUTPUT", LinearConfig::new(model.classes)) // [10, 1, 1]
}
