//! Stochastic gradient descent.

use crate::gradients::Gradient;
use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use models::weights::Tensors;
use models::{Network, ParamMapper, ParamVisitor};
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

    /// Takes one step of size `rate` down `gradient`. A weight without a gradient stays.
    pub fn step(&mut self, network: &mut Network, gradient: &Gradient, rate: f64) {
        network.update_params(&mut Step { sgd: self, gradient, rate });
    }

    /// The same on another device, for a replica that takes the same steps.
    pub(crate) fn on(&self, device: &Device) -> Self {
        let moved = |map: &BTreeMap<String, Tensor<1>>| {
            map.iter().map(|(name, t)| (name.clone(), t.clone().to_device(device))).collect()
        };
        Self { velocity: moved(&self.velocity), factor: moved(&self.factor), ..self.clone() }
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

    /// Remembers what [`Sgd::to_tensors`] told, each on the device of its weight in `network`.
    pub fn restore(&mut self, tensors: &Tensors, network: &Network) {
        let mut homes = Homes(BTreeMap::new());
        network.visit_params(&mut homes);
        let part = |prefix: &str| -> Tensors {
            tensors.iter().filter_map(|(k, v)| Some((k.strip_prefix(prefix)?.to_string(), v.clone()))).collect()
        };
        self.velocity = homes.flat(&part("velocity."));
        self.factor = homes.flat(&part("factor."));
    }
}

/// Each weight's device by the weight's name.
struct Homes(BTreeMap<String, Device>);

impl Homes {
    fn flat(&self, tensors: &Tensors) -> BTreeMap<String, Tensor<1>> {
        let flat = |data: &TensorData, home| Tensor::from_data(data.iter::<f32>().collect::<Vec<_>>().as_slice(), home);
        tensors.iter().filter_map(|(name, data)| Some((name.clone(), flat(data, self.0.get(name)?)))).collect()
    }
}

impl ParamVisitor for Homes {
    fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
        self.0.insert(name.into(), param.lazy_device().inner());
    }
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
        let weight = weight.reshape([-1]);
        let Sgd { momentum, decay, velocity, rates, factor } = &mut *self.sgd;
        let decay = if D > 1 { *decay } else { 0.0 };
        let rate = self.rate * name.split('.').filter_map(|word| rates.get(word)).product::<f64>();
        let before = velocity.remove(name).unwrap_or_else(|| gradient.zeros_like());
        let step = |rate| kernels::Sgd { rate, momentum: *momentum as f32, decay: decay as f32 };
        let (weight, after) = match factor.get(name) {
            None => kernels::sgd(weight, before, gradient.clone(), step(rate as f32)),
            Some(factor) => {
                let (_, after) = kernels::sgd(weight.clone(), before, gradient.clone(), step(0.0));
                (weight - after.clone().mul_scalar(rate) * factor.clone(), after)
            }
        };
        if *momentum > 0.0 {
            velocity.insert(name.into(), after);
        }
        Param::initialized(id, Tensor::from_inner(weight.reshape(shape)).require_grad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::{Model, device};

    #[test]
    fn rates_go_by_words_and_multiply_with_each_weight_s_own_factor() {
        let on = device::parse("flex").unwrap().autodiff();
        let mut network = Model::named("lenet5-dense").unwrap().build(1, &on).unwrap();
        let before = network.tensors();
        let flat = |value: f32| -> BTreeMap<String, Tensor<1>> {
            let numbers = |data: &TensorData| Tensor::full([data.num_elements()], value, &on.clone().inner());
            before.iter().map(|(name, data)| (name.clone(), numbers(data))).collect()
        };
        let rates = BTreeMap::from([("bias".to_string(), 2.0), ("F6".to_string(), 0.1), ("C1".to_string(), 0.0)]);
        let mut sgd = Sgd::new(0.0, 0.0).with_rates(rates);
        let mut steps = |network: &mut Network, gradient: f32| -> BTreeMap<&'static str, f32> {
            let was = network.tensors();
            sgd.step(network, &flat(gradient), 0.5);
            let is = network.tensors();
            let first = |name: &&'static str| {
                let at = |tensors: &Tensors| tensors[*name].iter::<f32>().next().unwrap();
                (*name, at(&was) - at(&is))
            };
            // From here on each weight's own factor is 3, too.
            sgd.set_factors(flat(3.0));
            ["C5.weight", "C5.bias", "F6.weight", "F6.bias", "C1.weight"].iter().map(first).collect()
        };
        for own in [1.0, 3.0] {
            let moved = steps(&mut network, 1.0);
            for (name, rate) in
                [("C5.weight", 1.0), ("C5.bias", 2.0), ("F6.weight", 0.1), ("F6.bias", 0.2), ("C1.weight", 0.0)]
            {
                assert!((moved[name] - 0.5 * rate * own).abs() < 1e-6, "{name}: {} with {own}", moved[name]);
            }
        }
    }
}
