//! SVHN's MATLAB files, good and bad, made here; one of them by SciPy.

#![allow(clippy::unwrap_used)] // helpers of tests

use data::{Split, open, open_split};
use flate2::{Compression, write::ZlibEncoder};
use std::{fs, io::Write, path::Path};
use tempfile::TempDir;

const PIXELS: usize = 3 * 32 * 32;

/// A data element: tag, data, and what fills it up to 8 bytes.
fn element(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// An array of the class with elements of the type.
fn array(name: &str, class: u8, dimensions: &[i32], kind: u32, data: &[u8]) -> Vec<u8> {
    let dimensions: Vec<u8> = dimensions.iter().flat_map(|d| d.to_le_bytes()).collect();
    // A name of up to four letters is a small element.
    let mut letters = name.as_bytes().to_vec();
    letters.resize(4, 0);
    let name = [(1 | (name.len() as u32) << 16).to_le_bytes().to_vec(), letters].concat();
    let parts = [element(6, &[class, 0, 0, 0, 0, 0, 0, 0]), element(5, &dimensions), name, element(kind, data)];
    element(14, &parts.concat())
}

fn packed(element: &[u8]) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(element).unwrap();
    let data = zlib.finish().unwrap();
    // Compressed elements aren't filled up.
    [15u32.to_le_bytes().to_vec(), (data.len() as u32).to_le_bytes().to_vec(), data].concat()
}

fn file(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut header = b"MATLAB 5.0 MAT-file".to_vec();
    header.resize(124, b' ');
    [&header[..], &[0, 1, b'I', b'M'], &elements.concat()].concat()
}

/// Pixel (channel, y, x) of image i.
fn pixel(i: usize, c: usize, y: usize, x: usize) -> u8 {
    (i * 80 + c * 40 + y + 5 * x) as u8
}

fn images(n: usize) -> Vec<u8> {
    let mut data = Vec::new();
    for at in 0..n * PIXELS {
        data.push(pixel(at / PIXELS, at / 1024 % 3, at % 32, at / 32 % 32));
    }
    data
}

fn x(n: usize) -> Vec<u8> {
    array("X", 9, &[32, 32, 3, n as i32], 2, &images(n))
}

fn y(labels: &[u8]) -> Vec<u8> {
    let doubles: Vec<u8> = labels.iter().flat_map(|l| f64::from(*l).to_le_bytes()).collect();
    array("y", 6, &[labels.len() as i32, 1], 9, &doubles)
}

fn dir(files: &[(&str, Vec<u8>)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

#[test]
fn images_are_read_by_rows_and_label_10_is_the_digit_0() {
    let other = array("note", 4, &[1, 2], 4, &[0; 4]);
    let train = file(&[packed(&other), packed(&x(3)), packed(&y(&[10, 1, 9]))]);
    let test = file(&[other, y(&[2]), x(1)]);
    let dir = dir(&[("train_32x32.mat", train), ("test_32x32.mat", test)]);
    let dataset = open(dir.path()).unwrap();
    assert_eq!((dataset.train.len(), dataset.test.len(), dataset.classes.len()), (3, 1, 10));
    assert_eq!((0..3).map(|i| dataset.train.label(i)).collect::<Vec<_>>(), [0, 1, 9]);
    let image = dataset.train.image(2).unwrap();
    assert_eq!((image.channels, image.height, image.width), (3, 32, 32));
    for (c, y, x) in [(0, 0, 1), (1, 30, 2), (2, 31, 31)] {
        assert_eq!(image.pixels[(c * 32 + y) * 32 + x], pixel(2, c, y, x), "{c} {y} {x}");
    }
}

#[test]
fn extra_images_come_before_those_that_may_validate() {
    let of = |labels: &[u8]| file(&[packed(&x(labels.len())), packed(&y(labels))]);
    let dir = dir(&[("train_32x32.mat", of(&[1, 2])), ("extra_32x32.mat", of(&[3, 4, 5]))]);
    let (train, classes) = open_split(dir.path(), Split::Train).unwrap();
    assert_eq!((0..5).map(|i| train.label(i)).collect::<Vec<_>>(), [3, 4, 5, 1, 2]);
    assert_eq!(classes[9], "9");
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("test_32x32.mat"), "{error}");
}

/// `datasets/svhn` as SciPy writes it: crates/data/tests/golden/svhn.py.
#[test]
fn what_scipy_writes_is_read() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for name in ["svhn.mat", "svhn-packed.mat"] {
        let dir = dir(&[("test_32x32.mat", fs::read(golden.join(name)).unwrap())]);
        let (test, _) = open_split(dir.path(), Split::Test).unwrap();
        assert_eq!((test.len(), test.label(0), test.label(1)), (2, 7, 0), "{name}");
        let image = test.image(1).unwrap();
        for (c, y, x) in [(0, 0, 1), (1, 30, 2), (2, 31, 31)] {
            assert_eq!(image.pixels[(c * 32 + y) * 32 + x], pixel(1, c, y, x), "{name} {c} {y} {x}");
        }
    }
}

