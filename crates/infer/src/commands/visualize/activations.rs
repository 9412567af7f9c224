//! `infer visualize activations`.

use super::inside::{Inside, Shot, Source, heat, number, values};
use super::{Common, Shown};
use anyhow::Result;
use infer::picture::{Block, Sheet, Tile};
use serde_json::json;

/// Arguments of `infer visualize activations`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    source: Source,
    /// One layer only [default: all of them]
    #[arg(long)]
    layer: Option<String>,
    /// Most maps of a layer to show, from its first on
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
}

impl Arguments {
    pub fn run(&self, inside: &Inside) -> Result<Shown> {
        show(inside, &inside.shot(&self.source)?, self.layer.as_deref(), self.count.into())
    }
}

/// A block for each layer. Layers without height and width become one strip.
pub fn show(inside: &Inside, shot: &Shot, only: Option<&str>, count: usize) -> Result<Shown> {
    if only.is_some() {
        inside.layer(only)?; // or there is no such layer
    }
    let (logits, trace) = inside.network.forward_traced(shot.tensor.clone())?;
    let answer = infer::best(&values(logits));
    let mut sheet = Sheet::new(
        format!("{}: activations for {}", inside.name(), shot.name),
        format!("taken for {}; dark to bright is each tile's least to greatest", inside.card.classes[answer]),
    );
    let input = Tile::new(inside.picture(&values(shot.tensor.clone())).fit(2 * inside.side()), "");
    let mut blocks = vec![Block::new("input", 1, vec![input])];
    let mut layers = Vec::new();
    for (row, (name, output)) in inside.network.summary().iter().zip(trace.outputs()) {
        let [_, maps, h, w] = output.dims();
        let all = values(output);
        let (least, greatest) = all.iter().fold((f32::MAX, f32::MIN), |(l, g), &v| (l.min(v), g.max(v)));
        layers.push(json!({ "layer": name, "shape": [maps, h, w], "least": least, "greatest": greatest,
            "means": all.chunks_exact(h * w).map(|m| m.iter().sum::<f32>() / (h * w) as f32).collect::<Vec<_>>() }));
        if only.is_some_and(|only| only != name) || row.spec.kind == "dropout" {
            continue;
        }
        let span = format!("{} to {}", number(least), number(greatest));
        if h * w == 1 {
            // Wide enough to see single units, in as many lines as it takes.
            let lines = all.len().div_ceil(if all.len() > 1000 { 128 } else { 64 });
            let across = all.len().div_ceil(lines);
            let mut strip = all.clone();
            strip.resize(all.len().div_ceil(across) * across, least);
            let unit = (700 / across).clamp(1, 16);
            let picture = heat(&strip, across, (least, greatest)).enlarge(unit);
            blocks.push(Block::new(format!("{name}: {maps} units, {span}"), 1, vec![Tile::new(picture, "")]));
        } else {
            let common = inside.looks.common_scale.then(|| inside.range(&all));
            let side = if maps > 16 { inside.side() / 3 * 2 } else { inside.side() };
            let tiles = all.chunks_exact(h * w).take(count).enumerate().map(|(map, values)| {
                let range = common.unwrap_or_else(|| inside.range(values));
                Tile::new(heat(values, w, range).fit(side.max(h.max(w).min(side))), map.to_string())
            });
            let shown = if maps > count { format!(", the first {count}") } else { String::new() };
            let heading = format!("{name}: {maps} maps of {h}x{w}{shown}, {span}");
            blocks.push(Block::new(heading, if maps > 16 { 16 } else { 8 }, tiles.collect()));
        }
    }
    for block in blocks {
        sheet.row(vec![block]);
    }
    let numbers = json!({
        "model": inside.name(), "image": shot.name, "class": inside.card.classes[answer], "layers": layers,
    });
    Ok(Shown { picture: sheet.draw()?, numbers })
}
