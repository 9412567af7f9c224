//! The shipped MNIST.

use data::{Split, locate, open, open_split};

#[test]
fn opens_whole_and_checked() {
    let dir = locate("mnist").unwrap();
    assert!(dir.join("SHA256SUMS").is_file());
    let mnist = open(&dir).unwrap();
    assert_eq!(mnist.name, "mnist");
    assert_eq!(mnist.classes.len(), 10);
    assert_eq!((mnist.train.len(), mnist.test.len()), (60_000, 10_000));
    assert_eq!(mnist.train.labels[..5], [5, 0, 4, 1, 9]);
    assert_eq!(mnist.test.labels[..5], [7, 2, 1, 0, 4]);
    // The training mean that every tutorial normalises with is 0.1307.
    let sum: u64 = mnist.train.pixels.iter().map(|&p| u64::from(p)).sum();
    let mean = sum as f64 / mnist.train.pixels.len() as f64;
    assert!((mean - 33.318).abs() < 1e-3, "{mean}");
    assert_eq!(open_split(&dir, Split::Test).unwrap().0, mnist.test);
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
