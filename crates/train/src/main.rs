//! `train`: a network trained by a recipe.

use anyhow::Result;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use train::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    infer::memory::keep();
    infer::exit::run(|cli: Cli| -> Result<()> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        ctrlc::set_handler(move || {
            // The second time means it: without waiting for the step to end.
            if asked.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            eprintln!("finishing the step and saving; again to stop at once");
        })?;
        train::train(&cli, &stop)
    })
}
