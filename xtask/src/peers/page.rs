//! The page in docs/results: tables and a picture of the rows that are kept beside it.

use super::row::{Framework, Row, relate};
use super::{chart, lenet, memory};
use crate::bench::plan::Mode;
use crate::bench::samples::cell;
use crate::bench::write as write_whole;
use crate::root;
use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Files of rows in docs/results.
pub const TIMES: &str = "performance.json";
pub const MEMORY: &str = "performance-memory.json";
pub const LENET: &str = "performance-lenet5.json";
const PAGE: &str = "performance.md";
const PICTURE: &str = "performance.png";
/// What people wrote stands below this line.
const END: &str =
    "<!-- Above: by `cargo xtask bench-peers --page`, from the JSON files beside this page. Below: by hand. -->";

/// docs/results.
pub fn results() -> PathBuf {
    root().join("docs/results")
}

/// Writes page and picture; what stands below [`END`] stays.
///
/// # Errors
/// If there are no rows, or a file can't be read or written.
pub fn write() -> Result<()> {
    let dir = results();
    let mut times: Vec<Row> = read(&dir.join(TIMES))?;
    ensure!(
        !times.is_empty(),
        "{}: no rows yet; `cargo xtask bench-peers --publish` measures some",
        dir.join(TIMES).display()
    );
    relate(&mut times); // older files have ratios rounded to thousandths: page and picture would round them again
    let page = dir.join(PAGE);
    let before = if page.exists() { std::fs::read_to_string(&page)? } else { String::new() };
    let by_hand = before.split_once(END).map_or("\n", |(_, rest)| rest);
    let text = text(&times, &read(&dir.join(MEMORY))?, &read(&dir.join(LENET))?);
    write_whole(&dir.join(PICTURE), &chart::png(&times)?)?;
    write_whole(&page, format!("{text}{END}{by_hand}").as_bytes()).with_context(|| page.display().to_string())?;
    eprintln!("{} and {PICTURE} are written", page.display());
    Ok(())
}

/// The rows in a file; none if it isn't there.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&std::fs::read(path)?)
        .with_context(|| format!("{} isn't what was written there", path.display()))
}

/// The framework that a mode is measured against, and how many times as fast ours is to be (issue 4).
pub fn goal(family: &str, mode: Mode) -> (Framework, f64) {
    match (mode, family) {
        (Mode::Infer, "lenet5" | "alexnet") => (Framework::OnnxRuntime, 1.25),
        (Mode::Infer, _) => (Framework::OnnxRuntime, 1.0),
        (Mode::Train, "lenet5") => (Framework::PyTorch, 2.5),
        (Mode::Train, "alexnet" | "zfnet") => (Framework::PyTorch, 1.6),
        (Mode::Train, _) => (Framework::PyTorch, 1.4),
    }
}

