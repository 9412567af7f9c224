//! What came of a run.

use crate::report::duration;
use crate::trainer::Trainer;
use anyhow::{Context, Result};
use data::Samples;
use infer::thousands;
use models::weights;
use serde::Serialize;
use serde_json::json;

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
    bad_images: usize,
    weights: String,
}

impl Trainer {
    /// Reads the test set, once.
    pub(crate) fn test(&mut self, test: Samples, dataset: &str) -> Result<()> {
        let path = self.run.file("best.safetensors");
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let (network, mut card) = weights::load(&bytes, self.placement.first())?;
        let network = self.placement.place(network)?;
        let before = self.loader.images() + self.validation.as_ref().map_or(0, Samples::len);
        let confusion = self.evaluate(&network, test, before)?;
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
            bad_images: self.progress.bad.len(),
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
