//! Other people's weight files: bytes in, named tensors of our networks out, and back.
//!
//! [`read`] tells a file's format by its content and answers with a network and the card that says how to feed it;
//! [`write()`] goes the other way. Every reader treats its bytes as hostile: nothing in a file is executed, sizes are
//! checked against what is there before memory is reserved, and whatever doesn't fit is an error that names it.
//!
//! ```
//! let device = models::device::parse("flex")?;
//! let (network, card) = models::weights::load(models::weights::LENET5_MNIST, &device)?;
//! let bytes = formats::write(&network, &card, formats::Format::Onnx)?;
//! let import = formats::read(&bytes, None, &device)?;
//! assert_eq!(import.network.tensors(), network.tensors());
//! assert_eq!(import.card, card);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod arrays;
mod caffe;
mod card;
mod error;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod hostile;
mod onnx;
mod pickle;
mod protobuf;
mod pytorch;
mod safetensors;
mod steps;
mod zip;

pub use card::{class_names, untrained};
pub use error::FormatError;

use arrays::{Arrays, shapes, split};
use burn::tensor::{Device, TensorData};
use models::weights::{self, Card, Tensors};
use models::{Model, Network};

/// What a network can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Our own: safetensors with a card.
    Safetensors,
    /// What `torch.load` reads: a `state_dict` with a key for each of the network's layers, towers joined.
    Pytorch,
    /// A graph with a node for each layer, for any number of images at a time.
    Onnx,
}

/// What was in a file.
#[derive(Debug)]
pub struct Import {
    /// The network with the file's weights.
    pub network: Network,
    /// How to feed it and what its logits stand for: the file's own card, or what its kind of file is known for.
    pub card: Card,
    /// What the card can't say, in a sentence each.
    pub notes: Vec<String>,
}

/// A file's format, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Safetensors,
    Pytorch,
    Onnx,
    Caffe,
}

fn detect(bytes: &[u8]) -> Result<Kind, FormatError> {
    match bytes {
        [b'P', b'K', 3, 4, ..] => Ok(Kind::Pytorch),
        [_, _, _, _, _, _, _, _, b'{', ..] => Ok(Kind::Safetensors),
        [0x80, 2..=5, ..] => Err(FormatError::Legacy("a bare pickle")),
        _ if bytes.get(257..262) == Some(b"ustar") => Err(FormatError::Legacy("a tar archive")),
        _ if bytes.starts_with(b"version https://git-lfs") => Err(error::refused(
            "Git LFS",
            "this is a pointer, not the file it stands for. Download the file itself, or run `git lfs pull`.",
        )),
        // The first field of a ModelProto is a number, of a NetParameter a name or a layer.
        [0x08, 1..=0x7f, ..] => Ok(Kind::Onnx),
        [0x0a | 0x12, ..] | [0xa2, 0x06, ..] => Ok(Kind::Caffe),
        _ => {
            let start: Vec<_> = bytes.iter().take(4).map(|b| format!("{b:02x}")).collect();
            Err(FormatError::Unknown { start: start.join(" ") })
        }
    }
}

/// The network in a file of any of the formats, told by its content, on `device`: safetensors (ours, or with PyTorch's
/// names), a `.pth` of PyTorch 1.6 or later, ONNX, a caffemodel.
///
/// `model` is the network's name as the zoo has it. It may be left out for files that we wrote, which hold a card. A file
/// without one takes its number of classes from its last layer.
///
/// # Errors
/// If the format is none of these, the file is damaged, holds what isn't carried out, or is not of the network `model`:
/// says which part, what was there and what should have been. Names no file.
pub fn read(bytes: &[u8], model: Option<&str>, device: &Device) -> Result<Import, FormatError> {
    let kind = detect(bytes)?;
    if kind == Kind::Safetensors && safetensors::has_card(bytes) {
        let (network, card) = weights::load(bytes, device)?;
        card::check_name(&card, model)?;
        return Ok(Import { network, card, notes: Vec::new() });
    }
    let graph = if kind == Kind::Onnx { Some(onnx::read(bytes)?) } else { None };
    let (arrays, card) = match kind {
        Kind::Pytorch => pytorch::read(bytes)?,
        Kind::Safetensors => (safetensors::read(bytes)?, None),
        Kind::Onnx | Kind::Caffe => (Arrays::new(), graph.as_ref().map_or(Ok(None), |g| g.card())?),
    };
    let mut chosen = match (&card, model) {
        (Some(card), _) => {
            card::check_name(card, model)?;
            card.model.clone()
        }
        (None, Some(name)) => Model::named(name)?,
        (None, None) => return Err(FormatError::NoModel),
    };
    let mut network = chosen.build(0, device)?;
    let mut arrays = match (kind, &graph) {
        (_, Some(graph)) => graph.arrays(&network)?,
        (Kind::Caffe, _) => caffe::read(bytes, &network)?,
        _ => pytorch::own_names(&chosen.name, arrays),
    };
    if let Some(card) = card {
        card::check(&card, &network)?;
        let network = split(network, arrays)?.with_input(card.input.clone());
        return Ok(Import { network, card, notes: Vec::new() });
    }
    if let Some(classes) = classes(&network, &arrays)
        && classes != chosen.classes
    {
        chosen.classes = classes;
        network = chosen.build(0, device)?;
    }
    let (card, notes) = card::of_foreign(kind, &network, graph.and_then(|g| g.image_size()));
    if card::is_bgr(kind, &network)
        && let Some(first) = network.layers().next().and_then(|(name, _)| arrays.get_mut(&format!("{name}.weight")))
    {
        first.reverse_channels();
    }
    Ok(Import { network: split(network, arrays)?.with_input(card.input.clone()), card, notes })
}

/// How many classes the last layer's array tells apart.
fn classes(network: &Network, arrays: &Arrays) -> Option<usize> {
    let (last, own) = shapes(network).pop()?;
    // A network whose last layer doesn't depend on the number of classes keeps its own.
    (own[0] == network.classes()).then_some(())?;
    arrays.get(&last)?.shape.first().copied()
}

/// The tensors of a safetensors file by name.
///
/// # Errors
/// If the bytes are not a whole safetensors file of f32 tensors.
pub fn read_tensors(bytes: &[u8]) -> Result<Tensors, FormatError> {
    let arrays = safetensors::read(bytes)?;
    Ok(arrays.into_iter().map(|(name, array)| (name, TensorData::new(array.values, array.shape))).collect())
}

/// `network` and `card` as the bytes of a file.
///
/// # Errors
/// If the card can't be written down, or the file outgrows what its format can hold.
pub fn write(network: &Network, card: &Card, format: Format) -> Result<Vec<u8>, FormatError> {
    match format {
        Format::Safetensors => Ok(weights::save(network, card)?),
        Format::Pytorch => pytorch::write(network, card),
        Format::Onnx => onnx::write(network, card),
    }
}
