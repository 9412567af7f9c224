//! `infer devices`.

use anyhow::Result;
use infer::Table;
use models::device;
use std::io::Write;

/// Arguments of `infer devices`.
#[derive(clap::Args)]
pub struct Arguments {
    /// One JSON array, a backend each, sizes in bytes
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let all = device::list();
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&all)?)?;
        return Ok(());
    }
    let mut table = Table::new(&["--device", "adapter", "driver", ">memory", ">largest tensor", "computes in"]);
    for found in all.iter().flat_map(|backend| &backend.devices) {
        let memory = found.memory.map_or_else(|| "–".into(), size);
        let largest = found.largest_buffer.map_or_else(|| "all of it".into(), size);
        let (name, adapter, driver) = (found.name.clone(), found.adapter.clone(), found.driver.clone());
        table.row([name, adapter, driver, memory, largest, found.floats.join(", ")]);
    }
    writeln!(out, "{table}")?;
    for backend in &all {
        if let Some(missing) = &backend.missing {
            writeln!(out, "{:<9} {missing}", backend.backend)?;
        }
    }
    Ok(())
}

fn size(bytes: u64) -> String {
    match bytes {
        10_000_000_000.. => format!("{:.0} GB", bytes as f64 / 1e9),
        1_000_000_000.. => format!("{:.1} GB", bytes as f64 / 1e9),
        _ => format!("{:.0} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes() {
        assert_eq!(
            (size(134_217_728), size(2_147_483_647), size(25_193_308_160)),
            ("134 MB".into(), "2.1 GB".into(), "25 GB".into())
        );
    }
}
