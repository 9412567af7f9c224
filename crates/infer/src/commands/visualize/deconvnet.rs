//! `infer visualize deconvnet`.

use super::inside::{Inside, Maps, Shot, Source, corners, number, values};
use super::{Common, Shown};
use anyhow::{Result, ensure};
use infer::picture::{Block, Sheet, Tile};
use models::Method;
use serde_json::json;
use visualize::{Part, Unit, project, receptive_field, strongest};

/// Arguments of `infer visualize deconvnet`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    maps: Maps,
    /// What is sent back of each map, everything else in the layer set to zero
    #[arg(long, value_name = "PART", default_value = "unit")]
    part: Whole,
    /// One unit: map, row and column, from 0
    #[arg(long, value_name = "MAP,ROW,COLUMN", value_delimiter = ',', conflicts_with_all = ["maps", "part"])]
    unit: Vec<usize>,
    /// The way back: deconvnet, deconvnet-overwrite, guided, gradient. Several make a row each
    #[arg(long, value_name = "METHOD,..", value_delimiter = ',', default_value = "deconvnet")]
    method: Vec<Method>,
}

/// How much of a layer.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum Whole {
    /// Each map's strongest unit
    Unit,
    /// Each map whole
    Map,
    /// The whole layer at once
    Layer,
}

impl Arguments {
    pub fn run(&self, inside: &Inside) -> Result<Shown> {
        let shot = inside.shot(&self.source)?;
        let unit = match self.unit[..] {
            [] => None,
            [map, y, x] => Some(Unit { map, y, x }),
            _ => anyhow::bail!("--unit: expected three numbers, as in 5,2,7"),
        };
        show(inside, &shot, &self.maps, self.part, unit, &self.method)
    }
}

/// The input, and for each method the projections, the strongest map first; below them what the units saw.
pub fn show(
    inside: &Inside,
    shot: &Shot,
    maps: &Maps,
    part: Whole,
    unit: Option<Unit>,
    methods: &[Method],
) -> Result<Shown> {
    let row = inside.layer(maps.layer.as_deref())?;
    let layer = row.name.as_str();
    let (logits, trace) = inside.network.forward_traced(shot.tensor.clone())?;
    let answer = infer::best(&values(logits));
    let [all, h, w] = row.spec.output;
    let activations = values(trace.output(layer).expect("the layer was found"));
    let of = |unit: Unit| activations[(unit.map * h + unit.y) * w + unit.x];
    let units: Vec<Unit> = match unit {
        Some(unit) => vec![unit],
        None => {
            // Unless maps are named: those that have most to say about this image.
            let chosen = if maps.maps.is_empty() { (0..all).collect() } else { inside.maps(maps, &row)? };
            let mut units =
                chosen.iter().map(|&map| strongest(&trace, layer, 0, map)).collect::<Result<Vec<_>, _>>()?;
            if maps.maps.is_empty() {
                units.sort_by(|a, b| of(*b).total_cmp(&of(*a)));
                units.truncate(maps.count.into());
            }
            units
        }
    };
    let parts: Vec<_> = match part {
        Whole::Unit => units.iter().map(|&unit| (0, Part::Unit(unit))).collect(),
        Whole::Map => units.iter().map(|unit| (0, Part::Map(unit.map))).collect(),
        Whole::Layer => vec![(0, Part::Layer)],
    };
    let size = inside.card.input.shape().iter().product::<usize>();
    let pixels = inside.picture(&values(shot.tensor.clone()));
    let mut sheet = Sheet::new(
        format!("{}: {layer} sent back to pixels", inside.name()),
        format!("{}, taken for {}; grey is zero, each tile on its own scale", shot.name, inside.card.classes[answer]),
    );
    sheet.row(vec![Block::new("input", 1, vec![Tile::new(pixels.fit(2 * inside.side()), "")])]);
    let label = |i: usize| match part {
        Whole::Unit => format!("{} at {},{}: {}", units[i].map, units[i].y, units[i].x, number(of(units[i]))),
        Whole::Map => format!("map {}", units[i].map),
        Whole::Layer => String::from("all maps"),
    };
    let mut projected = Vec::new();
    ensure!(!methods.is_empty(), "--method: name one");
    for &method in methods {
        let back = values(project(&inside.network, &trace, layer, &parts, method)?);
        let back: Vec<_> = back.chunks_exact(size).collect();
        let tiles = inside.projections(&back).into_iter().enumerate();
        let tiles = tiles.map(|(i, picture)| Tile::new(picture.fit(inside.side()), label(i)));
        sheet.row(vec![Block::new(method.to_string(), 8, tiles.collect())]);
        projected.push(json!({ "method": method.to_string(), "projections": back }));
    }
    let mut fields = Vec::new();
    if part == Whole::Unit {
        for unit in &units {
            fields.push(receptive_field(&inside.network, layer, unit.y, unit.x)?);
        }
        let tiles = fields.iter().enumerate().map(|(i, field)| {
            // On its surroundings, so that it is as large as in the projection above.
            let mut picture = pixels.fit(inside.side());
            let scale = |n: usize| n * picture.width / pixels.width;
            let [top, left, height, width] = corners(*field).map(scale);
            picture.frame([top, left, height.max(2), width.max(2)], 2, [213, 94, 0]);
            Tile::new(picture, format!("{}", units[i].map))
        });
        sheet.row(vec![Block::new("what each unit sees", 8, tiles.collect())]);
    }
    let numbers = json!({
        "model": inside.name(), "image": shot.name, "class": inside.card.classes[answer], "layer": layer,
        "units": units.iter().map(|u| json!({ "unit": u, "activation": of(*u) })).collect::<Vec<_>>(),
        "receptive_fields": fields, "shape": inside.card.input.shape(), "methods": projected,
    });
    Ok(Shown { picture: sheet.draw()?, numbers })
}
