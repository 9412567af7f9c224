//! `train fetch`: a data set's files, downloaded once and checked.

use crate::cli::Fetch;
use anyhow::{Context, Result, bail};
use infer::{Download, Table, fetch_showing, thousands};
use serde::Deserialize;

/// The data sets that can be had.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    dataset: Vec<Download>,
}

impl Manifest {
    fn read(arguments: &Fetch) -> Result<Self> {
        match &arguments.manifest {
            None => toml::from_str(include_str!("../../../datasets/manifest.toml")).context("datasets/manifest.toml"),
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).with_context(|| format!("{}: can't be read", path.display()))?;
                toml::from_str(&text).with_context(|| path.display().to_string())
            }
        }
    }
}

/// Runs it.
///
/// # Errors
/// If there is no such data set, or no address gives one of its files: says for each why.
pub fn fetch(arguments: &Fetch) -> Result<()> {
    let Manifest { dataset: known } = Manifest::read(arguments)?;
    let Some(name) = &arguments.name else {
        let mut table = Table::new(&["data set", ">bytes", "file", "from"]);
        for d in &known {
            table.row([&d.name, &thousands(d.size as usize), &d.file, d.addresses.first().unwrap_or(&d.file)]);
        }
        print!("{table}");
        return Ok(());
    };
    let mut files = known.iter().filter(|d| d.name == *name).peekable();
    if files.peek().is_none() {
        let mut names: Vec<_> = known.iter().map(|d| d.name.as_str()).collect();
        names.dedup();
        bail!("no data set '{name}' can be downloaded; there are {}", names.join(", "));
    }
    for file in files {
        let path = fetch_showing(file, &arguments.dir.join(file.dir.as_ref().unwrap_or(name)))?;
        println!("{}: {} bytes, SHA-256 as expected", path.display(), thousands(file.size as usize));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_sound() {
        let arguments = Fetch { name: None, dir: "datasets".into(), manifest: None };
        for d in Manifest::read(&arguments).unwrap().dataset {
            assert!(d.sha256.len() == 64 && d.sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{d:?}");
            assert!(d.addresses.iter().all(|a| a.starts_with("http") && a.ends_with(&d.file)), "{d:?}");
        }
    }
}
