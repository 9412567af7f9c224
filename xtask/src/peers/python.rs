//! A Python that has PyTorch and ONNX Runtime: one that is named, or one of our own, set up on first use.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `.ci/run` installs, too, into the same place.
const PACKAGES: [&str; 5] = ["torch", "torchvision", "onnx", "onnxruntime", "numpy"];

/// Its path: `$PEERS_PYTHON`, or that of the virtual environment `classic-cnns/peers` in the user's cache.
///
/// # Errors
/// If there is no Python, or the packages can't be installed.
pub fn python() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("PEERS_PYTHON") {
        let python = PathBuf::from(named);
        ensure!(imports(&python), "PEERS_PYTHON: {} can't import {}", python.display(), PACKAGES.join(", "));
        return Ok(python);
    }
    let place =
        cache(std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from), std::env::var_os("HOME").map(PathBuf::from))
            .context(
                "neither XDG_CACHE_HOME nor HOME says where to keep PyTorch: name a Python that has it in PEERS_PYTHON",
            )?;
    let python = place.join("bin/python");
    if imports(&python) {
        return Ok(python);
    }
    eprintln!("installing {} into {}", PACKAGES.join(", "), place.display());
    // An install that was interrupted is begun anew.
    ran(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place))?;
    ran(Command::new(&python).args(["-m", "pip", "install", "-q"]).args(PACKAGES))?;
    Ok(python)
}

fn cache(xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let cache = xdg.filter(|p| p.is_absolute()).or_else(|| Some(home?.join(".cache")))?;
    Some(cache.join("classic-cnns/peers"))
}

fn imports(python: &Path) -> bool {
    let line = format!("import {}", PACKAGES.join(", "));
    let mut command = Command::new(python);
    command.args(["-c", &line]).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

fn ran(command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).status().with_context(|| format!("{command:?} can't be started"))?;
    ensure!(status.success(), "{command:?} ended with {status}; or name a Python that has them in PEERS_PYTHON");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_where() {
        let some = |p: &str| Some(PathBuf::from(p));
        assert_eq!(cache(some("/c"), some("/h")), some("/c/classic-cnns/peers"));
        assert_eq!(cache(some("relative"), some("/h")), some("/h/.cache/classic-cnns/peers"));
        assert_eq!(cache(None, None), None);
    }
}
