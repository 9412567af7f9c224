//! A network to look into: its images, its data, its colours.

use crate::commands::classify::prepare;
use crate::commands::eval::BadImages;
use anyhow::{Context, Result, bail, ensure};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use data::{Batch, Loader, LoaderOptions, OnBadImage, Samples, Split, prepare_into};
use indicatif::{ProgressBar, ProgressStyle};
use infer::picture::{Picture, grey, signed, viridis};
use infer::to_tensor;
use models::weights::Card;
use models::{Network, Row};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;
pub use visualize::values;
use visualize::{Region, last_convolution};

/// How pictures are to look.
#[derive(Clone, Debug, clap::Args)]
pub struct Looks {
    /// How many of a tile's values, in percent, its darkest to brightest colour spans: the rest is cut off
    #[arg(long, value_name = "PERCENT", default_value_t = 99.0, value_parser = percent)]
    contrast: f32,
    /// One scale for all tiles of a block, instead of one for each
    #[arg(long)]
    pub common_scale: bool,
    /// Longer side of a tile in pixels; small images are enlarged by whole factors
    #[arg(long, value_name = "PIXELS", default_value_t = 96, value_parser = clap::value_parser!(u16).range(8..=1024))]
    tile: u16,
}

impl Looks {
    /// Side of a tile.
    pub fn side(&self) -> usize {
        usize::from(self.tile)
    }
}

impl Default for Looks {
    fn default() -> Self {
        Self { contrast: 99.0, common_scale: false, tile: 96 }
    }
}

fn percent(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(p) if (50.0..=100.0).contains(&p) => Ok(p),
        _ => Err(String::from("expected 50 to 100")),
    }
}

/// Which image to look at.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Source {
    /// An image, PNG or JPEG [default: one of the data set]
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    #[command(flatten)]
    pub set: Set,
    /// Which image of the data set, from 0
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "image")]
    pub index: usize,
}

/// Which data set to look through.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Set {
    /// Folder with the data set [default: the one that ships under the name that the weights were trained on]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The images to train on instead of those to test on
    #[arg(long)]
    pub train_split: bool,
    /// No more than the first N images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

/// A data set to look through, and what becomes of images that can't be read.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Through {
    #[command(flatten)]
    pub set: Set,
    #[command(flatten)]
    pub bad: BadImages,
}

/// Which maps of which layer.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Maps {
    /// Layer, as `infer summary` names it [default: the last convolution with more than one unit in a map]
    #[arg(long)]
    pub layer: Option<String>,
    /// Maps, from 0: 0,3,5
    #[arg(long, value_name = "N,..", value_delimiter = ',', conflicts_with = "count")]
    pub maps: Vec<usize>,
    /// How many maps
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub count: u16,
}

/// An image as the network is fed it.
pub struct Shot {
    /// `[1, C, H, W]`.
    pub tensor: Tensor<4>,
    /// What it is called.
    pub name: String,
    /// Its class, where known.
    pub truth: Option<usize>,
}

/// A network with what belongs to it.
pub struct Inside {
    pub network: Network,
    pub card: Card,
    pub device: Device,
    pub looks: Looks,
    /// What is wrong with each image that was skipped so far.
    pub skipped: RefCell<BTreeSet<String>>,
}

impl Inside {
    pub fn new(network: Network, card: Card, looks: Looks) -> Self {
        let device = network.devices().into_iter().next().unwrap_or_default();
        Self { network, card, device, looks, skipped: RefCell::default() }
    }

    pub fn name(&self) -> &str {
        &self.card.model.name
    }

    /// The image asked for.
    pub fn shot(&self, source: &Source) -> Result<Shot> {
        self.shot_or_next(source, OnBadImage::Fail)
    }

    /// The image asked for, or, if it is one of a data set that can't be read and may be skipped, the next that can.
    pub fn shot_or_next(&self, source: &Source, on_bad_image: OnBadImage) -> Result<Shot> {
        match &source.image {
            Some(path) => {
                let (values, _) = prepare(path, &self.card.input, 1)?;
                let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
                Ok(Shot { tensor: self.tensor(values), name, truth: None })
            }
            None => {
                let images = self.images(&source.set)?;
                let (index, all) = (source.index, images.len());
                ensure!(index < all, "--index {index}: the data set has {all} images, numbered from 0");
                let found = self.first(&images, index..all, on_bad_image)?;
                found.with_context(|| format!("no image of the data set from {index} on can be read"))
            }
        }
    }

    /// The first of the images `indices`, or, if those that can't be read may be skipped, the first that can.
    fn first(
        &self,
        images: &Samples,
        indices: impl Iterator<Item = usize>,
        on_bad_image: OnBadImage,
    ) -> Result<Option<Shot>> {
        for index in indices {
            match self.shot_of(images, index) {
                Err(error) if on_bad_image == OnBadImage::Skip => self.skip(&format!("{error:#}")),
                shot => return shot.map(Some),
            }
        }
        Ok(None)
    }

