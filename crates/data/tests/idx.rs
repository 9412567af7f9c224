//! IDX files and dataset directories, good and bad.

use data::{DataError, Split, open, open_split, read_images, read_labels};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

fn idx(rank: u8, sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, rank];
    sizes.iter().for_each(|size| file.extend(size.to_be_bytes()));
    file.extend(bytes);
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

fn file(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join(name);
    fs::write(&path, bytes).expect("writable");
    (dir, path)
}

/// What [`read_images`] says of `bytes`, without the path.
fn images_error(name: &str, bytes: &[u8]) -> String {
    let (_dir, path) = file(name, bytes);
    let error = read_images(&path).expect_err("a bad file").to_string();
    error.strip_prefix(&format!("{}: ", path.display())).expect("the path first").into()
}

fn labels_error(bytes: &[u8]) -> String {
    let (_dir, path) = file("labels", bytes);
    let error = read_labels(&path, 10).expect_err("a bad file").to_string();
    error.strip_prefix(&format!("{}: ", path.display())).expect("the path first").into()
}

/// A dataset of two 1x2 training images and one test image.
fn dataset() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).expect("writable");
    write("train-images-idx3-ubyte", &idx(3, &[2, 1, 2], &[1, 2, 3, 4]));
    write("train-labels.idx1-ubyte.gz", &gzip(&idx(1, &[2], &[0, 1])));
    write("t10k-images.idx3-ubyte", &idx(3, &[1, 1, 2], &[5, 6]));
    write("t10k-labels-idx1-ubyte.gz", &gzip(&idx(1, &[1], &[2])));
    dir
}

fn open_error(dir: &Path) -> String {
    open(dir).expect_err("a bad dataset").to_string()
}

#[test]
fn truncated() {
    let good = idx(3, &[2, 2, 2], &[7; 8]);
    assert_eq!(images_error("a", &good[..20]), "is truncated: 20 bytes are there, expected 24. Download it again.");
    assert!(images_error("a", &good[..9]).starts_with("is truncated: 9 bytes are there, expected 16"));
    assert!(images_error("a.gz", &gzip(&good[..20])).starts_with("is truncated: 20 bytes are there, expected 24"));
    let cut = gzip(&idx(3, &[2, 64, 64], &(0..8192_u32).map(|i| ((i * i) >> 5) as u8).collect::<Vec<_>>()));
    assert!(images_error("a.gz", &cut[..cut.len() / 2]).contains("bytes are there, expected 8208"));
    assert!(images_error("a", &[]).starts_with("is truncated: 0 bytes are there, expected 16"));
    assert!(labels_error(&idx(1, &[3], &[1])).starts_with("is truncated: 9 bytes are there, expected 11"));
}

#[test]
fn oversized() {
    let message = "has trailing data after the 24 bytes its header asks for. Download it again.";
    assert_eq!(images_error("a", &idx(3, &[2, 2, 2], &[7; 9])), message);
    assert_eq!(images_error("a.gz", &gzip(&idx(3, &[2, 2, 2], &[7; 9]))), message);
    assert!(labels_error(&idx(1, &[1], &[1, 2])).starts_with("has trailing data after the 9 bytes"));
}

#[test]
fn wrong_magic() {
    let one = [1, 1, 1];
    assert_eq!(
        images_error("a", &idx(1, &one, &[0])),
        "is not an IDX file of images: its rank is 1, expected 3. Check which file this is, or download it again."
    );
    let mut bytes = idx(3, &one, &[0]);
    bytes[2] = 0x0d;
    assert!(images_error("a", &bytes).contains("its element type is 0x0d, expected 0x08 (unsigned byte)"));
    bytes[0] = 0x89;
    assert!(images_error("a", &bytes).contains("it starts with 89 00, expected 00 00"));
    assert!(labels_error(&idx(3, &one, &[0])).starts_with("is not an IDX file of labels: its rank is 3, expected 1"));
}

#[test]
fn absurd_headers_are_refused_before_memory_is_reserved() {
    assert!(images_error("a", &idx(3, &[1 << 31, 28, 28], &[])).contains("its count is 2147483648, expected at most"));
    assert!(images_error("a", &idx(3, &[1, 0, 28], &[])).contains("height is 0, expected 1 to 4096"));
    assert!(images_error("a", &idx(3, &[1, 28, 4097], &[])).contains("width is 4097, expected 1 to 4096"));
    let error = images_error("a", &idx(3, &[10_000_000, 4096, 4096], &[]));
    assert!(error.contains("10000000 images of 4096 x 4096 are 167772160000000 bytes"), "{error}");
    assert!(labels_error(&idx(1, &[1 << 31], &[])).contains("its count is 2147483648"));
}

#[test]
fn not_gzip() {
    assert_eq!(images_error("a.gz", b"<!DOCTYPE html>"), "is not gzip data (starts with 3c 21). Download it again.");
    assert!(images_error("a.gz", b"").contains("starts with nothing"));
}

#[test]
fn damaged_gzip() {
    let mut bytes = gzip(&idx(3, &[2, 2, 2], &[7; 8]));
    let checksum = bytes.len() - 8;
    bytes[checksum] ^= 1;
    assert!(images_error("a.gz", &bytes).starts_with("is damaged gzip data: "));
}

