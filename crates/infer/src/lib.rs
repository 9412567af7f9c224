//! Classify, evaluate and summarise with the networks of [`models`]: what the binaries `infer` and `train` share.

mod evaluate;
pub mod exit;
mod fetch;
mod http;
mod peak;
mod placement;
mod table;

pub use evaluate::{Confusion, best, evaluate, to_tensor};
pub use fetch::{Weights, fetch, known};
pub use peak::Peak;
pub use placement::{Placement, PlacementArguments};
pub use table::{Table, thousands};
