//! Images in folders, ImageNet's layout: `train/<class>/*.jpg`, `val/<class>/*.jpg`. The images stay on disk and are
//! decoded when they are asked for: memory holds their names, whatever their number.

use crate::{DataError, Dataset, Picture, Samples, Split, dataset, random::permutation, read_image, samples::Source};
use image::DynamicImage;
use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

const TRAIN: &str = "train";
const TEST: [&str; 2] = ["val", "test"];
const ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];
/// Most classes: labels are 16 bits wide.
const CLASSES: usize = 1 << 16;

/// The images of one split.
#[derive(Debug)]
struct Folder {
    dir: PathBuf,
    /// The classes' directories.
    classes: Arc<Vec<String>>,
    /// Class and name of each file.
    files: Vec<(u16, Box<str>)>,
}

pub(crate) fn is_there(dir: &Path) -> bool {
    [TRAIN].iter().chain(&TEST).any(|split| dir.join(split).is_dir())
}

pub(crate) fn open(dir: &Path) -> Result<Dataset, DataError> {
    let (train, classes) = open_split(dir, Split::Train)?;
    let (test, others) = open_split(dir, Split::Test)?;
    if let Some((a, b)) = classes.iter().zip(&others).find(|(a, b)| a != b) {
        let problem = format!("class {a} is there to train on, {b} in its place to test on");
        return Err(DataError::Disagree { dir: dir.into(), problem });
    }
    if classes.len() != others.len() {
        let problem = format!("{} classes are there to train on, {} to test on", classes.len(), others.len());
        return Err(DataError::Disagree { dir: dir.into(), problem });
    }
    Ok(Dataset { name: dataset::name(dir), classes, train, test })
}

pub(crate) fn open_split(dir: &Path, split: Split) -> Result<(Samples, Vec<String>), DataError> {
    let names: &[&str] = if split == Split::Train { &[TRAIN] } else { &TEST };
    let found = names.iter().map(|name| dir.join(name)).find(|path| path.is_dir());
    let folder = found.ok_or_else(|| DataError::Folder {
        dir: dir.into(),
        problem: format!(
            "holds no {}/<class>/ with images. Make it, or link another there.",
            names.join("/<class>/ or ")
        ),
    })?;
    let folder = Folder::list(folder)?;
    let classes = match dataset::names(&dir.join("classes.txt"), CLASSES)? {
        Some(names) if names.len() == folder.classes.len() => names,
        Some(names) => {
            let problem = format!("classes.txt names {} classes, there are {}", names.len(), folder.classes.len());
            return Err(DataError::Disagree { dir: dir.into(), problem });
        }
        None => folder.classes.to_vec(),
    };
    Ok((Samples::new(folder), classes))
}

impl Folder {
    fn path(&self, i: usize) -> PathBuf {
        let (class, name) = &self.files[i];
        self.dir.join(&self.classes[usize::from(*class)]).join(&**name)
    }

    fn list(dir: PathBuf) -> Result<Self, DataError> {
        let classes = listed(&dir, |path| path.is_dir())?;
        if classes.is_empty() || classes.len() > CLASSES {
            let problem = format!("holds {} directories, expected one for each class, 1 to {CLASSES}", classes.len());
            return Err(DataError::Folder { dir, problem });
        }
        let mut files = Vec::new();
        for (class, name) in classes.iter().enumerate() {
            let is_image = |path: &Path| {
                let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
                ENDINGS.contains(&ending.as_str())
            };
            files.extend(listed(&dir.join(name), is_image)?.into_iter().map(|f| (class as u16, f.into_boxed_str())));
        }
        if files.is_empty() || u32::try_from(files.len()).is_err() {
            let problem = format!("holds {} images ending in {}, expected some", files.len(), ENDINGS.join(", "));
            return Err(DataError::Folder { dir, problem });
        }
        // Sorted by class as they come, the last thousand would be of one class.
        let order = permutation(0, 0, files.len() as u32);
        let files = order.into_iter().map(|i| std::mem::take(&mut files[i as usize])).collect();
        Ok(Self { dir, classes: Arc::new(classes), files })
    }
}

/// Names in `dir` for whose path `wanted` holds, sorted.
fn listed(dir: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<String>, DataError> {
    let read = |cause| DataError::Read { path: dir.into(), cause };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str())
            && !name.starts_with('.')
            && wanted(&path)
        {
            names.push(name.to_string());
        }
    }
    names.sort();
    Ok(names)
}

impl Source for Folder {
    fn count(&self) -> usize {
        self.files.len()
    }

    fn label(&self, i: usize) -> u16 {
        self.files[i].0
    }

    fn image(&self, i: usize) -> Result<Picture<'_>, DataError> {
        Ok(planes(read_image(&self.path(i))?))
    }

    fn place(&self, i: usize) -> String {
        self.path(i).display().to_string()
    }
}

/// The image's colour planes one behind the other: grey stays grey, all else becomes red, green and blue.
pub fn planes(image: DynamicImage) -> Picture<'static> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    if let DynamicImage::ImageLuma8(grey) = image {
        return Picture { channels: 1, height, width, pixels: Cow::Owned(grey.into_raw()) };
    }
    let rgb = image.into_rgb8().into_raw();
    let area = width * height;
    let mut pixels = vec![0; 3 * area];
    let (red, rest) = pixels.split_at_mut(area);
    let (green, blue) = rest.split_at_mut(area);
    for (((pixel, r), g), b) in rgb.as_chunks::<3>().0.iter().zip(red).zip(green).zip(blue) {
        (*r, *g, *b) = (pixel[0], pixel[1], pixel[2]);
    }
    Picture { channels: 3, height, width, pixels: Cow::Owned(pixels) }
}
