//! `infer convert`.

use anyhow::{Context, Result};
use infer::thousands;
use std::path::PathBuf;

/// Arguments of `infer convert`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Weights: .pth of PyTorch, safetensors, ONNX or .caffemodel, told by content
    file: PathBuf,
    /// Network that they are for, as `infer list` names it [default: what the file says, if we wrote it]
    #[arg(long)]
    model: Option<String>,
    /// Where to write ours (safetensors)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let file = arguments.file.display().to_string();
    let bytes = std::fs::read(&arguments.file).with_context(|| format!("{file}: can't be read"))?;
    let device = models::device::parse("flex")?;
    let import = formats::read(&bytes, arguments.model.as_deref(), &device).with_context(|| file.clone())?;
    drop(bytes);
    let out = formats::write(&import.network, &import.card, formats::Format::Safetensors)?;
    data::whole(&arguments.out, &out).with_context(|| format!("{}: can't be written", arguments.out.display()))?;
    let parameters = thousands(import.network.parameters());
    println!("{}: {} ({parameters} parameters) from {file}", arguments.out.display(), import.card.model.name);
    for note in import.notes {
        println!("  {note}");
    }
    Ok(())
}
