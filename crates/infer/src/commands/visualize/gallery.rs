//! `infer visualize gallery`.

use super::correspondence::Marked;
use super::deconvnet::Whole;
use super::inside::{Inside, Looks, Maps, Source, Through};
use super::{Shown, activations, confusion, correspondence, deconvnet, evolution, filters, invariance, occlusion, top};
use crate::commands::eval::BadImages;
use anyhow::{Context, Result};
use models::Method;
use std::io::Write;
use std::path::PathBuf;
use visualize::{Zero, feature_layers};

/// Arguments of `infer visualize gallery`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    choice: super::super::Choice,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    bad: BadImages,
    /// Layer [default: the last convolution with more than one unit in a map]
    #[arg(long)]
    layer: Option<String>,
    /// A run of `train` that kept weights along the way, for the picture of features forming
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Images and where their parts are, for the picture of correspondence: see `infer visualize correspondence --help`
    #[arg(long, value_name = "FILE")]
    parts: Option<PathBuf>,
    /// Directory to write to; pictures of the same names in it are replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    looks: Looks,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { source, layer, looks, .. } = arguments;
    let (network, card, placement) = arguments.choice.load_or_draw()?;
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("--out {}: can't be made", arguments.out.display()))?;
    let write = |name: &str, shown: Result<Shown>| -> Result<()> {
        let path = arguments.out.join(format!("{name}.png"));
        let shown = shown.with_context(|| name.to_string())?;
        shown.write(&path)?;
        writeln!(std::io::stdout(), "{}: {} x {} pixels", path.display(), shown.picture.width, shown.picture.height)?;
        Ok(())
    };
    let inside = Inside::new(network, card, looks.clone());
    let through = Through { set: source.set.clone(), bad: arguments.bad };
    let shot = inside.shot_or_next(source, through.bad.on_bad_image)?;
    let maps = Maps { layer: layer.clone(), maps: Vec::new(), count: 16 };
    let methods = [Method::default(), Method::Guided, Method::Gradient];
    write("filters", filters::show(&inside))?;
    write("activations", activations::show(&inside, &shot, None, 16))?;
    write("deconvnet", deconvnet::show(&inside, &shot, &maps, Whole::Unit, None, &methods))?;
    // Wide enough that what is covered is missed.
    let [_, height, width] = inside.card.input.shape();
    let patch = occlusion::Patch { size: Some(height.min(width) * 3 / 8), ..Default::default() };
    write("occlusion", occlusion::show(&inside, &shot, layer.as_deref(), None, &patch.occluder(&inside)?))?;
    // These look through a data set, which photos by themselves don't have.
    if source.image.is_some() && source.set.data_dir.is_none() {
        return Ok(());
    }
    let shots = inside.shots(&through, 5)?;
    write("invariance", invariance::show(&inside, &shots, &feature_layers(&inside.network), 41, None))?;
    write("top", top::show(&inside, &through, &maps, 9, Method::default()))?;
    write("confusion", confusion::confusion(&inside, &through))?;
    // As many as fit on a page.
    let most = if confusion::are_digits(&inside.card.classes) { 96 } else { 40 };
    write("errors", confusion::errors(&inside, &through, most))?;
    if let Some(parts) = &arguments.parts {
        let (marked, layers, fill) = (Marked::read(parts)?, correspondence::layers(&inside)?, inside.fill(None)?);
        let shown = correspondence::show(&inside, &marked, &source.set, &layers, &fill, 10, Zero::Own);
        write("correspondence", shown.with_context(|| format!("--parts {}", parts.display())))?;
    }
    if let Some(run) = &arguments.run {
        let few = Maps { count: 8, ..maps };
        write("evolution", evolution::show(run, &placement, &through, &few, looks))?;
    }
    Ok(())
}
