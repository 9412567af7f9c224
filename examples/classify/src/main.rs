//! Classifies one digit with the weights that ship: a 28x28 image, ink bright, as bytes.
use burn::tensor::{Tensor, TensorData};
use models::{device, weights};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = device::parse("flex")?;
    let (lenet5, card) = weights::load(weights::LENET5_MNIST, &device)?;
    let digit = include_bytes!("../seven.gray"); // MNIST's first test image
    let mut canvas = vec![card.input.normalise.apply(0, 0.0); 32 * 32];
    for (i, pixel) in digit.iter().enumerate() {
        canvas[(i / 28 + 2) * 32 + i % 28 + 2] = card.input.normalise.apply(0, f32::from(*pixel));
    }
    let image = Tensor::from_data(TensorData::new(canvas, [1, 1, 32, 32]), &device);
    let best = lenet5.forward(image)?.argmax(1).into_scalar::<i32>() as usize;
    println!("{}", card.classes[best]);
    assert_eq!(card.classes[best], "7");
    Ok(())
}
