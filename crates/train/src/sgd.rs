//! Stochastic gradient descent.

use crate::gradients::Gradient;
use burn::module::Param;
use burn::tensor::{Device, Tensor};
use models::weights::Tensors;
use models::{Network, ParamMapper};
use std::collections::BTreeMap;

/// Momentum and decay, and what they remember of each weight.
///
/// A step: `v = momentum * v + g + decay * w`, then `w = w - rate * v`. Vectors (biases, coefficients) don't decay.
#[derive(Clone, Debug)]
pub struct Sgd {
    momentum: f64,
    decay: f64,
    /// Flattened, by the weight's name.
    velocity: BTreeMap<String, Tensor<1>>,
    /// Factors on the rate of the weights that have a word in their name.
    rates: BTreeMap<String, f64>,
    /// A factor on the rate of each weight, flattened, by the weight's name; none where all are 1.
    factor: BTreeMap<String, Tensor<1>>,
}

impl Sgd {
    /// Nothing remembered yet.
    pub fn new(momentum: f64, decay: f64) -> Self {
        let (velocity, factor, rates) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { momentum, decay, velocity, rates, factor }
    }

    /// Other rates for some weights: a factor for each word between the dots of their names. `bias` 2 and `cccp6` 0.1
    /// make 0.2 of `cccp6.bias`.
    #[must_use]
    pub fn with_rates(mut self, rates: BTreeMap<String, f64>) -> Self {
        self.rates = rates;
        self
    }

    /// The network after one step of size `rate` down `gradient`. A weight without a gradient stays.
    #[must_use]
    pub fn step(&mut self, network: Network, gradient: &Gradient, rate: f64) -> Network {
        network.map_params(&mut Step { sgd: self, gradient, rate })
    }

    /// Gives each weight a factor on the rate, flattened, by the weight's name.
    pub fn set_factors(&mut self, factors: BTreeMap<String, Tensor<1>>) {
        self.factor = factors;
    }

    /// What it remembers, for a checkpoint: velocities under `velocity.`, factors under `factor.`.
    pub fn to_tensors(&self) -> Tensors {
        let named = |prefix: &'static str, map: &BTreeMap<String, Tensor<1>>| {
            map.iter().map(|(k, v)| (format!("{prefix}.{k}"), v.clone().into_data())).collect::<Vec<_>>()
        };
        named("velocity", &self.velocity).into_iter().chain(named("factor", &self.factor)).collect()
    }

    /// Remembers what [`Sgd::to_tensors`] told.
    pub fn restore(&mut self, tensors: &Tensors, device: &Device) {
        let part = |prefix: &str| -> Tensors {
            tensors.iter().filter_map(|(k, v)| Some((k.strip_prefix(prefix)?.to_string(), v.clone()))).collect()
        };
        self.velocity = flat(&part("velocity."), device);
        self.factor = flat(&part("factor."), device);
    }
}

fn flat(tensors: &Tensors, device: &Device) -> BTreeMap<String, Tensor<1>> {
    tensors
        .iter()
        .map(|(name, data)| {
            let values: Vec<f32> = data.iter().collect();
            (name.clone(), Tensor::from_data(values.as_slice(), device))
        })
        .collect()
}

struct Step<'a> {
    sgd: &'a mut Sgd,
    gradient: &'a Gradient,
    rate: f64,
}

impl ParamMapper for Step<'_> {
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradient.get(name) else { return param };
        let id = param.id;
        let weight = param.into_value().inner();
        let shape = weight.shape();
        let mut velocity = gradient.clone();
        if self.sgd.decay > 0.0 && D > 1 {
            velocity = velocity + weight.clone().reshape([-1]).mul_scalar(self.sgd.decay);
        }
        if self.sgd.momentum > 0.0 {
            if let Some(before) = self.sgd.velocity.remove(name) {
                velocity = before.mul_scalar(self.sgd.momentum) + velocity;
            }
            self.sgd.velocity.insert(name.into(), velocity.clone());
        }
        let words = name.split('.').filter_map(|word| self.sgd.rates.get(word));
        let mut step = velocity.mul_scalar(self.rate * words.product::<f64>());
        if let Some(factor) = self.sgd.factor.get(name) {
            step = step * factor.clone();
        }
        Param::initialized(id, Tensor::from_inner(weight - step.reshape(shape)).require_grad())
    }
}
