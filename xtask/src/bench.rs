//! `cargo xtask bench-backends`: networks on backends, each pair in a process of its own; by default each family's first
//! network on flex and ndarray.

mod against;
mod chart;
pub mod machine;
pub mod plan;
pub mod process;
mod row;
pub mod samples;

use anyhow::{Context, Result, ensure};
use plan::{Choice, Combination, Listed};
use process::Bench;
use row::{Measured, Numbers, Row};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Arguments of `cargo xtask bench-backends`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// Devices; those that aren't linked by default are built in
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', default_value = "flex,ndarray")]
    devices: Vec<String>,
    /// What to compute in, where a device has it
    #[arg(long, default_value = "f32", value_parser = ["f32", "f16", "bf16"])]
    dtype: String,
    /// One round, a quarter of a second for each measurement: under 3 minutes for the networks and devices by default
    #[arg(long)]
    quick: bool,
    /// Seconds that one combination may take, all rounds together [default: 60, with --quick 6]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    limit: Option<u64>,
    /// Compare with the rows of an earlier --json; an error if something became slower by more than noise
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
/// If the benchmark can't be built, a network isn't there or the file can't be written. A combination that can't run
/// says so in its row.
pub fn run(arguments: &Arguments) -> Result<()> {
    arguments.choice.check()?;
    let before = arguments.against.as_deref().map(against::read).transpose()?;
    let bench = Bench::build(&arguments.devices)?;
    let mut rows = plan(arguments, &bench.list()?)?;
    let (rounds, seconds, limit) = if arguments.quick { (1, 0.25, 6) } else { (3, 2.0, 60) };
    let limit = Duration::from_secs(arguments.limit.unwrap_or(limit));
    // Rounds go over all combinations, so that a machine that slows down slows them all.
    for round in 1..=rounds {
        for row in &mut rows {
            // The second time starts only if it can end.
            let left = limit.saturating_sub(row.spent);
            if row.error.is_some() || left < row.spent / (round - 1).max(1) {
                continue;
            }
            eprint!("round {round}/{rounds}  {:<40}", row.title());
            let answer = bench.time(row, seconds, left)?;
            match (&answer.error, answer.median_ms) {
                (Some(error), _) => eprintln!("{error}"),
                (None, Some(ms)) => eprintln!("{ms:>10.3} ms"),
                (None, None) => eprintln!("no times"),
            }
            row.add(answer);
        }
    }
    let rows: Vec<_> = rows.iter().map(Row::numbers).collect();
    print!("{}", row::table(&rows));
    if let Some(path) = &arguments.choice.json {
        save(path, &rows)?;
    }
    if let Some(before) = before {
        let (text, slower) = against::compare(&before, &rows);
        print!("\n{text}");
        ensure!(slower == 0, "{slower} of {} rows became slower", rows.len());
    }
    Ok(())
}

/// The rows as JSON, and beside it as CSV and as a chart.
fn save(path: &Path, rows: &[Numbers]) -> Result<()> {
    let machine = machine::Machine::look();
    let measured: Vec<_> = rows.iter().map(|row| Measured { numbers: row.clone(), machine: machine.clone() }).collect();
    let files = [
        ("json", serde_json::to_vec_pretty(&measured)?),
        ("csv", row::csv(&measured).into_bytes()),
        ("png", chart::png(rows)?),
        ("svg", chart::svg(rows)?.into_bytes()),
    ];
    for (extension, bytes) in files {
        let path = if extension == "json" { path.to_path_buf() } else { path.with_extension(extension) };
        write(&path, &bytes).with_context(|| path.display().to_string())?;
        eprintln!("{} rows in {}", rows.len(), path.display());
    }
    Ok(())
}

/// Every combination asked for, on every device.
fn plan(arguments: &Arguments, listed: &[Listed]) -> Result<Vec<Row>> {
    let combinations = arguments.choice.combinations(listed, |l| l.principal)?;
    let dtype = ["f32", "f16", "bf16"].into_iter().find(|d| *d == arguments.dtype).unwrap_or("f32");
    let flop = |c: &Combination| listed.iter().find(|l| l.model == c.model).map_or(0.0, |l| l.flop(c.mode));
    let on =
        |c: &Combination| arguments.devices.iter().map(|d| Row::new(c.clone(), d, dtype, flop(c))).collect::<Vec<_>>();
    Ok(combinations.iter().flat_map(on).collect())
}

/// Writes `path` whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension("part");
    let mut file = std::fs::File::create(&part)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&part, path)).inspect_err(|_| {
        std::fs::remove_file(&part).ok(); // the first error is the one to tell
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn titles(line: &str) -> Vec<String> {
        let listed = [("lenet5", true, 64), ("lenet5-rbf", false, 64), ("alexnet", true, 8)]
            .map(|(model, principal, batch)| Listed::new(model, principal, batch));
        let cli = Cli::parse_from(std::iter::once("bench").chain(line.split_whitespace()));
        plan(&cli.arguments, &listed).map_or_else(|e| vec![e.to_string()], |rows| rows.iter().map(Row::title).collect())
    }

    #[test]
    fn by_default_each_familys_first_at_1_and_its_own_batch() {
        let expected = [
            "lenet5 infer 1 flex",
            "lenet5 infer 64 flex",
            "lenet5 train 64 flex",
            "alexnet infer 1 flex",
            "alexnet infer 8 flex",
            "alexnet train 8 flex",
        ];
        assert_eq!(titles("--devices flex"), expected);
        assert_eq!(titles("--models all").len(), 3 * 3 * 2);
    }

    #[test]
    fn choices_narrow_it_down() {
        assert_eq!(
            titles("--models lenet5-rbf --modes train --batch 2 --devices wgpu:0"),
            ["lenet5-rbf train 2 wgpu:0"]
        );
        assert!(titles("--models lenet6")[0].contains("no network is called 'lenet6'"));
    }

    #[test]
    fn a_file_is_whole_or_absent() {
        let dir = std::env::temp_dir().join(format!("xtask-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("taken")).unwrap();
        write(&dir.join("rows.json"), b"[]").unwrap();
        write(&dir.join("taken"), b"[]").unwrap_err();
        let mut names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["rows.json", "taken"]);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
