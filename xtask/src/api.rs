//! `cargo xtask api`: what the published crates offer, against the lists in `docs/api`.

use crate::package::CRATES;
use crate::root;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Set for the rustdoc that cargo starts: it is this program.
const AS_RUSTDOC: &str = "XTASK_AS_RUSTDOC";

/// The version of Rust whose JSON can be read.
pub const RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Whether the JSON of the Rust at hand can be read.
pub fn readable() -> Result<bool> {
    let rustc = Command::new("rustc").arg("--version").output().context("rustc can't be started")?;
    Ok(String::from_utf8_lossy(&rustc.stdout).starts_with(&format!("rustc {RUST}.")))
}

#[derive(clap::Args)]
pub struct Arguments {
    /// Take the crates as they are now: writes the lists
    #[arg(long)]
    pub write: bool,
}

/// Compares.
///
/// # Errors
/// If anything is offered that the lists don't have, or the other way round: says what, and what to do.
pub fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        readable()?,
        "xtask/api reads the JSON of Rust {RUST}'s rustdoc only: run it with that version, or let xtask/api/Cargo.toml \
         follow"
    );
    let target = PathBuf::from(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| root().join("target").into()));
    let target = std::path::absolute(target)?;
    document()?;
    let mut changes = Vec::new();
    for name in CRATES {
        let now = format!("{name} {}\n{}", env!("CARGO_PKG_VERSION"), list(&target, name)?);
        let path = root().join(format!("docs/api/{name}.txt"));
        if arguments.write {
            fs::create_dir_all(root().join("docs/api"))?;
            fs::write(&path, now).with_context(|| path.display().to_string())?;
            continue;
        }
        let before = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        changes.extend(differences(&before, &now).into_iter().map(|line| format!("{name}: {line}")));
    }
    match advice(&changes) {
        None => println!("{} crates offer what docs/api says", CRATES.len()),
        Some(advice) => bail!("{}\n{advice}", changes.join("\n")),
    }
    Ok(())
}

/// Lines of the one list only, and of the other only: `- fn f()`, `+ fn f(u8)`.
fn differences(before: &str, now: &str) -> Vec<String> {
    let [a, b] = [before, now].map(|text| text.lines().collect::<BTreeSet<_>>());
    let gone = a.difference(&b).map(|line| format!("- {line}"));
    gone.chain(b.difference(&a).map(|line| format!("+ {line}"))).collect()
}

/// What to do about the changes; `None` where there are none.
fn advice(changes: &[String]) -> Option<&'static str> {
    if changes.is_empty() {
        return None;
    }
    Some(if changes.iter().any(|line| line.contains(": - ")) {
        "Something that programs may use is gone or has changed. Put it back, or, once a version is published, raise \
         `version` in Cargo.toml (0.1.z to 0.2.0); then `cargo xtask api --write` and a line in CHANGELOG.md."
    } else {
        "New things only: if programs should see them, `cargo xtask api --write` and a line in CHANGELOG.md."
    })
}

/// Has rustdoc write its JSON for every crate. The flag is for nightly compilers alone, so rustdoc is told that it is one;
/// told to everything that cargo builds, it would build Burn once more.
fn document() -> Result<()> {
    let mut cargo = crate::cargo();
    cargo.args(["doc", "--quiet", "--workspace", "--no-deps", "--lib"]).env("RUSTDOC", std::env::current_exe()?);
    cargo.env(AS_RUSTDOC, "1").env("RUSTDOCFLAGS", "-Z unstable-options --output-format json");
    let status = cargo.status().context("cargo doc can't be started")?;
    ensure!(status.success(), "cargo doc ended with {status}");
    Ok(())
}

/// Rustdoc, where cargo means it; `None` where people start this program.
pub fn as_rustdoc() -> Option<ExitCode> {
    std::env::var_os(AS_RUSTDOC)?;
    let mut rustdoc = Command::new("rustdoc");
    rustdoc.args(std::env::args_os().skip(1)).env("RUSTC_BOOTSTRAP", "1");
    Some(match rustdoc.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// What the crate offers, a line each.
fn list(target: &Path, name: &str) -> Result<String> {
    let json = target.join(format!("doc/{name}.json"));
    let mut cargo = crate::cargo();
    cargo.args(["run", "--quiet", "--locked", "--manifest-path", "xtask/api/Cargo.toml", "--"]).arg(&json);
    cargo.env("CARGO_TARGET_DIR", target.join("api"));
    let output = cargo.stderr(std::process::Stdio::inherit()).output().context("cargo run can't be started")?;
    ensure!(output.status.success(), "{}: its list can't be made", json.display());
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_loss_and_a_gain() {
        let changes = differences("a 1\nfn f()\nfn g()\n", "a 1\nfn f(u8)\nfn g()\nfn h()\n");
        assert_eq!(changes, ["- fn f()", "+ fn f(u8)", "+ fn h()"]);
        let of = |changes: &[&str]| advice(&changes.iter().map(|c| format!("a: {c}")).collect::<Vec<_>>());
        assert_eq!(of(&[]), None);
        assert!(of(&["- fn f()", "+ fn f(u8)"]).is_some_and(|a| a.contains("raise `version`")));
        assert!(of(&["+ fn h()"]).is_some_and(|a| a.starts_with("New things only")));
    }
}
