//! MATLAB's level 5 files, as far as SVHN needs them: numeric arrays, each perhaps compressed
//! (MathWorks, MAT-File Format, 2019, chapter 1).
//!
//! Not the crate matfile: it unpacks what is compressed before it looks at any size.

use crate::DataError;
use flate2::bufread::ZlibDecoder;
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

/// Types of data elements (table 1-1).
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const DOUBLE: u32 = 9;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// Classes of arrays (table 1-3) from doubles to unsigned 32-bit integers: those that are numbers alone.
const NUMBERS: std::ops::RangeInclusive<u8> = 6..=13;
/// Dimensions that an array can have here.
const MOST_DIMENSIONS: usize = 8;
/// Bytes reserved on a header's word alone; beyond, memory grows with what is really read.
const RESERVED: usize = 64 << 20;

/// An array of numbers, the first dimension fastest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Array {
    pub(crate) dimensions: Vec<usize>,
    /// Every number of SVHN is a byte. Doubles and such are read if they are whole and from 0 to 255.
    pub(crate) bytes: Vec<u8>,
}

/// What goes wrong while reading: the system's failures, and what is wrong with the file.
enum Problem {
    Read(std::io::Error),
    Wrong(String),
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Wrong("it ends too early".into()),
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => {
                Self::Wrong(format!("its compressed data is damaged: {error}"))
            }
            _ => Self::Read(error),
        }
    }
}

type Found<T> = Result<T, Problem>;

fn wrong<T>(problem: impl Into<String>) -> Found<T> {
    Err(Problem::Wrong(problem.into()))
}

/// The arrays of the file called `names`, in that order, none of more than `most` numbers. Others are skipped.
pub(crate) fn read(path: &Path, names: &[&str], most: usize) -> Result<Vec<Array>, DataError> {
    let open = |cause| DataError::Read { path: path.into(), cause };
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(open)?);
    arrays(&mut file, names, most).map_err(|problem| match problem {
        Problem::Read(cause) => open(cause),
        Problem::Wrong(problem) => DataError::Mat { path: path.into(), problem },
    })
}

fn arrays(file: &mut impl BufRead, names: &[&str], most: usize) -> Found<Vec<Array>> {
    let mut header = [0; 128];
    file.read_exact(&mut header)?;
    match &header[124..] {
        [0, 1, b'I', b'M'] => {}
        [1, 0, b'M', b'I'] => return wrong("it was written on a big-endian machine, expected little-endian"),
        _ => return wrong("it isn't a MATLAB 5 file: bytes 124 to 127 aren't 00 01 'I' 'M'"),
    }
    let mut found: Vec<Option<Array>> = names.iter().map(|_| None).collect();
    while found.iter().any(Option::is_none) && !file.fill_buf()?.is_empty() {
        let (kind, size) = tag(file)?;
        let mut element = file.take(size.into());
        let array = match kind {
            MATRIX => matrix(&mut element, size, names, most)?,
            COMPRESSED => {
                let mut inside = ZlibDecoder::new(&mut element);
                let (kind, size) = tag(&mut inside)?;
                if kind != MATRIX {
                    return wrong(format!("compressed data of type {kind}, expected {MATRIX}, an array"));
                }
                let array = matrix(&mut inside.by_ref().take(size.into()), size, names, most)?;
                // Only at the end is the checksum seen.
                if array.is_some() && inside.read(&mut [0])? != 0 {
                    return wrong("compressed data goes on after its array");
                }
                array
            }
            other => return wrong(format!("data of type {other}, expected an array")),
        };
        if let Some((i, array)) = array {
            found[i] = Some(array);
        }
        std::io::copy(&mut element, &mut std::io::sink())?;
    }
    let missing = |i: usize| Problem::Wrong(format!("it has no array called {}", names[i]));
    found.into_iter().enumerate().map(|(i, array)| array.ok_or_else(|| missing(i))).collect()
}

