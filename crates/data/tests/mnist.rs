//! The shipped MNIST.

use data::{Samples, Split, locate, open, open_split};

#[test]
fn opens_whole_and_checked() {
    let dir = locate("mnist").unwrap();
    assert!(dir.join("SHA256SUMS").is_file());
    let mnist = open(&dir).unwrap();
    assert_eq!(mnist.name, "mnist");
    assert_eq!(mnist.classes.len(), 10);
    assert_eq!((mnist.train.len(), mnist.test.len()), (60_000, 10_000));
    let labels = |images: &Samples| -> Vec<u16> { (0..5).map(|i| images.label(i)).collect() };
    assert_eq!(labels(&mnist.train), [5, 0, 4, 1, 9]);
    assert_eq!(labels(&mnist.test), [7, 2, 1, 0, 4]);
    // The training mean that every tutorial normalises with is 0.1307.
    let sum_of = |i| mnist.train.image(i).unwrap().pixels.iter().map(|&p| u64::from(p)).sum::<u64>();
    let mean = (0..60_000).map(sum_of).sum::<u64>() as f64 / (60_000.0 * 784.0);
    assert!((mean - 33.318).abs() < 1e-3, "{mean}");
    let (test, _) = open_split(&dir, Split::Test).unwrap();
    assert!((0..10_000).all(|i| test.image(i).unwrap() == mnist.test.image(i).unwrap()));
}

#[test]
fn a_dataset_that_is_not_shipped_is_named() {
    let error = locate("absent").unwrap_err().to_string();
    assert!(error.starts_with("no dataset `absent`: looked for datasets/absent in "), "{error}");
    assert!(error.contains("--data-dir"), "{error}");
    for name in ["", "..", "a/b", "/"] {
        locate(name).unwrap_err();
    }
}
