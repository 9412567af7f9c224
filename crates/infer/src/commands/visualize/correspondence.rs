//! `infer visualize correspondence`.

use super::inside::{Inside, Set, Source, read_text, values};
use super::{Common, Shown};
use anyhow::{Context, Result, ensure};
use burn::tensor::Tensor;
use data::random::{Purpose, below, stream};
use infer::picture::{Block, Sheet, Tile};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use visualize::{Agreement, Region, Zero, correspondence, feature_layers};

/// Arguments of `infer visualize correspondence`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    /// The images and where their parts are, a TOML file: `infer visualize correspondence --help`
    #[arg(long, value_name = "FILE", long_help = PARTS)]
    parts: PathBuf,
    #[command(flatten)]
    set: Set,
    /// Layers whose features are compared [default: the last convolution with more than one unit in a map, and the last
    /// layer before the classifier]
    #[arg(long, value_name = "LAYER,..", value_delimiter = ',')]
    layers: Vec<String>,
    /// Pixel value that parts are hidden behind [default: paper for ink on paper, else the training set's mean]
    #[arg(long, value_name = "0-255")]
    fill: Option<u8>,
    /// Random places to hide, as large as the first part, for comparison
    #[arg(long, value_name = "N", default_value_t = 10)]
    random: u32,
    /// Leave out features that didn't change, instead of counting "no change" as a sign of its own
    #[arg(long)]
    ignore_zeros: bool,
}

const PARTS: &str =
    "The images and where their parts are, a TOML file. Each part is [top, left, height, width] in pixels \
of the image as the network is fed it, and every image has every part:

[[image]]
file = \"a.png\"        # relative to this file; or, of the data set, index = 7
parts.nose = [20, 31, 12, 12]
parts.left-eye = [8, 24, 10, 10]";

/// The file with the parts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marked {
    image: Vec<MarkedImage>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkedImage {
    file: Option<PathBuf>,
    index: Option<usize>,
    parts: BTreeMap<String, [usize; 4]>,
}

impl Arguments {
    pub fn run(&self, inside: &Inside) -> Result<Shown> {
        let marked = Marked::read(&self.parts)?;
        let layers = if self.layers.is_empty() { layers(inside)? } else { self.layers.clone() };
        let zero = if self.ignore_zeros { Zero::Ignored } else { Zero::Own };
        let fill = inside.fill(self.fill)?;
        show(inside, &marked, &self.set, &layers, &fill, self.random, zero)
            .with_context(|| format!("--parts {}", self.parts.display()))
    }
}

impl Marked {
    /// What `--parts` names.
    pub fn read(path: &Path) -> Result<Self> {
        let mut marked: Self = toml::from_str(&read_text(path)?).with_context(|| path.display().to_string())?;
        for image in &mut marked.image {
            if let (Some(file), Some(dir)) = (&mut image.file, path.parent()) {
                *file = dir.join(&*file);
            }
        }
        Ok(marked)
    }
}

/// The layers that are compared unless others are named.
pub fn layers(inside: &Inside) -> Result<Vec<String>> {
    let [_, last] = feature_layers(&inside.network);
    let mut layers = vec![inside.layer(None)?.name, last];
    layers.dedup(); // one and the same in NIN
    Ok(layers)
}

