//! From a command line to a run under way.

use crate::checkpoint::{self, Progress};
use crate::cli::Run;
use crate::events::{self, Events};
use crate::initial::begin_with;
use crate::recipe::{Order, Recipe};
use crate::report::Report;
use crate::ring::Ring;
use crate::run_dir::{RunDir, RunFile};
use crate::sgd::Sgd;
use crate::trainer::Trainer;
use crate::worker::watched;
use anyhow::{Context, Result, ensure};
use data::{Dataset, Loader, LoaderOptions, Samples};
use infer::{OnBadImage, Placement, PlacementArguments, selfcheck, thousands};
use models::weights::{Card, Training};
use models::{InputSpec, Network, Normalise, device};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Trains as the command line says, until the end or until `stop` is set.
///
/// # Errors
/// If something is missing, can't be read or written, a device is lost, or the loss is no longer a number.
/// [`Interrupted`](infer::exit::Interrupted) if stopped.
pub fn train(cli: &Run, stop: &Arc<AtomicBool>) -> Result<()> {
    let resumed = cli.resume.as_deref().map(RunDir::open).transpose()?;
    let placed = match &resumed {
        Some((_, run)) if cli.placement.is_empty() => {
            PlacementArguments { device: run.device.clone(), towers: run.towers.clone() }
        }
        _ => cli.placement.clone(),
    };
    let placement = placed.place()?;
    watched(&placement, || train_on(cli, resumed, placed, placement.clone(), stop))
}

