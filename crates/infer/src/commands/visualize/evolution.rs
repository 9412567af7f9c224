//! `infer visualize evolution`.

use super::inside::{Inside, Looks, Maps, Through, number};
use super::{Shown, check_place, top};
use anyhow::{Context, Result, bail};
use infer::picture::{Block, Sheet, Tile};
use infer::{Placement, PlacementArguments};
use models::{Method, weights};
use serde_json::json;
use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `infer visualize evolution`.
#[derive(clap::Args)]
pub struct Arguments {
    /// A run of `train` that kept weights along the way: `--set training.keep=[1,2,5,10]`
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    #[command(flatten)]
    placement: PlacementArguments,
    #[command(flatten)]
    through: Through,
    #[command(flatten)]
    maps: Maps,
    /// Where to write the picture, a PNG
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    looks: Looks,
    /// Print the numbers behind the picture, one JSON object
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(&self) -> Result<()> {
        check_place(&self.out)?;
        let shown = show(&self.run, &self.placement.place_once()?, &self.through, &self.maps, &self.looks)?;
        shown.write(&self.out)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", shown.numbers)?;
        } else {
            writeln!(out, "{}: {} x {} pixels", self.out.display(), shown.picture.width, shown.picture.height)?;
        }
        Ok(())
    }
}

/// The weight files `epoch-N.safetensors` of a run, by N.
pub fn checkpoints(run: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = std::fs::read_dir(run).with_context(|| format!("--run {}: can't be read", run.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let epoch = name.strip_prefix("epoch-").and_then(|rest| rest.strip_suffix(".safetensors"));
        if let Some(epoch) = epoch.and_then(|epoch| epoch.parse().ok()) {
            found.push((epoch, path));
        }
    }
    found.sort();
    if found.is_empty() {
        bail!(
            "--run {}: holds no epoch-N.safetensors. Train with --set training.keep=[1,2,5,10] to keep some",
            run.display()
        );
    }
    Ok(found)
}

/// A row for each map, a column for each checkpoint: the strongest activation of all images at that time, projected.
pub fn show(run: &Path, placement: &Placement, through: &Through, maps: &Maps, looks: &Looks) -> Result<Shown> {
    let found = checkpoints(run)?;
    let mut columns = Vec::new();
    let mut title = (String::new(), String::new());
    let (mut bad, mut skipped) = (0, RefCell::default());
    for (epoch, path) in &found {
        let bytes = std::fs::read(path).with_context(|| format!("{}: can't be read", path.display()))?;
        let (network, card) = weights::load(&bytes, placement.first()).with_context(|| path.display().to_string())?;
        // Each checkpoint sees the same images: one that is skipped is named once.
        let inside = Inside { skipped, ..Inside::new(placement.place(network)?, card, looks.clone()) };
        let row = inside.layer(maps.layer.as_deref())?;
        let chosen = inside.maps(maps, &row)?;
        let images = inside.images(&through.set)?;
        let (top, unread) = top::strongest(&inside, &images, through.bad.on_bad_image, &row, chosen, 1)?;
        bad = unread;
        let mut column = Vec::new();
        for (map, hits) in top {
            let (projections, _) = top::patches(&inside, &images, &row, &hits, Method::default())?;
            column.push((map, hits.first().copied(), projections.into_iter().next()));
        }
        title = (
            format!("{}: how {} formed", inside.name(), row.name),
            format!(
                "each map's strongest activation among {} images, sent back, epoch by epoch",
                infer::thousands(images.len() - bad)
            ),
        );
        skipped = inside.skipped;
        columns.push((*epoch, column));
    }
    let mut sheet = Sheet::new(title.0, title.1);
    let mut tiles = Vec::new();
    for i in 0..columns[0].1.len() {
        for (epoch, column) in &columns {
            if let Some((map, Some(hit), Some(picture))) = column.get(i) {
                let label = format!("map {map}, epoch {epoch}\nimage {}: {}", hit.image, number(hit.activation));
                tiles.push(Tile::new(picture.fit(looks.side()), label));
            }
        }
    }
    let mut block = Block::new("", columns.len(), tiles);
    block.gap = 26; // room for the labels
    sheet.row(vec![block]);
    let numbers: Vec<_> = columns
        .iter()
        .map(|(epoch, column)| json!({ "epoch": epoch, "hits": column.iter().map(|c| c.1).collect::<Vec<_>>() }))
        .collect();
    Ok(Shown { picture: sheet.draw()?, numbers: json!({ "run": run, "bad_images": bad, "checkpoints": numbers }) })
}
