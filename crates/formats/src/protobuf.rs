//! The wire format of Protocol Buffers, as much of it as ONNX and Caffe files need.
//!
//! Nothing is copied while reading, and nothing recurses: a message is a slice, its fields an iterator, and how deep to
//! look is up to the code that knows the message.

use crate::FormatError;
use crate::error::damaged;

/// Most entries of any repeated message that a reader keeps: a bound on what a small file can make it allocate.
pub(crate) const MOST: usize = 10_000;

/// A field's value as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

impl<'a> Value<'a> {
    /// A string, a submessage or packed numbers.
    pub fn bytes(self) -> Result<&'a [u8], FormatError> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(mistyped("bytes", self)) }
    }

    pub fn text(self) -> Result<&'a str, FormatError> {
        core::str::from_utf8(self.bytes()?).map_err(|_| damaged("protobuf", "a name is not UTF-8"))
    }

    pub fn int(self) -> Result<i64, FormatError> {
        if let Self::Varint(v) = self { Ok(v as i64) } else { Err(mistyped("a whole number", self)) }
    }

    pub fn float(self) -> Result<f32, FormatError> {
        if let Self::Fixed32(b) = self { Ok(f32::from_le_bytes(b)) } else { Err(mistyped("a float", self)) }
    }

    /// Repeated whole numbers, packed or one at a time, appended to `list`; at most [`MOST`].
    pub fn ints(self, list: &mut Vec<i64>) -> Result<(), FormatError> {
        match self {
            Self::Bytes(mut packed) => {
                while !packed.is_empty() {
                    let v = varint(&mut packed)? as i64;
                    push(list, v)?;
                }
                Ok(())
            }
            other => push(list, other.int()?),
        }
    }

    /// Repeated floats, packed or one at a time, appended to `list`: no more than the file has bytes for.
    pub fn floats(self, list: &mut Vec<f32>) -> Result<(), FormatError> {
        match self {
            Self::Bytes(packed) if packed.len() % 4 == 0 => {
                list.extend(floats(packed));
                Ok(())
            }
            Self::Bytes(packed) => Err(damaged("protobuf", format!("{} bytes of packed floats", packed.len()))),
            other => {
                list.push(other.float()?);
                Ok(())
            }
        }
    }
}

/// Little-endian floats.
pub(crate) fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// One more entry, unless there are [`MOST`] already.
pub(crate) fn push<T>(list: &mut Vec<T>, entry: T) -> Result<(), FormatError> {
    if list.len() == MOST {
        return Err(damaged("protobuf", format!("over {MOST} entries in a list")));
    }
    list.push(entry);
    Ok(())
}

fn mistyped(expected: &str, got: Value<'_>) -> FormatError {
    let got = match got {
        Value::Varint(_) => "a varint",
        Value::Fixed64(_) => "64 bits",
        Value::Bytes(_) => "bytes",
        Value::Fixed32(_) => "32 bits",
    };
    damaged("protobuf", format!("a field holds {got}, expected {expected}"))
}

/// The fields of a message in order: number and value.
pub(crate) struct Fields<'a>(pub &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u32, Value<'a>), FormatError> {
        let key = varint(&mut self.0)?;
        let number = u32::try_from(key >> 3).ok().filter(|&n| n > 0 && n < 1 << 29);
        let number = number.ok_or_else(|| damaged("protobuf", format!("a field is numbered {}", key >> 3)))?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut self.0)?),
            1 => Value::Fixed64(self.array()?),
            2 => {
                let len = varint(&mut self.0)?;
                Value::Bytes(take(&mut self.0, len)?)
            }
            5 => Value::Fixed32(self.array()?),
            other => return Err(damaged("protobuf", format!("field {number} is of wire type {other}"))),
        };
        Ok((number, value))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let bytes = take(&mut self.0, N as u64)?;
        Ok(std::array::from_fn(|i| bytes[i]))
    }
}

fn take<'a>(from: &mut &'a [u8], len: u64) -> Result<&'a [u8], FormatError> {
    let cut = usize::try_from(len).ok().and_then(|len| from.split_at_checked(len));
    let Some((taken, rest)) = cut else {
        return Err(damaged("protobuf", format!("cut short: {len} bytes announced, {} are there", from.len())));
    };
    *from = rest;
    Ok(taken)
}

fn varint(from: &mut &[u8]) -> Result<u64, FormatError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(from, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(damaged("protobuf", "a number of over 64 bits"))
}

/// A message being written.
#[derive(Debug, Default)]
pub(crate) struct Message(pub Vec<u8>);

impl Message {
    pub fn int(self, field: u32, value: i64) -> Self {
        self.varint(u64::from(field) << 3).varint(value as u64)
    }

    pub fn float(mut self, field: u32, value: f32) -> Self {
        self = self.varint(u64::from(field) << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self = self.varint(u64::from(field) << 3 | 2).varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub fn text(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub fn message(self, field: u32, value: Self) -> Self {
        self.bytes(field, &value.0)
    }

    fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let message = Message::default().int(1, -3).float(2, 1.5).text(100, "conv1");
        let fields: Vec<_> = Fields(&message.0).collect::<Result<_, _>>().unwrap();
        assert_eq!(fields[0], (1, Value::Varint(-3i64 as u64)));
        assert_eq!(fields[1].1.float().unwrap(), 1.5);
        assert_eq!((fields[2].0, fields[2].1.text().unwrap()), (100, "conv1"));
    }

    #[test]
    fn numbers_come_packed_or_one_at_a_time() {
        let mut list = Vec::new();
        Value::Bytes(&[1, 0x96, 1]).ints(&mut list).unwrap();
        Value::Varint(7).ints(&mut list).unwrap();
        assert_eq!(list, [1, 150, 7]);
    }

    #[test]
    fn damage_is_an_error() {
        for bytes in [&[0x0a, 5, 1][..], &[0xff; 11], &[0x0b], &[0x00], &[0x0d, 1]] {
            assert!(Fields(bytes).any(|f| f.is_err()), "{bytes:?}");
        }
        assert!(Value::Bytes(&vec![1; MOST + 1]).ints(&mut Vec::new()).is_err());
    }
}
