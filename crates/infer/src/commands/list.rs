//! `infer list`.

use anyhow::Result;
use infer::{Table, thousands};
use models::zoo;
use serde_json::json;
use std::io::Write;

/// Arguments of `infer list`.
#[derive(clap::Args)]
pub struct Arguments {
    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let all: Vec<_> = zoo::variants()
            .map(|v| {
                json!({
                    "model": v.name, "family": v.family, "title": v.title, "source": v.source,
                    "parameters": v.parameters, "macs": v.macs, "classes": v.classes, "batch": v.batch,
                    "activations": v.activations,
                })
            })
            .collect();
        writeln!(out, "{}", serde_json::to_string(&all)?)?;
    } else {
        let mut table = Table::new(&["model", ">parameters", ">MACs", "what it is", "source"]);
        for v in zoo::variants() {
            table.row([v.name, &thousands(v.parameters), &thousands(v.macs), v.title, v.source]);
        }
        write!(out, "{table}")?;
    }
    Ok(())
}
