//! `train worker`: this machine's device for trainings elsewhere, by Burn's remote backend.

use crate::cli::Worker;
use anyhow::Result;

/// Serves until Ctrl-C.
///
/// # Errors
/// If there is no such device or it doesn't compute what PyTorch does, the address can't be listened on, or there is no token
/// and none was waived.
#[cfg(feature = "remote")]
pub fn worker(arguments: &Worker) -> Result<()> {
    use anyhow::Context;
    use burn::server::{RemoteServer, TokenAuthorizer, WebSocketTransport};
    use models::device::{self, TOKEN};
    use std::io::Write;

    let device = device::parse(&arguments.device)?;
    let mut server = RemoteServer::new([device]);
    if !arguments.no_auth {
        let token = std::env::var(TOKEN).ok().and_then(|token| TokenAuthorizer::new(token).ok());
        server = server.with_authorizer(token.with_context(|| {
            format!("no token: set {TOKEN} to a secret, here and where the training runs, or say --no-auth")
        })?);
    }
    let listen = || format!("--listen {}: can't be listened on", arguments.listen);
    let listener = std::net::TcpListener::bind(&arguments.listen).with_context(listen)?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        eprintln!("warning: the connection isn't encrypted; on a network that others read, put a tunnel around it");
    }
    let asks = if arguments.no_auth { "anybody" } else { "those with the token" };
    if !arguments.no_selfcheck {
        infer::selfcheck::once(&arguments.device)?;
    }
    println!("lending {} to {asks}: --device remote:{address}", arguments.device);
    std::io::stdout().flush()?;
    server.serve(WebSocketTransport::from_listener(listener)).with_context(listen)
}

/// # Errors
/// Always: the program isn't linked with Burn's remote backend.
#[cfg(not(feature = "remote"))]
pub fn worker(_: &Worker) -> Result<()> {
    // The same words as for `--device remote:…`.
    models::device::parse("remote")?;
    Ok(())
}

/// What `run` answers, or in words what it died of: Burn's client ends a lost connection with a panic.
///
/// # Errors
/// As `run`, and if a worker is lost.
#[cfg(feature = "remote")]
pub(crate) fn watched<T>(placement: &infer::Placement, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let name = placement.to_string();
    if name.contains("remote:") { guarded(&name, run) } else { run() }
}

#[cfg(feature = "remote")]
fn guarded<T>(devices: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    use models::device::DeviceError;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
    use std::sync::{Arc, Mutex, PoisonError};

    let usual = Arc::new(take_hook());
    // What the first one said, and where.
    let lost = Arc::new(Mutex::new(None));
    let (hook, first) = (Arc::clone(&usual), Arc::clone(&lost));
    set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("no message");
        let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() && !is_lost(&place, text) {
            return hook(info);
        }
        // Other threads die of it, too: one message is enough.
        first.get_or_insert_with(|| format!("{}, at {place}", text.lines().next().unwrap_or_default()));
    }));
    let result = catch_unwind(AssertUnwindSafe(run));
    set_hook(Box::new(move |info| usual(info)));
    result.unwrap_or_else(|panic| {
        let Some(said) = lost.lock().unwrap_or_else(PoisonError::into_inner).take() else { resume_unwind(panic) };
        let address =
            devices.split(',').filter_map(|d| d.trim().strip_prefix("remote:")).collect::<Vec<_>>().join(", ");
        let problem = format!(
            "a worker was lost ({said}). What was saved before stays: start the worker again and go on with --resume"
        );
        Err(DeviceError::Remote { address, problem }.into())
    })
}

/// Whether a panic is that of Burn's client without its worker. A tensor that can't be read panics at our own line
/// (`#[track_caller]`), in the client's words.
#[cfg(feature = "remote")]
fn is_lost(place: &str, text: &str) -> bool {
    let crates = ["burn-remote", "burn-communication"];
    crates.iter().any(|name| place.contains(name)) || text.contains("Failed to read tensor: ")
}

#[cfg(not(feature = "remote"))]
pub(crate) fn watched<T>(_: &infer::Placement, run: impl FnOnce() -> Result<T>) -> Result<T> {
    run()
}

#[cfg(all(test, feature = "remote"))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn the_client_s_panic_is_a_lost_worker_and_ours_is_a_bug() {
        let dies = |text: String| {
            catch_unwind(AssertUnwindSafe(|| guarded("remote:there:3000", || -> Result<()> { panic!("{text}") })))
        };
        let lost = dies("reading: Failed to read tensor: RecvError(())".into()).unwrap().unwrap_err().to_string();
        assert!(
            lost.contains("there:3000") && lost.contains("RecvError(()), at ") && lost.contains("worker.rs:"),
            "{lost}"
        );
        let bug = dies("index out of bounds".into()).unwrap_err();
        assert_eq!(bug.downcast_ref::<String>().unwrap(), "index out of bounds");
        assert!(is_lost("registry/burn-remote-0.22.1/src/client/runner.rs:42:14", "Service call failed"));
    }
}
