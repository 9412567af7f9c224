//! ONNX: graphs of our networks out, graphs of known shape in.

mod attributes;
mod export;
mod import;
mod proto;

pub(crate) use export::write;
pub(crate) use import::read;

/// The key of our card among a model's properties.
const CARD: &str = "card";
