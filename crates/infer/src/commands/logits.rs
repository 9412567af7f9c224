//! `infer logits`: raw numbers in, raw numbers out, for comparing with other frameworks.

use super::Choice;
use anyhow::{Context, Result, ensure};
use burn::tensor::Tensor;
use infer::thousands;
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `infer logits`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// Safetensors file with one f32 tensor `images`, [N, C, H, W], prepared as the network wants it
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
}

/// Runs it: a JSON array of the logits for each image, a line each.
pub fn run(arguments: &Arguments) -> Result<()> {
    let (network, _, placement) = arguments.choice.load()?;
    eprintln!("{} ({} parameters)", network.model().name, thousands(network.parameters()));
    let file = arguments.input.display();
    let bytes = std::fs::read(&arguments.input).with_context(|| format!("{file}: can't be read"))?;
    let mut tensors = formats::read_tensors(&bytes).with_context(|| file.to_string())?;
    let images = tensors.remove("images").with_context(|| format!("{file}: has no tensor 'images'"))?;
    ensure!(images.rank() == 4, "{file}: 'images' is {:?}, expected [N, C, H, W]", images.shape().to_vec());
    let logits = network.forward(Tensor::<4>::from_data(images, placement.first()))?.into_data();
    let mut out = std::io::stdout().lock();
    for row in logits.iter::<f32>().collect::<Vec<_>>().chunks(network.classes()) {
        writeln!(out, "{}", serde_json::to_string(row)?)?;
    }
    Ok(())
}
