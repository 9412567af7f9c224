//! A dataset in memory, and the directory it comes from.

use crate::{DataError, ImageRef, idx, source, sums::Sums};
use std::{
    env,
    path::{Component, Path, PathBuf},
};

/// Images of one size and their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Colour channels: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// `[n, channels, height, width]`, each 0..=255.
    pub pixels: Vec<u8>,
    /// `[n]`, the class of each image; empty where it is not known.
    pub labels: Vec<u8>,
}

impl Images {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.size().max(1)
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pixels of image `i`, `[channels, height, width]`.
    ///
    /// # Panics
    /// `i` is `len()` or more.
    pub fn image(&self, i: usize) -> &[u8] {
        &self.pixels[i * self.size()..(i + 1) * self.size()]
    }

    /// Image `i` with its size, for [`crate::prepare_into`].
    ///
    /// # Panics
    /// `i` is `len()` or more.
    pub fn view(&self, i: usize) -> ImageRef<'_> {
        ImageRef { channels: self.channels, height: self.height, width: self.width, pixels: self.image(i) }
    }

    /// All but the last `n` images, and the last `n`.
    ///
    /// # Errors
    /// `n` is `len()` or more.
    pub fn split_off_last(mut self, n: usize) -> Result<(Self, Self), DataError> {
        let len = self.len();
        if n >= len {
            return Err(DataError::TooFew { wanted: n, len });
        }
        let pixels = self.pixels.split_off((len - n) * self.size());
        let labels = self.labels.split_off(self.labels.len().min(len - n));
        let last = Self { pixels, labels, ..self };
        Ok((self, last))
    }

    /// The first `n` images, or all if there are fewer.
    pub fn take(mut self, n: usize) -> Self {
        self.pixels.truncate(n.saturating_mul(self.size()));
        self.labels.truncate(n);
        self
    }

    fn size(&self) -> usize {
        self.channels * self.height * self.width
    }
}

/// A labelled dataset with its own test split.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The directory's file name.
    pub name: String,
    /// Name of each class, in the order of the labels.
    pub classes: Vec<String>,
    /// The images to train on.
    pub train: Images,
    /// The images to test on, of the same size.
    pub test: Images,
}

/// The two halves of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// `train-*`
    Train,
    /// `t10k-*`
    Test,
}

const NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Opens a directory with MNIST's four IDX files, each plain or `.gz`.
///
/// A file `classes.txt` (one name a line) names the classes; without it they are numbers, from 0 to the largest label
/// and at least to 9. Every file listed in a file `SHA256SUMS` (digests of the uncompressed files) is checked.
///
/// # Errors
/// A file is missing, unreadable, malformed or not the one that `SHA256SUMS` lists; the files contradict each other.
pub fn open(dir: &Path) -> Result<Dataset, DataError> {
    let directory = Directory::read(dir)?;
    let train = directory.split(Split::Train)?;
    let test = directory.split(Split::Test)?;
    directory.sums.check_rest(dir, &NAMES)?;
    let size = |images: &Images| format!("{} x {}", images.height, images.width);
    if size(&train) != size(&test) {
        let problem = format!("training images are {} and test images {}", size(&train), size(&test));
        return Err(DataError::Disagree { dir: dir.into(), problem });
    }
    let classes = directory.classes(&[&train.labels, &test.labels]);
    Ok(Dataset { name: name(dir), classes, train, test })
}

/// Opens one split of a directory like [`open`], and the class names. The other split's files need not be there; so
/// without a `classes.txt` only this split's labels are counted.
///
/// # Errors
/// As [`open`].
pub fn open_split(dir: &Path, split: Split) -> Result<(Images, Vec<String>), DataError> {
    let directory = Directory::read(dir)?;
    let images = directory.split(split)?;
    directory.sums.check_rest(dir, &NAMES)?;
    let classes = directory.classes(&[&images.labels]);
    Ok((images, classes))
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

struct Directory<'a> {
    dir: &'a Path,
    sums: Sums,
    names: Option<Vec<String>>,
}

impl<'a> Directory<'a> {
    fn read(dir: &'a Path) -> Result<Self, DataError> {
        let sums = Sums::read(dir)?;
        let path = dir.join("classes.txt");
        let names = source::text(&path)?.map(|t| t.lines().map(|l| l.trim().to_string()).collect::<Vec<_>>());
        if let Some(names) = &names {
            let bad = |problem| Err(DataError::Text { path: path.clone(), problem });
            if let Some(i) = names.iter().position(String::is_empty) {
                return bad(format!("line {} is empty, expected the name of class {i}", i + 1));
            }
            if !(1..=256).contains(&names.len()) {
                return bad(format!("holds {} names, expected 1 to 256", names.len()));
            }
        }
        Ok(Self { dir, sums, names })
    }

    fn split(&self, split: Split) -> Result<Images, DataError> {
        let [images, labels] = match split {
            Split::Train => [NAMES[0], NAMES[1]],
            Split::Test => [NAMES[2], NAMES[3]],
        };
        let (images, labels) = (self.find(images)?, self.find(labels)?);
        let classes = self.names.as_ref().map_or(256, Vec::len);
        let labels = idx::labels(&labels, classes, self.sums.of(&labels))?;
        let images = Images { labels, ..idx::images(&images, self.sums.of(&images))? };
        if images.len() != images.labels.len() {
            let problem = format!("{split:?}: {} images and {} labels", images.len(), images.labels.len());
            return Err(DataError::Disagree { dir: self.dir.into(), problem });
        }
        Ok(images)
    }

    fn find(&self, name: &str) -> Result<PathBuf, DataError> {
        let dotted = name.replace("-idx", ".idx");
        let names = [name.into(), format!("{name}.gz"), dotted.clone(), format!("{dotted}.gz")];
        let found = names.iter().map(|name| self.dir.join(name)).find(|path| path.is_file());
        found.ok_or_else(|| DataError::Missing { dir: self.dir.into(), names: names.join(", ") })
    }

    fn classes(self, labels: &[&[u8]]) -> Vec<String> {
        self.names.unwrap_or_else(|| {
            let largest = labels.iter().copied().flatten().copied().max().unwrap_or(0);
            (0..=largest.max(9)).map(|class| class.to_string()).collect()
        })
    }
}

fn name(dir: &Path) -> String {
    let full = dir.canonicalize();
    full.as_deref().unwrap_or(dir).file_name().map_or_else(String::new, |name| name.to_string_lossy().into())
}
