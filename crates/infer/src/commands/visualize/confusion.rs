//! `infer visualize confusion` and `infer visualize errors`.

use super::inside::{Inside, Through, values};
use super::{Common, Shown};
use anyhow::{Result, ensure};
use burn::tensor::activation;
use infer::picture::{Block, Picture, Sheet, Tile, measure, viridis, write};
use infer::{Confusion, best};
use serde_json::json;

/// Arguments of `infer visualize confusion`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    through: Through,
}

/// Arguments of `infer visualize errors`.
#[derive(clap::Args)]
pub struct ErrorArguments {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    through: Through,
    /// How many, the surest first
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
}

impl Arguments {
    pub fn run(&self, inside: &Inside) -> Result<Shown> {
        confusion(inside, &self.through)
    }
}

impl ErrorArguments {
    pub fn run(&self, inside: &Inside) -> Result<Shown> {
        errors(inside, &self.through, self.count.into())
    }
}

/// An image that is taken for another class.
struct Mistake {
    image: usize,
    truth: usize,
    answer: usize,
    probability: f32,
}

/// Classifies everything, and says how many images were skipped.
fn classify(inside: &Inside, through: &Through) -> Result<(Confusion, Vec<Mistake>, usize)> {
    let classes = inside.network.classes();
    let images = inside.images(&through.set)?;
    let (mut confusion, mut mistakes) = (Confusion::new(classes), Vec::new());
    let bad = inside.each_batch(&images, through.bad.on_bad_image, "classifying", |tensor, batch| {
        let probabilities = values(activation::softmax(inside.network.forward(tensor)?, 1));
        let rows = probabilities.chunks_exact(classes);
        for ((row, &truth), &image) in rows.zip(&batch.labels).zip(&batch.indices) {
            let (image, truth, answer) = (image as usize, usize::from(truth), best(row));
            ensure!(truth < classes, "the data set has class {truth}, the network knows {classes}");
            confusion.add(truth, answer);
            if truth != answer {
                mistakes.push(Mistake { image, truth, answer, probability: row[answer] });
            }
        }
        Ok(())
    })?;
    Ok((confusion, mistakes, bad))
}

/// The matrix as a table of coloured cells with their counts.
pub fn confusion(inside: &Inside, through: &Through) -> Result<Shown> {
    let (confusion, _, bad) = classify(inside, through)?;
    let rows = confusion.rows();
    let classes = &inside.card.classes;
    let n = rows.len();
    // Mistakes are few: their scale leaves out the diagonal.
    let off = |i: usize, j: usize| if i == j { 0 } else { rows[i][j] };
    let greatest = (0..n * n).map(|i| off(i / n, i % n)).max().unwrap_or(0).max(1);
    let cell = (640 / n).clamp(4, 46);
    // Room for the classes' names, where there is any.
    let longest = classes.iter().map(|class| class.chars().count().min(12)).max().unwrap_or(0);
    let margin = if n <= 30 { 14 + 8 * longest.max(1) } else { 0 };
    let side = margin + n * cell + 1;
    let shade = |i: usize, j: usize| (off(i, j) as f32 / greatest as f32).sqrt();
    let mut picture = Picture::new(side, side, [255; 3]);
    for i in 0..n {
        for j in 0..n {
            let colour = if i == j { [225; 3] } else { viridis(shade(i, j)) };
            picture.place(&Picture::new(cell - 1, cell - 1, colour), margin + i * cell + 1, margin + j * cell + 1);
        }
    }
    if margin > 0 {
        let at = |k: usize| margin + k * cell + cell / 2;
        let mut centred = |text: &str, x: usize, y: usize, colour| {
            let left = x.saturating_sub(measure(text, 13)? / 2);
            write(&mut picture, text, left, y.saturating_sub(7), 13, colour)
        };
        for (i, row) in rows.iter().enumerate() {
            let name: String = classes[i].chars().take(12).collect();
            centred(&name, (margin - 6).saturating_sub(measure(&name, 13)? / 2), at(i), [0; 3])?;
            for (j, count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
                let dark = i != j && shade(i, j) < 0.6;
                centred(&count.to_string(), at(j), at(i), if dark { [255; 3] } else { [0; 3] })?;
            }
        }
    }
    if margin > 0 {
        let names: Vec<String> = classes.iter().map(|class| class.chars().take(12).collect()).collect();
        let widths = names.iter().map(|name| Ok(measure(name, 13)? + 2)).collect::<Result<Vec<_>>>()?;
        // Short names stand; if one is too long, all are turned to fit.
        let fit = widths.iter().all(|&width| width < cell);
        for (i, (name, width)) in names.iter().zip(widths).enumerate() {
            let mut label = Picture::new(width, 16, [255; 3]);
            write(&mut label, name, 0, 0, 13, [0; 3])?;
            let label = if fit { label } else { label.turned() };
            let left = margin + i * cell + (cell - label.width.min(cell)) / 2;
            picture.place(&label, margin.saturating_sub(label.height + 3), left);
        }
    }
    let mut sheet = Sheet::new(
        format!("{}: who is taken for whom", inside.name()),
        format!(
            "{} errors in {} images, {:.2} %; a row for each true class, a column for each answer",
            infer::thousands(confusion.errors() as usize),
            infer::thousands(confusion.total() as usize),
            100.0 * confusion.error()
        ),
    );
    sheet.row(vec![Block::new("", 1, vec![Tile::new(picture, "")])]);
    let numbers = json!({
        "model": inside.name(), "images": confusion.total(), "bad_images": bad, "errors": confusion.errors(),
        "classes": classes, "confusion": rows,
    });
    Ok(Shown { picture: sheet.draw()?, numbers })
}

/// Whether the classes' names are so short that two fit below a small picture.
pub fn are_digits(classes: &[String]) -> bool {
    classes.iter().all(|class| class.len() < 3)
}

/// The images that are taken for another class.
pub fn errors(inside: &Inside, through: &Through, count: usize) -> Result<Shown> {
    let (confusion, mut mistakes, bad) = classify(inside, through)?;
    mistakes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    let images = inside.images(&through.set)?;
    let classes = &inside.card.classes;
    let short = |class: usize| classes[class].split(',').next().unwrap_or_default().to_string();
    // Digits fit beside each other below a small picture, names have a line each below a larger one.
    let (side, columns, between) =
        if are_digits(classes) { (inside.side() * 2 / 3, 12, " ") } else { (inside.side(), 8, "\n") };
    let mut tiles = Vec::new();
    for mistake in mistakes.iter().take(count) {
        let picture = inside.picture(&values(inside.shot_of(&images, mistake.image)?.tensor));
        let percent = 100.0 * mistake.probability;
        let label = format!("{}{between}→ {}\n{percent:.0} %", short(mistake.truth), short(mistake.answer));
        tiles.push(Tile::new(picture.fit(side), label));
    }
    let shown = tiles.len().min(count);
    let mut sheet = Sheet::new(
        format!("{}: mistakes", inside.name()),
        format!(
            "true class → answer and its probability; {shown} of {} mistakes in {} images, the surest first",
            infer::thousands(mistakes.len()),
            infer::thousands(confusion.total() as usize)
        ),
    );
    sheet.row(vec![Block::new("", columns, tiles)]);
    let each = mistakes.iter().map(|m| {
        json!({ "image": m.image, "truth": classes[m.truth], "answer": classes[m.answer], "probability": m.probability })
    });
    let numbers = json!({
        "model": inside.name(), "images": confusion.total(), "bad_images": bad, "mistakes": each.collect::<Vec<_>>(),
    });
    Ok(Shown { picture: sheet.draw()?, numbers })
}
