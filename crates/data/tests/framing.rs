//! Scaling and cutting against torchvision's `Resize` and `CenterCrop` (`make_framing.py`).

use data::{ImageRef, prepare_into};
use models::{Framing, InputSpec, Normalise};

const EXPECTED: &[u8] = include_bytes!("framing.bin");
/// Height and width: landscape, portrait, just right, to be enlarged, odd margins.
const SIZES: [(usize, usize); 7] = [(47, 61), (61, 47), (32, 32), (20, 25), (100, 151), (256, 90), (33, 35)];

fn sines(height: usize, width: usize) -> Vec<u8> {
    let places = (0..3).flat_map(|c| (0..height).flat_map(move |y| (0..width).map(move |x| (c, y, x))));
    let pixel = |(c, y, x): (usize, usize, usize)| {
        let [c, y, x] = [c, y, x].map(|v| v as f64);
        (127.5 + 63.0 * ((0.9 * x + 0.3 * y + c).sin() + (0.11 * x - 0.17 * y + 2.0 * c).sin())) as u8
    };
    places.map(pixel).collect()
}

#[test]
fn photos_are_framed_as_torchvision_does() {
    let normalise = Normalise::Range { background: 0.0, ink: 255.0 };
    let framing = Framing::ResizeCrop { shorter: 32 };
    let spec = InputSpec { channels: 3, height: 28, width: 28, framing, normalise, whitening: None };
    assert_eq!(EXPECTED.len(), SIZES.len() * 3 * 28 * 28);
    for ((height, width), expected) in SIZES.into_iter().zip(EXPECTED.chunks(3 * 28 * 28)) {
        let pixels = sines(height, width);
        let mut got = vec![0.0; expected.len()];
        prepare_into(&spec, ImageRef { channels: 3, height, width, pixels: &pixels }, &mut got).unwrap();
        let error = |(got, expected): (&f32, &u8)| (got - f32::from(*expected)).abs();
        let errors: Vec<f32> = got.iter().zip(expected).map(error).collect();
        let mean = errors.iter().sum::<f32>() / errors.len() as f32;
        let most = errors.iter().copied().fold(0.0, f32::max);
        println!("{height}x{width}: mean {mean:.3}, largest {most}");
        assert!(mean < 0.5 && most <= 2.0, "{height}x{width}: mean {mean}, largest {most}");
    }
}