fn train_on(
    cli: &Run,
    resumed: Option<(RunDir, RunFile)>,
    placed: PlacementArguments,
    placement: Placement,
    stop: &Arc<AtomicBool>,
) -> Result<()> {
    let earlier = resumed.as_ref().map(|(_, run)| run);
    let mut recipe = match &resumed {
        Some((dir, run)) => {
            let mut recipe = run.recipe.clone();
            recipe.training.epochs = cli.epochs.unwrap_or(recipe.training.epochs);
            recipe.check().with_context(|| format!("--resume {}", dir.path().display()))?;
            recipe
        }
        None => {
            let epochs = cli.epochs.map(|n| format!("training.epochs={n}"));
            Recipe::load(&cli.recipe, &[&cli.set[..], epochs.as_slice()].concat())?
        }
    };
    recipe.seed = cli.seed.unwrap_or(recipe.seed);
    if !cli.no_selfcheck {
        selfcheck::once(&placement.to_string())?;
    }
    let data_dir = cli.data_dir.clone().or(earlier.and_then(|r| r.data_dir.clone()));
    // The run may be resumed elsewhere. Links are kept: an archive is known by its name.
    let data_dir = data_dir.map(|dir| std::path::absolute(&dir).unwrap_or(dir));
    let weights = cli.weights.clone().or(earlier.and_then(|r| r.weights.clone()));
    let weights = weights.map(|file| std::path::absolute(&file).unwrap_or(file));
    let on_bad_image = cli.on_bad_image.or(earlier.map(|r| r.on_bad_image)).unwrap_or_default();
    let (dataset, dir) = dataset(&recipe, data_dir.as_deref())?;
    let model = recipe.model(dataset.classes.len())?;
    let on = placement.autodiff();
    let network = model.build(recipe.seed, on.first())?;
    let network = match recipe.model.dropout {
        Some(rate) => network.with_dropout(rate),
        None => network,
    };
    let network = on.place(network)?;
    recipe.data.augment().check(network.input())?;
    check_rates(&recipe, &network)?;

    let mut report = Report::new(cli.json, recipe.training.epochs);
    if cli.tui {
        report.show_dashboard(&recipe.name, stop)?;
    }
    let Dataset { name: dataset_name, classes, train, test } = dataset;
    let train = recipe.data.limit.map_or_else(|| train.clone(), |n| train.clone().take(n));
    let (train, validation) = match recipe.data.validation {
        0 => (train, None),
        n => train.split_off_last(n).map(|(t, v)| (t, Some(v))).context("data.validation")?,
    };
    ensure!(!train.is_empty(), "{dataset_name}: there are no images to train on");
    let network = whitened(network, &recipe, &train, on_bad_image, dir.as_deref(), &report)?;
    let optimizer = &recipe.optimizer;
    let mut sgd = Sgd::new(optimizer.momentum, optimizer.weight_decay).with_rates(optimizer.rates.clone());
    // A run that ended before its first checkpoint starts again; it has nothing to lose.
    let saved = match &resumed {
        None => None,
        Some((run, _)) => checkpoint::load(run, &network, &mut sgd, |problem| report.warn(&problem))?,
    };
    let (network, progress) = match (saved, &weights) {
        (Some(saved), _) => saved,
        (None, Some(file)) => (begin_with(network, file, &report)?, Progress::default()),
        (None, None) => (network, Progress::default()),
    };
    let options = LoaderOptions {
        batch_size: recipe.data.batch_size,
        seed: recipe.seed,
        threads: cli.threads,
        shuffle: true,
        fixed_order: recipe.data.order == Order::Constant,
        augment: recipe.data.augment(),
        ten_crops: false,
        on_bad_image: on_bad_image.into(),
    };
    let images = train.len();
    let loader = Loader::new(train.repeat(recipe.data.repeat), network.input().clone(), options)?;

    // A resumed run is still the run that its first command began.
    let command = earlier.map_or_else(|| command(cli, &recipe, &placed), |run| run.command.clone());
    let PlacementArguments { device, towers } = placed;
    let run_file = RunFile { command, device, towers, data_dir, weights, on_bad_image, recipe: recipe.clone() };
    // After all that can fail: what can't begin leaves nothing behind.
    let run = match resumed {
        None => RunDir::create(cli.out.as_deref(), &run_file)?,
        Some((run, _)) => {
            run.tell(&run_file)?;
            run
        }
    };
    let card = Card {
        input: network.input().clone(),
        model,
        classes,
        training: Some(Training {
            dataset: dataset_name.clone(),
            recipe: recipe.name.clone(),
            command: run_file.command,
            seed: recipe.seed,
            epochs: progress.epoch,
            test_error: None,
        }),
    };
    report.say(&format!("{} ({} parameters) on {dataset_name}", card.model.name, thousands(network.parameters())));
    report.say(&format!(
        "{} images to train{}, {} to validate, {} to test; recipe {}, seed {}, device {placement}, files in {}",
        thousands(images),
        if recipe.data.repeat == 1 { String::new() } else { format!(" {} times an epoch", recipe.data.repeat) },
        thousands(validation.as_ref().map_or(0, Samples::len)),
        thousands(test.len()),
        recipe.name,
        recipe.seed,
        run.path().display()
    ));
    if !progress.placed.is_empty() && progress.placed != placement.flag() {
        report.say(&format!(
            "the checkpoint is from {}: from here on results agree with that but for rounding, not bit for bit",
            progress.placed
        ));
    }
    if let Some(replicas) = placement.replicas_in_words(recipe.data.batch_size, &network) {
        report.say(&replicas);
    }
    if let Some(crossings) = placement.crossings_in_words(&network) {
        report.say(&format!("{crossings}; as many come back as gradients"));
    }
    report.event(&json!({
        "event": "start", "model": card.model.name, "parameters": network.parameters(), "dataset": dataset_name,
        "device": placement.to_string(), "seed": recipe.seed, "epochs": recipe.training.epochs, "run": run.path(),
        "crossings": placement.crossings(&network),
    }));
    let events = match cli.tensorboard || run.file(events::FILE).exists() {
        true => Some(Events::begin(&run, &progress.history, progress.seconds)?),
        false => None,
    };
    report.known(&progress.history);
    let now = Instant::now();
    let mut trainer = Trainer {
        seconds_before: progress.seconds,
        recipe,
        run,
        ring: Ring::among(&placement, &network, &sgd),
        placement,
        report,
        events,
        network,
        sgd,
        progress,
        loader,
        validation,
        on_bad_image: on_bad_image.into(),
        card,
        started: now,
        saved: now,
        checkpoint_every: (Duration::from_secs(cli.checkpoint_seconds), cli.checkpoint_steps),
        warned: false,
    };
    trainer.run(stop)?;
    trainer.test(test, &dataset_name)
}

/// The recipe's data set, and where it is on disk.
fn dataset(recipe: &Recipe, data_dir: Option<&Path>) -> Result<(Dataset, Option<std::path::PathBuf>)> {
    if let (Some(synthetic), None) = (&recipe.data.synthetic, data_dir) {
        let device = device::parse("flex")?;
        let network = recipe.model(synthetic.classes.into())?.build(0, &device)?;
        return Ok((synthetic.dataset(network.input())?, None));
    }
    let path = match data_dir {
        Some(dir) => dir.to_path_buf(),
        None => data::locate(&recipe.data.dataset).with_context(|| {
            format!(
                "recipe {} trains on {}. `train fetch` lists what it can download; `--data-dir` names what you have",
                recipe.name, recipe.data.dataset
            )
        })?,
    };
    let dataset = data::open(&path)?;
    Ok((dataset, Some(path)))
}

