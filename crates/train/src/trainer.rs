//! The loop.

use crate::checkpoint::{self, Epoch, Progress};
use crate::events::Events;
use crate::gradients::Gradient;
use crate::limits::clip;
use crate::plot;
use crate::recipe::{Loss, Recipe, SecondOrder};
use crate::replicas::gradient_of_step;
use crate::report::Report;
use crate::ring::Ring;
use crate::run_dir::RunDir;
use crate::schedule::since_minimum;
use crate::sgd::Sgd;
use anyhow::{Result, ensure};
use burn::module::Module;
use burn::tensor::{Tensor, activation};
use data::random::{Purpose, stream};
use data::{BadImage, Batch, Loader, LoaderOptions, OnBadImage, Samples};
use infer::exit::Interrupted;
use infer::{Confusion, Placement, evaluate_batches, to_tensor};
use models::Network;
use models::weights::{self, Card};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Images in a batch where no gradient is needed: many small ones, few large ones.
const EVALUATION: std::ops::RangeInclusive<usize> = 16..=500;
/// Numbers in such a batch, if the bounds allow.
const EVALUATION_NUMBERS: usize = 1 << 19;
/// Steps between two looks at whether anything is learnt at all; epochs end with one, too.
const LOOK_EVERY: usize = 1000;

/// A run under way.
pub(crate) struct Trainer {
    pub(crate) recipe: Recipe,
    pub(crate) run: RunDir,
    pub(crate) placement: Placement,
    pub(crate) report: Report,
    pub(crate) events: Option<Events>,
    pub(crate) network: Network,
    pub(crate) sgd: Sgd,
    pub(crate) ring: Option<Ring>,
    pub(crate) progress: Progress,
    pub(crate) loader: Loader,
    pub(crate) validation: Option<Samples>,
    pub(crate) on_bad_image: OnBadImage,
    pub(crate) card: Card,
    /// Seconds of earlier sittings.
    pub(crate) seconds_before: f64,
    pub(crate) started: Instant,
    pub(crate) saved: Instant,
    /// How much work a power cut can cost at most: by time, and by steps.
    pub(crate) checkpoint_every: (Duration, Option<u64>),
    /// Whether it was said that nothing is learnt.
    pub(crate) warned: bool,
}

impl Trainer {
    pub(crate) fn run(&mut self, stop: &AtomicBool) -> Result<()> {
        while !self.is_over() {
            let epoch = self.progress.epoch;
            let steps = self.loader.batches_per_epoch();
            self.report.begin(epoch, self.progress.step, steps);
            let epoch_started = Instant::now();
            let images_before = self.progress.images;
            if self.progress.step == 0 {
                self.second_order()?;
            }
            // All steps of a resumed epoch may be done.
            let mut rate = self.rate(self.progress.step.saturating_sub(1));
            for batch in self.loader.epoch(epoch, self.progress.step) {
                rate = self.rate(self.progress.step);
                self.step(&batch?, rate)?;
                if stop.load(Ordering::Relaxed) {
                    return self.interrupt();
                }
                let (time, count) = self.checkpoint_every;
                let due = count.is_some_and(|n| self.progress.total_steps.is_multiple_of(n));
                if due || self.saved.elapsed() > time {
                    self.checkpoint()?;
                }
            }
            let images = (self.progress.images - images_before) as f64;
            self.end_of_epoch(rate, images / epoch_started.elapsed().as_secs_f64())?;
            if stop.load(Ordering::Relaxed) && !self.is_over() {
                return self.interrupt();
            }
        }
        self.report.finish();
        Ok(())
    }

    /// Whether there is no epoch to come.
    fn is_over(&self) -> bool {
        let (training, history) = (&self.recipe.training, &self.progress.history);
        self.progress.epoch >= training.epochs
            || training.patience.is_some_and(|n| since_minimum(history) >= n)
            || self.recipe.schedule.is_over(history)
    }

    /// The learning rate of a step of the epoch under way.
    fn rate(&self, step: usize) -> f64 {
        let (p, steps) = (&self.progress, self.loader.batches_per_epoch());
        self.recipe.schedule.rate(p.epoch, step, steps, self.recipe.training.epochs, &p.history)
    }

