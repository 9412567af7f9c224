//! The parts of a case.

use super::golden::{Golden, Sampled};
use super::{Agreement, Case, CheckError, Difference, Tolerance};
use crate::back::Method;
use crate::network::Network;
use crate::params::{ParamMapper, ParamVisitor};
use crate::reference::sines;
use crate::weights::Tensors;
use crate::zoo::BuildError;
use burn::module::{Module, Param};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use kernels::Sgd;
use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

/// Images in a batch, and the input's salt: as in generate.py.
const BATCH: usize = 2;
const SALT: u32 = 1000;
/// What they show, modulo the number of classes.
const LABELS: [i64; BATCH] = [3, 7];

fn formula<const D: usize>(salt: u32, shape: [usize; D], scale: f32, device: &Device) -> Tensor<D> {
    let len = shape.iter().product();
    Tensor::from_data(TensorData::new(sines(salt, len, scale), shape), device)
}

fn images(network: &Network, golden: &Golden, device: &Device) -> Tensor<4> {
    let [c, h, w] = network.input().shape();
    formula(SALT, [BATCH, c, h, w], golden.scale, device)
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

const SIZE: &str = "the network's own input";

/// Every activation, layer by layer, so that the first layer that is wrong is the one named; then logits, with a trace and
/// without.
pub fn forward(case: &Case, golden: &Golden, device: &Device) -> Result<Agreement, CheckError> {
    let network = case.build(device)?;
    let x = images(&network, golden, device);
    let (traced, trace) = network.forward_traced(x.clone()).expect(SIZE);
    let named = network.summary().into_iter().filter(|row| row.spec.kind != "dropout").map(|row| row.name);
    assert!(named.eq(golden.activations.iter().map(|a| a.name.clone())), "{}: names of layers", golden.model);
    let mut agreed = Agreement::default();
    for activation in &golden.activations {
        let got = values(trace.output(&activation.name).expect("a layer's own name"));
        agreed.add(activation.compare("activation", &got, Tolerance::TORCH))?;
    }
    for logits in [traced, network.forward(x).expect(SIZE)] {
        agreed.add(Tolerance::TORCH.compare("logits", &values(logits), &golden.logits))?;
    }
    Ok(agreed)
}

/// The largest difference of a logit; NaN if one is.
pub fn logits_apart(case: &Case, golden: &Golden, device: &Device) -> Result<f64, BuildError> {
    let network = case.build(device)?;
    let got = values(network.forward(images(&network, golden, device)).expect(SIZE));
    let apart = got.iter().zip(&golden.logits).map(|(a, b)| f64::from((a - b).abs()));
    Ok(apart.fold(0.0, |most, d| if d.is_nan() { d } else { d.max(most) }))
}

/// Loss, gradients, and steps of gradient descent.
pub fn training(case: &Case, golden: &Golden, device: &Device) -> Result<Agreement, CheckError> {
    let device = device.clone().autodiff();
    let mut network = case.build(&device)?;
    let x = images(&network, golden, &device);
    let classes = (golden.logits.len() / BATCH) as i64;
    let labels = LABELS.map(|label| label % classes);
    let names: Vec<_> = network.param_shapes().into_iter().map(|(name, _)| name).collect();
    let in_order = |list: &[Sampled]| list.iter().map(|s| s.name.clone()).eq(names.iter().cloned());
    assert!(in_order(&golden.gradients) && in_order(&golden.weights), "{}: names of weights", golden.model);

    let loss_of = |logits| kernels::cross_entropy(logits, Tensor::<1, Int>::from_data(labels, &device));
    let step = Sgd { rate: golden.rate, momentum: golden.momentum, decay: 0.0 };
    let mut velocities = BTreeMap::new();
    let (mut agreed, mut losses) = (Agreement::default(), Vec::new());
    for n in 1..golden.losses.len() {
        let logits = network.forward(x.clone()).expect(SIZE);
        let loss = loss_of(logits.clone());
        losses.extend(values(loss.clone()));
        let gradients = loss.backward();
        if n == 1 {
            agreed.add(Tolerance::TORCH.compare("loss", &losses, &[golden.loss]))?;
            if let Some(expected) = golden.map_loss {
                agreed.add(Tolerance::TORCH.compare("MAP loss", &[map_loss(&values(logits), labels)], &[expected]))?;
            }
            compare(
                &mut agreed,
                "gradient",
                &golden.gradients,
                &named(&network, &gradients),
                Tolerance::TORCH_GRADIENT,
            )?;
        }
        network = network.map_params(&mut Step { step, gradients: &gradients, velocities: &mut velocities });
    }
    losses.extend(values(loss_of(network.forward(x).expect(SIZE))));
    agreed.add(Tolerance::TORCH.compare("losses", &losses, &golden.losses))?;
    compare(&mut agreed, "trained weight", &golden.weights, &network.valid().tensors(), Tolerance::TORCH)?;
    Ok(agreed)
}

/// Formula numbers on a layer's output, back to the image.
pub fn deconvnet(case: &Case, golden: &Golden, device: &Device) -> Result<Agreement, CheckError> {
    let expected = golden.deconvnet.as_ref().expect("a case with this part");
    let network = case.build(device)?;
    let (_, trace) = network.forward_traced(images(&network, golden, device)).expect(SIZE);
    let output = trace.output(&expected.layer).expect("a layer of the network");
    let signal = formula(SALT + 1, output.dims(), 1.0, device);
    let image = network.project(&trace, &expected.layer, signal, Method::default()).expect("a layer of the network");
    let mut agreed = Agreement::default();
    agreed.add(expected.image.compare("deconvnet's", &values(image), Tolerance::TORCH))?;
    Ok(agreed)
}

impl Agreement {
    fn add(&mut self, share: Result<f64, Difference>) -> Result<(), Difference> {
        self.of_tolerance = self.of_tolerance.max(share?);
        Ok(())
    }
}

fn compare(
    agreed: &mut Agreement,
    kind: &str,
    expected: &[Sampled],
    got: &Tensors,
    tolerance: Tolerance,
) -> Result<(), Difference> {
    for sampled in expected {
        let got: Vec<_> = got.get(&sampled.name).map_or_else(Vec::new, |data| data.iter::<f32>().collect());
        agreed.add(sampled.compare(kind, &got, tolerance))?;
    }
    Ok(())
}

/// LeCun 1998, equation 9 with j = 1; the logits are the penalties, negated.
fn map_loss(logits: &[f32], labels: [i64; BATCH]) -> f32 {
    let losses = logits.chunks_exact(logits.len() / BATCH).zip(labels).map(|(row, label)| {
        -f64::from(row[label as usize])
            + ((-1f64).exp() + row.iter().map(|logit| f64::from(*logit).exp()).sum::<f64>()).ln()
    });
    (losses.sum::<f64>() / BATCH as f64) as f32
}

/// Every weight's gradient by name.
fn named(network: &Network, gradients: &Gradients) -> Tensors {
    struct Read<'a>(&'a Gradients, Tensors);
    impl ParamVisitor for Read<'_> {
        fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
            let gradient = param.val().grad(self.0).unwrap_or_else(|| panic!("'{name}' has no gradient"));
            self.1.insert(name.into(), gradient.into_data());
        }
    }
    let mut read = Read(gradients, Tensors::new());
    network.visit_params(&mut read);
    read.1
}

