//! Zip archives of stored entries: the container of PyTorch's files. What is stored is a slice of the file, so no entry
//! can grow beyond it.

use crate::FormatError;
use crate::error::{damaged, refused};
use crate::protobuf::MOST;
use std::collections::BTreeMap;

/// The entries of an archive by name.
///
/// # Errors
/// If the archive is cut short or contradicts itself, an entry is compressed or its checksum is wrong.
pub(crate) fn read(bytes: &[u8]) -> Result<BTreeMap<&str, &[u8]>, FormatError> {
    let zip = Bytes(bytes);
    let (count, mut at) = zip.directory()?;
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        if zip.get(at, 4)? != b"PK\x01\x02" {
            return Err(damaged("zip archive", "its directory is broken"));
        }
        let [name_len, extra_len, comment_len] = [zip.u16(at + 28)?, zip.u16(at + 30)?, zip.u16(at + 32)?];
        let name = std::str::from_utf8(zip.get(at + 46, name_len)?);
        let name = name.map_err(|_| damaged("zip archive", "a name is not UTF-8"))?;
        let mut sizes = [zip.u32(at + 24)?, zip.u32(at + 20)?, zip.u32(at + 42)?]; // plain, stored, place
        zip.wide(at + 46 + name_len, extra_len, &mut sizes)?;
        let [plain, stored, place] = sizes;
        if zip.u16(at + 10)? != 0 || plain != stored {
            return Err(refused("zip archive", format!("'{name}' is compressed, which PyTorch never does")));
        }
        if zip.get(place, 4)? != b"PK\x03\x04" {
            return Err(damaged("zip archive", format!("'{name}' is not where the directory says")));
        }
        let start = place + 30 + zip.u16(place + 26)? + zip.u16(place + 28)?;
        let data = zip.get(start, plain)?;
        if crc32fast::hash(data) as usize != zip.u32(at + 16)? {
            return Err(damaged("zip archive", format!("the checksum of '{name}' is wrong")));
        }
        if entries.insert(name, data).is_some() {
            return Err(damaged("zip archive", format!("'{name}' is there twice")));
        }
        at += 46 + name_len + extra_len + comment_len;
    }
    Ok(entries)
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn get(&self, at: usize, len: usize) -> Result<&'a [u8], FormatError> {
        let slice = at.checked_add(len).and_then(|end| self.0.get(at..end));
        slice.ok_or_else(|| damaged("zip archive", format!("cut short: {len} bytes at {at} of {}", self.0.len())))
    }

    fn number(&self, at: usize, len: usize) -> Result<usize, FormatError> {
        let value = self.get(at, len)?.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
        // A place that is past any file: kept small enough to add to.
        Ok(usize::try_from(value).unwrap_or(usize::MAX).min(usize::MAX / 4))
    }

    fn u16(&self, at: usize) -> Result<usize, FormatError> {
        self.number(at, 2)
    }

    fn u32(&self, at: usize) -> Result<usize, FormatError> {
        self.number(at, 4)
    }

    /// How many entries the directory has, and where it starts.
    fn directory(&self) -> Result<(usize, usize), FormatError> {
        let bytes = self.0;
        let from = bytes.len().saturating_sub(22 + 0xffff);
        let end = bytes[from..].windows(4).rposition(|w| w == b"PK\x05\x06").map(|i| from + i);
        let end = end.ok_or_else(|| damaged("zip archive", "cut short: it has no directory"))?;
        self.get(end, 22)?;
        let (mut count, mut start) = (self.u16(end + 10)?, self.u32(end + 16)?);
        if let Some(locator) = end.checked_sub(20)
            && self.get(locator, 4)? == b"PK\x06\x07"
        {
            let wide = self.number(locator + 8, 8)?;
            if self.get(wide, 4)? != b"PK\x06\x06" {
                return Err(damaged("zip archive", "its directory is broken"));
            }
            (count, start) = (self.number(wide + 32, 8)?, self.number(wide + 48, 8)?);
        }
        if count > MOST {
            return Err(damaged("zip archive", format!("{count} entries; at most {MOST} are read")));
        }
        Ok((count, start))
    }

    /// Takes the values that 32 bits can't hold from the extra field at `at`.
    fn wide(&self, at: usize, len: usize, values: &mut [usize]) -> Result<(), FormatError> {
        let mut next = at;
        while next + 4 <= at + len {
            let (id, size) = (self.u16(next)?, self.u16(next + 2)?);
            if id == 1 {
                let mut from = next + 4;
                for value in values.iter_mut().filter(|v| **v == 0xffff_ffff) {
                    *value = self.number(from, 8)?;
                    from += 8;
                }
            }
            next += 4 + size;
        }
        Ok(())
    }
}

