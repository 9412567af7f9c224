//! `infer classify`.

use super::Choice;
use anyhow::{Context, Result};
use burn::tensor::{Tensor, TensorData, activation};
use infer::thousands;
use models::Framing;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `infer classify`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Images, PNG or JPEG
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    /// How many classes to show, the likeliest first [default: 5 of ImageNet's thousand, else 3]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..))]
    top: Option<u16>,
    /// Look at each photo ten ways, corners and middle and their mirror images, and answer with the mean probability
    #[arg(long)]
    ten_crop: bool,
    /// One JSON object a line, for each image
    #[arg(long)]
    json: bool,
}

/// What is in one image.
#[derive(Serialize)]
struct Answer<'a> {
    image: String,
    model: &'a str,
    class: &'a str,
    probability: f32,
    top: Vec<Guess<'a>>,
    /// What was done to the image before it was shown to the network.
    note: String,
}

#[derive(Serialize)]
struct Guess<'a> {
    class: &'a str,
    probability: f32,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let (network, card, placement) = arguments.choice.load()?;
    let mut out = std::io::stdout().lock();
    if !arguments.json {
        let trained = card.training.as_ref().map_or_else(String::new, |t| format!(", trained on {}", t.dataset));
        writeln!(out, "{} ({} parameters{trained})", card.model.name, thousands(network.parameters()))?;
    }
    for path in &arguments.images {
        let crops = if arguments.ten_crop { 10 } else { 1 };
        let (values, note) = prepare(path, &card.input, crops)?;
        let [c, h, w] = card.input.shape();
        let x = Tensor::<4>::from_data(TensorData::new(values, [crops, c, h, w]), placement.first());
        let probabilities = activation::softmax(network.forward(x)?, 1).mean_dim(0).into_data();
        let mut guesses: Vec<_> = probabilities
            .iter::<f32>()
            .zip(&card.classes)
            .map(|(probability, class)| Guess { class, probability })
            .collect();
        guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        guesses.truncate(arguments.top.map_or(if card.classes.len() < 1000 { 3 } else { 5 }, usize::from));
        let answer = Answer {
            image: path.display().to_string(),
            model: &card.model.name,
            class: guesses[0].class,
            probability: guesses[0].probability,
            top: guesses,
            note,
        };
        if arguments.json {
            writeln!(out, "{}", serde_json::to_string(&answer)?)?;
        } else {
            let guesses: Vec<_> =
                answer.top.iter().map(|g| format!("{} {:.1} %", g.class, 100.0 * g.probability)).collect();
            writeln!(out, "{}: {}", answer.image, guesses.join(", "))?;
            if !answer.note.is_empty() {
                writeln!(out, "  {}", answer.note)?;
            }
        }
    }
    Ok(())
}

/// The numbers that the network is shown, `[crops, channels, height, width]` with 1 or 10 crops, and what was done to get
/// them.
pub(super) fn prepare(path: &Path, spec: &models::InputSpec, crops: usize) -> Result<(Vec<f32>, String)> {
    prepared(data::read_image(path)?, spec, crops).with_context(|| path.display().to_string())
}

/// As [`prepare`], of an image that is read already.
pub(super) fn prepared(
    image: image::DynamicImage,
    spec: &models::InputSpec,
    crops: usize,
) -> Result<(Vec<f32>, String)> {
    let mut values = vec![0.0; crops * spec.shape().iter().product::<usize>()];
    let note = if crops == 1 && spec.framing == Framing::Centre && spec.channels == 1 {
        let digit = data::digit(&image)?;
        let image = data::ImageRef { channels: 1, height: 28, width: 28, pixels: &digit.pixels };
        data::prepare_into(spec, image, &mut values)?;
        digit.note
    } else {
        let planes = data::planes(image);
        let image = planes.view();
        if crops == 1 {
            data::prepare_into(spec, image, &mut values)?;
        } else {
            data::ten_crops_into(spec, image, &mut values)?;
        }
        String::new()
    };
    Ok((values, note))
}
