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
            // The second time means it: without waiting for the step to end.
            if asked.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            eprintln!("finishing the step and saving; again to stop at once");
        })?;
        train::train(&cli.run, &stop)
    })
}
