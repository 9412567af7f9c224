//! `infer visualize filters`.

use super::inside::{Inside, shades, values};
use super::{Common, Shown};
use anyhow::{Context, Result};
use infer::picture::{Block, Picture, Sheet, Tile, grey};
use serde_json::json;

/// Arguments of `infer visualize filters`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
}

impl Arguments {
    pub fn run(&self, inside: &Inside) -> Result<Shown> {
        show(inside)
    }
}

/// Each filter in colour where it has three channels, else in grey; each on a scale of its own, zero where it falls.
pub fn show(inside: &Inside) -> Result<Shown> {
    let filters = visualize::filters(&inside.network).context("the first layer has no filters")?;
    let [maps, channels, k, _] = filters.dims();
    let all = values(filters);
    let size = channels * k * k;
    let common = inside.looks.common_scale.then(|| inside.range(&all));
    let tiles = all.chunks_exact(size).enumerate().map(|(map, filter)| {
        let range = common.unwrap_or_else(|| inside.range(filter));
        let picture = if channels == 3 {
            let level = |c: usize, i: usize| grey((filter[c * k * k + i] - range.0) / (range.1 - range.0))[0];
            Picture::from_colours(k, k, (0..k * k).map(|i| std::array::from_fn(|c| level(c, i))))
        } else {
            shades(&filter[..k * k], k, range)
        };
        Tile::new(picture.fit(inside.side()), map.to_string())
    });
    let name = inside.network.layers().next().map_or("", |(name, _)| name);
    let mut sheet = Sheet::new(
        format!("{}: filters of {name}", inside.name()),
        format!("{maps} filters of {k}x{k} over {channels} channel{}", if channels == 1 { "" } else { "s" }),
    );
    sheet.row(vec![Block::new("", if maps > 32 { 16 } else { 8 }, tiles.collect())]);
    let numbers = json!({
        "model": inside.name(), "layer": name, "shape": [maps, channels, k, k],
        "filters": all.chunks_exact(size).collect::<Vec<_>>(),
    });
    Ok(Shown { picture: sheet.draw()?, numbers })
}
