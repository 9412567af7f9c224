//! A network trained by a program of one's own, on images of its own, in a loop of its own; from `models` and `kernels`
//! alone: `cargo run --example train_inside`. LeNet-5 learns to tell a bar that lies from one that stands and from a cross.

use burn::module::Param;
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use models::weights::{self, Card};
use models::{Model, Network, ParamMapper, device, reference};

const CLASSES: [&str; 3] = ["lies", "stands", "cross"];
const BATCH: usize = 32;
const RATE: f32 = 0.2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plain = device::parse("flex")?;
    let device = plain.clone().autodiff();
    let model = Model { classes: CLASSES.len(), ..Model::named("lenet5")? };
    let mut network = model.build(1, &device)?;
    for step in 0..300 {
        let (images, labels) = batch(step, &device);
        let loss = kernels::cross_entropy(network.forward(images)?, labels);
        if step % 100 == 0 {
            println!("step {step:3}  loss {:.4}", loss.clone().into_scalar::<f32>());
        }
        network.update_params(&mut Descend(loss.backward()));
    }

    // Weights travel as bytes, with a card that says what they are.
    let input = network.input().clone();
    let card = Card { model, classes: CLASSES.map(String::from).to_vec(), input, training: None };
    let bytes = weights::save(&network, &card)?;
    let (network, _) = weights::load(&bytes, &plain)?;
    let right = hits(&network, 1000, &plain)?;
    println!("{right} of {BATCH} new images right; the weights are {} bytes", bytes.len());
    assert!(right > BATCH * 9 / 10);
    Ok(())
}

/// Goes down the gradient: any other rule could stand here.
struct Descend(Gradients);

impl ParamMapper for Descend {
    fn map<const D: usize>(&mut self, _name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        let weight = param.into_value();
        let Some(gradient) = weight.grad_remove(&mut self.0) else { return Param::initialized(id, weight) };
        let moved = weight.inner() - gradient.mul_scalar(RATE);
        Param::initialized(id, Tensor::from_inner(moved).require_grad())
    }
}

/// Images `[BATCH, 1, 32, 32]` and their classes `[BATCH]`: a bar 3 pixels thick or two, anywhere.
fn batch(step: u32, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
    let mut pixels = vec![-0.1; BATCH * 32 * 32];
    let place = reference::sines(step, 2 * BATCH, 1.0);
    for (i, at) in place.chunks(2).enumerate() {
        let [row, column] = [at[0], at[1]].map(|p| (16.0 + 12.0 * p) as usize);
        for (p, pixel) in pixels[i * 32 * 32..][..32 * 32].iter_mut().enumerate() {
            let (lies, stands) = ((p / 32).abs_diff(row) < 2, (p % 32).abs_diff(column) < 2);
            if [lies, stands, lies || stands][i % 3] {
                *pixel = 1.175;
            }
        }
    }
    let labels: Vec<i64> = (0..BATCH as i64).map(|i| i % 3).collect();
    let images = Tensor::from_data(TensorData::new(pixels, [BATCH, 1, 32, 32]), device);
    (images, Tensor::from_data(TensorData::new(labels, [BATCH]), device))
}

/// How many images of a batch are told right.
fn hits(network: &Network, step: u32, device: &Device) -> Result<usize, Box<dyn std::error::Error>> {
    let (images, labels) = batch(step, device);
    let answers = network.forward(images)?.argmax(1).flatten::<1>(0, 1);
    Ok(answers.equal(labels).int().sum().into_scalar::<i64>() as usize)
}