/// PyTorch's gradient descent with momentum.
struct Step<'a> {
    step: Sgd,
    gradients: &'a Gradients,
    velocities: &'a mut BTreeMap<String, Tensor<1>>,
}

impl ParamMapper for Step<'_> {
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let gradient = param.val().grad(self.gradients).expect("a weight's gradient");
        let id = param.id;
        let weight = param.into_value().inner();
        let velocity = match self.velocities.remove(name) {
            Some(velocity) => velocity.reshape(weight.shape()),
            None => gradient.zeros_like(),
        };
        let (weight, velocity) = kernels::sgd(weight, velocity, gradient, self.step);
        self.velocities.insert(name.into(), velocity.reshape([-1]));
        Param::initialized(id, Tensor::from_inner(weight).require_grad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_number_is_named() {
        let device = crate::device::parse("flex").unwrap();
        let case = super::super::cases().find(|c| c.name == "layer-lrn").unwrap();
        let mut golden = Golden::read(case.golden);
        assert!(forward(&case, &golden, &device).unwrap().of_tolerance < 1.0);
        golden.logits[5] += 1.0;
        let error = forward(&case, &golden, &device).unwrap_err().to_string();
        assert!(error.starts_with("logits, element 5: "), "{error}");
        golden.loss = f32::NAN;
        let error = training(&case, &golden, &device).unwrap_err().to_string();
        assert!(error.starts_with("loss, element 0: "), "{error}");
    }
}
