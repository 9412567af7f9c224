//! A data set of a few kilobytes, and the program `train` on it.

#![allow(clippy::unwrap_used, dead_code)] // helpers of tests; not every test needs all

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// 10 classes of 28x28 images, each a bar at its own place: IDX files as MNIST's, with so many to train and to test.
pub fn bars(dir: &Path, [train, test]: [u32; 2]) {
    fs::create_dir(dir).unwrap();
    let idx = |magic: u32, sizes: &[u32], body: Vec<u8>| -> Vec<u8> {
        let header = std::iter::once(magic).chain(sizes.iter().copied()).flat_map(u32::to_be_bytes);
        header.chain(body).collect()
    };
    for (name, n) in [("train", train), ("t10k", test)] {
        let label = |i: u32| (i % 10) as u8;
        let pixel = |i: u32, at: u32| {
            let (row, column) = (at / 28, at % 28);
            let place = 4 + 2 * (i % 10);
            let noise = (i * 31 + at * 17) % 40;
            if column.abs_diff(place) < 2 && (4..24).contains(&row) { 215 + noise as u8 } else { noise as u8 }
        };
        let pixels = (0..n).flat_map(|i| (0..784).map(move |at| pixel(i, at))).collect();
        fs::write(dir.join(format!("{name}-images-idx3-ubyte")), idx(2051, &[n, 28, 28], pixels)).unwrap();
        fs::write(dir.join(format!("{name}-labels-idx1-ubyte")), idx(2049, &[n], (0..n).map(label).collect())).unwrap();
    }
}

pub struct Bench {
    pub dir: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        bars(&dir.path().join("bars"), [400, 50]);
        Self { dir }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
        command.current_dir(self.dir.path()).args(arguments);
        command
    }

    /// Three epochs of 13 steps each, unless `more` says otherwise.
    pub fn smoke(&self, out: &str, more: &[&str]) -> Command {
        let mut command = self.command(&["--data-dir", "bars", "--out", out, "--set", "data.validation=80"]);
        command.args(["--set", "data.batch_size=25", "--epochs", "3", "--set", "schedule.warmup=0"]).args(more);
        command
    }

    /// A file of the folder of images `photos`: 5 photos each to train on classes a and b, 2 each to test on.
    pub fn photo(&self, file: &str) -> PathBuf {
        self.dir.path().join("photos").join(file)
    }

    /// Writes these photos.
    pub fn photos(&self) {
        for (class, n) in [("train/a", 5), ("train/b", 5), ("val/a", 2), ("val/b", 2)] {
            fs::create_dir_all(self.photo(class)).unwrap();
            for i in 1..=n {
                let photo = image::GrayImage::from_pixel(28, 28, image::Luma([40 * i]));
                photo.save(self.photo(&format!("{class}/{i}.png"))).unwrap();
            }
        }
    }

    /// Writes them, one of the images to train on and one of those to test on torn.
    pub fn torn_photos(&self) {
        self.photos();
        ["train/a/3.png", "val/b/1.png"].into_iter().for_each(|file| self.tear(file));
    }

    pub fn tear(&self, file: &str) {
        fs::write(self.photo(file), "torn").unwrap();
    }

    /// The run's checkpoints, the oldest first.
    pub fn checkpoints(&self, run: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(self.dir.path().join(run)).into_iter().flatten().map(|e| e.unwrap().path());
        let mut files: Vec<_> =
            files.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with("checkpoint-")).collect();
        files.sort();
        files
    }

    pub fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
    }
}

pub fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

impl Bench {
    /// The distance of two runs' last weights, as a share of their length, of the weight where it is greatest.
    pub fn apart(&self, run: &str, other: &str) -> f64 {
        let device = models::device::parse("flex").unwrap();
        let [a, b] = [run, other].map(|run| {
            models::weights::load(&self.read(&format!("{run}/last.safetensors")), &device).unwrap().0.tensors()
        });
        let apart = a.iter().map(|(name, a)| {
            let square = |(a, b): (f32, f32)| [f64::from(a - b).powi(2), f64::from(b).powi(2)];
            let sum = |[a, b]: [f64; 2], [c, d]: [f64; 2]| [a + c, b + d];
            let [apart, length] = a.iter().zip(b[name].iter()).map(square).fold([0.0; 2], sum);
            (apart / length.max(1e-30)).sqrt()
        });
        apart.fold(0.0, f64::max)
    }
}
