//! Recipes and the training loop for the networks of [`models`].

mod checkpoint;
pub mod cli;
mod compare;
mod dashboard;
mod events;
mod fetch;
mod gradients;
mod initial;
mod limits;
mod loss;
mod outcome;
mod pack;
mod plot;
mod recipe;
mod replicas;
mod report;
mod ring;
mod run_dir;
#[cfg(test)]
mod sample;
mod schedule;
mod sgd;
mod start;
#[cfg(test)]
mod towers;
mod trainer;
mod worker;

pub use compare::compare;
pub use dashboard::dashboard_is_open;
pub use fetch::fetch;
pub use gradients::{Gradient, gradient};
pub use pack::pack;
pub use recipe::{Loss, Recipe};
pub use schedule::Schedule;
pub use sgd::Sgd;
pub use start::train;
pub use worker::worker;