/// An array of `size` bytes with its place in `names`, unless it isn't among them.
fn matrix(from: &mut impl Read, size: u32, names: &[&str], most: usize) -> Found<Option<(usize, Array)>> {
    let flags = element(from, 16)?;
    let ([UINT32], [class, _, _, _, ..]) = ([flags.0], &flags.1[..]) else { return wrong("an array without flags") };
    let dimensions = element(from, 4 * MOST_DIMENSIONS)?;
    if dimensions.0 != INT32 || dimensions.1.len() < 8 {
        return wrong("an array without dimensions");
    }
    let (dimensions, _) = dimensions.1.as_chunks::<4>();
    let dimensions: Vec<_> = dimensions.iter().map(|d| i32::from_le_bytes(*d)).collect();
    let name = element(from, 63)?;
    let Some(at) = names.iter().position(|n| name.0 == INT8 && n.as_bytes() == name.1) else { return Ok(None) };
    let name = names[at];
    if !NUMBERS.contains(class) {
        return wrong(format!("{name} is of class {class}, expected numbers"));
    }
    let numbers = dimensions.iter().try_fold(1usize, |n, d| n.checked_mul(usize::try_from(*d).ok()?));
    let Some(numbers) = numbers.filter(|n| *n <= most) else {
        return wrong(format!("{name} has dimensions {dimensions:?}, expected at most {most} numbers"));
    };
    let (kind, bytes) = element(from, (8 * numbers).min(size as usize))?;
    let bytes = match kind {
        UINT8 => bytes,
        DOUBLE => whole_numbers(name, &bytes)?,
        other => return wrong(format!("{name}'s numbers are of type {other}, expected {UINT8}, bytes, or {DOUBLE}")),
    };
    if bytes.len() != numbers {
        return wrong(format!("{name} has {} numbers, its dimensions {dimensions:?} make {numbers}", bytes.len()));
    }
    let dimensions = dimensions.into_iter().map(|d| d as usize).collect();
    Ok(Some((at, Array { dimensions, bytes })))
}

fn whole_numbers(name: &str, bytes: &[u8]) -> Found<Vec<u8>> {
    let (doubles, _) = bytes.as_chunks::<8>();
    let byte = |double: &[u8; 8]| {
        let v = f64::from_le_bytes(*double);
        if v == f64::from(v as u8) { Ok(v as u8) } else { wrong(format!("{name} has a {v}, expected 0 to 255")) }
    };
    doubles.iter().map(byte).collect()
}

/// A data element of at most `most` bytes, and what fills it up to a multiple of 8.
fn element(from: &mut impl Read, most: usize) -> Found<(u32, Vec<u8>)> {
    let mut words = [0; 8];
    from.read_exact(&mut words)?;
    let [kind, size] = halves(words);
    // A small element has its size in the upper half of the first word, and its data in the second.
    if kind >> 16 != 0 {
        let (kind, size) = (kind & 0xffff, (kind >> 16) as usize);
        return if size <= 4 {
            Ok((kind, words[4..4 + size].into()))
        } else {
            wrong("a small element of over 4 bytes")
        };
    }
    if size as usize > most {
        return wrong(format!("{size} bytes are announced where at most {most} can be"));
    }
    let mut bytes = Vec::with_capacity((size as usize).min(RESERVED));
    from.take(size.into()).read_to_end(&mut bytes)?;
    if bytes.len() < size as usize {
        return wrong("it ends too early");
    }
    let padding = (8 - size % 8) % 8;
    std::io::copy(&mut from.take(padding.into()), &mut std::io::sink())?;
    Ok((kind, bytes))
}

fn tag(from: &mut impl Read) -> Found<(u32, u32)> {
    let mut words = [0; 8];
    from.read_exact(&mut words)?;
    let [kind, size] = halves(words);
    Ok((kind, size))
}

fn halves(words: [u8; 8]) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = words;
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}
