//! A new head on a frozen trunk, with `models`, `kernels` and `data`: `cargo run --example finetune`. LeNet-5 learns the digits
//! 0 to 4; then F6 and OUTPUT are drawn anew and learn 5 to 9, of which the trunk, C1 to C5, has seen none.

use burn::module::{Module, Param};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use data::{Batch, Images, Loader, LoaderOptions, Samples};
use models::{Model, Network, ParamMapper, device};
use std::error::Error;
use std::ops::Range;

fn main() -> Result<(), Box<dyn Error>> {
    let plain = device::parse("flex")?;
    let mnist = data::open(&data::locate("mnist")?)?;
    let (low, high) = (0..5, 5..10);
    let model = Model { classes: 5, ..Model::named("lenet5")? };
    let percent_wrong = |network: &Network, digits: &Range<u16>| -> Result<f64, Box<dyn Error>> {
        wrong(&network.valid(), of(&mnist.test, digits.clone(), usize::MAX)?, &plain)
    };

    let autodiff = plain.clone().autodiff();
    let mut network = model.build(1, &autodiff)?;
    learn(&mut network, of(&mnist.train, low.clone(), 4000)?, 2, 0.1, &autodiff)?;
    println!("0 to 4, all of it trained: {:.2} % wrong", percent_wrong(&network, &low)?);

    // The same trunk, a new head.
    let mut tensors = network.tensors();
    let new = model.build(2, &plain)?.tensors();
    tensors.extend(new.into_iter().filter(|(name, _)| is_head(name)));
    let mut network = network.with_tensors(&tensors)?.map_params(&mut Freeze);
    println!("5 to 9, new head: {:.2} % wrong", percent_wrong(&network, &high)?);
    learn(&mut network, of(&mnist.train, high.clone(), 1000)?, 10, 0.2, &autodiff)?;
    let error = percent_wrong(&network, &high)?;
    println!("5 to 9, head trained on 1000 images of each: {error:.2} % wrong");

    assert!(error < 10.0);
    let trunk_moved = network.tensors().into_iter().any(|(name, data)| !is_head(&name) && data != tensors[&name]);
    assert!(!trunk_moved);
    Ok(())
}

fn is_head(name: &str) -> bool {
    name.starts_with("F6.") || name.starts_with("OUTPUT.")
}

/// Takes the trunk out of the graph: no gradient is computed for it.
struct Freeze;

impl ParamMapper for Freeze {
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if is_head(name) { param } else { param.set_require_grad(false) }
    }
}

/// Gradient descent on what isn't frozen.
fn learn(network: &mut Network, images: Images, epochs: u64, rate: f32, device: &Device) -> Result<(), Box<dyn Error>> {
    let options = LoaderOptions { batch_size: 32, shuffle: true, ..LoaderOptions::default() };
    let loader = Loader::new(images, network.input().clone(), options)?;
    for epoch in 0..epochs {
        for batch in loader.epoch(epoch, 0) {
            let (images, labels) = tensors(&batch?, device);
            let gradients = kernels::cross_entropy(network.forward(images)?, labels).backward();
            network.update_params(&mut Descend(gradients, rate));
        }
    }
    Ok(())
}

/// One step down the gradient.
struct Descend(Gradients, f32);

impl ParamMapper for Descend {
    fn map<const D: usize>(&mut self, _name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        let weight = param.into_value();
        let Some(gradient) = weight.grad_remove(&mut self.0) else { return Param::initialized(id, weight) };
        let moved = weight.inner() - gradient.mul_scalar(self.1);
        Param::initialized(id, Tensor::from_inner(moved).require_grad())
    }
}

fn tensors(batch: &Batch, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
    let labels: Vec<i64> = batch.labels.iter().map(|l| i64::from(*l)).collect();
    let labels = Tensor::from_data(TensorData::new(labels, [batch.labels.len()]), device);
    (Tensor::from_data(TensorData::new(batch.images.clone(), batch.shape), device), labels)
}

/// How many of `images` are taken for another class, in percent.
fn wrong(network: &Network, images: Images, device: &Device) -> Result<f64, Box<dyn Error>> {
    let options = LoaderOptions { batch_size: 500, ..LoaderOptions::default() };
    let (mut errors, count) = (0, images.labels.len());
    for batch in Loader::new(images, network.input().clone(), options)?.epoch(0, 0) {
        let (images, labels) = tensors(&batch?, device);
        let answers = network.forward(images)?.argmax(1).flatten::<1>(0, 1);
        errors += answers.not_equal(labels).int().sum().into_scalar::<i64>();
    }
    Ok(100.0 * errors as f64 / count as f64)
}

/// The images of some digits, at most so many of each; classes count from the first.
fn of(images: &Samples, digits: Range<u16>, most: usize) -> Result<Images, Box<dyn Error>> {
    let mut chosen = Images { channels: 1, height: 28, width: 28, pixels: Vec::new(), labels: Vec::new() };
    let mut counts = [0; 10];
    for i in 0..images.len() {
        let digit = images.label(i);
        if digits.contains(&digit) && counts[usize::from(digit)] < most {
            counts[usize::from(digit)] += 1;
            chosen.pixels.extend_from_slice(&images.image(i)?.pixels);
            chosen.labels.push(digit - digits.start);
        }
    }
    Ok(chosen)
}