/// An archive being written. Data starts at multiples of 64 bytes, as PyTorch lays it out for mapping into memory.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

impl Writer {
    /// # Errors
    /// If the archive outgrows 4 GiB.
    pub fn entry(&mut self, name: &str, data: &[u8]) -> Result<(), FormatError> {
        let too_large = |_| refused("zip archive", "a PyTorch file of over 4 GiB can't be written");
        let place = u32::try_from(self.bytes.len()).map_err(too_large)?;
        let size = u32::try_from(data.len()).map_err(too_large)?;
        let fill = 64 - (self.bytes.len() + 30 + name.len() + 4) % 64;
        let common = |extra: u16| {
            let mut header = Vec::new();
            header.extend([20, 0, 0, 8, 0, 0, 0, 0, 33, 0]); // version 2.0, UTF-8 names, stored, 1980-01-01
            header.extend(crc32fast::hash(data).to_le_bytes());
            header.extend(size.to_le_bytes());
            header.extend(size.to_le_bytes());
            header.extend((name.len() as u16).to_le_bytes());
            header.extend(extra.to_le_bytes());
            header
        };
        self.bytes.extend(b"PK\x03\x04");
        self.bytes.extend(common(fill as u16 + 4));
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(b"FB");
        self.bytes.extend((fill as u16).to_le_bytes());
        self.bytes.resize(self.bytes.len() + fill, b'Z');
        self.bytes.extend_from_slice(data);
        self.directory.extend(b"PK\x01\x02\x14\x00");
        self.directory.extend(common(0));
        self.directory.extend([0; 10]); // comment, disk, attributes
        self.directory.extend(place.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.count += 1;
        Ok(())
    }

    /// # Errors
    /// As [`Writer::entry`].
    pub fn finish(mut self) -> Result<Vec<u8>, FormatError> {
        let start = u32::try_from(self.bytes.len());
        let start = start.map_err(|_| refused("zip archive", "a PyTorch file of over 4 GiB can't be written"))?;
        let size = self.directory.len() as u32;
        self.bytes.append(&mut self.directory);
        self.bytes.extend(b"PK\x05\x06\0\0\0\0");
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(size.to_le_bytes());
        self.bytes.extend(start.to_le_bytes());
        self.bytes.extend([0, 0]);
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut zip = Writer::default();
        zip.entry("a/data.pkl", b"one").unwrap();
        zip.entry("a/data/0", &[7; 100]).unwrap();
        zip.finish().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = archive();
        let entries = read(&bytes).unwrap();
        assert_eq!((entries["a/data.pkl"], entries["a/data/0"]), (&b"one"[..], &[7; 100][..]));
        assert_eq!((entries["a/data/0"].as_ptr() as usize - bytes.as_ptr() as usize) % 64, 0);
    }

    #[test]
    fn damage_is_named() {
        let bytes = archive();
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err(), "{len}");
        }
        let mut wrong = bytes.clone();
        let at = wrong.iter().position(|b| *b == 7).unwrap();
        wrong[at + 99] = 8;
        assert!(read(&wrong).unwrap_err().to_string().contains("the checksum of 'a/data/0' is wrong"));
        // An entry that claims 4 GiB, and one that claims to be compressed 1000 to 1.
        let entry = bytes.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
        let mut claim = bytes.clone();
        claim[entry + 20..entry + 28].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff]);
        assert!(read(&claim).unwrap_err().to_string().contains("cut short: 4294967294 bytes"));
        let mut bomb = bytes;
        (bomb[entry + 10], bomb[entry + 26]) = (8, 1);
        assert!(read(&bomb).unwrap_err().to_string().contains("is compressed"));
    }
}