    fn step(&mut self, batch: &Batch, rate: f64) -> Result<()> {
        let distinct = self.loader.images() / self.recipe.data.repeat;
        let bad: Vec<_> =
            batch.bad.iter().map(|b| BadImage { index: b.index % distinct as u32, ..b.clone() }).collect();
        self.tell_of(&bad, 0);
        let n = batch.labels.len();
        // All of its images may be bad.
        if n > 0 {
            let (loss, mut gradients) = self.gradients(batch)?;
            ensure!(
                loss.is_finite(),
                "the loss is {loss} at step {} of epoch {}: the learning rate is too high for this network. \
                 What was saved before stays in {}",
                self.progress.step + 1,
                self.progress.epoch + 1,
                self.run.path().display()
            );
            if let Some(most) = self.recipe.optimizer.clip {
                gradients = clip(gradients, most);
            }
            let radius = self.recipe.optimizer.filter_radius.or(self.network.filter_radius());
            self.sgd.step(&mut self.network, &gradients[0], rate);
            self.network.renormalise(radius);
            if let Some(ring) = &mut self.ring {
                ring.step(&gradients[1..], rate, radius);
            }
            self.progress.loss_sum += loss * n as f64;
        }
        let p = &mut self.progress;
        p.step += 1;
        p.total_steps += 1;
        p.images += n;
        p.total_images += n;
        let per_epoch = self.loader.images();
        let left = (per_epoch * (self.recipe.training.epochs - p.epoch) as usize).saturating_sub(p.images);
        self.report.step(n, p.loss_sum / p.images.max(1) as f64, rate, left);
        if p.step.is_multiple_of(LOOK_EVERY) {
            self.warn_if_nothing_is_learnt();
        }
        Ok(())
    }

    fn gradients(&self, batch: &Batch) -> Result<(f64, Vec<Gradient>)> {
        let Self { network, placement, ring, .. } = self;
        let training = &self.recipe.training;
        let mut seeds = stream(self.recipe.seed, Purpose::Dropout, self.progress.epoch, self.progress.step as u64);
        gradient_of_step(network, ring.as_ref(), placement, batch, training.loss, training.accumulate, &mut seeds)
    }

    /// Names each that isn't known yet, and counts it; `before` is how many images come before those that it is one of.
    fn tell_of(&mut self, bad: &[BadImage], before: usize) {
        for BadImage { index, problem } in bad {
            if self.progress.bad.insert(before as u64 + u64::from(*index)) {
                self.report.warn(&format!("{problem} Skipped; {} so far", self.progress.bad.len()));
            }
        }
    }

    /// A network that answers the same for everything has a loss of ln(classes). A short first epoch proves nothing.
    fn warn_if_nothing_is_learnt(&mut self) {
        let p = &self.progress;
        let guessing = (self.network.classes() as f64).ln();
        let loss = p.loss_sum / p.images.max(1) as f64;
        let is_entropy = matches!(self.recipe.training.loss, Loss::CrossEntropy { .. });
        let early = p.epoch == 0 && p.step < LOOK_EVERY;
        if is_entropy && !early && !self.warned && p.images > 0 && loss > 0.99 * guessing {
            self.warned = true;
            self.report.warn(&format!(
                "the loss is {loss:.4}, guessing has ln({}) = {guessing:.4}: nothing is learnt yet. If it stays so, \
                 change schedule.rate or the seed",
                self.network.classes()
            ));
        }
    }

    /// Counts the errors on `images`, and tells of those that can't be read; `before` is as in [`Trainer::tell_of`].
    pub(crate) fn evaluate(&mut self, network: &Network, images: Samples, before: usize) -> Result<Confusion> {
        let numbers: usize = network.input().shape().iter().product();
        let batch_size = (EVALUATION_NUMBERS / numbers).clamp(*EVALUATION.start(), *EVALUATION.end());
        let options =
            LoaderOptions { batch_size, threads: 1, on_bad_image: self.on_bad_image, ..LoaderOptions::default() };
        let loader = Loader::new(images, network.input().clone(), options)?;
        let (confusion, bad) = evaluate_batches(network, &loader, self.placement.first())?;
        self.tell_of(&bad, before);
        Ok(confusion)
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
        if let Some(ring) = &mut self.ring {
            ring.follow(&self.network, &self.sgd);
        }
        Ok(())
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    fn end_of_epoch(&mut self, rate: f64, images_per_second: f64) -> Result<()> {
        ensure!(self.progress.images > 0, "none of {} images to train on can be read", self.loader.images());
        self.warn_if_nothing_is_learnt();
        // Before anything good is replaced.
        checkpoint::ensure_finite(&self.run, &self.network.tensors())?;
        let validation_error = match self.validation.clone() {
            Some(images) => Some(self.evaluate(&self.network.valid(), images, self.loader.images())?.error()),
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
            // Last: a crash before it is made good when the run goes on.
            self.events.as_ref().map_or(Ok(()), |events| events.add(e))?;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<()> {
        self.progress.seconds = self.seconds();
        self.progress.placed = self.placement.flag();
        checkpoint::save(&self.run, &self.network, &self.sgd, &self.progress)?;
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