    /// Names an image that is skipped, once.
    fn skip(&self, problem: &str) {
        let mut skipped = self.skipped.borrow_mut();
        if skipped.insert(problem.into()) {
            eprintln!("warning: {problem} Skipped; {} so far", skipped.len());
        }
    }

    /// Image `index` of a data set.
    ///
    /// # Panics
    /// If there is none.
    pub fn shot_of(&self, images: &Samples, index: usize) -> Result<Shot> {
        let mut values = vec![0.0; self.card.input.shape().iter().product()];
        let prepared = prepare_into(&self.card.input, images.image(index)?.view(), &mut values);
        prepared.with_context(|| format!("image {index}"))?;
        let truth = Some(usize::from(images.label(index)));
        Ok(Shot { tensor: self.tensor(values), name: format!("image {index}"), truth })
    }

    /// The first image of each of the first `count` classes.
    pub fn shots(&self, through: &Through, count: usize) -> Result<Vec<Shot>> {
        let images = &self.images(&through.set)?;
        let of = |class: usize| (0..images.len()).filter(move |&i| usize::from(images.label(i)) == class);
        let firsts = (0..self.network.classes()).map(|class| self.first(images, of(class), through.bad.on_bad_image));
        firsts.filter_map(|shot| shot.transpose()).take(count).collect()
    }

    /// The data set asked for.
    pub fn images(&self, set: &Set) -> Result<Samples> {
        let dir = match (&set.data_dir, &self.card.training) {
            (Some(dir), _) => dir.clone(),
            (None, Some(training)) => data::locate(&training.dataset)?,
            (None, None) => {
                bail!("the weights don't say what they were trained on: give --image FILE or --data-dir DIR")
            }
        };
        let split = if set.train_split { Split::Train } else { Split::Test };
        let (images, _) = data::open_split(&dir, split)?;
        ensure!(!images.is_empty(), "{}: holds no images", dir.display());
        let limit = set.limit.map_or(usize::MAX, |n| n as usize);
        Ok(images.take(limit))
    }

    /// Shows every image to `see`, a batch at a time: its tensor, and whose it is. Says how many were skipped.
    pub fn each_batch(
        &self,
        images: &Samples,
        on_bad_image: OnBadImage,
        what: &str,
        mut see: impl FnMut(Tensor<4>, &Batch) -> Result<()>,
    ) -> Result<usize> {
        // Some tens of megabytes of maps at a time.
        let units: usize = self.network.summary().iter().map(|row| row.spec.output.iter().product::<usize>()).sum();
        let batch_size = (8_000_000 / units.max(1)).clamp(1, 200);
        let options = LoaderOptions { batch_size, threads: 1, on_bad_image, ..LoaderOptions::default() };
        let loader = Loader::new(images.clone(), self.card.input.clone(), options)?;
        let bar = progress(images.len(), what);
        let mut bad = 0;
        for batch in loader.epoch(0, 0) {
            let batch = batch?;
            batch.bad.iter().for_each(|image| bar.suspend(|| self.skip(&image.problem)));
            bad += batch.bad.len();
            if !batch.labels.is_empty() {
                see(to_tensor(&batch, &self.device), &batch)?;
            }
            bar.inc((batch.labels.len() + batch.bad.len()) as u64);
        }
        bar.finish_and_clear();
        ensure!(bad < images.len(), "none of {} images can be read", images.len());
        Ok(bad)
    }

    /// `[1, C, H, W]`.
    fn tensor(&self, values: Vec<f32>) -> Tensor<4> {
        let [c, h, w] = self.card.input.shape();
        Tensor::from_data(TensorData::new(values, [1, c, h, w]), &self.device)
    }

    /// The layer asked for, and its row in the network's table.
    pub fn layer(&self, name: Option<&str>) -> Result<Row> {
        let rows = self.network.summary();
        let found = match name {
            Some(name) => rows.iter().find(|row| row.name == name),
            None => last_convolution(&rows),
        };
        let Some(found) = found else {
            let known: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
            let name = name.unwrap_or_default();
            bail!("--layer {name}: {} has no such layer; there are {}", self.name(), known.join(", "));
        };
        Ok(found.clone())
    }

    /// The class that a map stands for, where a layer has a map for each and they are only averaged after it, as in NIN.
    pub fn class_of(&self, row: &Row, map: usize) -> Option<&str> {
        let rows = self.network.summary();
        let after = rows.iter().skip_while(|r| r.name != row.name).skip(1).all(|r| r.spec.kind == "global-avg-pool");
        (after && row.spec.output[0] == self.card.classes.len()).then(|| self.card.classes[map].as_str())
    }

