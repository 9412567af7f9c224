//! Yann LeCun's IDX format: a big-endian header, then the bytes.

use crate::{DataError, Images, source::Source, source::hex};
use std::path::Path;

const COUNT: u32 = 10_000_000;
const SIDE: u32 = 4096;
const BYTES: u64 = 2 << 30;

/// Reads an IDX file of grey images, plain or gzip: `[n, height, width]` bytes. The labels are left empty.
///
/// # Errors
/// The file cannot be read, is not what its name (`.gz`) or header says, is truncated or has trailing data; more than
/// 10,000,000 images, a side over 4096 pixels, more than 2 GiB.
pub fn read_images(path: &Path) -> Result<Images, DataError> {
    images(path, None)
}

/// Reads an IDX file of labels, plain or gzip, each less than `classes`.
///
/// # Errors
/// As [`read_images`], and a label of `classes` or more.
pub fn read_labels(path: &Path, classes: usize) -> Result<Vec<u16>, DataError> {
    labels(path, classes, None)
}

pub(crate) fn images(path: &Path, digest: Option<&str>) -> Result<Images, DataError> {
    let bad = |problem| DataError::Header { path: path.into(), what: "images", problem };
    let mut source = Source::open(path, digest)?;
    let header = source.exactly(16, 16)?;
    magic(&header, 3).map_err(bad)?;
    let [count, height, width] = [4, 8, 12].map(|at| field(&header, at));
    count_is_sane(count).map_err(bad)?;
    for (name, side) in [("height", height), ("width", width)] {
        if !(1..=SIDE).contains(&side) {
            return Err(bad(format!("{name} is {side}, expected 1 to {SIDE}")));
        }
    }
    let len = u64::from(count) * u64::from(height) * u64::from(width);
    if len > BYTES {
        return Err(bad(format!("{count} images of {height} x {width} are {len} bytes, expected at most {BYTES}")));
    }
    let pixels = source.exactly(len, 16 + len)?;
    source.finish()?;
    Ok(Images { channels: 1, height: height as usize, width: width as usize, pixels, labels: Vec::new() })
}

pub(crate) fn labels(path: &Path, classes: usize, digest: Option<&str>) -> Result<Vec<u16>, DataError> {
    let bad = |problem| DataError::Header { path: path.into(), what: "labels", problem };
    let mut source = Source::open(path, digest)?;
    let header = source.exactly(8, 8)?;
    magic(&header, 1).map_err(bad)?;
    let count = field(&header, 4);
    count_is_sane(count).map_err(bad)?;
    let labels = source.exactly(count.into(), 8 + u64::from(count))?;
    source.finish()?;
    match labels.iter().position(|&l| usize::from(l) >= classes) {
        Some(index) => Err(DataError::Label { path: path.into(), index, label: labels[index].into(), classes }),
        None => Ok(labels.into_iter().map(u16::from).collect()),
    }
}

fn field(header: &[u8], at: usize) -> u32 {
    header[at..at + 4].iter().fold(0, |n, &b| n << 8 | u32::from(b))
}

fn magic(header: &[u8], rank: u8) -> Result<(), String> {
    if header[..2] != [0, 0] {
        return Err(format!("it starts with {}, expected 00 00", hex(&header[..2], " ")));
    }
    if header[2] != 0x08 {
        return Err(format!("its element type is 0x{:02x}, expected 0x08 (unsigned byte)", header[2]));
    }
    if header[3] != rank {
        return Err(format!("its rank is {}, expected {rank}", header[3]));
    }
    Ok(())
}

fn count_is_sane(count: u32) -> Result<(), String> {
    if count > COUNT { Err(format!("its count is {count}, expected at most {COUNT}")) } else { Ok(()) }
}
