//! Layer by layer, and at reduced width: as in generate.py.

use crate::Activation::{self, Relu, ScaledTanh, Sigmoid, Tanh};
use crate::input::{Framing, InputSpec, Normalise};
use crate::layers::{
    ActivateConfig, AvgPoolConfig, ConvConfig, LinearConfig, LrnConfig, MaxPoolConfig, OverlapAvgPoolConfig, RbfConfig,
    SubsampleConfig, TableConvConfig,
};
use crate::network::Definition;
use std::{format, vec};

fn of(channels: usize, height: usize, width: usize) -> Definition {
    let normalise = Normalise::Range { background: 0.0, ink: 1.0 };
    Definition::new(InputSpec { channels, height, width, framing: Framing::Centre, normalise, whitening: None })
}

/// Without an activation.
fn conv(out: usize, kernel: usize, padding: usize) -> ConvConfig {
    ConvConfig { padding: [padding; 4], ..ConvConfig::new(out, kernel) }
}

fn relu(conv: ConvConfig) -> ConvConfig {
    ConvConfig { activation: Some(Relu), ..conv }
}

fn two(grouped: bool, conv: ConvConfig) -> ConvConfig {
    ConvConfig { towers: 2, grouped, ..conv }
}

fn linear(out: usize, towers: usize, activation: Option<Activation>) -> LinearConfig {
    LinearConfig { towers, activation, ..LinearConfig::new(out) }
}

const STRONG: LrnConfig = LrnConfig { size: 5, k: 1.5, alpha: 0.3, beta: 0.75, across_towers: false };
const PAPER: LrnConfig = LrnConfig { size: 5, k: 2.0, alpha: 1e-4, beta: 0.75, across_towers: false };
const POOL: MaxPoolConfig = MaxPoolConfig { kernel: 3, stride: 2, ceil: false };
const CEIL: MaxPoolConfig = MaxPoolConfig { ceil: true, ..POOL };

/// The network of a case that isn't in the zoo.
pub fn definition(name: &str) -> Definition {
    let table = || vec![vec![0, 2], vec![1], vec![0, 1, 2]];
    let squashed = |activation| ConvConfig { activation: Some(activation), ..conv(4, 1, 0) };
    let three = || of(1, 10, 10).with("C", conv(3, 3, 0));
    match name {
        "layer-conv" => {
            of(3, 8, 7).with("C", relu(ConvConfig { stride: 2, padding: [1, 0, 2, 3], ..ConvConfig::new(4, 3) }))
        }
        "layer-conv-large" => of(3, 31, 31).with("C", relu(ConvConfig { stride: 4, ..conv(16, 11, 0) })),
        "layer-conv-deep" => of(16, 13, 13).with("C", relu(conv(24, 3, 1))),
        "layer-conv-1x1" => of(5, 6, 6).with("C", relu(conv(7, 1, 0))),
        "layer-towers" => of(2, 9, 9)
            .with("C", two(false, relu(conv(8, 3, 0))))
            .with("D", two(true, relu(conv(8, 3, 1))))
            .with("E", two(false, relu(conv(4, 3, 0))))
            .with("F", linear(6, 2, Some(Relu)))
            .with("O", linear(4, 1, None)),
        "layer-table-conv" => {
            three().with("T", TableConvConfig { table: table(), kernel: 3, activation: Some(ScaledTanh) })
        }
        "layer-subsample" => of(1, 14, 14)
            .with("C", conv(3, 3, 0))
            .with("S", SubsampleConfig { kernel: 2, activation: Sigmoid })
            .with("T", SubsampleConfig { kernel: 3, activation: ScaledTanh }),
        "layer-avg-pool" => three().with("A", AvgPoolConfig { kernel: Some(2) }),
        "layer-global-avg-pool" => of(1, 9, 9).with("C", conv(3, 3, 0)).with("A", AvgPoolConfig { kernel: None }),
        "layer-overlap-avg-pool" => {
            of(1, 10, 9).with("C", conv(3, 3, 0)).with("A", OverlapAvgPoolConfig { kernel: 3, stride: 2 })
        }
        "layer-max-pool" => of(1, 11, 9).with("C", conv(3, 3, 0)).with("P", POOL),
        "layer-max-pool-ceil" => of(1, 10, 12).with("C", conv(3, 3, 0)).with("P", CEIL),
        "layer-lrn" => of(2, 6, 7).with("C", conv(8, 3, 0)).with("N", STRONG),
        "layer-lrn-power" => of(2, 6, 7)
            .with("C", conv(8, 3, 0))
            .with("N", LrnConfig { size: 3, k: 2.0, alpha: 0.5, beta: 0.6, across_towers: false }),
        "layer-lrn-towers" => of(2, 7, 7)
            .with("C", two(false, conv(8, 3, 0)))
            .with("N", STRONG)
            .with("D", two(true, conv(8, 3, 0)))
            .with("M", LrnConfig { across_towers: true, ..STRONG }),
        "layer-linear" => of(3, 4, 5).with("F", linear(32, 1, Some(Tanh))).with("O", linear(10, 1, None)),
        "layer-rbf" => of(1, 6, 6).with("F", linear(84, 1, Some(ScaledTanh))).with("R", RbfConfig { out: 10 }),
        "layer-activations" => of(2, 6, 6)
            .with("C", squashed(ScaledTanh))
            .with("D", squashed(Tanh))
            .with("E", squashed(Sigmoid))
            .with("F", conv(4, 1, 0))
            .with("G", ActivateConfig(Relu)),
        "alexnet-narrow" => alexnet(),
        "zfnet-narrow" => zfnet(),
        "nin-narrow" => nin(),
        other => unreachable!("no case is called {other}"),
    }
}

