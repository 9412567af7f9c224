//! Chores. Links no Burn, so that it compiles in seconds.

mod ci;

use anyhow::Result;
use clap::{Parser, Subcommand};

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
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Ci => ci::run(),
    }
}
