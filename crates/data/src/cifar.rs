//! CIFAR-10 and CIFAR-100 in their binary layout: a record is the label, or coarse and fine label, then 3072 bytes of
//! red, green and blue, row by row (Krizhevsky 2009; <https://www.cs.toronto.edu/~kriz/cifar.html>).

use crate::{
    DataError, Dataset, Images, Picture, Samples, Split, dataset, source, source::Source, sums::Sums, write::whole,
};
use flate2::read::MultiGzDecoder;
use std::{
    fs::{File, rename},
    io::{BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
};

const SIDE: usize = 32;
const PIXELS: usize = 3 * SIDE * SIDE;
/// Most bytes that files may inflate to, all of an archive's or a split's together: three times those of CIFAR-100, the
/// larger of the two.
const BYTES: u64 = 3 * 60_000 * (2 + PIXELS as u64);
const CIFAR10: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// How the two datasets lay out their files.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    archive: &'static str,
    inside: &'static str,
    names: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    /// Bytes before the pixels; the last of them is the label.
    head: usize,
}

const LAYOUTS: [Layout; 2] = [
    Layout {
        archive: "cifar-10-binary.tar.gz",
        inside: "cifar-10-batches-bin",
        names: "batches.meta.txt",
        train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
        test: "test_batch.bin",
        head: 1,
    },
    Layout {
        archive: "cifar-100-binary.tar.gz",
        inside: "cifar-100-binary",
        names: "fine_label_names.txt",
        train: &["train.bin"],
        test: "test.bin",
        head: 2,
    },
];

/// Where the files are.
#[derive(Debug)]
enum Place {
    Directory(PathBuf),
    Archive(PathBuf),
}

/// One of the two datasets, found.
#[derive(Debug)]
pub(crate) struct Cifar {
    layout: &'static Layout,
    place: Place,
    /// Names of the classes, for CIFAR-100 the fine ones.
    pub(crate) classes: Vec<String>,
}

/// The dataset at `path`, if there is one: an archive, a directory that holds one, or its files.
pub(crate) fn find(path: &Path) -> Result<Option<Cifar>, DataError> {
    for layout in &LAYOUTS {
        for dir in [path.to_path_buf(), path.join(layout.inside)] {
            if dir.join(layout.train[0]).is_file() || dir.join(layout.test).is_file() {
                let names = source::text(&dir.join(layout.names))?;
                let classes = names.map_or_else(|| layout.default_names(), |text| lines(&text));
                return Ok(Some(Cifar { layout, place: Place::Directory(dir), classes }));
            }
        }
        let inside = path.join(layout.archive);
        let named = path.is_file() && path.file_name().is_some_and(|name| name == layout.archive);
        let archive = if named { path } else { &inside };
        if archive.is_file() {
            let mut classes = None;
            read_archive(archive, &[layout.names], |_, _, entry| {
                let mut text = String::new();
                entry.take(1 << 20).read_to_string(&mut text).map_err(|cause| damaged(archive, cause))?;
                classes = Some(lines(&text));
                Ok(())
            })?;
            let classes = classes.unwrap_or_else(|| layout.default_names());
            return Ok(Some(Cifar { layout, place: Place::Archive(archive.into()), classes }));
        }
    }
    Ok(None)
}

/// The names in a file, one a line; the canonical ones end with empty lines.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect()
}

impl Layout {
    fn default_names(&self) -> Vec<String> {
        if self.head == 1 { CIFAR10.map(String::from).to_vec() } else { (0..100).map(|c| c.to_string()).collect() }
    }
}

impl Cifar {
    pub(crate) fn open(self, path: &Path) -> Result<Dataset, DataError> {
        let name = match self.layout.head {
            1 => "cifar10",
            _ => "cifar100",
        };
        // A directory may have a name of its own; the archive's files say nothing.
        let name = match dataset::name(path) {
            own if path.is_dir() && own != self.layout.inside => own,
            _ => name.into(),
        };
        let (train, test) = (self.split(Split::Train)?.into(), self.split(Split::Test)?.into());
        Ok(Dataset { name, classes: self.classes, train, test })
    }

    pub(crate) fn split(&self, split: Split) -> Result<Images, DataError> {
        let layout = self.layout;
        let files = match split {
            Split::Train => layout.train,
            Split::Test => std::slice::from_ref(&layout.test),
        };
        let mut parts: Vec<Option<(PathBuf, Vec<u8>)>> = vec![None; files.len()];
        match &self.place {
            Place::Directory(dir) => {
                let sums = Sums::read(dir)?;
                // What is larger on disk may be larger here: `pack` writes data sets of any size.
                let on_disk = files.iter().filter_map(|name| dir.join(name).metadata().ok()).map(|file| file.len());
                let mut left = BYTES.max(on_disk.sum());
                for (name, part) in files.iter().zip(&mut parts) {
                    let path = dir.join(name);
                    if !path.is_file() {
                        return Err(DataError::Missing { dir: dir.clone(), names: (*name).into() });
                    }
                    let mut source = Source::open(&path, sums.of(&path))?;
                    let bytes = source.rest(left)?;
                    source.finish()?;
                    left -= bytes.len() as u64;
                    *part = Some((path, bytes));
                }
            }
            Place::Archive(archive) => read_archive(archive, files, |i, expected, entry| {
                let (path, mut bytes) = (archive.join(files[i]), Vec::new());
                let found = entry.read_to_end(&mut bytes).map_err(|cause| damaged(archive, cause))? as u64;
                if found < expected {
                    return Err(DataError::Truncated { path, found, expected });
                }
                parts[i] = Some((path, bytes));
                Ok(())
            })?,
        }
        let record = layout.head + PIXELS;
        let mut images = Images { channels: 3, height: SIDE, width: SIDE, pixels: Vec::new(), labels: Vec::new() };
        let mut first = None;
        for (i, part) in parts.into_iter().enumerate() {
            let missing = || DataError::Missing { dir: self.path().into(), names: files[i].into() };
            let (path, bytes) = part.ok_or_else(missing)?;
            let len = bytes.len();
            let bad = |problem| DataError::Cifar { path: path.clone(), problem };
            if len == 0 || len % record != 0 {
                return Err(bad(format!("it has {len} bytes, expected a multiple of {record}")));
            }
            // The batches have equal lengths: one cut off at a record's end is found, too.
            let expected = *first.get_or_insert(len);
            if len != expected {
                return Err(bad(format!("it has {len} bytes, the batch before it {expected}")));
            }
            for (at, record) in bytes.chunks_exact(record).enumerate() {
                let label = record[layout.head - 1].into();
                if usize::from(label) >= self.classes.len() {
                    return Err(DataError::Label { path, index: at, label, classes: self.classes.len() });
                }
                images.labels.push(label);
                images.pixels.extend_from_slice(&record[layout.head..]);
            }
        }
        Ok(images)
    }

