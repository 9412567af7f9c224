//! Learning rates, step by step. Each is a function of the step and of the epochs behind it, so that a resumed run goes on
//! with the same rates.

use crate::checkpoint::Epoch;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// `[schedule]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Schedule {
    /// The same rate throughout.
    Constant {
        /// The rate.
        rate: f64,
    },
    /// Up from 0 over `warmup` epochs, then down a half cosine to 0.
    Cosine {
        /// The highest rate.
        rate: f64,
        /// Epochs to get there.
        #[serde(default)]
        warmup: f64,
    },
    /// A rate for each pass; the last one stays.
    Passes {
        /// The rates.
        rates: Vec<f64>,
    },
    /// Multiplied by `factor` after every so many epochs.
    Step {
        /// The first rate.
        rate: f64,
        /// Epochs between changes.
        every: u64,
        /// What the rate is multiplied by.
        factor: f64,
    },
    /// Multiplied by `factor` after each of the epochs `at`.
    Milestones {
        /// The first rate.
        rate: f64,
        /// Epochs after which it changes, in order.
        at: Vec<u64>,
        /// What the rate is multiplied by.
        factor: f64,
    },
    /// Multiplied by `factor` when the validation error, or the training loss where nothing validates, has had no new
    /// minimum for `patience` epochs: what the papers did by hand.
    Plateau {
        /// The first rate.
        rate: f64,
        /// What the rate is multiplied by.
        factor: f64,
        /// Epochs without a new minimum.
        patience: u64,
        /// Training ends where the rate would change once more than this.
        #[serde(skip_serializing_if = "Option::is_none")]
        changes: Option<u64>,
    },
}

