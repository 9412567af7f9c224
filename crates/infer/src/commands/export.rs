//! `infer export`.

use super::Choice;
use anyhow::{Context, Result};
use infer::thousands;
use std::path::PathBuf;

/// Arguments of `infer export`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// What to write
    #[arg(long)]
    to: Format,
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// A weight file of ours
    Safetensors,
    /// A state_dict that torch.load reads
    Pytorch,
    /// An ONNX model
    Onnx,
}

impl From<Format> for formats::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Safetensors => Self::Safetensors,
            Format::Pytorch => Self::Pytorch,
            Format::Onnx => Self::Onnx,
        }
    }
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let (network, card, _) = arguments.choice.load_or_draw()?;
    let bytes = formats::write(&network, &card, arguments.to.into())?;
    data::whole(&arguments.out, &bytes).with_context(|| format!("{}: can't be written", arguments.out.display()))?;
    let (parameters, size) = (thousands(network.parameters()), thousands(bytes.len()));
    println!("{}: {} ({parameters} parameters), {size} bytes", arguments.out.display(), card.model.name);
    Ok(())
}
