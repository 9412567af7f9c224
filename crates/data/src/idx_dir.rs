//! A directory with MNIST's four IDX files, each plain or `.gz`.

use crate::{DataError, Dataset, Images, Split, dataset, idx, sums::Sums};
use std::path::{Path, PathBuf};

const NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Whether one of the files is there.
pub(crate) fn is_there(dir: &Path) -> bool {
    NAMES.iter().any(|name| spellings(name).iter().any(|name| dir.join(name).is_file()))
}

/// Both splits.
pub(crate) fn open(dir: &Path) -> Result<Dataset, DataError> {
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
    Ok(Dataset { name: dataset::name(dir), classes, train: train.into(), test: test.into() })
}

/// One split, and the names of the classes.
pub(crate) fn open_split(dir: &Path, split: Split) -> Result<(Images, Vec<String>), DataError> {
    let directory = Directory::read(dir)?;
    let images = directory.split(split)?;
    directory.sums.check_rest(dir, &NAMES)?;
    let classes = directory.classes(&[&images.labels]);
    Ok((images, classes))
}

fn spellings(name: &str) -> [String; 4] {
    let dotted = name.replace("-idx", ".idx");
    [name.into(), format!("{name}.gz"), dotted.clone(), format!("{dotted}.gz")]
}

struct Directory<'a> {
    dir: &'a Path,
    sums: Sums,
    names: Option<Vec<String>>,
}

impl<'a> Directory<'a> {
    fn read(dir: &'a Path) -> Result<Self, DataError> {
        Ok(Self { dir, sums: Sums::read(dir)?, names: dataset::names(&dir.join("classes.txt"), 256)? })
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
        let names = spellings(name);
        let found = names.iter().map(|name| self.dir.join(name)).find(|path| path.is_file());
        found.ok_or_else(|| DataError::Missing { dir: self.dir.into(), names: names.join(", ") })
    }

    fn classes(self, labels: &[&[u16]]) -> Vec<String> {
        self.names.unwrap_or_else(|| {
            let largest = labels.iter().copied().flatten().copied().max().unwrap_or(0);
            (0..=largest.max(9)).map(|class| class.to_string()).collect()
        })
    }
}
