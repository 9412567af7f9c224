//! `infer visualize occlusion`.

use super::inside::{Inside, Shot, Source, heat, number, progress, values};
use super::{Common, Shown};
use anyhow::{Context, Result};
use infer::picture::{Block, CATEGORIES, Picture, Sheet, Tile};
use models::Method;
use serde_json::json;
use visualize::{Occluder, Occlusion, Part, occlude, project, strongest};

/// Arguments of `infer visualize occlusion`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    source: Source,
    /// Layer whose strongest map is watched [default: the last convolution with more than one unit in a map]
    #[arg(long)]
    layer: Option<String>,
    #[command(flatten)]
    patch: Patch,
    /// Class that is watched, by its name [default: what the network takes the image for]
    #[arg(long)]
    class: Option<String>,
}

/// The patch that covers.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Patch {
    /// Side of the patch in pixels [default: a third of the image's shorter side]
    #[arg(long, value_name = "PIXELS")]
    pub size: Option<usize>,
    /// Pixels from one place to the next [default: some 30 places along each side]
    #[arg(long, value_name = "PIXELS")]
    pub stride: Option<usize>,
    /// Pixel value that the patch is filled with [default: paper for ink on paper, else the training set's mean]
    #[arg(long, value_name = "0-255")]
    pub fill: Option<u8>,
}

impl Patch {
    /// The patch for an image of the network's.
    ///
    /// # Errors
    /// As [`Inside::fill`].
    pub fn occluder(&self, inside: &Inside) -> Result<Occluder> {
        let [_, h, w] = inside.card.input.shape();
        Ok(Occluder::new(h, w, self.size, self.stride, inside.fill(self.fill)?))
    }
}

impl Arguments {
    pub fn run(&self, inside: &Inside) -> Result<Shown> {
        let class = self.class.as_ref().map(|name| {
            let found = inside.card.classes.iter().position(|class| class == name);
            found.with_context(|| format!("--class {name}: the network knows no such class"))
        });
        let shot = inside.shot(&self.source)?;
        show(inside, &shot, self.layer.as_deref(), class.transpose()?, &self.patch.occluder(inside)?)
    }
}

/// Figure 7's panels: the image, the watched map's activity, its projection, the class's probability, the likeliest class.
pub fn show(
    inside: &Inside,
    shot: &Shot,
    layer: Option<&str>,
    class: Option<usize>,
    occluder: &Occluder,
) -> Result<Shown> {
    let row = inside.layer(layer)?;
    let layer = row.name.as_str();
    let bar = progress(0, "covering");
    let done = |done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
        true
    };
    let occlusion = occlude(&inside.network, shot.tensor.clone(), layer, class, occluder, 32, done)?;
    bar.finish_and_clear();
    let (_, trace) = inside.network.forward_traced(shot.tensor.clone())?;
    let unit = strongest(&trace, layer, 0, occlusion.map)?;
    let back = values(project(&inside.network, &trace, layer, &[(0, Part::Unit(unit))], Method::default())?);

    let side = 2 * inside.side();
    let [_, width] = occlusion.image;
    let classes = &inside.card.classes;
    let map = |value: &dyn Fn(&visualize::Response) -> f32, range: Option<(f32, f32)>| {
        let values = occlusion.heat(value);
        heat(&values, width, range.unwrap_or_else(|| inside.range(&values))).fit(side)
    };
    let span = |value: &dyn Fn(&visualize::Response) -> f32| {
        let all = occlusion.covered.iter().map(value);
        let (least, greatest) = all.fold((f32::MAX, f32::MIN), |(l, g), v| (l.min(v), g.max(v)));
        format!("{} to {}", number(least), number(greatest))
    };
    let mut covered = inside.picture(&values(shot.tensor.clone()));
    let pixels = covered.clone();
    let middle = occlusion.regions[occlusion.regions.len() / 2];
    covered.frame([middle.top, middle.left, middle.height, middle.width], 1, [213, 94, 0]);
    let input = Tile::new(if pixels.width < side { covered.fit(side) } else { frame_after(&pixels, side, middle) }, "");
    let (answers, legend) = answers(&occlusion, classes, side);
    let class = &classes[occlusion.class];
    let block = |heading: String, picture, label: String| Block::new(heading, 1, vec![Tile::new(picture, label)]);
    let mut sheet = Sheet::new(
        format!("{}: what hangs on which part of {}", inside.name(), shot.name),
        format!(
            "a patch of {0}x{0} pixels moved by {1}, {2}x{3} places; uncovered, {class} has {4:.1} %",
            occluder.size,
            occluder.stride,
            occlusion.places[0],
            occlusion.places[1],
            100.0 * occlusion.whole.probability
        ),
    );
    let activity: &dyn Fn(&visualize::Response) -> f32 = &|r| r.activity;
    let probability: &dyn Fn(&visualize::Response) -> f32 = &|r| r.probability;
    sheet.row(vec![
        Block::new("input and patch", 1, vec![input]),
        block(format!("{layer} map {}: sum", occlusion.map), map(activity, None), span(activity)),
        block(
            format!("{layer} map {}: projection", occlusion.map),
            inside.projection(&back, inside.projection_scale(&back)).fit(side),
            String::new(),
        ),
        block(format!("probability of {class}"), map(probability, Some((0.0, 1.0))), span(probability)),
        block(String::from("most probable class"), answers, String::new()),
        Block::new(" ", 1, legend),
    ]);
    let numbers = json!({
        "model": inside.name(), "image": shot.name, "layer": layer, "class": class,
        "patch": { "size": occluder.size, "stride": occluder.stride, "fill": occluder.fill }, "occlusion": occlusion,
    });
    Ok(Shown { picture: sheet.draw()?, numbers })
}

/// The patch's outline on an image that is scaled down, so that it stays visible.
fn frame_after(pixels: &Picture, side: usize, region: visualize::Region) -> Picture {
    let mut small = pixels.fit(side);
    let scale = |n: usize| n * small.width / pixels.width;
    let frame = [region.top, region.left, region.height, region.width].map(scale);
    small.frame(frame, 2, [213, 94, 0]);
    small
}

/// The likeliest class at each place in a colour of its own, and what the colours mean, the most frequent first.
fn answers(occlusion: &Occlusion, classes: &[String], side: usize) -> (Picture, Vec<Tile>) {
    let mut counts = vec![0; classes.len()];
    for response in &occlusion.covered {
        counts[response.answer] += 1;
    }
    let mut order: Vec<usize> = (0..classes.len()).filter(|&class| counts[class] > 0).collect();
    order.sort_by_key(|&class| std::cmp::Reverse(counts[class]));
    let other = [190; 3];
    let colour = |class| order.iter().position(|&c| c == class).and_then(|i| CATEGORIES.get(i)).map_or(other, |c| *c);
    let colours = occlusion.covered.iter().map(|r| colour(r.answer));
    let picture = Picture::from_colours(occlusion.places[1], occlusion.places[0], colours);
    // As large as its neighbours, though it has fewer places than they have pixels.
    let factor = side.div_ceil(picture.width.max(picture.height));
    let large = picture.enlarge(factor);
    let legend = order.iter().take(CATEGORIES.len()).map(|&class| {
        let share = 100 * counts[class] / occlusion.covered.len();
        Tile::new(Picture::new(130, 10, colour(class)), format!("{share} % {}", classes[class]))
    });
    (large.fit(side), legend.collect())
}
