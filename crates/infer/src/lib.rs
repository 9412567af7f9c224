//! Classify, evaluate, look inside and summarise with the networks of [`models`]: what the binaries `infer` and `train` share.

mod bad_image;
mod evaluate;
pub mod exit;
mod fetch;
mod http;
pub mod memory;
mod peak;
pub mod picture;
mod placement;
pub mod selfcheck;
mod table;

pub use bad_image::OnBadImage;
pub use evaluate::{Confusion, evaluate, evaluate_batches, to_tensor};
pub use fetch::{Download, fetch, fetch_showing, known};
pub use peak::Peak;
pub use placement::{DeviceArgument, Placement, PlacementArguments};
pub use table::{Table, thousands};
pub use visualize::best;
