//! `infer visualize`: pictures of what a network sees, laid out like Zeiler and Fergus's.

mod activations;
mod confusion;
mod correspondence;
mod deconvnet;
mod evolution;
mod filters;
mod gallery;
mod inside;
mod invariance;
mod occlusion;
mod top;

pub(super) use evolution::checkpoints;

use anyhow::{Context, Result};
use infer::picture::Picture;
use inside::{Inside, Looks};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `infer visualize`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// The first layer's filters (figure 6)
    Filters(filters::Arguments),
    /// Every layer's maps for one image
    Activations(activations::Arguments),
    /// What made units fire, back in pixels (2.1)
    Deconvnet(deconvnet::Arguments),
    /// Each map's strongest activations over a data set, projected, beside what they saw (figure 2)
    Top(top::Arguments),
    /// How each map's strongest projection formed, checkpoint by checkpoint (figure 4)
    Evolution(evolution::Arguments),
    /// What the answer hangs on, by covering it up (figure 7)
    Occlusion(occlusion::Arguments),
    /// How far features move when the image is shifted, enlarged and turned (figure 5)
    Invariance(invariance::Arguments),
    /// Whether hiding the same part of different images does the same to features (table 1)
    Correspondence(correspondence::Arguments),
    /// Who is taken for whom, counted over a data set
    Confusion(confusion::Arguments),
    /// The images that are taken for another class, the surest mistakes first
    Errors(confusion::ErrorArguments),
    /// All of these in one directory
    Gallery(gallery::Arguments),
}

/// What every picture needs.
#[derive(clap::Args)]
pub struct Common {
    #[command(flatten)]
    choice: super::Choice,
    /// Where to write the picture, a PNG
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    looks: Looks,
    /// Print the numbers behind the picture, one JSON object
    #[arg(long)]
    json: bool,
}

/// A picture, and the numbers behind it.
struct Shown {
    picture: Picture,
    numbers: Value,
}

impl Common {
    /// Loads the network, lets `show` look inside, writes what it shows.
    fn show(&self, show: impl FnOnce(&Inside) -> Result<Shown>) -> Result<()> {
        check_place(&self.out)?;
        let (network, card, _) = self.choice.load_or_draw()?;
        let shown = show(&Inside::new(network, card, self.looks.clone()))?;
        shown.write(&self.out)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", shown.numbers)?;
        } else {
            let Picture { width, height, .. } = shown.picture;
            writeln!(out, "{}: {width} x {height} pixels", self.out.display())?;
        }
        Ok(())
    }
}

impl Shown {
    fn write(&self, path: &Path) -> Result<()> {
        data::whole(path, &self.picture.png()?).with_context(|| format!("{}: can't be written", path.display()))
    }
}

/// Makes sure, before minutes of work, that there is a directory to write to.
fn check_place(out: &Path) -> Result<()> {
    let dir = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    anyhow::ensure!(dir.is_dir(), "--out {}: there is no directory {}", out.display(), dir.display());
    Ok(())
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.what {
        What::Filters(a) => a.common.show(|inside| a.run(inside)),
        What::Activations(a) => a.common.show(|inside| a.run(inside)),
        What::Deconvnet(a) => a.common.show(|inside| a.run(inside)),
        What::Top(a) => a.common.show(|inside| a.run(inside)),
        What::Evolution(a) => a.run(),
        What::Occlusion(a) => a.common.show(|inside| a.run(inside)),
        What::Invariance(a) => a.common.show(|inside| a.run(inside)),
        What::Correspondence(a) => a.common.show(|inside| a.run(inside)),
        What::Confusion(a) => a.common.show(|inside| a.run(inside)),
        What::Errors(a) => a.common.show(|inside| a.run(inside)),
        What::Gallery(a) => gallery::run(a),
    }
}
