//! What a machine can do at most: the measure that times are held against.

use anyhow::Result;
use burn::tensor::{Device, Distribution, Tensor};
use serde::Serialize;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

/// Rows and columns of the matrices.
const SIDE: usize = 2048;
/// Numbers that are read: 256 MB, more than caches hold.
const NUMBERS: usize = 1 << 26;

/// A machine at its best, in f32.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Peak {
    /// Billions of additions and multiplications a second, in a product of two 2048x2048 matrices.
    pub gflops: f64,
    /// Billions of bytes a second that all threads together read from memory.
    pub read_gb_s: f64,
}

impl Peak {
    /// The fastest of several tries: on `device` for the products, by `threads` threads of this machine for the reading.
    ///
    /// # Errors
    /// If the device fails.
    pub fn measure(device: &Device, threads: usize) -> Result<Self> {
        let a = Tensor::<2>::random([SIDE, SIDE], Distribution::Uniform(-1.0, 1.0), device);
        let product = fastest(|| {
            black_box(a.clone().matmul(a.clone()));
            device.sync()
        })?;
        let numbers = vec![1f32; NUMBERS];
        let reading = fastest(|| {
            thread::scope(|scope| {
                for part in numbers.chunks(NUMBERS.div_ceil(threads.max(1))) {
                    scope.spawn(|| black_box(sum(part)));
                }
            });
            anyhow::Ok(())
        })?;
        Ok(Self {
            gflops: 2.0 * (SIDE as f64).powi(3) / product / 1e9,
            read_gb_s: (NUMBERS * size_of::<f32>()) as f64 / reading / 1e9,
        })
    }
}

/// Seconds of the fastest call: three at least, and as many as fit into half a second.
fn fastest<E>(mut call: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let begin = Instant::now();
    let (mut best, mut calls) = (f64::INFINITY, 0);
    while calls < 3 || begin.elapsed() < Duration::from_millis(500) {
        let start = Instant::now();
        call()?;
        best = best.min(start.elapsed().as_secs_f64());
        calls += 1;
    }
    Ok(best)
}

/// Many sums side by side: one alone would wait for each addition, not for memory.
fn sum(numbers: &[f32]) -> f32 {
    let mut sums = [0f32; 64];
    for chunk in numbers.chunks_exact(64) {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x;
        }
    }
    sums.iter().sum()
}
