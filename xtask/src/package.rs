//! `cargo xtask package`: the crates that programs depend on, as crates.io would get them.
//!
//! `models`, `kernels` and `data` are other people's crates there, and what `-p` takes is a package's name. So the
//! workspace keeps its short names, and a copy of it under the names that are free is what gets packaged. The libraries in
//! the packages are called as here: `use models::…`.

use crate::root;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// The crates, each after those that it depends on.
pub(crate) const CRATES: [&str; 4] = ["kernels", "models", "data", "visualize"];
/// What stands before their names on crates.io.
const PREFIX: &str = "classic-cnns-";
/// Bytes that a package may have, of the 10 MB that crates.io takes: the weights in `models` are 5.5 MB.
const SIZE: u64 = 6 << 20;

#[derive(clap::Args)]
pub struct Arguments {
    /// Only list the files of the packages and check their sizes, without building what is in them
    #[arg(long)]
    no_verify: bool,
}

/// Packages them in a temporary directory, and builds what is in the packages.
pub fn run(arguments: &Arguments) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let copy = temporary.path();
    write(&root(), copy)?;
    let mut cargo = crate::cargo();
    cargo.current_dir(copy).args(["package", "--workspace", "--allow-dirty", "--exclude-lockfile"]);
    // Of its own: packages are built without the workspace's profiles. Kept: Burn need not be built twice.
    let target = PathBuf::from(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| root().join("target").into()));
    let target = std::path::absolute(target)?.join("packages");
    cargo.env("CARGO_TARGET_DIR", &target);
    if arguments.no_verify {
        cargo.arg("--no-verify");
    }
    let status = cargo.status().context("cargo package can't be started")?;
    ensure!(status.success(), "cargo package ended with {status}");
    for name in CRATES {
        let file = target.join(format!("package/{PREFIX}{name}-{}.crate", env!("CARGO_PKG_VERSION")));
        let size = fs::metadata(&file).with_context(|| file.display().to_string())?.len();
        ensure!(
            size <= SIZE,
            "{}: {size} bytes, expected {SIZE} at most: see `include` in its Cargo.toml",
            file.display()
        );
        println!("{PREFIX}{name}: {} kB, {}", size.div_ceil(1000), file.display());
    }
    Ok(())
}

/// The workspace in `from`, the crates for publication alone, under their published names, in `to`.
fn write(from: &Path, to: &Path) -> Result<()> {
    let read = |path: PathBuf| fs::read_to_string(&path).with_context(|| path.display().to_string());
    let mut workspace = read(from.join("Cargo.toml"))?;
    let members = CRATES.map(|name| format!("\"crates/{name}\"")).join(", ");
    replace(&mut workspace, "members = [\"crates/*\", \"xtask\"]", &format!("members = [{members}]"))?;
    for name in CRATES {
        let short = format!("\n{name} = {{ path = \"crates/{name}\"");
        let long = format!("{short}, package = \"{PREFIX}{name}\", version = \"{}\"", env!("CARGO_PKG_VERSION"));
        replace(&mut workspace, &short, &long)?;
    }
    fs::write(to.join("Cargo.toml"), workspace)?;
    fs::copy(from.join("Cargo.lock"), to.join("Cargo.lock"))?;
    for name in CRATES {
        let (from, to) = (from.join("crates").join(name), to.join("crates").join(name));
        copy(&from, &to)?;
        let mut manifest = read(from.join("Cargo.toml"))?;
        replace(&mut manifest, &format!("name = \"{name}\""), &format!("name = \"{PREFIX}{name}\""))?;
        // The workspace says `false`, so that nobody publishes the short names.
        replace(&mut manifest, "publish.workspace = true\n", "")?;
        let myself = format!("{name} = {{ path = \".\"");
        manifest = manifest.replace(&myself, &format!("{myself}, package = \"{PREFIX}{name}\""));
        manifest.push_str(&format!("\n[lib]\nname = \"{name}\"\n"));
        fs::write(to.join("Cargo.toml"), manifest)?;
    }
    Ok(())
}

/// Puts `new` where `old` stands, once.
fn replace(text: &mut String, old: &str, new: &str) -> Result<()> {
    let times = text.matches(old).count();
    ensure!(times == 1, "a manifest has {old:?} {times} times, expected once: xtask/src/package.rs must follow it");
    *text = text.replacen(old, new, 1);
    Ok(())
}

/// A directory and all in it; links become what they lead to.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_has_the_published_names() {
        let copy = tempfile::tempdir().unwrap();
        write(&root(), copy.path()).unwrap();
        let read = |path: &str| fs::read_to_string(copy.path().join(path)).unwrap();
        assert!(read("Cargo.toml").contains("models = { path = \"crates/models\", package = \"classic-cnns-models\""));
        for name in CRATES {
            let manifest = read(&format!("crates/{name}/Cargo.toml"));
            assert!(manifest.contains(&format!("name = \"{PREFIX}{name}\"")), "{manifest}");
            assert!(manifest.ends_with(&format!("[lib]\nname = \"{name}\"\n")) && !manifest.contains("publish"));
            assert!(read(&format!("crates/{name}/LICENSE-MIT")).contains("Permission is hereby granted"));
            assert!(read(&format!("crates/{name}/README.md")).starts_with(&format!("# {name}\n")));
        }
    }
}
