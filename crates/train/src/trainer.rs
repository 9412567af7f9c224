//! The loop.

use crate::checkpoint::{self, Epoch, Progress};
use crate::cli::Cli;
use crate::gradients::gradient;
use crate::plot;
use crate::recipe::{Order, Recipe, SecondOrder};
use crate::report::{Report, duration};
use crate::run_dir::{RunDir, RunFile};
use crate::sgd::Sgd;
use anyhow::{Context, Result, ensure};
use burn::module::Module;
use burn::tensor::{Tensor, activation};
use data::random::{Purpose, Rng, stream};
use data::{Batch, Dataset, Images, Loader, LoaderOptions};
use infer::exit::Interrupted;
use infer::{Placement, evaluate, thousands, to_tensor};
use models::Network;
use models::weights::{self, Card, Training};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Images in a batch where no gradient is needed.
const EVALUATION_BATCH: usize = 500;
/// How much work a power cut can cost at most.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// `summary.json`.
#[derive(Clone, Debug, Serialize)]
struct Summary {
    model: String,
    dataset: String,
    device: String,
    seed: u64,
    epochs: u64,
    test_error: f64,
    test_top1: f64,
    train_seconds: f64,
    images_per_second: f64,
    parameters: usize,
    weights: String,
}

/// A run under way.
struct Trainer {
    recipe: Recipe,
    run: RunDir,
    placement: Placement,
    report: Report,
    network: Network,
    sgd: Sgd,
    progress: Progress,
    loader: Loader,
    validation: Option<Arc<Images>>,
    card: Card,
    /// Seconds of earlier sittings.
    seconds_before: f64,
    started: Instant,
    saved: Instant,
}

/// Trains as the command line says, until the end or until `stop` is set.
///
/// # Errors
/// If something is missing, can't be read or written, or the loss is no longer a number. [`Interrupted`] if stopped.
pub fn train(cli: &Cli, stop: &AtomicBool) -> Result<()> {
    let resumed = cli.resume.as_deref().map(RunDir::open).transpose()?;
    let (mut recipe, earlier) = match &resumed {
        Some((_, run)) => (run.recipe.clone(), Some(run)),
        None => (Recipe::load(&cli.recipe, &cli.set)?, None),
    };
    recipe.training.epochs = cli.epochs.unwrap_or(recipe.training.epochs);
    recipe.seed = cli.seed.unwrap_or(recipe.seed);
    let placement = match (cli.placement.given()?, earlier) {
        (Some(placement), _) => placement,
        (None, Some(run)) => Placement::parse(&run.device)?,
        (None, None) => cli.placement.or_flex()?,
    };
    let data_dir = cli.data_dir.clone().or(earlier.and_then(|r| r.data_dir.clone()));
    let dataset = data::open(&data_dir.clone().map_or_else(|| data::locate(&recipe.data.dataset), Ok)?)?;
    let model = recipe.model(dataset.classes.len())?;
    let on = placement.autodiff();
    let network = on.place(model.build(recipe.seed, on.first())?)?;

    // A resumed run is still the run that its first command began.
    let command = earlier.map_or_else(|| command(cli, &recipe, &placement), |run| run.command.clone());
    let run_file = RunFile { command, device: placement.to_string(), data_dir, recipe: recipe.clone() };
    let mut sgd = Sgd::new(recipe.optimizer.momentum, recipe.optimizer.weight_decay);
    let (run, network, progress) = match resumed {
        None => (RunDir::create(cli.out.as_deref(), &run_file)?, network, Progress::default()),
        Some((run, _)) => {
            let path = run.file("checkpoint.safetensors");
            // A run that ended before its first checkpoint starts again; it has nothing to lose.
            let (network, progress) = if path.exists() {
                checkpoint::load(&path, network, &mut sgd)?
            } else {
                (network, Progress::default())
            };
            (run, network, progress)
        }
    };
    let card = Card {
        input: network.input().clone(),
        model,
        classes: dataset.classes.clone(),
        training: Some(Training {
            dataset: dataset.name.clone(),
            recipe: recipe.name.clone(),
            command: run_file.command.clone(),
            seed: recipe.seed,
            epochs: 0,
            test_error: None,
        }),
    };
    let Dataset { name: dataset_name, train, test, .. } = dataset;
    let train = recipe.data.limit.map_or_else(|| train.clone(), |n| train.clone().take(n));
    let (train, validation) = match recipe.data.validation {
        0 => (train, None),
        n => train.split_off_last(n).map(|(t, v)| (t, Some(Arc::new(v)))).context("data.validation")?,
    };
    let report = Report::new(cli.json, recipe.training.epochs);
    report.say(&format!("{} ({} parameters) on {dataset_name}", card.model.name, thousands(network.parameters())));
    report.say(&format!(
        "{} images to train, {} to validate, {} to test; recipe {}, seed {}, device {placement}, files in {}",
        thousands(train.len()),
        thousands(validation.as_ref().map_or(0, |v| v.len())),
        thousands(test.len()),
        recipe.name,
        recipe.seed,
        run.path().display()
    ));
    if let Some(crossings) = placement.crossings_in_words(&network) {
        report.say(&format!("{crossings}; as many come back as gradients"));
    }
    report.event(&json!({
        "event": "start", "model": card.model.name, "parameters": network.parameters(), "dataset": dataset_name,
        "device": placement.to_string(), "seed": recipe.seed, "epochs": recipe.training.epochs, "run": run.path(),
        "crossings": placement.crossings(&network),
    }));
    let options = LoaderOptions {
        batch_size: recipe.data.batch_size,
        seed: recipe.seed,
        threads: cli.threads,
        shuffle: true,
        fixed_order: recipe.data.order == Order::Constant,
        distortion: recipe.data.distortion.clone(),
    };
    let loader = Loader::new(Arc::new(train), network.input().clone(), options)?;
    let seconds_before = progress.seconds;
    let now = Instant::now();
    let mut trainer = Trainer {
        recipe,
        run,
        placement,
        report,
        network,
        sgd,
        progress,
        loader,
        validation,
        card,
        seconds_before,
        started: now,
        saved: now,
    };
    trainer.run(stop)?;
    trainer.test(Arc::new(test), &dataset_name)
}

