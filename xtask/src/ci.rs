//! `cargo xtask ci`: the cheapest checks first.

use crate::api;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Runs every check; stops at the first that fails.
pub fn run() -> Result<()> {
    let started = Instant::now();
    cargo("format", &["fmt", "--all", "--check"], &[])?;
    cargo("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
    cargo("documentation", &["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])?;
    if api::readable()? {
        println!("== what the crates offer");
        api::run(&api::Arguments { write: false })?;
    } else {
        println!("   what the crates offer: not compared, this isn't Rust {}", api::RUST);
    }
    cargo("programs", &["build", "--workspace"], &[])?;
    for example in ["features", "finetune", "train_inside"] {
        cargo(example, &["run", "--example", example], &[])?;
    }
    // Models without std: Burn with other features, built once more.
    cargo("embedding", &["run", "--locked", "--manifest-path", "examples/classify/Cargo.toml"], &[])?;
    without_std()?;
    if let Ok(python) = std::env::var("PEERS_PYTHON") {
        let infer = Path::new(&target_dir()).join("debug/infer");
        let script = ["crates/formats/tests/check_peers.py", &infer.display().to_string()];
        step("PyTorch and ONNX Runtime agree", Command::new(python).args(script))?;
    } else {
        println!("   PyTorch and ONNX Runtime: not compared, PEERS_PYTHON names no Python that has them");
    }
    if std::env::var_os("CHROMIUM").is_some() {
        let infer = Path::new(&target_dir()).join("debug/infer");
        let script = ["crates/infer/tests/page/test.cjs", &infer.display().to_string()];
        step("the page in a browser", Command::new("node").args(script))?;
    } else {
        println!("   the page: not opened, CHROMIUM names no browser");
    }
    cargo("tests", &["test", "--workspace"], &[])?;
    println!("== all of it in {} s", started.elapsed().as_secs());
    Ok(())
}

/// That inference needs no `std`: where the program above runs, Burn's clock brings one; this target has none.
fn without_std() -> Result<()> {
    const BARE: &str = "x86_64-unknown-none";
    let rustc = Command::new("rustc").args(["--print", "target-libdir", "--target", BARE]).output()?;
    if !Path::new(String::from_utf8_lossy(&rustc.stdout).trim()).is_dir() {
        println!("   without std: not checked, `rustup target add {BARE}` brings a target that has none");
        return Ok(());
    }
    let models = ["check", "--locked", "-p", "models", "--no-default-features", "--features", "flex", "--target", BARE];
    cargo("without std", &models, &[])
}

fn target_dir() -> String {
    std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into())
}

fn cargo(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    step(name, crate::cargo().args(arguments).envs(environment.iter().copied()))
}

fn step(name: &str, command: &mut Command) -> Result<()> {
    println!("== {name}");
    let started = Instant::now();
    let status =
        command.current_dir(crate::root()).status().with_context(|| format!("{name}: {command:?} can't be started"))?;
    ensure!(status.success(), "{name}: {command:?} ended with {status}");
    println!("   {name}: {} s", started.elapsed().as_secs());
    Ok(())
}
