//! Scaling and cutting against torchvision's `Resize` and `CenterCrop` (`make_framing.py`).

use data::{Augment, ImageRef, Images, Loader, LoaderOptions, prepare_into, ten_crops_into};
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

#[test]
fn a_loader_shows_each_image_ten_ways_if_it_is_asked_to() {
    let images = Images { channels: 3, height: 33, width: 47, pixels: sines(99, 47 * 3), labels: (0..9).collect() };
    let normalise = Normalise::Range { background: 0.0, ink: 1.0 };
    let framing = Framing::ResizeCrop { shorter: 12 };
    let spec = InputSpec { channels: 3, height: 9, width: 7, framing, normalise, whitening: None };
    let options = LoaderOptions { batch_size: 4, ten_crops: true, ..LoaderOptions::default() };
    let load = |spec: &InputSpec, options| Loader::new(images.clone(), spec.clone(), options);
    for threads in [0, 2] {
        let loader = load(&spec, LoaderOptions { threads, ..options.clone() }).unwrap();
        let batches: Vec<_> = loader.epoch(0, 0).map(Result::unwrap).collect();
        let shapes: Vec<_> = batches.iter().map(|batch| batch.shape).collect();
        assert_eq!(shapes, [[40, 3, 9, 7], [40, 3, 9, 7], [10, 3, 9, 7]]);
        let crops = batches.iter().flat_map(|batch| batch.images.chunks(10 * 3 * 9 * 7));
        for (i, crops) in crops.enumerate() {
            let mut expected = vec![0.0; crops.len()];
            let image = ImageRef { channels: 3, height: 33, width: 47, pixels: images.image(i) };
            ten_crops_into(&spec, image, &mut expected).unwrap();
            assert_eq!(crops, expected, "image {i}");
        }
        let (whole, part) = (&batches[0], batches[0].part(1..3));
        assert_eq!((part.shape, &part.labels[..]), ([20, 3, 9, 7], &[1, 2][..]));
        assert_eq!(part.images, whole.images[10 * 189..30 * 189]);
    }
    let refused = |spec: &InputSpec, options| load(spec, options).unwrap_err().to_string();
    let centred = InputSpec { framing: Framing::Centre, height: 64, width: 64, ..spec.clone() };
    assert!(refused(&centred, options.clone()).starts_with("ten crops need an input that is scaled"));
    let augment = Augment { flip: true, ..Augment::default() };
    let both = LoaderOptions { augment, ..options };
    assert_eq!(refused(&spec, both), "ten crops are shown without augmentation");
}