impl Schedule {
    /// The learning rate of step `step` of `epoch`, both from 0, after the epochs `before`.
    pub fn rate(&self, epoch: u64, step: usize, steps: usize, epochs: u64, before: &[Epoch]) -> f64 {
        let changed =
            |rate: &f64, factor: &f64, times: u64| rate * factor.powi(i32::try_from(times).unwrap_or(i32::MAX));
        match self {
            Self::Constant { rate } => *rate,
            Self::Cosine { rate, warmup } => {
                let at = epoch as f64 + (step as f64 + 0.5) / steps as f64;
                if at < *warmup {
                    return rate * at / warmup;
                }
                let done = (at - warmup) / (epochs as f64 - warmup);
                rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
            Self::Passes { rates } => rates[usize::try_from(epoch).unwrap_or(usize::MAX).min(rates.len() - 1)],
            Self::Step { rate, every, factor } => changed(rate, factor, epoch / every),
            Self::Milestones { rate, at, factor } => {
                changed(rate, factor, at.iter().filter(|at| **at <= epoch).count() as u64)
            }
            Self::Plateau { rate, factor, patience, .. } => changed(rate, factor, plateaus(before, *patience)),
        }
    }

    /// Whether a plateau was one too many, so that training ends.
    pub fn is_over(&self, before: &[Epoch]) -> bool {
        match self {
            Self::Plateau { patience, changes: Some(most), .. } => plateaus(before, *patience) > *most,
            _ => false,
        }
    }

    /// # Errors
    /// If a value makes no sense: names it.
    pub(crate) fn check(&self, epochs: u64) -> Result<()> {
        let (rates, factor): (&[f64], f64) = match self {
            Self::Constant { rate } => (std::slice::from_ref(rate), 1.0),
            Self::Cosine { rate, warmup } => {
                ensure!((0.0..epochs as f64).contains(warmup), "schedule.warmup must end before training");
                (std::slice::from_ref(rate), 1.0)
            }
            Self::Passes { rates } => (rates, 1.0),
            Self::Step { rate, every, factor } => {
                ensure!(*every > 0, "schedule.every is 0");
                (std::slice::from_ref(rate), *factor)
            }
            Self::Milestones { rate, at, factor } => {
                ensure!(at.is_sorted() && !at.contains(&0), "schedule.at: expected epochs from 1 on, in order");
                (std::slice::from_ref(rate), *factor)
            }
            Self::Plateau { rate, factor, patience, .. } => {
                ensure!(*patience > 0, "schedule.patience is 0");
                (std::slice::from_ref(rate), *factor)
            }
        };
        ensure!(!rates.is_empty(), "schedule.rates is empty");
        ensure!(rates.iter().all(|r| r.is_finite() && *r > 0.0), "schedule: a rate must be positive");
        ensure!(factor > 0.0 && factor <= 1.0, "schedule.factor is {factor}, expected above 0 and at most 1");
        Ok(())
    }
}

/// What is to become small in `epoch`.
fn measure(epoch: &Epoch) -> f64 {
    epoch.validation_error.unwrap_or(epoch.loss)
}

/// How often `patience` epochs in a row brought no new minimum.
fn plateaus(before: &[Epoch], patience: u64) -> u64 {
    let (mut least, mut since, mut plateaus) = (f64::INFINITY, 0, 0);
    for now in before.iter().map(measure) {
        if now < least {
            (least, since) = (now, 0);
        } else {
            since += 1;
        }
        if since == patience {
            (since, plateaus) = (0, plateaus + 1);
        }
    }
    plateaus
}

/// Epochs since the last new minimum.
pub(crate) fn since_minimum(before: &[Epoch]) -> u64 {
    let mut least = f64::INFINITY;
    before.iter().map(measure).fold(0, |since, now| {
        let new = now < least;
        least = least.min(now);
        if new { 0 } else { since + 1 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(errors: &[f64]) -> Vec<Epoch> {
        let epoch = |(i, e): (usize, &f64)| Epoch {
            epoch: i as u64 + 1,
            loss: 1.0,
            validation_error: Some(*e),
            rate: 0.1,
            images_per_second: 1.0,
            seconds: 1.0,
        };
        errors.iter().enumerate().map(epoch).collect()
    }

    #[test]
    fn cosine_and_passes() {
        let cosine = Schedule::Cosine { rate: 0.1, warmup: 1.0 };
        assert!((cosine.rate(0, 4, 10, 11, &[]) - 0.045).abs() < 1e-9);
        assert!((cosine.rate(6, 0, 10, 11, &[]) - 0.05).abs() < 2e-3);
        assert!(cosine.rate(10, 9, 10, 11, &[]) < 1e-4);
        let passes = Schedule::Passes { rates: vec![0.5, 0.2] };
        let rates = [0, 1, 8].map(|epoch| passes.rate(epoch, 0, 1, 9, &[]));
        assert_eq!(rates, [0.5, 0.2, 0.2]);
    }

    #[test]
    fn step_and_milestones() {
        let step = Schedule::Step { rate: 1.0, every: 2, factor: 0.5 };
        assert_eq!([0, 1, 2, 3, 4].map(|epoch| step.rate(epoch, 0, 1, 9, &[])), [1.0, 1.0, 0.5, 0.5, 0.25]);
        // NIN: 200 epochs, 30 and 30.
        let milestones = Schedule::Milestones { rate: 1.0, at: vec![200, 230], factor: 0.5 };
        let rates = [0, 199, 200, 229, 230].map(|epoch| milestones.rate(epoch, 0, 1, 260, &[]));
        assert_eq!(rates, [1.0, 1.0, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn a_plateau_changes_the_rate_and_the_last_one_ends_training() {
        let plateau = Schedule::Plateau { rate: 1.0, factor: 0.5, patience: 2, changes: Some(1) };
        let errors = history(&[0.9, 0.5, 0.6, 0.5, 0.4, 0.4, 0.4]);
        let rates: Vec<_> = (0..=7).map(|n| plateau.rate(n as u64, 0, 1, 99, &errors[..n])).collect();
        assert_eq!(rates, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]);
        assert!(!plateau.is_over(&errors[..6]) && plateau.is_over(&errors));
        assert_eq!(since_minimum(&errors), 2);
        assert_eq!(since_minimum(&[]), 0);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let problem = |schedule: Schedule| schedule.check(10).unwrap_err().to_string();
        assert!(problem(Schedule::Step { rate: 1.0, every: 0, factor: 0.1 }).contains("every is 0"));
        assert!(problem(Schedule::Step { rate: 1.0, every: 1, factor: 10.0 }).contains("factor is 10"));
        assert!(problem(Schedule::Milestones { rate: 1.0, at: vec![5, 2], factor: 0.1 }).contains("in order"));
        assert!(problem(Schedule::Constant { rate: -1.0 }).contains("must be positive"));
        assert!(problem(Schedule::Cosine { rate: 1.0, warmup: 10.0 }).contains("warmup must end"));
    }
}
