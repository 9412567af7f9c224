//! TensorBoard's event files: TFRecords that each hold one `tensorflow.Event`, of whose fields few are needed
//! (tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto, tensorflow/core/lib/io/record_writer.h).
//!
//! No crate: tensorboard-rs and tboard haven't been kept up since 2021 and 2023, and bring an old `image` and `protobuf`, or
//! want protoc to build.

use crate::checkpoint::Epoch;
use crate::run_dir::RunDir;
use anyhow::{Context, Result};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// TensorBoard looks for names with `tfevents` in them.
pub(crate) const FILE: &str = "metrics.tfevents";

/// A run's event file, a few scalars for each epoch.
pub(crate) struct Events {
    path: PathBuf,
    /// When the run would have begun, had it never stopped, in seconds since 1970.
    began: f64,
}

impl Events {
    /// Writes the file anew with what is known of a run that has taken so many seconds. TensorBoard keeps a file open: from
    /// here on it grows.
    pub fn begin(run: &RunDir, history: &[Epoch], seconds: f64) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        let began = now - seconds;
        let mut bytes = record(&event(began, 0, &text(3, b"brain.Event:2")));
        history.iter().for_each(|e| bytes.extend(scalars(began, e)));
        run.write(FILE, &bytes)?;
        Ok(Self { path: run.file(FILE), began })
    }

    /// Adds an epoch.
    pub fn add(&self, epoch: &Epoch) -> Result<()> {
        let write = || OpenOptions::new().append(true).open(&self.path)?.write_all(&scalars(self.began, epoch));
        write().with_context(|| format!("{}: can't be written", self.path.display()))
    }
}

fn scalars(began: f64, e: &Epoch) -> Vec<u8> {
    let known = [("loss", Some(e.loss)), ("validation_error", e.validation_error), ("rate", Some(e.rate))];
    let known = known.into_iter().chain([("images_per_second", Some(e.images_per_second))]);
    let value = |(tag, value): (&str, f64)| {
        let simple = [&[tagged(2, 5)][..], &(value as f32).to_le_bytes()].concat();
        text(1, &[text(1, tag.as_bytes()), simple].concat())
    };
    let summary: Vec<u8> = known.filter_map(|(tag, v)| Some((tag, v?))).flat_map(value).collect();
    record(&event(began + e.seconds, e.epoch, &text(5, &summary)))
}

/// `Event`: wall time, step, and what happened.
fn event(time: f64, step: u64, what: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tagged(1, 1)];
    bytes.extend(time.to_le_bytes());
    bytes.push(tagged(2, 0));
    bytes.extend(varint(step));
    bytes.extend(what);
    bytes
}

/// A field's number and its wire type: 0 varint, 1 eight bytes, 2 with a length before it, 5 four bytes.
fn tagged(field: u8, wire: u8) -> u8 {
    field << 3 | wire
}

fn text(field: u8, bytes: &[u8]) -> Vec<u8> {
    [&[tagged(field, 2)], &varint(bytes.len() as u64)[..], bytes].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Length, its checksum, data, its checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length, &masked(&length).to_le_bytes()[..], data, &masked(data).to_le_bytes()].concat()
}

/// CRC-32C, turned and moved as TFRecords have it, so that a checksum of data with checksums in it is a good one.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Castagnoli's polynomial, bit by bit: a few hundred bytes an epoch.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_castagnoli_s() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283); // the catalogue's check value
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa); // RFC 3720, B.4
    }

    #[test]
    fn an_event_is_what_tensorboard_writes() {
        // tensorboard 2.21: EventFileWriter's record of Event(wall_time=2.0, step=300, file_version="brain.Event:2").
        let expected = "1b000000000000001a0d9e1309000000000000004010ac021a0d627261696e2e4576656e743a327c62c8e9";
        let record = record(&event(2.0, 300, &text(3, b"brain.Event:2")));
        let hex: String = record.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, expected);
    }
}
