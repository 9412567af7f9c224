//! `infer visualize top`.

use super::inside::{Inside, Maps, Set, corners, number, values};
use super::{Common, Shown};
use anyhow::Result;
use burn::tensor::Tensor;
use data::Samples;
use infer::picture::{Block, Picture, Sheet, Tile};
use models::{Method, Row};
use serde_json::json;
use visualize::{Hit, Part, Top, project, receptive_field};

/// Arguments of `infer visualize top`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    set: Set,
    #[command(flatten)]
    maps: Maps,
    /// Activations of each map
    #[arg(long, value_name = "K", default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=100))]
    top: u16,
    /// The way back: deconvnet, deconvnet-overwrite, guided or gradient
    #[arg(long, default_value = "deconvnet")]
    method: Method,
}

impl Arguments {
    pub fn run(&self, inside: &Inside) -> Result<Shown> {
        show(inside, &self.set, &self.maps, self.top.into(), self.method)
    }
}

/// For each map a block of projections beside a block of the patches that made them.
pub fn show(inside: &Inside, set: &Set, maps: &Maps, count: usize, method: Method) -> Result<Shown> {
    let row = inside.layer(maps.layer.as_deref())?;
    let chosen = inside.maps(maps, &row)?;
    let images = inside.images(set)?;
    let top = strongest(inside, &images, &row, chosen, count)?;
    let columns = (count as f64).sqrt().ceil() as usize;
    let side = (inside.side() * 2 / 3).max(16);
    let mut pairs = Vec::new();
    let mut numbers = Vec::new();
    for (map, hits) in top.hits() {
        let (projections, patches) = patches(inside, &images, &row, hits, method)?;
        let tile = |picture: Picture| Tile::new(picture.fit(side), "");
        let strongest = hits.first().map_or(0.0, |hit| hit.activation);
        let mut back = Block::new(
            format!("map {map}: {}", number(strongest)),
            columns,
            projections.into_iter().map(tile).collect(),
        );
        let mut seen = Block::new(" ", columns, patches.into_iter().map(tile).collect());
        (back.gap, seen.gap) = (2, 2);
        pairs.push([back, seen]);
        numbers.push(json!({ "map": map, "hits": hits }));
    }
    let [_, h, w] = row.spec.output;
    let field = receptive_field(&inside.network, &row.name, h / 2, w / 2)?;
    let mut sheet = Sheet::new(
        format!("{}: strongest activations of {}", inside.name(), row.name),
        format!(
            "the {count} strongest of each map among {} images, sent back by {method} (left), and the {}x{} pixels that \
             the unit sees (right)",
            images.len(),
            field.height,
            field.width
        ),
    );
    let across = if pairs.len() > 4 { 4 } else { 2 };
    let mut pairs = pairs.into_iter().peekable();
    while pairs.peek().is_some() {
        sheet.row(pairs.by_ref().take(across).flatten().collect());
    }
    let numbers = json!({
        "model": inside.name(), "layer": row.name, "images": images.len(), "method": method.to_string(), "maps": numbers,
    });
    Ok(Shown { picture: sheet.draw()?, numbers })
}

/// The strongest activations of each of `maps` over `images`.
pub fn strongest(inside: &Inside, images: &Samples, row: &Row, maps: Vec<usize>, count: usize) -> Result<Top> {
    let mut top = Top::new(maps, count);
    inside.each_batch(images, &format!("looking through {}", row.name), |batch, _| {
        let (_, trace) = inside.network.forward_traced(batch)?;
        top.see(trace.output(&row.name).expect("the layer was found"));
        Ok(())
    })?;
    Ok(top)
}

/// Each hit's projection, and the image where the unit sees it, both cut to the unit's receptive field.
pub fn patches(
    inside: &Inside,
    images: &Samples,
    row: &Row,
    hits: &[Hit],
    method: Method,
) -> Result<(Vec<Picture>, Vec<Picture>)> {
    if hits.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let shots = hits.iter().map(|hit| Ok(inside.shot_of(images, hit.image)?.tensor)).collect::<Result<Vec<_>>>()?;
    let (_, trace) = inside.network.forward_traced(Tensor::cat(shots.clone(), 0))?;
    let parts: Vec<_> = hits.iter().enumerate().map(|(i, hit)| (i, Part::Unit(hit.unit))).collect();
    let back = values(project(&inside.network, &trace, &row.name, &parts, method)?);
    let back: Vec<_> = back.chunks_exact(back.len() / hits.len()).collect();
    let mut cut = (Vec::new(), Vec::new());
    for ((hit, shot), projection) in hits.iter().zip(shots).zip(inside.projections(&back)) {
        let field = corners(receptive_field(&inside.network, &row.name, hit.unit.y, hit.unit.x)?);
        cut.0.push(projection.cut(field));
        cut.1.push(inside.picture(&values(shot)).cut(field));
    }
    Ok(cut)
}
