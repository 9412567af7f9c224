//! A network as a list of steps in the terms that other frameworks have. What writes a network down elsewhere, and what
//! checks another's description of one, walk the same list.

use models::layers::LrnConfig;
use models::{Activation, Network, Op, Shape, Window};

/// One step: what is done to the maps.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    /// The layer that it is part of.
    pub layer: &'a str,
    pub what: What<'a>,
    pub input: Shape,
    pub output: Shape,
}

#[derive(Debug)]
pub(crate) enum What<'a> {
    /// With `{layer}.weight` `[out, in / groups, k, k]` and `{layer}.bias`.
    Conv {
        window: Window,
        groups: usize,
    },
    /// With `{layer}.weight` `[out, in]` and `{layer}.bias`, on flattened maps.
    Linear,
    MaxPool {
        kernel: usize,
        stride: usize,
        ceil: bool,
    },
    /// `ceil`: a last window that hangs over counts, and its mean is over what it covers.
    AvgPool {
        kernel: usize,
        stride: usize,
        ceil: bool,
    },
    /// `parts` blocks of channels, each normalised by itself.
    Lrn {
        config: &'a LrnConfig,
        parts: usize,
    },
    /// The mean over `kernel`x`kernel` windows times `kernel * kernel` times `{layer}.coefficient` `[C]` plus
    /// `{layer}.bias` `[C]`.
    Subsample {
        kernel: usize,
    },
    /// Minus the squared distance to each row of `codes` `[out, in]`, on flattened maps.
    Rbf {
        codes: Vec<f32>,
    },
    Activation(Activation),
}

/// `network`'s steps in order; dropout, which does nothing at test time, is left out.
pub(crate) fn steps(network: &Network) -> Vec<Step<'_>> {
    let towers = |layer: &str, names: &[String]| {
        let parts = names.iter().filter(|n| n.starts_with(layer) && n[layer.len()..].starts_with('.'));
        parts.filter(|n| n.ends_with(".bias")).count()
    };
    let names: Vec<String> = network.param_shapes().into_iter().map(|(name, _)| name).collect();
    let mut steps = Vec::new();
    let mut parts = 1;
    for (layer, op) in network.layers() {
        let spec = op.layer().spec();
        let (input, output) = (spec.input, spec.output);
        if let n @ 1.. = towers(layer, &names) {
            parts = n;
        }
        let side = spec.window.map_or(1, |w| w.kernel[0]);
        let what = match op {
            Op::Activate(_) | Op::Dropout(_) => None,
            Op::Conv(_) | Op::TableConv(_) => spec.window.map(|window| What::Conv { window, groups: spec.groups }),
            Op::Linear(_) => Some(What::Linear),
            Op::MaxPool(l) => {
                let c = l.config();
                Some(What::MaxPool { kernel: c.kernel, stride: c.stride, ceil: c.ceil })
            }
            Op::AvgPool(_) => Some(What::AvgPool { kernel: side, stride: side, ceil: false }),
            Op::OverlapAvgPool(l) => {
                let c = l.config();
                Some(What::AvgPool { kernel: c.kernel, stride: c.stride, ceil: true })
            }
            Op::Lrn(l) => {
                let parts = if l.config().across_towers { 1 } else { parts };
                Some(What::Lrn { config: l.config(), parts })
            }
            Op::Subsample(_) => Some(What::Subsample { kernel: side }),
            Op::Rbf(l) => Some(What::Rbf { codes: l.codes().to_data().iter::<f32>().collect() }),
        };
        steps.extend(what.map(|what| Step { layer, what, input, output }));
        let activation = spec.activation.and_then(|name| name.parse().ok());
        steps.extend(activation.map(|a| Step { layer, what: What::Activation(a), input: output, output }));
    }
    steps
}
