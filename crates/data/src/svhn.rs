//! Street View House Numbers, cropped digits: `train_32x32.mat`, `test_32x32.mat` and, if it is there, `extra_32x32.mat`
//! (Netzer et al. 2011; <http://ufldl.stanford.edu/housenumbers>).

use crate::{DataError, Dataset, Images, Split, dataset, mat, source::Source, sums::Sums};
use std::path::{Path, PathBuf};

const SIDE: usize = 32;
const PIXELS: usize = 3 * SIDE * SIDE;
const TRAIN: &str = "train_32x32.mat";
const TEST: &str = "test_32x32.mat";
const EXTRA: &str = "extra_32x32.mat";
/// The most images that a file may hold: twice those of the largest, 531,131.
const MOST: usize = 1 << 20;

/// The directory, if it is one with the files.
pub(crate) fn is_there(dir: &Path) -> bool {
    [TRAIN, TEST].iter().any(|name| dir.join(name).is_file())
}

pub(crate) fn open(dir: &Path) -> Result<Dataset, DataError> {
    let (train, test) = (split(dir, Split::Train)?.into(), split(dir, Split::Test)?.into());
    Ok(Dataset { name: dataset::name(dir), classes: classes(), train, test })
}

pub(crate) fn classes() -> Vec<String> {
    (0..10).map(|digit| digit.to_string()).collect()
}

/// The images of a split. The easy extra ones come before those of the training set proper, so that the last images, which
/// validate, are like the test's.
pub(crate) fn split(dir: &Path, split: Split) -> Result<Images, DataError> {
    let sums = Sums::read(dir)?;
    let names: &[&str] = match split {
        Split::Train if dir.join(EXTRA).is_file() => &[EXTRA, TRAIN],
        Split::Train => &[TRAIN],
        Split::Test => &[TEST],
    };
    let mut images = Images { channels: 3, height: SIDE, width: SIDE, pixels: Vec::new(), labels: Vec::new() };
    for name in names {
        let path = dir.join(name);
        if !path.is_file() {
            return Err(DataError::Missing { dir: dir.into(), names: (*name).into() });
        }
        if let Some(digest) = sums.of(&path) {
            Source::raw(&path, digest)?.digest()?;
        }
        read(path, &mut images)?;
    }
    Ok(images)
}

/// Adds the file's images: `X` `[32, 32, 3, N]` and `y` `[N, 1]`, the first dimension fastest; the digit 0 has label 10.
fn read(path: PathBuf, into: &mut Images) -> Result<(), DataError> {
    let arrays = mat::read(&path, &["X", "y"], MOST * PIXELS)?;
    let [x, y] = &arrays[..] else { unreachable!("two were asked for") };
    let bad = |problem| Err(DataError::Mat { path: path.clone(), problem });
    let n = match x.dimensions[..] {
        // MATLAB drops a last dimension of 1.
        [SIDE, SIDE, 3] => 1,
        [SIDE, SIDE, 3, n] => n,
        ref other => return bad(format!("X has dimensions {other:?}, expected [32, 32, 3, N]")),
    };
    if y.bytes.len() != n {
        return bad(format!("y has {} labels for the {n} images of X", y.bytes.len()));
    }
    into.pixels.reserve(n * PIXELS);
    for (index, (image, label)) in x.bytes.chunks_exact(PIXELS).zip(&y.bytes).enumerate() {
        if !(1..=10).contains(label) {
            return bad(format!("y[{index}] is {label}, expected 1 to 10"));
        }
        into.labels.push((label % 10).into());
        for plane in image.chunks_exact(SIDE * SIDE) {
            let row = |y: usize| (0..SIDE).map(move |x| plane[x * SIDE + y]);
            into.pixels.extend((0..SIDE).flat_map(row));
        }
    }
    Ok(())
}
