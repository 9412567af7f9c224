//! A file's uncompressed bytes, digested as they go by.

use crate::DataError;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
};

/// Most bytes reserved on a header's word alone; beyond, memory grows with what is really read.
const RESERVED: u64 = 64 << 20;

pub(crate) struct Source<'a> {
    path: PathBuf,
    bytes: Box<dyn Read>,
    found: u64,
    expected: Option<(&'a str, Sha256)>,
}

impl<'a> Source<'a> {
    /// Opens a plain or gzip file; `expected` is the SHA-256 that [`Source::finish`] asks for.
    pub(crate) fn open(path: &Path, expected: Option<&'a str>) -> Result<Self, DataError> {
        let read = |cause| DataError::Read { path: path.into(), cause };
        let mut file = BufReader::new(File::open(path).map_err(read)?);
        let start = file.fill_buf().map_err(read)?;
        let start = &start[..start.len().min(2)];
        let bytes: Box<dyn Read> = if start == [0x1f, 0x8b] {
            Box::new(MultiGzDecoder::new(file))
        } else if path.extension().is_some_and(|e| e == "gz") {
            let start = if start.is_empty() { "nothing".into() } else { hex(start, " ") };
            return Err(DataError::NotGzip { path: path.into(), start });
        } else {
            Box::new(file)
        };
        Ok(Self { path: path.into(), bytes, found: 0, expected: expected.map(|e| (e, Sha256::new())) })
    }

    /// Opens a file as it is, compressed or not.
    pub(crate) fn raw(path: &Path, expected: &'a str) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|cause| DataError::Read { path: path.into(), cause })?;
        Ok(Self { path: path.into(), bytes: Box::new(file), found: 0, expected: Some((expected, Sha256::new())) })
    }

    /// The next `len` bytes. `total` is how long the file should be, for the message.
    pub(crate) fn exactly(&mut self, len: u64, total: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::with_capacity(len.min(RESERVED) as usize);
        match self.bytes.by_ref().take(len).read_to_end(&mut bytes) {
            Ok(_) => {}
            // A gzip stream cut short; what came before is counted and reported like any truncation.
            Err(cause) if cause.kind() == ErrorKind::UnexpectedEof => {}
            Err(cause) => return Err(self.failed(cause)),
        }
        self.found += bytes.len() as u64;
        if let Some((_, digest)) = &mut self.expected {
            digest.update(&bytes);
        }
        if (bytes.len() as u64) < len {
            return Err(DataError::Truncated { path: self.path.clone(), found: self.found, expected: total });
        }
        Ok(bytes)
    }

    /// All that is left, `most` bytes at most.
    pub(crate) fn rest(&mut self, most: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        let read = self.bytes.by_ref().take(most).read_to_end(&mut bytes);
        read.map_err(|cause| self.failed(cause))?;
        self.found += bytes.len() as u64;
        if let Some((_, digest)) = &mut self.expected {
            digest.update(&bytes);
        }
        Ok(bytes)
    }

    /// Makes sure that the file ends here, gzip checksum included, and has the digest expected.
    pub(crate) fn finish(mut self) -> Result<(), DataError> {
        match self.bytes.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => return Err(DataError::Oversized { path: self.path, expected: self.found }),
            Err(cause) => return Err(self.failed(cause)),
        }
        self.check()
    }

    /// Reads to the end, keeping nothing, and checks the digest.
    pub(crate) fn digest(mut self) -> Result<(), DataError> {
        let copied = match &mut self.expected {
            Some((_, digest)) => copy(&mut self.bytes, digest),
            None => Ok(()),
        };
        match copied {
            Ok(()) => self.check(),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    fn check(self) -> Result<(), DataError> {
        let Some((expected, digest)) = self.expected else { return Ok(()) };
        let found = hex(&digest.finalize(), "");
        if found == expected {
            return Ok(());
        }
        Err(DataError::Digest { path: self.path, found, expected: expected.into() })
    }

    fn failed(&self, cause: io::Error) -> DataError {
        let path = self.path.clone();
        match cause.kind() {
            ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                DataError::Damaged { path, cause }
            }
            _ => DataError::Read { path, cause },
        }
    }
}

fn copy(from: &mut dyn Read, digest: &mut Sha256) -> io::Result<()> {
    let mut buffer = [0; 1 << 14];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => digest.update(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

pub(crate) fn hex(bytes: &[u8], separator: &str) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(separator)
}

/// A small text file, or `None` where there is none.
pub(crate) fn text(path: &Path) -> Result<Option<String>, DataError> {
    const LIMIT: u64 = 1 << 20;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(DataError::Read { path: path.into(), cause }),
    };
    let mut text = String::new();
    match file.take(LIMIT + 1).read_to_string(&mut text) {
        Ok(n) if n as u64 <= LIMIT => Ok(Some(text)),
        Ok(_) => Err(DataError::Text { path: path.into(), problem: "is over 1 MiB".into() }),
        Err(cause) => Err(DataError::Read { path: path.into(), cause }),
    }
}