    /// The maps asked for: those named, or `count` evenly over the layer.
    pub fn maps(&self, maps: &Maps, row: &Row) -> Result<Vec<usize>> {
        let all = row.spec.output[0];
        if let Some(beyond) = maps.maps.iter().find(|&&map| map >= all) {
            bail!("--maps {beyond}: {} has {all} maps, numbered from 0", row.name);
        }
        if !maps.maps.is_empty() {
            return Ok(maps.maps.clone());
        }
        let count = usize::from(maps.count).clamp(1, all);
        Ok((0..count).map(|i| i * all / count).collect())
    }

    /// What a covering patch is filled with: nothing, or the pixel value asked for.
    ///
    /// # Errors
    /// If a pixel value is asked for where whitening makes each number of all pixels.
    pub fn fill(&self, pixel: Option<u8>) -> Result<Vec<f32>> {
        let input = &self.card.input;
        let Some(pixel) = pixel else { return Ok(input.blank()) };
        ensure!(input.whitening.is_none(), "--fill {pixel}: the images are whitened, no pixel has a value of its own");
        Ok((0..input.channels).map(|c| input.normalise.apply(c, f32::from(pixel))).collect())
    }

    /// Side of a tile.
    pub fn side(&self) -> usize {
        self.looks.side()
    }

    /// Numbers that the network is fed, `[C, H, W]`, as the picture they came from; whitened ones about middle grey.
    pub fn picture(&self, values: &[f32]) -> Picture {
        if self.card.input.whitening.is_some() {
            return self.projection(values, self.projection_scale(values));
        }
        let [c, h, w] = self.card.input.shape();
        let pixel = |channel, i: usize| {
            let value = self.card.input.normalise.invert(channel, values[channel * h * w + i]);
            value.round().clamp(0.0, 255.0) as u8
        };
        Picture::from_colours(w, h, (0..h * w).map(|i| std::array::from_fn(|channel| pixel(channel.min(c - 1), i))))
    }

    /// A projection, `[C, H, W]`, about middle grey.
    pub fn projection(&self, values: &[f32], scale: f32) -> Picture {
        let [c, h, w] = self.card.input.shape();
        let pixel = |channel, i: usize| signed(values[channel * h * w + i] / scale);
        Picture::from_colours(w, h, (0..h * w).map(|i| std::array::from_fn(|channel| pixel(channel.min(c - 1), i))))
    }

    /// What of a projection is as bright as can be.
    pub fn projection_scale(&self, values: &[f32]) -> f32 {
        let mut sizes: Vec<f32> = values.iter().map(|v| v.abs()).filter(|v| *v > 0.0).collect();
        sizes.sort_by(f32::total_cmp);
        let last = sizes.len().saturating_sub(1);
        sizes.get((last as f32 * self.looks.contrast / 100.0).round() as usize).copied().unwrap_or(1.0)
    }

    /// Projections with their scales: each its own, or one for all.
    pub fn projections(&self, all: &[&[f32]]) -> Vec<Picture> {
        let common = self.looks.common_scale.then(|| self.projection_scale(&all.concat()));
        all.iter().map(|v| self.projection(v, common.unwrap_or_else(|| self.projection_scale(v)))).collect()
    }

    /// The range of values that colours span.
    pub fn range(&self, values: &[f32]) -> (f32, f32) {
        let mut sorted: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f32::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let at = |share: f32| sorted.get((last as f32 * share).round() as usize).copied().unwrap_or(0.0);
        let cut = (100.0 - self.looks.contrast) / 200.0;
        (at(cut), at(1.0 - cut))
    }
}

/// A map in viridis.
pub fn heat(values: &[f32], width: usize, (low, high): (f32, f32)) -> Picture {
    let span = if high > low { high - low } else { 1.0 };
    Picture::from_colours(width, values.len() / width, values.iter().map(|v| viridis((v - low) / span)))
}

/// A map in grey.
pub fn shades(values: &[f32], width: usize, (low, high): (f32, f32)) -> Picture {
    let span = if high > low { high - low } else { 1.0 };
    Picture::from_colours(width, values.len() / width, values.iter().map(|v| grey((v - low) / span)))
}

/// A region as pictures take it.
pub fn corners(region: Region) -> [usize; 4] {
    [region.top, region.left, region.height, region.width]
}

/// A bar where there is a terminal.
pub fn progress(len: usize, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}  {eta} left").ok();
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(len as u64) } else { ProgressBar::hidden() };
    if let Some(style) = style {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_string());
    bar
}

/// A number in a label: three digits that say something.
pub fn number(v: f32) -> String {
    match v.abs() {
        0.0 => String::from("0"),
        a if a >= 100.0 => format!("{v:.0}"),
        a if a >= 10.0 => format!("{v:.1}"),
        a if a >= 0.01 => format!("{v:.2}"),
        _ => format!("{v:.0e}"),
    }
}

/// The text of a file; the error names it.
pub fn read_text(path: &std::path::Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{}: can't be read", path.display()))
}
