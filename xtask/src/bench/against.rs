//! `--against FILE`: what became faster or slower since.

use super::row::{Measured, Numbers};
use anyhow::{Context, Result};
use std::path::Path;

/// A change of less than this share is none, however little the rounds differ.
const LEAST: f64 = 0.05;

/// The rows of an earlier result.
///
/// # Errors
/// If the file isn't one.
pub fn read(path: &Path) -> Result<Vec<Measured>> {
    let bytes = std::fs::read(path).with_context(|| format!("--against {}: can't be read", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("--against {}: not rows of this benchmark", path.display()))
}

/// A line for each row that was measured both times, and how many became slower.
pub fn compare(before: &[Measured], now: &[Numbers]) -> (String, usize) {
    let mut text = String::new();
    let mut slower = 0;
    for n in now {
        let same = |m: &&Measured| {
            let b = &m.numbers;
            (&b.model, &b.mode, b.batch, &b.device, &b.dtype) == (&n.model, &n.mode, n.batch, &n.device, &n.dtype)
        };
        let Some(b) = before.iter().find(same).map(|m| &m.numbers) else { continue };
        let title = format!("{} {} {} {}", n.model, n.mode, n.batch, n.device);
        let (Some(was), Some(is)) = (b.median_ms, n.median_ms) else {
            text.push_str(&format!("{title:<40} not measured both times\n"));
            continue;
        };
        // Rounds that scatter so much can scatter so much again.
        let noise = (b.spread_ms.unwrap_or(0.0) + n.spread_ms.unwrap_or(0.0)).max(LEAST * was);
        let verdict = match is - was {
            d if d.abs() <= noise => "the same, within noise",
            d if d < 0.0 => "faster",
            _ => {
                slower += 1;
                "SLOWER"
            }
        };
        let change = 100.0 * (is / was - 1.0);
        text.push_str(&format!("{title:<40} {was:>11.3} -> {is:>11.3} ms {change:>+7.1} %  {verdict}\n"));
    }
    (text, slower)
}

#[cfg(test)]
mod tests {
    use super::super::row::sample;
    use super::*;
    use crate::bench::machine::Machine;

    #[test]
    fn only_what_is_beyond_both_runs_noise_is_a_change() {
        let of = |ms, spread| sample("lenet5", "infer", 64, "flex", ms, spread);
        let verdict = |before: Numbers, now: Numbers| {
            let (text, slower) = compare(&[Measured { numbers: before, machine: Machine::default() }], &[now]);
            (text.trim_end().rsplit("  ").next().unwrap().trim().to_string(), slower)
        };
        assert_eq!(verdict(of(Some(10.0), 0.1), of(Some(12.0), 0.1)), ("SLOWER".into(), 1));
        assert_eq!(verdict(of(Some(10.0), 0.1), of(Some(9.0), 0.1)), ("faster".into(), 0));
        assert_eq!(verdict(of(Some(10.0), 1.5), of(Some(12.0), 0.6)), ("the same, within noise".into(), 0));
        assert_eq!(verdict(of(Some(10.0), 0.0), of(Some(10.4), 0.0)), ("the same, within noise".into(), 0));
        assert_eq!(verdict(of(Some(10.0), 0.0), of(None, 0.0)).1, 0);
        let other = sample("lenet5", "train", 64, "flex", Some(1.0), 0.0);
        let before = Measured { numbers: of(Some(1.0), 0.0), machine: Machine::default() };
        assert_eq!(compare(&[before], &[other]), (String::new(), 0));
    }
}