/// The network, with the recipe's whitening fitted on what it is trained on.
fn whitened(
    network: Network,
    recipe: &Recipe,
    train: &Samples,
    on_bad_image: OnBadImage,
    dir: Option<&Path>,
    report: &Report,
) -> Result<Network> {
    let Some(whitening) = &recipe.data.whitening else { return Ok(network) };
    let normalise = Normalise::Range { background: 0.0, ink: 255.0 };
    let input = InputSpec { normalise, ..network.input().clone() };
    let started = Instant::now();
    let (fitted, unkept) = data::fit_whitening(&input, whitening, train, on_bad_image.into(), dir)?;
    if let Some(problem) = unkept {
        report.warn(&format!("{problem}. The next run fits whitening again"));
    }
    report.say(&format!("whitening fitted on {} images, {:.0} s", train.len(), started.elapsed().as_secs_f64()));
    Ok(network.with_input(InputSpec { whitening: Some(fitted), ..input }))
}

/// # Errors
/// If a rate of the recipe is for no weight at all.
fn check_rates(recipe: &Recipe, network: &Network) -> Result<()> {
    let names: Vec<_> = network.param_shapes().into_iter().map(|(name, _)| name).collect();
    for word in recipe.optimizer.rates.keys() {
        ensure!(
            names.iter().any(|name| name.split('.').any(|part| part == word)),
            "optimizer.rates: no weight's name has '{word}' for a part between the dots; there are {}",
            names.join(", ")
        );
    }
    Ok(())
}

/// The command that trains the same weights.
fn command(cli: &Run, recipe: &Recipe, placed: &PlacementArguments) -> String {
    let mut command = String::from("cargo run -p train --");
    let mut add = |flag: &str, value: &str| command.push_str(&format!(" {flag} {}", quoted(value)));
    add("--recipe", &cli.recipe);
    cli.set.iter().for_each(|change| add("--set", change));
    if let Some(n) = cli.epochs {
        add("--epochs", &n.to_string());
    }
    add("--seed", &recipe.seed.to_string());
    if let Some(file) = &cli.weights {
        add("--weights", &file.to_string_lossy());
    }
    // Dropout draws other numbers elsewhere, and sums are rounded otherwise.
    if placed.name() != "flex" {
        add(if placed.towers.is_some() { "--towers" } else { "--device" }, placed.name());
    }
    if let Some(dir) = &cli.data_dir {
        add("--data-dir", &dir.to_string_lossy());
    }
    match cli.on_bad_image {
        Some(OnBadImage::Skip) => add("--on-bad-image", "skip"),
        Some(OnBadImage::Fail) => add("--on-bad-image", "fail"),
        None => {}
    }
    command
}

/// `word` as a shell takes it for one.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:,=+%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    #[test]
    fn the_command_on_the_card_is_the_one_that_was_given() {
        let of = |words: &[&str]| {
            let cli = Cli::parse_from([&["train"], words].concat()).run;
            let recipe = Recipe { seed: 7, ..Recipe::load("lenet5-mnist", &[]).unwrap() };
            command(&cli, &recipe, &cli.placement)
        };
        assert_eq!(of(&["--device", "flex"]), "cargo run -p train -- --recipe lenet5-mnist --seed 7");
        let schedule = "schedule={ kind = \"constant\", rate = 0.1 }";
        let what = ["--recipe", "my.toml", "--set", "data.limit=9", "--set", schedule, "--epochs", "3"];
        let on = ["--device", "ndarray", "--data-dir", "Anna's", "--on-bad-image", "skip"];
        let expected = format!(
            "cargo run -p train -- --recipe my.toml --set data.limit=9 --set '{schedule}' --epochs 3 --seed 7 \
             --device ndarray --data-dir 'Anna'\\''s' --on-bad-image skip"
        );
        assert_eq!(of(&[&what[..], &on[..]].concat()), expected);
        assert!(of(&["--towers", "flex,ndarray"]).ends_with("--seed 7 --towers flex,ndarray"));
    }
}