/// An eighth of the paper's maps, 67x67 pixels.
fn alexnet() -> Definition {
    of(3, 67, 67)
        .with("conv1", two(false, relu(ConvConfig { stride: 4, ..conv(12, 11, 0) })))
        .with("norm1", PAPER)
        .with("pool1", POOL)
        .with("conv2", two(true, relu(conv(32, 5, 2))))
        .with("norm2", PAPER)
        .with("pool2", POOL)
        .with("conv3", two(false, relu(conv(48, 3, 1))))
        .with("conv4", two(true, relu(conv(48, 3, 1))))
        .with("conv5", two(true, relu(conv(32, 3, 1))))
        .with("pool5", POOL)
        .with("fc6", linear(64, 2, Some(Relu)))
        .with("fc7", linear(64, 2, Some(Relu)))
        .with("fc8", linear(10, 1, None))
}

/// An eighth of the paper's maps, 64x64 pixels.
fn zfnet() -> Definition {
    of(3, 64, 64)
        .with("conv1", relu(ConvConfig { stride: 2, ..conv(12, 7, 1) }))
        .with("pool1", CEIL)
        .with("norm1", PAPER)
        .with("conv2", relu(ConvConfig { stride: 2, ..conv(32, 5, 0) }))
        .with("pool2", CEIL)
        .with("norm2", PAPER)
        .with("conv3", relu(conv(48, 3, 1)))
        .with("conv4", relu(conv(48, 3, 1)))
        .with("conv5", relu(conv(32, 3, 1)))
        .with("pool5", CEIL)
        .with("fc6", linear(64, 1, Some(Relu)))
        .with("fc7", linear(64, 1, Some(Relu)))
        .with("fc8", linear(10, 1, None))
}

/// An eighth of the ImageNet network's maps, 67x67 pixels.
fn nin() -> Definition {
    let mut net = of(3, 67, 67).with("conv1", relu(ConvConfig { stride: 4, ..conv(12, 11, 0) }));
    net = net.with("cccp1", relu(conv(12, 1, 0))).with("cccp2", relu(conv(12, 1, 0))).with("pool0", CEIL);
    for (block, maps, kernel, pool) in [(2, 32, 5, "pool2"), (3, 48, 3, "pool3")] {
        net = net.with(&format!("conv{block}"), relu(conv(maps, kernel, kernel / 2)));
        for mlp in [2 * block - 1, 2 * block] {
            net = net.with(&format!("cccp{mlp}"), relu(conv(maps, 1, 0)));
        }
        net = net.with(pool, CEIL);
    }
    net.with("conv4", relu(conv(64, 3, 1)))
        .with("cccp7", relu(conv(64, 1, 0)))
        .with("cccp8", relu(conv(10, 1, 0)))
        .with("gap", AvgPoolConfig { kernel: None })
}
