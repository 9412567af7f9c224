//! Weights to begin with: another run's, or a file from elsewhere.

use crate::report::Report;
use anyhow::{Context, Result, bail};
use models::Network;
use std::fs;
use std::path::Path;

/// `network` with the weights in `file`. A last layer for another number of classes keeps those that it has.
///
/// # Errors
/// If the file can't be read, or isn't this network's: as [`formats::read`].
pub(crate) fn begin_with(network: Network, file: &Path, report: &Report) -> Result<Network> {
    let from = || format!("--weights {}", file.display());
    let bytes = fs::read(file).with_context(from)?;
    let plain = models::device::parse("flex")?;
    let import = formats::read(&bytes, Some(&network.model().name), &plain).with_context(from)?;
    if import.network.input().shape() != network.input().shape() {
        let [theirs, ours] = [&import.network, &network].map(|n| n.input().shape());
        bail!("{}: takes images of {theirs:?}, this training's network of {ours:?}", from());
    }
    let mut tensors = import.network.tensors();
    let kept = (import.network.classes() != network.classes()).then(|| last_layer(&network));
    if let Some(last) = &kept {
        let own = network.tensors().into_iter().filter(|(name, _)| layer(name) == last);
        tensors.extend(own);
        let [theirs, ours] = [import.network.classes(), network.classes()];
        report.say(&format!("{last} begins anew: {theirs} classes in {}, {ours} here", file.display()));
    }
    if import.card.input != *network.input() {
        report.warn(&format!(
            "{}: its network was fed images prepared otherwise than this recipe prepares them, and has to get used to it",
            file.display()
        ));
    }
    network.with_tensors(&tensors).with_context(from)
}

/// The layer of a weight: the first part of its name.
fn layer(weight: &str) -> &str {
    weight.split('.').next().unwrap_or(weight)
}

fn last_layer(network: &Network) -> String {
    let names = network.param_shapes();
    names.last().map_or_else(String::new, |(name, _)| layer(name).into())
}
