//! The operators on plain slices of f32, for a CPU: no tensors, no allocation in a steady loop.
//!
//! Vector code is written once, over [`pulp::Simd`], and runs as AVX-512, AVX2, NEON or portable code ([`Isa`]).
//! Results don't depend on the number of threads: work is split where no sum crosses the cut.

pub mod conv;
pub(crate) mod dropout;
pub mod isa;
pub mod linear;
pub mod loss;
pub mod lrn;
pub mod map;
mod narrow;
pub mod par;
mod planes;
pub mod pool;
pub mod sgd;
pub mod subsample;
mod tile;
mod turn;
pub(crate) mod vector;
mod windows;
mod winograd;

pub use isa::Isa;