    fn path(&self) -> &Path {
        match &self.place {
            Place::Directory(path) | Place::Archive(path) => path,
        }
    }
}

fn damaged(path: &Path, cause: std::io::Error) -> DataError {
    DataError::Damaged { path: path.into(), cause }
}

/// Hands each entry of the archive whose file name is in `names` to `read`, with its place there and its size. Nothing is
/// unpacked to disk, so that no path in the archive leads anywhere, and nothing is inflated that headers say is too much.
fn read_archive(
    archive: &Path,
    names: &[&str],
    mut read: impl FnMut(usize, u64, &mut dyn Read) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let file = File::open(archive).map_err(|cause| DataError::Read { path: archive.into(), cause })?;
    let mut tar = tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)));
    let (mut left, mut inflated) = (names.len(), 0_u64);
    // Raw: else tar holds long names in memory, however long. Those of the real archives are short.
    for entry in tar.entries().map_err(|cause| damaged(archive, cause))?.raw(true) {
        let mut entry = entry.map_err(|cause| damaged(archive, cause))?;
        let size = entry.size();
        inflated = inflated.saturating_add(size);
        if inflated > BYTES {
            let problem = format!("it inflates to {inflated} bytes or more, expected at most {BYTES}");
            return Err(DataError::Cifar { path: archive.into(), problem });
        }
        let place = entry.path().ok().filter(|_| entry.header().entry_type().is_file()).and_then(|path| {
            let name = path.file_name()?.to_str()?;
            names.iter().position(|n| *n == name)
        });
        if let Some(i) = place {
            read(i, size, &mut entry)?;
            left -= 1;
            if left == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// Writes images in CIFAR-10's binary layout into the new directory `out`: five training batches, a test batch and the
/// names of the classes. Returns how many images were written to train on and to test on. The directory is whole or absent.
///
/// # Errors
/// `out` exists, or can't be written; the dataset has over 256 classes, fewer than 5 images to train on, or none to test
/// on; an image can't be read or is not 32x32.
pub fn write_cifar10(dataset: &Dataset, out: &Path) -> Result<[usize; 2], DataError> {
    if dataset.classes.len() > 256 {
        return Err(DataError::Invalid(format!(
            "{} classes, CIFAR-10's layout has room for 256",
            dataset.classes.len()
        )));
    }
    let layout = &LAYOUTS[0];
    // The batches have equal lengths: what is left over is left out.
    let batch = dataset.train.len() / layout.train.len();
    if batch == 0 || dataset.test.is_empty() {
        let (train, test) = (dataset.train.len(), dataset.test.len());
        return Err(DataError::Invalid(format!(
            "{train} images to train on and {test} to test on, CIFAR-10's layout needs 5 and 1 at least"
        )));
    }
    let unwritten = |path: PathBuf| move |cause| DataError::Write { path, cause };
    if out.exists() {
        return Err(unwritten(out.into())(ErrorKind::AlreadyExists.into()));
    }
    // A sibling, gone if anything fails.
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let beside = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let part = builder.tempdir_in(beside).map_err(unwritten(out.into()))?;
    let write = |name: &str, bytes: &[u8]| whole(&part.path().join(name), bytes).map_err(unwritten(out.join(name)));
    for (i, name) in layout.train.iter().enumerate() {
        write(name, &records(&dataset.train, i * batch..(i + 1) * batch)?)?;
    }
    write(layout.test, &records(&dataset.test, 0..dataset.test.len())?)?;
    let names: String = dataset.classes.iter().map(|name| format!("{name}\n")).collect();
    write(layout.names, names.as_bytes())?;
    rename(part.path(), out).map_err(unwritten(out.into()))?;
    let _ = part.keep(); // it has another name now
    Ok([batch * layout.train.len(), dataset.test.len()])
}

fn records(samples: &Samples, range: std::ops::Range<usize>) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::with_capacity(range.len() * (1 + PIXELS));
    for i in range {
        let Picture { channels, height, width, pixels } = samples.image(i)?;
        if (channels, height, width) != (3, SIDE, SIDE) {
            let place = samples.place(i);
            return Err(DataError::Invalid(format!(
                "{place}: has {channels} channels of {height} x {width} pixels, CIFAR's have 3 of 32 x 32"
            )));
        }
        bytes.push(samples.label(i) as u8);
        bytes.extend_from_slice(&pixels);
    }
    Ok(bytes)
}
