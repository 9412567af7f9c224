//! The kernels' tests under AddressSanitizer: does their `unsafe` stay within what it was given?

use anyhow::{Context, Result, ensure};

/// Its runtime comes with the stable toolchain; the flag that asks for it is for nightly ones, hence `RUSTC_BOOTSTRAP`.
/// Builds Burn anew, in a directory of its own.
pub fn run() -> Result<()> {
    let host = host()?;
    let status = crate::cargo()
        .args(["test", "-p", "kernels", "--lib", "--test", "operators", "--test", "products", "--test", "values"])
        // Named, so that build scripts and macros are built without.
        .args(["--target", &host, "--target-dir", "target/asan"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address")
        .status()
        .context("can't run cargo")?;
    ensure!(status.success(), "the sanitizer or a test found something: see above");
    println!("Nothing found. `rm -r target/asan` gives the disk back.");
    Ok(())
}

/// The machine that the compiler runs on, as it calls it.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = std::process::Command::new(rustc).arg("-vV").output().context("can't run rustc")?;
    let said = String::from_utf8_lossy(&said.stdout);
    Ok(said.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?.to_string())
}
