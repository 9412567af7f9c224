//! `infer fetch`.

use anyhow::{Context, Result};
use infer::{Table, fetch_showing, known, thousands};
use models::zoo;
use std::path::PathBuf;

/// Arguments of `infer fetch`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Network whose weights to download [default: list those that can be had]
    name: Option<String>,
    /// Where to put them
    #[arg(long, value_name = "DIR", default_value = "weights")]
    dir: PathBuf,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let known = known()?;
    let Some(name) = &arguments.name else {
        let mut table = Table::new(&["model", ">bytes", "file", "from"]);
        for w in &known {
            table.row([&w.name, &thousands(w.size as usize), &w.file, w.addresses.first().unwrap_or(&w.file)]);
        }
        print!("{table}");
        return Ok(());
    };
    let name = zoo::find(name)?.name;
    let weights = known.iter().find(|w| w.name == name);
    let weights = weights.with_context(|| {
        let names: Vec<_> = known.iter().map(|w| w.name.as_str()).collect();
        format!("no weights of {name} can be downloaded; there are those of {}", names.join(", "))
    })?;
    let path = fetch_showing(weights, &arguments.dir)?.display().to_string();
    println!("{path}: {} bytes, SHA-256 as expected", thousands(weights.size as usize));
    println!("  infer classify --model {} --weights {path} PHOTO", weights.name);
    Ok(())
}