/// The command that trains the same weights.
fn command(cli: &Cli, recipe: &Recipe, placement: &Placement) -> String {
    let changes: String = cli.set.iter().map(|c| format!(" --set {c}")).collect();
    let epochs = cli.epochs.map_or_else(String::new, |n| format!(" --epochs {n}"));
    // Dropout draws other numbers on other devices.
    let towers = if placement.devices().len() > 1 { format!(" --towers {placement}") } else { String::new() };
    format!("cargo run -p train -- --recipe {}{changes}{epochs} --seed {}{towers}", recipe.name, recipe.seed)
}

impl Trainer {
    fn run(&mut self, stop: &AtomicBool) -> Result<()> {
        while self.progress.epoch < self.recipe.training.epochs {
            let epoch = self.progress.epoch;
            let steps = self.loader.batches_per_epoch();
            self.report.begin(epoch, self.progress.step, steps);
            let epoch_started = Instant::now();
            let images_before = self.progress.images;
            if self.progress.step == 0 {
                self.second_order()?;
            }
            let mut rate = 0.0;
            for batch in self.loader.epoch(epoch, self.progress.step) {
                rate = self.recipe.schedule.rate(epoch, self.progress.step, steps, self.recipe.training.epochs);
                self.step(&batch?, rate)?;
                if stop.load(Ordering::Relaxed) {
                    return self.interrupt();
                }
                if self.saved.elapsed() > CHECKPOINT_EVERY {
                    self.checkpoint()?;
                }
            }
            let images = (self.progress.images - images_before) as f64;
            self.end_of_epoch(rate, images / epoch_started.elapsed().as_secs_f64())?;
            if stop.load(Ordering::Relaxed) && self.progress.epoch < self.recipe.training.epochs {
                return self.interrupt();
            }
        }
        self.report.finish();
        Ok(())
    }

    fn step(&mut self, batch: &Batch, rate: f64) -> Result<()> {
        let n = batch.labels.len();
        // Dropout draws from each backend's own generator: seeded for each step, it doesn't depend on what came before.
        // Two devices of one backend share a generator, and it begins as for one device: the first seeds it last.
        let (epoch, step) = (self.progress.epoch, self.progress.step as u64);
        let mut rng = stream(self.recipe.seed, Purpose::Dropout, epoch, step);
        let seeds: Vec<_> = self.placement.devices().iter().map(|device| (device, rng.next_u64())).collect();
        seeds.into_iter().rev().for_each(|(device, seed)| device.seed(seed));
        let (loss, gradient) = gradient(&self.network, batch, self.recipe.training.loss, self.placement.first())?;
        ensure!(
            loss.is_finite(),
            "the loss is {loss} at step {} of epoch {}: the learning rate is too high for this network. \
             What was saved before stays in {}",
            self.progress.step + 1,
            self.progress.epoch + 1,
            self.run.path().display()
        );
        let radius = self.recipe.optimizer.filter_radius.or(self.network.filter_radius());
        self.sgd.step(&mut self.network, &gradient, rate);
        self.network.renormalise(radius);
        let p = &mut self.progress;
        p.step += 1;
        p.loss_sum += loss * n as f64;
        p.images += n;
        p.total_images += n;
        let per_epoch = self.loader.images();
        let left = per_epoch * (self.recipe.training.epochs - p.epoch) as usize - p.images;
        self.report.step(n, p.loss_sum / p.images as f64, left);
        Ok(())
    }