#[test]
fn label_out_of_range() {
    let error = labels_error(&idx(1, &[3], &[9, 3, 10]));
    assert_eq!(error, "label 2 is 10, expected less than 10. Check `classes.txt` and the file.");
}

#[test]
fn a_directory_of_plain_gzip_and_dotted_names_opens() {
    let dir = dataset();
    let dataset = open(dir.path()).unwrap();
    assert_eq!(dataset.name, dir.path().file_name().unwrap().to_str().unwrap());
    assert_eq!(dataset.classes, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!((dataset.train.len(), dataset.test.len()), (2, 1));
    assert_eq!(*dataset.train.image(1).unwrap().pixels, [3, 4]);
    fs::remove_file(dir.path().join("train-images-idx3-ubyte")).unwrap();
    let (test, _) = open_split(dir.path(), Split::Test).unwrap();
    assert_eq!((test.label(0), test.image(0).unwrap()), (2, dataset.test.image(0).unwrap()));
    let error = open_error(dir.path());
    assert!(error.contains("holds none of train-images-idx3-ubyte, train-images-idx3-ubyte.gz"), "{error}");
    assert!(error.contains("--data-dir"), "{error}");
}

#[test]
fn classes_txt_names_and_bounds_the_labels() {
    let dir = dataset();
    fs::write(dir.path().join("classes.txt"), "cat\ndog \nfrog\n").unwrap();
    assert_eq!(open(dir.path()).unwrap().classes, ["cat", "dog", "frog"]);
    fs::write(dir.path().join("classes.txt"), "cat\ndog\n").unwrap();
    assert!(open_error(dir.path()).contains("label 0 is 2, expected less than 2"));
    fs::write(dir.path().join("classes.txt"), "cat\n\ndog\n").unwrap();
    assert!(open_error(dir.path()).contains("line 2 is empty"));
}

#[test]
fn files_that_contradict_each_other() {
    let dir = dataset();
    fs::write(dir.path().join("t10k-images.idx3-ubyte"), idx(3, &[1, 2, 1], &[5, 6])).unwrap();
    assert!(open_error(dir.path()).contains("training images are 1 x 2 and test images 2 x 1"));
    fs::write(dir.path().join("t10k-images.idx3-ubyte"), idx(3, &[2, 1, 1], &[5, 6])).unwrap();
    assert!(open_error(dir.path()).contains("Test: 2 images and 1 labels"));
}

#[test]
fn digests_are_of_the_uncompressed_files() {
    const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let dir = dataset();
    let sums = |text: &str| fs::write(dir.path().join("SHA256SUMS"), text).expect("writable");
    fs::write(dir.path().join("notes.txt"), "").unwrap();
    sums(&format!("{NOTHING}  notes.txt\n\n{NOTHING} *./notes.txt\n"));
    open(dir.path()).unwrap();
    fs::write(dir.path().join("more.txt.gz"), gzip(b"")).unwrap();
    sums(&format!("{NOTHING}  more.txt\n"));
    open(dir.path()).unwrap();
    // The compressed bytes, where the name says so.
    sums(&format!("{NOTHING}  more.txt.gz\n"));
    assert!(matches!(open(dir.path()), Err(DataError::Digest { .. })));
    sums(&format!("{NOTHING}  absent.txt\n"));
    assert!(open_error(dir.path()).contains("absent.txt: cannot be read"));
    sums("e3b0  notes.txt\n");
    assert!(open_error(dir.path()).contains("SHA256SUMS: line 1 is not `<64 hexadecimal digits>  <file name>`"));
    sums(&format!("{NOTHING}  train-labels-idx1-ubyte\n"));
    let error = open_error(dir.path());
    assert!(error.contains("train-labels.idx1-ubyte.gz: SHA-256 of the uncompressed bytes is "), "{error}");
    assert!(error.contains(&format!("but SHA256SUMS says {NOTHING}. Download the file again")), "{error}");
}

#[test]
fn images_part_at_the_end() {
    let images = open(dataset().path()).unwrap().train;
    assert_eq!(images.clone().take(1).len(), 1);
    assert_eq!(images.clone().take(9).len(), 2);
    let (first, last) = images.clone().split_off_last(1).unwrap();
    assert_eq!((&*first.image(0).unwrap().pixels, first.label(0)), ([1, 2].as_slice(), 0));
    assert_eq!((&*last.image(0).unwrap().pixels, last.label(0)), ([3, 4].as_slice(), 1));
    let error = images.split_off_last(2).unwrap_err().to_string();
    assert_eq!(error, "cannot set the last 2 images apart: there are 2. Ask for fewer.");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(n in 0_u32..5, height in 1_u32..6, width in 1_u32..6, seed: u8, packed: bool) {
        let pixels: Vec<u8> = (0..n * height * width).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
        let bytes = idx(3, &[n, height, width], &pixels);
        let (_dir, path) = if packed { file("a.gz", &gzip(&bytes)) } else { file("a", &bytes) };
        let images = read_images(&path).unwrap();
        prop_assert_eq!((images.len(), images.height, images.width), (n as usize, height as usize, width as usize));
        prop_assert_eq!(images.pixels, pixels);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let (_dir, path) = file("a", &bytes);
        let _ = read_images(&path);
        let _ = read_labels(&path, 10);
    }
}
