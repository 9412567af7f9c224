//! A run's directory: new or resumed, never overwritten.

use crate::recipe::Recipe;
use anyhow::{Context, Result, bail};
use infer::OnBadImage;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Where a run keeps its files.
#[derive(Clone, Debug)]
pub struct RunDir(PathBuf);

/// `run.toml`: what a resumed run does as before, unless it is told otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// The command that trains the same weights, for the card.
    pub command: String,
    /// The device it ran on, or those of its replicas: `flex`, `cuda:0,cuda:1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Its towers' devices: `flex,ndarray`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub towers: Option<String>,
    /// Where its data is, if not where it ships.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// The weights that it began with, if not the paper's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// What becomes of an image that can't be decoded.
    #[serde(default)]
    pub on_bad_image: OnBadImage,
    /// The recipe with every change.
    pub recipe: Recipe,
}

impl RunDir {
    /// A new directory: `out`, or `runs/<recipe>-<n>` with the first number that is free.
    ///
    /// # Errors
    /// If it can't be made, or is there already with something in it.
    pub fn create(out: Option<&Path>, run: &RunFile) -> Result<Self> {
        let dir = match out {
            Some(dir) => {
                fs::create_dir_all(dir).with_context(|| format!("--out {}: can't be made", dir.display()))?;
                if fs::read_dir(dir)?.next().is_some() {
                    let dir = dir.display();
                    bail!("--out {dir}: is not empty. Name a new directory, or go on with that run: --resume {dir}");
                }
                dir.to_path_buf()
            }
            None => Self::numbered(&run.recipe.name)?,
        };
        let this = Self(dir);
        this.tell(run)?;
        Ok(this)
    }

    /// Writes `run.toml`: what the run is told to do from here on.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn tell(&self, run: &RunFile) -> Result<()> {
        self.write("run.toml", toml::to_string(run)?.as_bytes())
    }

    fn numbered(name: &str) -> Result<PathBuf> {
        fs::create_dir_all("runs").context("runs: can't be made here. Name a place with --out DIR")?;
        for n in 1..100_000 {
            let dir = Path::new("runs").join(format!("{name}-{n}"));
            match fs::create_dir(&dir) {
                Ok(()) => return Ok(dir),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e).with_context(|| format!("{}: can't be made", dir.display())),
            }
        }
        bail!("runs/{name}-1 to -99999 are all taken: name a place with --out DIR")
    }

    /// An earlier run's directory, and what it was told to do.
    ///
    /// # Errors
    /// If it isn't one.
    pub fn open(dir: &Path) -> Result<(Self, RunFile)> {
        let path = dir.join("run.toml");
        let text = fs::read_to_string(&path).with_context(|| {
            format!("--resume {}: is not a run's directory, {} can't be read", dir.display(), path.display())
        })?;
        let run = toml::from_str(&text).with_context(|| path.display().to_string())?;
        Ok((Self(dir.to_path_buf()), run))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The file called `name` in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes the file called `name`, whole or not at all.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.file(name);
        data::whole(&path, bytes).with_context(|| format!("{}: can't be written", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_file() -> RunFile {
        RunFile {
            command: "train".into(),
            device: Some("flex".into()),
            towers: None,
            data_dir: None,
            weights: None,
            on_bad_image: OnBadImage::Skip,
            recipe: Recipe::load("lenet5-mnist", &[]).unwrap(),
        }
    }

    #[test]
    fn a_run_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let made = RunDir::create(Some(&dir.path().join("a/b")), &run_file()).unwrap();
        let (found, run) = RunDir::open(made.path()).unwrap();
        assert_eq!((found.path(), run), (made.path(), run_file()));
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
        let error = RunDir::create(Some(dir.path()), &run_file()).unwrap_err().to_string();
        assert!(error.contains("is not empty") && error.contains("--resume"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_is_no_run_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = format!("{:#}", RunDir::open(dir.path()).unwrap_err());
        assert!(error.contains("is not a run's directory"), "{error}");
    }
}
