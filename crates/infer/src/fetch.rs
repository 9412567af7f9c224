//! Files that others made, downloaded once and checked before use.

use crate::http;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

/// A file that can be had.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// The network or data set that it is for.
    pub name: String,
    /// The directory that it goes into, where that isn't `name`.
    #[serde(default)]
    pub dir: Option<String>,
    /// What it is called on disk.
    pub file: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal, or the beginning of it where no more is published.
    pub sha256: String,
    /// Where it can be had, the first to be tried first.
    pub addresses: Vec<String>,
}

/// The weight files that `infer fetch` knows.
///
/// # Errors
/// If the list that is built in can't be read.
pub fn known() -> Result<Vec<Download>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        weights: Vec<Download>,
    }
    let list: List = toml::from_str(include_str!("../weights.toml")).context("weights.toml")?;
    Ok(list.weights)
}

/// As [`fetch`], and shows on a terminal how far it is.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_showing(download: &Download, dir: &Path) -> Result<PathBuf> {
    let terminal = std::io::stderr().is_terminal();
    let mut shown = 0;
    let path = fetch(download, dir, |bytes| {
        if terminal && bytes >> 20 != shown {
            shown = bytes >> 20;
            eprint!("\r{} of {} MiB", shown, download.size >> 20);
            let _ = std::io::stderr().flush();
        }
    });
    if shown > 0 {
        eprintln!();
    }
    path
}

/// The path of `download` in `dir`: what is there already if it is whole, else downloaded. `progress` hears how many bytes
/// are there.
///
/// A download that was cut off leaves `FILE.part` and goes on from there next time. Nothing bears the file's own name
/// before its size and digest were found right.
///
/// # Errors
/// If no address gives the file; says for each why. A file that is there with the wrong content is left as it is.
pub fn fetch(download: &Download, dir: &Path, mut progress: impl FnMut(u64)) -> Result<PathBuf> {
    std::fs::create_dir_all(dir).with_context(|| format!("{}: can't be made", dir.display()))?;
    let path = dir.join(&download.file);
    if path.exists() {
        let wrong = check(download, &path)?;
        ensure!(
            wrong.is_none(),
            "{}: {}. Move it away to download it again.",
            path.display(),
            wrong.unwrap_or_default()
        );
        return Ok(path);
    }
    let part = dir.join(format!("{}.part", download.file));
    let mut problems = Vec::new();
    for address in &download.addresses {
        match from(download, address, &part, &mut progress) {
            Ok(()) => match check(download, &part)? {
                None => {
                    std::fs::rename(&part, &path).with_context(|| format!("{}: can't be made", path.display()))?;
                    return Ok(path);
                }
                Some(wrong) => {
                    std::fs::remove_file(&part)?;
                    problems.push(format!("{address}: {wrong}; what came was thrown away"));
                }
            },
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    let kept = if part.exists() { " What came is kept: run the command again to go on." } else { "" };
    bail!("{} can't be had: {}.{kept}", download.file, problems.join("; "))
}

/// Fills `part` up from `address`, again for as long as each try gets further.
fn from(download: &Download, address: &str, part: &Path, progress: &mut impl FnMut(u64)) -> Result<()> {
    let length = || part.metadata().map_or(0, |meta| meta.len());
    loop {
        let before = length();
        if before == download.size {
            return Ok(());
        }
        let done = attempt(download, address, part, before, progress);
        match done {
            Err(error) if length() <= before => return Err(error),
            _ => {}
        }
    }
}

fn attempt(download: &Download, address: &str, part: &Path, have: u64, progress: &mut impl FnMut(u64)) -> Result<()> {
    let have = if have > download.size { 0 } else { have };
    let mut response = http::get(address, have)?;
    // A server that doesn't know ranges begins again.
    let start = if response.status == 206 { response.start.unwrap_or(0) } else { 0 };
    ensure!(start == have || start == 0, "{address}: the server goes on at byte {start}, asked for {have}");
    let rest = download.size - start;
    if let Some(length) = response.length {
        ensure!(length == rest, "{address}: {length} bytes are announced, expected {rest}");
    }
    let mut file = OpenOptions::new().create(true).append(true).open(part)?;
    file.set_len(start)?;
    let (mut place, mut buffer) = (start, vec![0; 1 << 16]);
    loop {
        let n = response.body.read(&mut buffer).with_context(|| address.to_string())?;
        if n == 0 {
            break;
        }
        place += n as u64;
        ensure!(place <= download.size, "{address}: more than {} bytes came", download.size);
        file.write_all(&buffer[..n]).with_context(|| format!("{}: can't be written", part.display()))?;
        progress(place);
    }
    ensure!(place == download.size, "{address}: cut off after {place} of {} bytes", download.size);
    file.sync_all()?;
    Ok(())
}

/// What is wrong with the file at `path`, if anything is.
fn check(download: &Download, path: &Path) -> Result<Option<String>> {
    let mut file = File::open(path).with_context(|| format!("{}: can't be read", path.display()))?;
    let size = file.metadata()?.len();
    if size != download.size {
        return Ok(Some(format!("{size} bytes, expected {}", download.size)));
    }
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        digest.update(&buffer[..n]);
    }
    let found: String = digest.finalize().iter().map(|b| format!("{b:02x}")).collect();
    let right = found.starts_with(&download.sha256.to_ascii_lowercase());
    Ok((!right).then(|| format!("its SHA-256 is {found}, expected {}", download.sha256)))
}