/// Rows of one mode, those of a combination together: ours first.
pub fn groups(rows: &[Row], mode: Mode) -> Vec<Vec<&Row>> {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in rows.iter().filter(|r| r.mode == mode) {
        match groups.iter_mut().find(|g| g[0].title() == row.title()) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    for group in &mut groups {
        group.sort_by_key(|r| r.framework as usize);
    }
    groups
}

fn text(times: &[Row], memory: &[memory::Row], lenet: &[lenet::Row]) -> String {
    let mut text = String::from("# Ours, PyTorch and ONNX Runtime on a CPU\n\n");
    let version = |f| times.iter().find(|r| r.framework == f).map_or("–", |r| r.version.as_str());
    if let Some(Row { machine: m, threads, rounds, peak_gflops, read_gb_s, .. }) = times.first() {
        text.push_str(&format!(
            "`cargo xtask bench-peers --publish` at commit {}, on {} cores of {}, {}: {threads} threads each, f32, {rounds} rounds \
             in which the frameworks take turns. Burn {}, {}, PyTorch {} (eager, `inference_mode`, the faster of contiguous and \
             channels-last tensors), ONNX Runtime {} (all optimisations). All start from the same weights, and their logits agree. \
             A training step is a forward pass with dropout where the network has it, cross-entropy, a backward pass, and SGD with \
             momentum.\n\n\
             The machine's peak, {peak_gflops:.0} GFLOP/s, is that of the fastest product of two 2048x2048 matrices in the same \
             run; all cores together read {read_gb_s:.1} GB/s. \"Of possible\" compares with the time in which each layer computes \
             at that peak, or its weights come from memory, whichever is longer.\n\n![Speeds]({PICTURE})\n",
            m.commit,
            m.cores,
            m.cpu,
            m.os,
            m.burn,
            m.rustc,
            version(Framework::PyTorch),
            version(Framework::OnnxRuntime),
        ));
    }
    for (mode, title) in [(Mode::Infer, "Forward pass"), (Mode::Train, "Training step")] {
        let groups = groups(times, mode);
        if !groups.is_empty() {
            text.push_str(&format!("\n## {title}\n\n{}", section(&groups, mode)));
        }
    }
    if !memory.is_empty() {
        text.push_str(
            "\n## Memory of a training step\n\n| network | batch | framework | peak, MiB |\n|---|---:|---|---:|\n",
        );
        for r in memory {
            text.push_str(&format!("| {} | {} | {} | {:.0} |\n", r.model, r.batch, r.framework.name(), r.peak_mib));
        }
        text.push_str(&format!(
            "\nThe largest resident size of a process that did nothing else, {} threads; `cargo xtask bench-peers --memory \
             --publish` at commit {}.\n",
            memory[0].threads, memory[0].machine.commit
        ));
    }
    if !lenet.is_empty() {
        text.push_str("\n## LeNet-5 to 99 % test accuracy\n\n| framework | to 99 %, s | all epochs, s | test error at the end |\n");
        text.push_str("|---|---:|---:|---:|\n");
        for r in lenet {
            let (name, there) = (r.framework.name(), cell(r.seconds_to_99, 1));
            text.push_str(&format!("| {name} | {there} | {:.1} | {:.2} % |\n", r.seconds, 100.0 * r.test_error));
        }
        text.push_str(&format!(
            "\nRecipe `lenet5-mnist` in both, {} threads; `cargo xtask bench-peers --train-lenet --publish` at commit {}.\n",
            lenet[0].threads, lenet[0].machine.commit
        ));
    }
    text + "\n"
}

fn section(groups: &[Vec<&Row>], mode: Mode) -> String {
    let infer = mode == Mode::Infer;
    let mut text = String::from("| network | batch | ours, ms | spread | PyTorch, ms |");
    text.push_str(if infer { " ONNX Runtime, ms |" } else { "" });
    text.push_str(" ours faster than PyTorch |");
    text.push_str(if infer { " than ONNX Runtime |" } else { "" });
    text.push_str(" goal | ours, GFLOP/s | of peak |");
    text.push_str(if infer { " of possible |\n" } else { "\n" });
    text.push_str(if infer {
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    } else {
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    });
    let percent = |x: Option<f64>| x.map_or_else(|| "–".into(), |x| format!("{:.0} %", 100.0 * x));
    let mut missed = 0;
    for group in groups {
        let of = |f| group.iter().find(|r| r.framework == f);
        let Some(ours) = of(Framework::Ours) else { continue };
        let ms = |f| cell(of(f).and_then(|r| r.median_ms), 3);
        let ratio = |f| of(f).and_then(|r| r.ratio).map_or_else(|| "–".into(), |x| format!("{x:.2}x"));
        let (against, factor) = goal(&ours.family, mode);
        let reached = of(against).and_then(|r| r.ratio).is_some_and(|x| x >= factor);
        missed += usize::from(!reached);
        let mut cells = vec![ours.model.clone(), ours.batch.to_string(), ms(Framework::Ours), cell(ours.spread_ms, 3)];
        cells.push(ms(Framework::PyTorch));
        cells.extend(infer.then(|| ms(Framework::OnnxRuntime)));
        cells.push(ratio(Framework::PyTorch));
        cells.extend(infer.then(|| ratio(Framework::OnnxRuntime)));
        cells.push(format!("{factor:.2}x{}", if reached { "" } else { ", missed" }));
        cells.extend([cell(ours.gflops, 1), percent(ours.share_of_peak)]);
        cells.extend(infer.then(|| percent(ours.share_of_possible)));
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    let (against, _) = goal("", mode);
    text + &format!("\nThe goal is over {}; {missed} of {} miss it.\n", against.name(), groups.len())
}

#[cfg(test)]
mod tests {
    use super::super::row::sample;
    use super::*;

    #[test]
    fn a_page_tells_what_was_reached_and_what_missed() {
        let mut rows = vec![
            sample("alexnet", Mode::Infer, 1, Framework::OnnxRuntime, Some(12.0)),
            sample("alexnet", Mode::Infer, 1, Framework::Ours, Some(10.0)),
            sample("alexnet", Mode::Infer, 1, Framework::PyTorch, Some(15.0)),
            sample("alexnet", Mode::Train, 8, Framework::Ours, Some(100.0)),
            sample("alexnet", Mode::Train, 8, Framework::PyTorch, Some(170.0)),
        ];
        relate(&mut rows);
        let page = text(&rows, &[memory::sample(Framework::Ours, 3000.0)], &[]);
        for line in [
            "| alexnet | 1 | 10.000 | 0.100 | 15.000 | 12.000 | 1.50x | 1.20x | 1.25x, missed | 100.0 | 25 % | 50 % |\n",
            "| alexnet | 8 | 100.000 | 0.100 | 170.000 | 1.70x | 1.60x | 100.0 | 25 % |\n",
            "The goal is over ONNX Runtime; 1 of 1 miss it.",
            "The goal is over PyTorch; 0 of 1 miss it.",
            "| alexnet | 128 | classic-cnns | 3000 |",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
        assert!(!page.contains("to 99 %"));
    }

    #[test]
    fn tables_have_as_many_cells_in_every_line() {
        let mut rows = vec![sample("lenet5", Mode::Infer, 1, Framework::Ours, None)];
        rows.push(sample("lenet5", Mode::Train, 64, Framework::Ours, Some(1.0)));
        let page = text(&rows, &[], &[]);
        for table in page.split("\n\n").filter(|t| t.starts_with('|')) {
            let bars: Vec<_> = table.trim().lines().map(|l| l.matches('|').count()).collect();
            assert!(bars.iter().all(|n| *n == bars[0]), "{bars:?}\n{table}");
        }
    }
}
