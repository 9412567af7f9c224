//! Every layer's output under the paper's name, for programs that want features instead of classes:
//! `cargo run --example features`.

use burn::tensor::{Tensor, TensorData};
use models::{device, weights};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = device::parse("flex")?;
    let (lenet5, card) = weights::load(weights::LENET5_MNIST, &device)?;
    let digit = include_bytes!("../../../examples/classify/seven.gray"); // MNIST's first test image
    let mut canvas = vec![card.input.normalise.apply(0, 0.0); 32 * 32];
    for (i, pixel) in digit.iter().enumerate() {
        canvas[(i / 28 + 2) * 32 + i % 28 + 2] = card.input.normalise.apply(0, f32::from(*pixel));
    }
    let image = Tensor::from_data(TensorData::new(canvas, [1, 1, 32, 32]), &device);

    let (_, trace) = lenet5.forward_traced(image)?;
    for (name, maps) in trace.outputs() {
        println!("{name:6} {:?}", maps.dims());
    }
    // The last layer before the classifier: a descriptor of 84 numbers.
    let descriptor = trace.output("F6").ok_or("no F6")?.flatten::<1>(0, 3);
    let descriptor: Vec<f32> = descriptor.into_data().iter().collect();
    assert_eq!(descriptor.len(), 84);
    println!("F6 begins with {:.2?}", &descriptor[..6]);
    Ok(())
}