#[test]
fn hostile_and_broken_files_are_refused() {
    let good = || [x(2), y(&[1, 2])];
    let message = |bytes: Vec<u8>| {
        let dir = dir(&[("test_32x32.mat", bytes)]);
        open_split(dir.path(), Split::Test).unwrap_err().to_string()
    };
    let whole = file(&good());
    let mut big_endian = whole.clone();
    big_endian[124..128].copy_from_slice(&[1, 0, b'M', b'I']);
    let mut huge = whole.clone();
    huge[132..136].copy_from_slice(&u32::MAX.to_le_bytes()); // X's own size
    huge[232..236].copy_from_slice(&i32::MAX.to_le_bytes());
    let bomb = array("X", 9, &[32, 32, 3, i32::MAX], 2, &[0; 8]);
    let mut damaged = file(&[packed(&x(2)), packed(&y(&[1, 2]))]);
    let at = damaged.len() - 2;
    damaged[at] ^= 0xff;
    let x_of = |dimensions: &[i32]| file(&[array("X", 9, dimensions, 2, &images(2)), y(&[1, 2])]);
    for (bytes, says) in [
        (vec![0; 50], "ends too early"),
        (vec![0; 200], "isn't a MATLAB 5 file"),
        (big_endian, "big-endian"),
        (whole[..2000].to_vec(), "ends too early"),
        (file(&[x(2)]), "no array called y"),
        (file(&[packed(&bomb)]), "expected at most 3221225472 numbers"),
        (damaged, "damaged"),
        (x_of(&[32, 32, 3, -1]), "expected at most"),
        (x_of(&[32, 32, 3, 1]), "has 6144 numbers, its dimensions [32, 32, 3, 1] make 3072"),
        (x_of(&[32, 64, 3]), "expected [32, 32, 3, N]"),
        (file(&[x(2), y(&[1, 2, 3])]), "y has 3 labels for the 2 images"),
        (file(&[x(2), array("y", 6, &[2, 1], 9, &[0x7f; 16])]), "expected 0 to 255"),
        (file(&[x(2), array("y", 1, &[2, 1], 2, &[1, 2])]), "of class 1, expected numbers"),
        (file(&[x(2), y(&[1, 11])]), "y[1] is 11, expected 1 to 10"),
        (file(&[x(2), y(&[0, 1])]), "y[0] is 0, expected 1 to 10"),
        (file(&[element(99, &[0; 8])]), "data of type 99"),
    ] {
        let message = message(bytes);
        assert!(message.contains("test_32x32.mat: ") && message.contains(says), "{message}, expected {says}");
    }
    let _ = message(huge);
}

#[test]
fn sums_are_checked() {
    let files = [("test_32x32.mat", file(&[x(1), y(&[1])])), ("SHA256SUMS", b"".to_vec())];
    let dir = dir(&files);
    let sums = format!("{}  test_32x32.mat\n", "0".repeat(64));
    fs::write(dir.path().join("SHA256SUMS"), sums).unwrap();
    let error = open_split(dir.path(), Split::Test).unwrap_err().to_string();
    assert!(error.contains("SHA-256"), "{error}");
}
