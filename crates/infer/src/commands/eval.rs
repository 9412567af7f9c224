//! `infer eval`.

use super::Choice;
use anyhow::{Result, ensure};
use clap::builder::{EnumValueParser, TypedValueParser};
use data::{Loader, LoaderOptions, OnBadImage, Split};
use infer::{Table, evaluate_batches, thousands};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `infer eval`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// Folder with the data set [default: the one that ships under the name that the weights were trained on]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Images in a batch; with --ten-crop, crops of images
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Look at each image ten ways, corners and middle and their mirror images, and count the mean probability's answer
    #[arg(long)]
    ten_crop: bool,
    #[command(flatten)]
    bad: BadImages,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// What becomes of images that can't be decoded.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct BadImages {
    /// What becomes of an image of the data set that can't be decoded: skip names and counts it, and goes on without it
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    #[arg(value_parser = EnumValueParser::<infer::OnBadImage>::new().map(OnBadImage::from))]
    pub on_bad_image: OnBadImage,
}

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    dataset: &'a str,
    device: String,
    ten_crop: bool,
    images: u64,
    bad_images: usize,
    errors: u64,
    error: f64,
    top1: f64,
    images_per_second: f64,
    classes: Vec<Class<'a>>,
    confusion: &'a [Vec<u64>],
}

#[derive(Serialize)]
struct Class<'a> {
    class: &'a str,
    images: u64,
    recall: Option<f64>,
    precision: Option<f64>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let (network, card, placement) = arguments.choice.load()?;
    let dir = match (&arguments.data_dir, &card.training) {
        (Some(dir), _) => dir.clone(),
        (None, Some(training)) => data::locate(&training.dataset)?,
        (None, None) => anyhow::bail!("the weights don't say what they were trained on: give --data-dir DIR"),
    };
    let (images, classes) = data::open_split(&dir, Split::Test)?;
    ensure!(
        classes.len() == network.classes(),
        "{} has {} classes, {} tells {} apart",
        dir.display(),
        classes.len(),
        card.model.name,
        network.classes()
    );
    let dataset = dir.file_name().map_or_else(|| dir.display().to_string(), |n| n.to_string_lossy().into_owned());
    let batch_size = arguments.batch.div_ceil(if arguments.ten_crop { 10 } else { 1 }) as usize;
    let (ten_crops, on_bad_image) = (arguments.ten_crop, arguments.bad.on_bad_image);
    let options = LoaderOptions { batch_size, threads: 1, ten_crops, on_bad_image, ..LoaderOptions::default() };
    let loader = Loader::new(images, network.input().clone(), options)?;
    let start = Instant::now();
    let (confusion, bad) = evaluate_batches(&network, &loader, placement.first())?;
    let seconds = start.elapsed().as_secs_f64();
    for (i, image) in bad.iter().enumerate() {
        eprintln!("warning: {} Skipped; {} so far", image.problem, i + 1);
    }

    let rows = (0..network.classes()).map(|i| Class {
        class: &card.classes[i],
        images: confusion.rows()[i].iter().sum(),
        recall: confusion.recall(i),
        precision: confusion.precision(i),
    });
    let report = Report {
        model: &card.model.name,
        dataset: &dataset,
        device: placement.to_string(),
        ten_crop: ten_crops,
        images: confusion.total(),
        bad_images: bad.len(),
        errors: confusion.errors(),
        error: confusion.error(),
        top1: 1.0 - confusion.error(),
        images_per_second: confusion.total() as f64 / seconds,
        classes: rows.collect(),
        confusion: confusion.rows(),
    };
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        print(&mut out, &report)?;
    }
    Ok(())
}

fn print(out: &mut impl Write, report: &Report) -> Result<()> {
    writeln!(
        out,
        "{} on {}: {} errors in {} images{}, {:.2} % (top-1 {:.2} %), {:.0} images/s on {}",
        report.model,
        report.dataset,
        thousands(report.errors as usize),
        thousands(report.images as usize),
        if report.ten_crop { " by ten crops" } else { "" },
        100.0 * report.error,
        100.0 * report.top1,
        report.images_per_second,
        report.device
    )?;
    if report.bad_images > 0 {
        writeln!(out, "{} more can't be read and were skipped", report.bad_images)?;
    }
    writeln!(out)?;
    let percent = |share: Option<f64>| share.map_or_else(|| "–".into(), |s| format!("{:.2} %", 100.0 * s));
    let mut table = Table::new(&["class", ">images", ">recognised", ">right when said"]);
    for class in &report.classes {
        table.row([class.class.to_string(), class.images.to_string(), percent(class.recall), percent(class.precision)]);
    }
    writeln!(out, "{table}")?;
    // The whole matrix fits a terminal up to some twenty classes; beyond, --json has it.
    if report.classes.len() <= 20 {
        let headings: Vec<String> = std::iter::once(String::from("true \\ said"))
            .chain(report.classes.iter().map(|c| format!(">{}", c.class)))
            .collect();
        let mut matrix = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
        for (class, row) in report.classes.iter().zip(report.confusion) {
            let counts = row.iter().map(|n| if *n == 0 { "·".into() } else { n.to_string() });
            matrix.row(std::iter::once(class.class.to_string()).chain(counts));
        }
        write!(out, "{matrix}")?;
    }
    Ok(())
}
