//! Whether a device computes what PyTorch does: one list of cases, for tests and for users.
//!
//! A case is a network with formula weights ([`crate::reference`]) and the numbers that PyTorch got for it: every layer in a
//! network of its own, the big networks at reduced width, and every network of the zoo. Its [`Part`]s are the forward pass,
//! gradients with steps of descent, and the way back to pixels.
//!
//! ```
//! use models::check::{self, Part};
//!
//! let case = check::cases().find(|case| case.name == "layer-lrn").unwrap();
//! let agreed = case.run(Part::Forward, &models::device::parse("flex")?)?;
//! assert!(agreed.of_tolerance <= 1.0);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod exceptions;
mod golden;
mod run;
mod small;
mod tolerance;

pub use exceptions::{EXCEPTIONS, Exception, exception};
pub use tolerance::{Difference, Tolerance};

use crate::Activation;
use crate::layers::DropoutConfig;
use crate::network::{Definition, Network};
use crate::reference::with_formula_weights;
use crate::zoo::{self, BuildError, Model};
use burn::tensor::Device;
use std::boxed::Box;
use std::string::String;

/// A network and what PyTorch makes of it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// `layer-…` for a layer, `…-narrow` for a network at reduced width, else a network of the zoo.
    pub name: &'static str,
    golden: &'static str,
}

/// What of a case is held against PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Every layer's output, and the logits.
    Forward,
    /// Loss, every weight's gradient, losses and weights of some steps of gradient descent with momentum.
    Training,
    /// A signal sent back to the image by a deconvnet.
    Deconvnet,
}

impl Part {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Training => "training",
            Self::Deconvnet => "deconvnet",
        }
    }
}

/// How well a device agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// The largest difference, as a share of what its tolerance allows.
    pub of_tolerance: f64,
}

/// Why a case didn't hold.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Another number came out.
    #[error(transparent)]
    Difference(#[from] Difference),
    /// It can't be built there.
    #[error(transparent)]
    Build(#[from] BuildError),
}

macro_rules! cases {
    ($($name:literal)*) => {
        &[$(Case { name: $name, golden: include_str!(concat!("../../tests/golden/", $name, ".json")) }),*]
    };
}

const CASES: &[Case] = cases! {
    "layer-conv" "layer-conv-large" "layer-conv-deep" "layer-conv-1x1" "layer-towers" "layer-table-conv"
    "layer-subsample" "layer-avg-pool" "layer-global-avg-pool" "layer-overlap-avg-pool" "layer-max-pool"
    "layer-max-pool-ceil" "layer-lrn" "layer-lrn-power" "layer-lrn-towers" "layer-linear" "layer-rbf"
    "layer-activations"
    "alexnet-narrow" "zfnet-narrow" "nin-narrow"
    "lenet5" "lenet5-rbf" "lenet5-dense"
    "alexnet" "alexnet-caffenet" "alexnet-bvlc" "alexnet-chapter" "alexnet-single" "alexnet-torchvision"
    "zfnet" "zfnet-b" "zfnet512"
    "nin-cifar10" "nin-cifar10-caffe" "nin-cifar100" "nin-svhn" "nin-mnist" "nin-imagenet" "nin-chapter"
};

/// All of them, the smallest first.
pub fn cases() -> impl Iterator<Item = Case> {
    CASES.iter().copied()
}

impl Case {
    /// Whether it takes a fraction of a second: a layer, a network at reduced width, LeNet-5.
    pub fn is_quick(&self) -> bool {
        zoo::variants().find(|v| v.name == self.name).is_none_or(|v| v.macs < 1_000_000)
    }

    /// What it holds against PyTorch.
    pub fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let deconvnet = self.golden.contains("\"deconvnet\":").then_some(Part::Deconvnet);
        [Part::Forward, Part::Training].into_iter().chain(deconvnet)
    }

    /// Computes one part on `device`.
    ///
    /// # Errors
    /// The first number that is further from PyTorch's than its tolerance allows; a device that can't hold the network.
    ///
    /// # Panics
    /// As the device's backend does.
    pub fn run(&self, part: Part, device: &Device) -> Result<Agreement, CheckError> {
        let golden = golden::Golden::read(self.golden);
        match part {
            Part::Forward => run::forward(self, &golden, device),
            Part::Training => run::training(self, &golden, device),
            Part::Deconvnet => run::deconvnet(self, &golden, device),
        }
    }

    /// The largest difference of a logit on `device`, whatever the tolerance.
    ///
    /// # Errors
    /// If the device can't hold the network.
    pub fn logits_apart(&self, device: &Device) -> Result<f64, BuildError> {
        run::logits_apart(self, &golden::Golden::read(self.golden), device)
    }

    /// The network with formula weights, every dropout's probability 0.
    fn build(&self, device: &Device) -> Result<Network, BuildError> {
        let (definition, model) = match zoo::variants().find(|v| v.name == self.name) {
            Some(variant) => {
                let model = Model::named(variant.name)?;
                ((variant.define)(&model), model)
            }
            None => {
                let definition = small::definition(self.name);
                let name = String::from(self.name);
                (definition, Model { name, classes: 2, activation: Activation::Relu })
            }
        };
        let network = Network::new(&without_dropout(definition), model, 0, device)?;
        network.check_buffers()?;
        Ok(with_formula_weights(network))
    }
}

fn without_dropout(mut definition: Definition) -> Definition {
    for (name, layer) in &mut definition.layers {
        if name.starts_with("drop") {
            *layer = Box::new(DropoutConfig(0.0));
        }
    }
    definition
}
