//! One file for each command, and what they share: which network, with which weights, where.

pub mod classify;
pub mod convert;
pub mod devices;
pub mod eval;
pub mod export;
pub mod fetch;
pub mod list;
pub mod logits;
pub mod profile;
pub mod selfcheck;
pub mod serve;
pub mod summary;
pub mod visualize;

use anyhow::{Context, Result, bail};
use infer::{Placement, PlacementArguments};
use models::weights::{self, Card};
use models::{Model, Network, zoo};
use std::path::PathBuf;

/// The network to use.
#[derive(clap::Args)]
pub struct Choice {
    /// Network, as `infer list` names it [default: what the weights are for]
    #[arg(long)]
    model: Option<String>,
    /// Weights to load: ours, or those that `convert` reads [default: those that ship with the program]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    #[command(flatten)]
    placement: PlacementArguments,
}

impl Choice {
    /// As [`Choice::load`]; where neither `--weights` is given nor any ship, weights that nobody has trained.
    pub fn load_or_draw(&self) -> Result<(Network, Card, Placement)> {
        match self.model.as_deref().map(zoo::find).transpose()? {
            Some(variant) if self.weights.is_none() && weights::shipped(variant.name).is_none() => {
                let placement = self.placement.place_once()?;
                let network = placed(&placement, Model::named(variant.name)?.build(0, placement.first())?)?;
                eprintln!("no --weights: {} gets weights drawn from seed 0, untrained", variant.name);
                let card = formats::untrained(&network);
                Ok((network, card, placement))
            }
            _ => self.load(),
        }
    }

    /// The network with its weights, where it is to compute, their card, and that place.
    pub fn load(&self) -> Result<(Network, Card, Placement)> {
        let placement = self.placement.place_once()?;
        let wanted = self.model.as_deref().map(zoo::find).transpose()?;
        let (bytes, from) = match &self.weights {
            Some(path) => {
                let bytes = std::fs::read(path).with_context(|| format!("{}: can't be read", path.display()))?;
                (bytes.into(), path.display().to_string())
            }
            None => {
                let name = wanted.map_or("lenet5", |v| v.name);
                let Some(bytes) = weights::shipped(name) else {
                    bail!(
                        "no weights for {name} ship with this program: give --weights FILE. \
                         `cargo run -p train -- --set model.name={name}` trains some"
                    )
                };
                (std::borrow::Cow::Borrowed(bytes), String::from("the weights that ship"))
            }
        };
        let import = formats::read(&bytes, self.model.as_deref(), placement.first()).with_context(|| from)?;
        for note in import.notes {
            eprintln!("{note}");
        }
        Ok((placed(&placement, import.network)?, import.card, placement))
    }
}

/// `network` where `placement` says, and a line on what crosses there.
fn placed(placement: &Placement, network: Network) -> Result<Network> {
    let network = placement.place(network)?;
    if let Some(crossings) = placement.crossings_in_words(&network) {
        eprintln!("{crossings}");
    }
    Ok(network)
}
