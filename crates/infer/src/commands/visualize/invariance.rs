//! `infer visualize invariance`.

use super::inside::{Inside, Shot, Through, values};
use super::{Common, Shown};
use anyhow::{Result, ensure};
use infer::picture::{Area, Block, CATEGORIES, Picture, Sheet, Tile};
use plotters::prelude::*;
use serde_json::json;
use std::path::PathBuf;
use visualize::{Change, Changed, feature_layers, invariance, transform};

/// Arguments of `infer visualize invariance`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    /// Images, PNG or JPEG. Can be given again [default: one of each of five classes of the data set]
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    #[command(flatten)]
    through: Through,
    /// First and last feature layer [default: the first layer, and the last before the classifier]
    #[arg(long, value_name = "FIRST,LAST", value_delimiter = ',')]
    layers: Vec<String>,
    /// Steps in each range
    #[arg(long, value_name = "N", default_value_t = 41, value_parser = clap::value_parser!(u16).range(2..=721))]
    steps: u16,
    /// Pixel value where a moved image leaves the frame empty [default: paper for ink on paper, else the training set's
    /// mean]
    #[arg(long, value_name = "0-255")]
    fill: Option<u8>,
}

impl Arguments {
    pub fn run(&self, inside: &Inside) -> Result<Shown> {
        let source = |path: &PathBuf| super::inside::Source { image: Some(path.clone()), ..Default::default() };
        let shots = match &self.image[..] {
            [] => inside.shots(&self.through, 5)?,
            paths => paths.iter().map(|path| inside.shot(&source(path))).collect::<Result<_>>()?,
        };
        let layers = match &self.layers[..] {
            [] => feature_layers(&inside.network),
            [first, last] => [first.clone(), last.clone()],
            _ => anyhow::bail!("--layers: expected two, as in conv1,fc7"),
        };
        show(inside, &shots, &layers, self.steps.into(), self.fill)
    }
}

/// A kind of change, its name, what its axis measures, and its steps.
type Kind = (&'static str, &'static str, Vec<(f32, Change)>);

/// The paper's ranges: 60 of 224 pixels up and down, up to 1.8 times as large, all the way round.
fn kinds(height: usize, steps: usize) -> [Kind; 3] {
    let far = 60.0 * height as f32 / 224.0;
    let range = |from: f32, to: f32, change: fn(f32) -> Change| {
        let at = move |i: usize| from + (to - from) * i as f32 / (steps - 1) as f32;
        (0..steps).map(|i| (at(i), change(at(i)))).collect()
    };
    [
        ("vertical translation", "pixels", range(-far, far, Change::Shift)),
        ("scale", "times", range(1.0, 1.8, Change::Scale)),
        ("rotation", "degrees", range(0.0, 350.0, Change::Rotate)),
    ]
}

/// Figure 5: a row for each kind of change, with samples, both distances and the probability, a line for each image.
pub fn show(inside: &Inside, shots: &[Shot], layers: &[String; 2], steps: usize, fill: Option<u8>) -> Result<Shown> {
    ensure!(!shots.is_empty(), "there is no image to change");
    let fill = inside.fill(fill)?;
    let [first, last] = layers;
    let mut sheet = Sheet::new(
        format!("{}: what moves with the image", inside.name()),
        format!("Euclidean distance from the unmoved image's features in {first} and {last}; probability of its class"),
    );
    let mut classes = Vec::new();
    for shot in shots {
        let answer = infer::best(&values(inside.network.forward(shot.tensor.clone())?));
        classes.push(shot.truth.unwrap_or(answer));
    }
    let mut numbers = Vec::new();
    for (name, unit, changes) in kinds(inside.card.input.height, steps) {
        let asked: Vec<_> = changes.iter().map(|(_, change)| *change).collect();
        let mut lines = Vec::new();
        for (shot, &class) in shots.iter().zip(&classes) {
            lines.push(invariance(&inside.network, &shot.tensor, class, [first, last], &asked, &fill)?);
        }
        let xs: Vec<f32> = changes.iter().map(|(x, _)| *x).collect();
        let sample = |shot: &Shot, at: usize| {
            let moved = values(transform(&shot.tensor, asked[at], &fill));
            inside.picture(&moved).fit(56)
        };
        let samples = shots.iter().flat_map(|shot| [0, steps / 2, steps - 1].map(|at| Tile::new(sample(shot, at), "")));
        let mut samples = Block::new(name, 3, samples.collect());
        samples.gap = 3;
        let chart = |title: String, top: Option<f32>, value: fn(&Changed) -> f32| {
            let series: Vec<Vec<(f32, f32)>> =
                lines.iter().map(|line| xs.iter().copied().zip(line.iter().map(value)).collect()).collect();
            let picture = Picture::draw(300, 230, |area| draw(area, unit, top, &series))?;
            Ok::<_, anyhow::Error>(Block::new(title, 1, vec![Tile::new(picture, "")]))
        };
        sheet.row(vec![
            samples,
            chart(format!("distance in {first}"), None, |c| c.first)?,
            chart(format!("distance in {last}"), None, |c| c.last)?,
            chart(String::from("probability of its class"), Some(1.0), |c| c.probability)?,
        ]);
        numbers.push(json!({ "change": name, "unit": unit, "at": xs, "images": lines }));
    }
    let legend = shots.iter().zip(&classes).enumerate().map(|(i, (shot, &class))| {
        let swatch = Picture::new(170, 8, CATEGORIES[i % CATEGORIES.len()]);
        Tile::new(swatch, format!("{}: {}", shot.name, inside.card.classes[class]))
    });
    sheet.row(vec![Block::new("", 6, legend.collect())]);
    let numbers = json!({ "model": inside.name(), "layers": layers, "changes": numbers });
    Ok(Shown { picture: sheet.draw()?, numbers })
}

fn draw(area: &Area<'_>, unit: &str, top: Option<f32>, series: &[Vec<(f32, f32)>]) -> Result<()> {
    let (from, to) = (series[0][0].0, series[0][series[0].len() - 1].0);
    let greatest = series.iter().flatten().map(|p| p.1).fold(0.0, f32::max);
    let top = top.unwrap_or(if greatest > 0.0 { greatest * 1.05 } else { 1.0 });
    let mut chart = ChartBuilder::on(area)
        .margin(4)
        .margin_right(14)
        .x_label_area_size(34)
        .y_label_area_size(40)
        .build_cartesian_2d(from..to, 0f32..top)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .x_desc(unit)
        .x_labels(7)
        .y_labels(6)
        .x_label_formatter(&|x| format!("{}", (x * 10.0).round() / 10.0))
        .y_label_formatter(&|y| format!("{}", (y * 100.0).round() / 100.0))
        .label_style(("sans-serif", 12))
        .axis_desc_style(("sans-serif", 13))
        .bold_line_style(RGBColor(220, 220, 220))
        .draw()?;
    for (i, line) in series.iter().enumerate() {
        let [r, g, b] = CATEGORIES[i % CATEGORIES.len()];
        chart.draw_series(LineSeries::new(line.iter().copied(), RGBColor(r, g, b).stroke_width(2)))?;
    }
    Ok(())
}
