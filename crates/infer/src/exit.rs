//! How the programs end: every exit code is decided here.

use models::BuildError;
use models::device::DeviceError;
use std::process::ExitCode;

/// Done.
const OK: u8 = 0;
/// Wrong usage, or data that can't be used.
const USAGE_OR_DATA: u8 = 1;
/// The device can't be had, or failed.
const DEVICE: u8 = 2;
/// Interrupted; everything is saved.
const INTERRUPTED: u8 = 3;

/// Stopped by the user, with nothing lost: the message says how to go on.
#[derive(Debug)]
pub struct Interrupted(pub String);

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}

/// A device that computes other numbers than it should.
#[derive(Debug)]
pub struct DeviceFailed(pub String);

impl std::fmt::Display for DeviceFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DeviceFailed {}

/// Runs a program's `main`: parses its arguments, prints its error, answers with its code.
pub fn run<A: clap::Parser>(main: impl FnOnce(A) -> anyhow::Result<()>) -> ExitCode {
    let code = match A::try_parse() {
        // clap ends with 2, which means a device here; `--help` and `--version` come this way, too.
        Err(e) => {
            let code = if e.use_stderr() { USAGE_OR_DATA } else { OK };
            if e.print().is_err() { USAGE_OR_DATA } else { code }
        }
        Ok(arguments) => match main(arguments) {
            Ok(()) => OK,
            // The reader of a pipe has seen enough (`infer list | head`): not an error.
            Err(e) if is_broken_pipe(&e) => OK,
            Err(e) => {
                let interrupted = e.is::<Interrupted>();
                eprintln!("{}{e:#}", if interrupted { "" } else { "error: " });
                code(&e)
            }
        },
    };
    ExitCode::from(code)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |e: &(dyn std::error::Error + 'static)| e.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    error.chain().any(|e| kind(e) == Some(std::io::ErrorKind::BrokenPipe))
}

fn too_large(e: &(dyn std::error::Error + 'static)) -> bool {
    matches!(e.downcast_ref(), Some(BuildError::TooLarge(_)))
}

fn code(error: &anyhow::Error) -> u8 {
    if error.is::<Interrupted>() {
        INTERRUPTED
    } else if error.chain().any(|e| e.is::<DeviceError>() || too_large(e)) || error.is::<DeviceFailed>() {
        DEVICE
    } else {
        USAGE_OR_DATA
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn each_kind_of_error_has_its_code() {
        let device = models::device::parse("tpu").map(|_| ()).context("while starting");
        assert_eq!(code(&device.unwrap_err()), DEVICE);
        assert_eq!(code(&anyhow::anyhow!("no such file")), USAGE_OR_DATA);
        assert_eq!(code(&anyhow::Error::new(Interrupted("saved".into()))), INTERRUPTED);
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let closed: anyhow::Result<()> =
            Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe)).context("while printing");
        assert!(is_broken_pipe(&closed.unwrap_err()));
    }
}