/// A row for each part: its images with the part hidden, and Delta in each layer. Below, the same for random places.
pub fn show(
    inside: &Inside,
    marked: &Marked,
    set: &Set,
    layers: &[String],
    fill: &[f32],
    random: u32,
    zero: Zero,
) -> Result<Shown> {
    let first = marked.image.first().context("marks no image")?;
    let parts: Vec<&String> = first.parts.keys().collect();
    ensure!(!parts.is_empty(), "the first image has no parts");
    for (i, image) in marked.image.iter().enumerate() {
        let same = image.parts.keys().eq(parts.iter().copied());
        ensure!(
            same,
            "image {} has the parts {:?}, the first {parts:?}",
            i + 1,
            image.parts.keys().collect::<Vec<_>>()
        );
        ensure!(image.file.is_some() != image.index.is_some(), "image {}: give file or index, one of them", i + 1);
    }
    let shots = marked.image.iter().map(|image| {
        let source = Source { image: image.file.clone(), set: set.clone(), index: image.index.unwrap_or(0) };
        inside.shot(&source)
    });
    let shots = shots.collect::<Result<Vec<_>>>()?;
    let images = Tensor::cat(shots.iter().map(|shot| shot.tensor.clone()).collect(), 0);
    let [_, height, width] = inside.card.input.shape();
    let delta = |regions: &[Region]| {
        let each = layers.iter().map(|layer| correspondence(&inside.network, &images, regions, layer, fill, zero));
        each.collect::<Result<Vec<Agreement>, _>>()
    };
    let said = |all: &[Agreement]| {
        let each = layers.iter().zip(all).map(|(layer, a)| format!("{layer} {:.3} ± {:.3}", a.mean, a.deviation));
        each.collect::<Vec<_>>().join(", ")
    };
    let mut sheet = Sheet::new(
        format!("{}: does hiding the same part do the same?", inside.name()),
        "Delta: share of features whose change has another sign, mean ± deviation over pairs of images; smaller is more alike",
    );
    let tiles = |regions: &[Region]| {
        let each = shots.iter().zip(regions).map(|(shot, region)| {
            let mut picture = inside.picture(&values(hide(&shot.tensor, *region, fill))).fit(inside.side());
            let scale = |n: usize| n * picture.width / width;
            let frame = [region.top, region.left, region.height, region.width].map(scale);
            picture.frame(frame, 2, [213, 94, 0]);
            Tile::new(picture, shot.name.clone())
        });
        each.collect()
    };
    let mut numbers = Vec::new();
    for part in &parts {
        let region = |image: &MarkedImage| {
            let [top, left, height, width] = image.parts[*part];
            Region { top, left, height, width }
        };
        let regions: Vec<_> = marked.image.iter().map(region).collect();
        let all = delta(&regions).with_context(|| format!("part {part}"))?;
        sheet.row(vec![Block::new(format!("{part}: {}", said(&all)), 8, tiles(&regions))]);
        numbers.push(json!({ "part": part, "delta": all, "regions": regions }));
    }
    if random > 0 {
        let [_, _, h, w] = first.parts[parts[0]];
        let mut runs: Vec<Vec<Agreement>> = Vec::new();
        let mut last = Vec::new();
        for run in 0..random {
            last = (0..shots.len())
                .map(|i| {
                    let mut rng = stream(0, Purpose::Order, u64::from(run), i as u64);
                    let top = below(&mut rng, (height - h + 1) as u32) as usize;
                    let left = below(&mut rng, (width - w + 1) as u32) as usize;
                    Region { top, left, height: h, width: w }
                })
                .collect();
            runs.push(delta(&last)?);
        }
        let mean = |of: fn(&Agreement) -> f64, layer: usize| {
            runs.iter().map(|run| of(&run[layer])).sum::<f64>() / f64::from(random)
        };
        let all: Vec<_> = (0..layers.len())
            .map(|layer| Agreement { mean: mean(|a| a.mean, layer), deviation: mean(|a| a.deviation, layer) })
            .collect();
        let heading = format!("random, {random} times: {}", said(&all));
        sheet.row(vec![Block::new(heading, 8, tiles(&last))]);
        numbers.push(json!({ "part": "random", "times": random, "delta": all }));
    }
    let numbers = json!({ "model": inside.name(), "layers": layers, "parts": numbers });
    Ok(Shown { picture: sheet.draw()?, numbers })
}

/// The image with the region behind `fill`.
fn hide(image: &Tensor<4>, region: Region, fill: &[f32]) -> Tensor<4> {
    let Region { top, left, height, width } = region;
    let [_, channels, ..] = image.dims();
    let fill = Tensor::<1>::from_data(fill, &image.device()).reshape([1, channels, 1, 1]);
    let patch = fill.expand([1, channels, height, width]);
    image.clone().slice_assign([0..1, 0..channels, top..top + height, left..left + width], patch)
}
