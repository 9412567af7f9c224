//! `infer visualize top`.

use super::inside::{Inside, Maps, Through, corners, number, values};
use super::{Common, Shown};
use anyhow::Result;
use burn::tensor::Tensor;
use data::{OnBadImage, Samples};
use infer::picture::{Block, Picture, Sheet, Tile};
use models::{Method, Row};
use serde_json::json;
use visualize::{Hit, Part, Region, Top, project, receptive_field};

/// Arguments of `infer visualize top`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    through: Through,
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
        show(inside, &self.through, &self.maps, self.top.into(), self.method)
    }
}

/// For each map a block of projections beside a block of the patches that made them.
pub fn show(inside: &Inside, through: &Through, maps: &Maps, count: usize, method: Method) -> Result<Shown> {
    let row = inside.layer(maps.layer.as_deref())?;
    let chosen = inside.maps(maps, &row)?;
    let images = inside.images(&through.set)?;
    let (top, bad) = strongest(inside, &images, through.bad.on_bad_image, &row, chosen, count)?;
    let seen = images.len() - bad;
    let columns = (count as f64).sqrt().ceil() as usize;
    let side = (inside.side() * 2 / 3).max(16);
    let mut pairs = Vec::new();
    let mut numbers = Vec::new();
    for (map, hits) in top {
        let (projections, patches) = patches(inside, &images, &row, &hits, method)?;
        let tile = |picture: Picture| Tile::new(picture.fit(side), "");
        let strongest = hits.first().map_or(0.0, |hit| hit.activation);
        let mut back = Block::new(
            match inside.class_of(&row, map) {
                Some(class) => format!("{map}, {class}: {}", number(strongest)),
                None => format!("map {map}: {}", number(strongest)),
            },
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
            infer::thousands(seen),
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
        "model": inside.name(), "layer": row.name, "images": seen, "bad_images": bad, "method": method.to_string(),
        "maps": numbers,
    });
    Ok(Shown { picture: sheet.draw()?, numbers })
}

/// A map and its strongest activations.
type Strongest = (usize, Vec<Hit>);

/// Each of `maps` with its strongest activations over `images`, and how many of the images were skipped.
pub fn strongest(
    inside: &Inside,
    images: &Samples,
    on_bad_image: OnBadImage,
    row: &Row,
    maps: Vec<usize>,
    count: usize,
) -> Result<(Vec<Strongest>, usize)> {
    let (mut top, mut seen) = (Top::new(maps, count), Vec::new());
    let bad = inside.each_batch(images, on_bad_image, &format!("looking through {}", row.name), |tensor, batch| {
        let (_, trace) = inside.network.forward_traced(tensor)?;
        top.see(trace.output(&row.name).expect("the layer was found"));
        seen.extend_from_slice(&batch.indices);
        Ok(())
    })?;
    // `Top` numbers what it saw, the data set what it holds.
    let numbered = |hit: &Hit| Hit { image: seen[hit.image] as usize, ..*hit };
    Ok((top.hits().map(|(map, hits)| (map, hits.iter().map(numbered).collect())).collect(), bad))
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
    let [_, h, w] = row.spec.output;
    let middle = receptive_field(&inside.network, &row.name, h / 2, w / 2)?;
    let mut cut = (Vec::new(), Vec::new());
    for ((hit, shot), projection) in hits.iter().zip(shots).zip(inside.projections(&back)) {
        let field = receptive_field(&inside.network, &row.name, hit.unit.y, hit.unit.x)?;
        let whole = |picture: Picture| in_full(&picture.cut(corners(field)), field, middle);
        cut.0.push(whole(projection));
        cut.1.push(whole(inside.picture(&values(shot))));
    }
    Ok(cut)
}

/// A patch that the image's border cut off, in its place in a field as large as `middle`, so that all are alike.
fn in_full(patch: &Picture, field: Region, middle: Region) -> Picture {
    let (height, width) = (middle.height.max(field.height), middle.width.max(field.width));
    let before = |first: usize, len: usize, all: usize| if first == 0 { all - len } else { 0 };
    let mut full = Picture::new(width, height, BEYOND);
    full.place(patch, before(field.top, field.height, height), before(field.left, field.width, width));
    full
}

/// Where there is no image.
const BEYOND: [u8; 3] = [236; 3];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_at_borders_keep_their_place() {
        let region = |top, left, height, width| Region { top, left, height, width };
        let middle = region(3, 3, 4, 4);
        let full = |field: Region| in_full(&Picture::new(field.width, field.height, [0; 3]), field, middle);
        let dark = |picture: &Picture| (0..16).filter(|i| picture.at(i / 4, i % 4) == [0; 3]).collect::<Vec<_>>();
        // Cut off above and at the left, so the image is below and at the right; and the other way round.
        assert_eq!(dark(&full(region(0, 0, 2, 3))), [9, 10, 11, 13, 14, 15]);
        assert_eq!(dark(&full(region(8, 7, 2, 3))), [0, 1, 2, 4, 5, 6]);
        assert_eq!(dark(&full(middle)).len(), 16);
    }
}
