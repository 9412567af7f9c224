//! Chores. Links no Burn, so that it compiles in seconds.

mod api;
mod asan;
mod bench;
mod ci;
mod package;
mod peers;
mod tidy;

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Chores of the project.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that must hold before a change lands: format, lints, tests, documentation
    Ci,
    /// The kernels' tests under AddressSanitizer; minutes, since it builds Burn anew
    Asan,
    /// Time networks on backends, side by side: by default each family's first on flex and ndarray
    BenchBackends(bench::Arguments),
    /// Time networks in ours, PyTorch and ONNX Runtime, side by side
    BenchPeers(peers::Arguments),
    /// What the published crates offer, against the lists in docs/api
    Api(api::Arguments),
    /// The crates that programs depend on, packaged under their published names
    Package(package::Arguments),
    /// What must hold of the repository's files; part of the tests
    Tidy,
}

fn main() -> ExitCode {
    if let Some(code) = api::as_rustdoc() {
        return code;
    }
    let done = match Cli::parse().command {
        Command::Ci => ci::run(),
        Command::Asan => asan::run(),
        Command::BenchBackends(arguments) => bench::run(&arguments),
        Command::BenchPeers(arguments) => peers::run(&arguments),
        Command::Api(arguments) => api::run(&arguments),
        Command::Package(arguments) => package::run(&arguments),
        Command::Tidy => tidy::run(),
    };
    // Without the stack that RUST_BACKTRACE would add: these errors are for people.
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository.
fn root() -> PathBuf {
    // What `cargo run` says: what was compiled in may be another checkout's that shares the target directory.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// The cargo that runs this program, in the repository.
fn cargo() -> std::process::Command {
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    // What `cargo run` told this program about itself. Build scripts that look at it would run again, and all that depends on
    // them be built anew, each time that `cargo xtask` comes after a plain `cargo build`, or the other way round.
    let own = |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|begin| name.starts_with(begin));
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| own(name)).for_each(|name| _ = cargo.env_remove(name));
    cargo
}