    /// Before a pass, each weight's own step size (LeCun 1998, appendix C): 1 / (mu + h), h estimated on the first
    /// images of the training set's constant order.
    fn second_order(&mut self) -> Result<()> {
        let Some(SecondOrder { mu, samples }) = self.recipe.optimizer.second_order else { return Ok(()) };
        let Some(batch) = self.loader.with_batch_size(samples).epoch(0, 0).next() else { return Ok(()) };
        let smooth = |logits: Tensor<2>| {
            let p = activation::softmax(logits, 1);
            p.clone() - p.square()
        };
        let diagonal = self.network.valid().curvature(to_tensor(&batch?, self.placement.first()), smooth)?;
        let factors = diagonal.into_iter().map(|(name, h)| (name, h.add_scalar(mu).recip()));
        self.sgd.set_factors(factors.collect());
        Ok(())
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    fn end_of_epoch(&mut self, rate: f64, images_per_second: f64) -> Result<()> {
        let validation_error = match &self.validation {
            Some(images) => {
                let network = self.network.valid();
                Some(evaluate(&network, images.clone(), EVALUATION_BATCH, self.placement.first())?.error())
            }
            None => None,
        };
        let seconds = self.seconds();
        let p = &mut self.progress;
        let loss = p.loss_sum / p.images.max(1) as f64;
        p.epoch += 1;
        (p.step, p.loss_sum, p.images) = (0, 0.0, 0);
        let error_of = |epoch: u64| p.history[epoch as usize - 1].validation_error;
        // Of equals the later one is better: it has seen more.
        let best = p.best.and_then(error_of).is_none_or(|before| validation_error.is_some_and(|now| now <= before));
        p.history.push(Epoch { epoch: p.epoch, loss, validation_error, rate, images_per_second, seconds });
        if best {
            p.best = Some(p.epoch);
        }
        if let Some(training) = &mut self.card.training {
            training.epochs = p.epoch;
        }
        // The checkpoint comes last: a crash before it does the epoch again and ends with the same files.
        let weights = weights::save(&self.network, &self.card)?;
        self.run.write("last.safetensors", &weights)?;
        if best {
            self.run.write("best.safetensors", &weights)?;
        }
        if self.recipe.training.keep.contains(&p.epoch) {
            self.run.write(&format!("epoch-{}.safetensors", p.epoch), &weights)?;
        }
        self.run.write("metrics.csv", metrics(&self.progress.history).as_bytes())?;
        let title = format!("{} by {}", self.card.model.name, self.recipe.name);
        self.run.write("curves.png", &plot::curves(&title, &self.progress.history)?)?;
        self.checkpoint()?;
        if let Some(e) = self.progress.history.last() {
            self.report.epoch(e, best);
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<()> {
        self.progress.seconds = self.seconds();
        checkpoint::save(&self.run.file("checkpoint.safetensors"), &self.network, &self.sgd, &self.progress)?;
        self.saved = Instant::now();
        Ok(())
    }

    fn interrupt(&mut self) -> Result<()> {
        self.checkpoint()?;
        self.report.finish();
        let dir = self.run.path().display();
        let p = &self.progress;
        self.report.event(&json!({ "event": "interrupted", "epoch": p.epoch, "step": p.step, "run": self.run.path() }));
        Err(Interrupted(format!(
            "interrupted after {} epochs and {} steps; all is saved. Go on with: cargo run -p train -- --resume {dir}",
            p.epoch, p.step
        ))
        .into())
    }

    /// Reads the test set, once.
    fn test(&mut self, test: Arc<Images>, dataset: &str) -> Result<()> {
        let path = self.run.file("best.safetensors");
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let (network, mut card) = weights::load(&bytes, self.placement.first())?;
        let network = self.placement.place(network)?;
        let confusion = evaluate(&network, test, EVALUATION_BATCH, self.placement.first())?;
        if let Some(training) = &mut card.training {
            training.test_error = Some(confusion.error());
        }
        self.run.write("best.safetensors", &weights::save(&network, &card)?)?;
        self.run.write("confusion.csv", confusion.to_csv(&card.classes).as_bytes())?;
        let seconds = self.progress.history.last().map_or(0.0, |e| e.seconds);
        let summary = Summary {
            model: card.model.name.clone(),
            dataset: dataset.into(),
            device: self.placement.to_string(),
            seed: self.recipe.seed,
            epochs: self.progress.epoch,
            test_error: confusion.error(),
            test_top1: 1.0 - confusion.error(),
            train_seconds: seconds,
            images_per_second: self.progress.total_images as f64 / seconds,
            parameters: network.parameters(),
            weights: path.display().to_string(),
        };
        self.run.write("summary.json", serde_json::to_string_pretty(&summary)?.as_bytes())?;
        self.report.say(&format!(
            "test error {:.2} % ({} of {}) after {} of training; weights of epoch {} in {}",
            100.0 * summary.test_error,
            confusion.errors(),
            thousands(confusion.total() as usize),
            duration(seconds),
            self.progress.best.unwrap_or(self.progress.epoch),
            path.display()
        ));
        let mut end = serde_json::to_value(&summary)?;
        end["event"] = json!("end");
        self.report.event(&end);
        Ok(())
    }
}

/// `metrics.csv`.
fn metrics(history: &[Epoch]) -> String {
    let mut csv = String::from("epoch,loss,validation_error,rate,images_per_second,seconds\n");
    for e in history {
        let error = e.validation_error.map_or_else(String::new, |v| v.to_string());
        let (rate, speed) = (e.rate, e.images_per_second);
        csv.push_str(&format!("{},{},{error},{rate},{speed:.1},{:.2}\n", e.epoch, e.loss, e.seconds));
    }
    csv
}
