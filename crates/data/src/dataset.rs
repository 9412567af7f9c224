//! A dataset, and the directory or archive it comes from.

use crate::{DataError, Samples, cifar, folder, idx_dir, source, svhn};
use std::{
    env,
    path::{Component, Path, PathBuf},
};

/// A labelled dataset with its own test split.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The directory's file name.
    pub name: String,
    /// Name of each class, in the order of the labels.
    pub classes: Vec<String>,
    /// The images to train on.
    pub train: Samples,
    /// The images to test on.
    pub test: Samples,
}

/// The two halves of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// The images to train on.
    Train,
    /// The images to test on.
    Test,
}

/// Opens what is at `path`, told apart by what is in it:
///
/// - a directory with MNIST's four IDX files, each plain or `.gz`. A file `classes.txt` (one name a line) names the
///   classes; without it they are numbers, from 0 to the largest label and at least to 9;
/// - CIFAR-10 or CIFAR-100 in their binary layout: the canonical archive (`.tar.gz`), a directory that holds it, or a
///   directory with its files, which may be in the archive's own directory inside;
/// - SVHN's cropped digits, `train_32x32.mat` and `test_32x32.mat`; `extra_32x32.mat` is trained on, too, if it is there;
/// - a directory with images in `train/<class>/` and `val/<class>/` or `test/<class>/`, PNG or JPEG. They stay on disk;
///   the classes are numbered in the order of their directories' names, and a file `classes.txt` may rename them. The
///   images come in one random order, the same each time, so that the first and the last are fair samples.
///
/// A file `SHA256SUMS` holds digests of uncompressed files. Those that it lists are checked as they are read, and beside
/// IDX files whatever else it lists, too; not so in an archive or in image folders.
///
/// # Errors
/// A file is missing, unreadable, malformed or not the one that `SHA256SUMS` lists; the files contradict each other.
pub fn open(path: &Path) -> Result<Dataset, DataError> {
    if idx_dir::is_there(path) {
        return idx_dir::open(path);
    }
    if svhn::is_there(path) {
        return svhn::open(path);
    }
    match cifar::find(path)? {
        Some(cifar) => cifar.open(path),
        None if folder::is_there(path) => folder::open(path),
        None => Err(missing(path)),
    }
}

/// Opens one split of what is at `path` like [`open`], and the class names. The other split's files need not be there; so
/// of IDX files without a `classes.txt` only this split's labels are counted.
///
/// # Errors
/// As [`open`].
pub fn open_split(path: &Path, split: Split) -> Result<(Samples, Vec<String>), DataError> {
    if idx_dir::is_there(path) {
        return idx_dir::open_split(path, split).map(|(images, classes)| (images.into(), classes));
    }
    if svhn::is_there(path) {
        return svhn::split(path, split).map(|images| (images.into(), svhn::classes()));
    }
    match cifar::find(path)? {
        Some(cifar) => cifar.split(split).map(|images| (images.into(), cifar.classes)),
        None if folder::is_there(path) => folder::open_split(path, split),
        None => Err(missing(path)),
    }
}

fn missing(dir: &Path) -> DataError {
    let names = "train-images-idx3-ubyte, data_batch_1.bin, train.bin, cifar-10-binary.tar.gz, \
                 cifar-100-binary.tar.gz, train_32x32.mat, train/<class>/<image>";
    DataError::Missing { dir: dir.into(), names: names.into() }
}

/// The directory of a shipped dataset: `datasets/<name>` under the current directory or one of its ancestors, else
/// under the source tree this was built from.
///
/// # Errors
/// There is none, or `name` is not a plain name.
pub fn locate(name: &str) -> Result<PathBuf, DataError> {
    let mut parts = Path::new(name).components();
    if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
        return Err(DataError::NotShipped { name: name.into(), looked: "a plain directory name".into() });
    }
    let current = env::current_dir().unwrap_or_default();
    let built = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let found = current.ancestors().chain([built]).map(|root| root.join("datasets").join(name)).find(|d| d.is_dir());
    found.ok_or_else(|| DataError::NotShipped {
        name: name.into(),
        looked: format!("datasets/{name} in {} and the directories above it", current.display()),
    })
}

/// The names in a file, one a line, at most `most`; `None` where there is no such file.
pub(crate) fn names(path: &Path, most: usize) -> Result<Option<Vec<String>>, DataError> {
    let Some(text) = source::text(path)? else { return Ok(None) };
    let names: Vec<_> = text.lines().map(|line| line.trim().to_string()).collect();
    let bad = |problem| Err(DataError::Text { path: path.into(), problem });
    if let Some(i) = names.iter().position(String::is_empty) {
        return bad(format!("line {} is empty, expected the name of class {i}", i + 1));
    }
    if !(1..=most).contains(&names.len()) {
        return bad(format!("holds {} names, expected 1 to {most}", names.len()));
    }
    Ok(Some(names))
}

pub(crate) fn name(dir: &Path) -> String {
    let full = dir.canonicalize();
    full.as_deref().unwrap_or(dir).file_name().map_or_else(String::new, |name| name.to_string_lossy().into())
}
