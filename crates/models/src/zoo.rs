//! The networks by name.

use crate::activation::Activation;
use crate::layer::ShapeError;
use crate::network::{Definition, Network};
use crate::place::TooLarge;
use crate::{alexnet, lenet5, nin, zfnet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// A network that the zoo knows.
#[derive(Debug)]
pub struct Variant {
    /// Its name in every command.
    pub name: &'static str,
    /// The name that stands for the family; the family's first variant is meant by it.
    pub family: &'static str,
    /// What it is, in a line.
    pub title: &'static str,
    /// Where it is described.
    pub source: &'static str,
    /// Classes, unless another number is asked for.
    pub classes: usize,
    /// Activations to choose from, the default first.
    pub activations: &'static [Activation],
    /// Trainable numbers with that many classes.
    pub parameters: usize,
    /// Multiply-accumulates for one image with that many classes.
    pub macs: usize,
    /// Images in a batch where throughput is measured: the larger number that `bench-backends` uses.
    pub batch: usize,
    /// Its layers.
    pub define: fn(&Model) -> Definition,
}

/// Every network, families together, each family's principal variant first.
pub fn variants() -> impl Iterator<Item = &'static Variant> {
    lenet5::VARIANTS.iter().chain(alexnet::VARIANTS).chain(zfnet::VARIANTS).chain(nin::VARIANTS)
}

/// The variant called `name`; a family's name means its first.
///
/// # Errors
/// If there is none: lists those there are, the nearest first.
pub fn find(name: &str) -> Result<&'static Variant, UnknownModel> {
    variants().find(|v| v.name == name).or_else(|| variants().find(|v| v.family == name)).ok_or_else(|| {
        let mut known: Vec<_> = variants().map(|v| v.name).collect();
        known.sort_by_key(|other| distance(name, other));
        UnknownModel { name: name.to_string(), known: known.join(", ") }
    })
}

/// No network has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no network is called '{name}'; nearest first, there are {known}")]
pub struct UnknownModel {
    /// The name asked for.
    pub name: String,
    /// Those there are.
    pub known: String,
}

/// A choice of network: all that tells its shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The variant's name.
    pub name: String,
    /// Classes to tell apart.
    pub classes: usize,
    /// Activation of the hidden layers.
    pub activation: Activation,
}

/// A network that can't be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// No such network.
    #[error(transparent)]
    Unknown(#[from] UnknownModel),
    /// A layer doesn't fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A weight is larger than the device's largest buffer.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// An activation that this network isn't built with.
    #[error("{model} is built with {choices}, not {activation}")]
    Activation {
        /// The network's name.
        model: &'static str,
        /// The activation asked for.
        activation: Activation,
        /// Those it can have.
        choices: String,
    },
    /// Fewer than two classes, or more than a million.
    #[error("{0} classes can't be told apart; expected 2 to 1,000,000")]
    Classes(usize),
}

impl Model {
    /// The network called `name` as it was published.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(name: &str) -> Result<Self, UnknownModel> {
        let variant = find(name)?;
        Ok(Self { name: variant.name.into(), classes: variant.classes, activation: variant.activations[0] })
    }

    /// The network's weights drawn from `seed`, on `device`. `device.autodiff()` makes it trainable.
    ///
    /// # Errors
    /// If the name, the activation or the number of classes is not one the zoo can build, or the device can't hold a weight.
    pub fn build(&self, seed: u64, device: &Device) -> Result<Network, BuildError> {
        let variant = find(&self.name)?;
        if !variant.activations.contains(&self.activation) {
            let choices = variant.activations.iter().map(|a| a.name()).collect::<Vec<_>>().join(", ");
            return Err(BuildError::Activation { model: variant.name, activation: self.activation, choices });
        }
        if !(2..=1_000_000).contains(&self.classes) {
            return Err(BuildError::Classes(self.classes));
        }
        let network = Network::new(&(variant.define)(self), self.clone(), seed, device)?;
        network.check_buffers()?;
        Ok(network)
    }
}

/// Levenshtein's distance: how many letters to change, add or drop.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names_come_first() {
        let error = find("lenet5-rbg").unwrap_err();
        assert!(
            error.to_string().starts_with("no network is called 'lenet5-rbg'; nearest first, there are lenet5-rbf, "),
            "{error}"
        );
    }

    #[test]
    fn names_are_unique_and_families_lead_to_their_first() {
        let names: Vec<_> = variants().map(|v| v.name).collect();
        for name in &names {
            assert_eq!(names.iter().filter(|n| n == &name).count(), 1, "{name}");
        }
        for variant in variants() {
            let first = variants().find(|v| v.family == variant.family).unwrap();
            assert_eq!(find(variant.family).unwrap().name, first.name);
        }
    }

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
