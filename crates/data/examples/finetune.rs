//! A new head on a frozen trunk: `cargo run --example finetune`. LeNet-5 learns the digits 0 to 4; then F6 and OUTPUT are
//! drawn anew and learn 5 to 9, of which the trunk, C1 to C5, has seen none.

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use data::{Images, Loader, LoaderOptions, Samples};
use infer::evaluate;
use models::{Model, Network, ParamMapper, device};
use std::error::Error;
use std::ops::Range;
use train::{Loss, Sgd, gradient};

fn main() -> Result<(), Box<dyn Error>> {
    let plain = device::parse("flex")?;
    let mnist = data::open(&data::locate("mnist")?)?;
    let (low, high) = (0..5, 5..10);
    let model = Model { classes: 5, ..Model::named("lenet5")? };
    let percent_wrong = |network: &Network, digits: &Range<u16>| -> Result<f64, Box<dyn Error>> {
        use burn::module::Module;
        let images = of(&mnist.test, digits.clone(), usize::MAX)?;
        Ok(100.0 * evaluate(&network.valid(), images.into(), 500, &plain)?.error())
    };

    let mut network = model.build(1, &plain.clone().autodiff())?;
    learn(&mut network, of(&mnist.train, low.clone(), 4000)?, 2, 0.01, &plain)?;
    println!("0 to 4, all of it trained: {:.2} % wrong", percent_wrong(&network, &low)?);

    // The same trunk, a new head.
    let mut tensors = network.tensors();
    let new = model.build(2, &plain)?.tensors();
    tensors.extend(new.into_iter().filter(|(name, _)| is_head(name)));
    let mut network = network.with_tensors(&tensors)?.map_params(&mut Freeze);
    println!("5 to 9, new head: {:.2} % wrong", percent_wrong(&network, &high)?);
    learn(&mut network, of(&mnist.train, high.clone(), 1000)?, 10, 0.02, &plain)?;
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

/// Stochastic gradient descent on what isn't frozen.
fn learn(network: &mut Network, images: Images, epochs: u64, rate: f64, device: &Device) -> Result<(), Box<dyn Error>> {
    let options = LoaderOptions { batch_size: 32, shuffle: true, ..LoaderOptions::default() };
    let loader = Loader::new(images, network.input().clone(), options)?;
    let mut sgd = Sgd::new(0.9, 0.0);
    for epoch in 0..epochs {
        for batch in loader.epoch(epoch, 0) {
            let (_loss, gradient) = gradient(network, &batch?, Loss::CrossEntropy { smoothing: 0.0 }, device)?;
            sgd.step(network, &gradient, rate);
        }
    }
    Ok(())
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
