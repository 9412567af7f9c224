//! Recipes and the training loop for the networks of [`models`].

mod checkpoint;
pub mod cli;
mod gradients;
mod loss;
mod plot;
mod recipe;
mod report;
mod run_dir;
mod sgd;
#[cfg(test)]
mod towers;
mod trainer;

pub use gradients::{Gradient, gradient};
pub use recipe::{Loss, Recipe};
pub use sgd::Sgd;
pub use trainer::train;
