//! `train`: a network trained by a recipe.

use anyhow::Result;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use train::cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    infer::memory::keep();
    infer::exit::run(|cli: Cli| -> Result<()> {
        match &cli.command {
            Some(Command::Fetch(arguments)) => return train::fetch(arguments),
            Some(Command::Pack(arguments)) => return train::pack(arguments),
            Some(Command::Compare(arguments)) => return train::compare(arguments),
            Some(Command::Worker(arguments)) => return train::worker(arguments),
            None => {}
        }
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        ctrlc::set_handler(move || {
            let again = asked.swap(true, Ordering::Relaxed);
            // A dashboard sees the flag, and has a key of its own that gives the terminal back and ends at once.
            if train::dashboard_is_open() {
                return;
            }
            // The second time means it: without waiting for the step to end.
            if again {
                std::process::exit(130);
            }
            eprintln!("finishing the step and saving; again to stop at once");
        })?;
        train::train(&cli.run, &stop)
    })
}
