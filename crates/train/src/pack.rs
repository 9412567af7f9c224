//! `train pack`: images in folders as a data set in CIFAR-10's binary layout.

use crate::cli::Pack;
use anyhow::{Context, Result};
use infer::thousands;

/// Runs it.
///
/// # Errors
/// If `out` exists or can't be written, there are too few images, or one can't be read or has another size than 32x32.
pub fn pack(arguments: &Pack) -> Result<()> {
    let dataset = data::open(&arguments.from)?;
    let written = data::write_cifar10(&dataset, &arguments.out);
    let [train, test] = written.with_context(|| arguments.from.display().to_string())?;
    println!(
        "{}: {} images to train on, {} to test on, {} classes",
        arguments.out.display(),
        thousands(train),
        thousands(test),
        dataset.classes.len()
    );
    Ok(())
}
