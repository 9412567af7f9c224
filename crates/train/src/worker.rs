//! `train worker`: this machine's device for trainings elsewhere, by Burn's remote backend.

use crate::cli::Worker;
use anyhow::Result;

/// Serves until Ctrl-C.
///
/// # Errors
/// If there is no such device, the address can't be listened on, or there is no token and none was waived.
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
    use models::device::DeviceError;
    use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

    let name = placement.to_string();
    if !name.contains("remote:") {
        return run();
    }
    // Threads of the client die of it, too: one message is enough.
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(run));
    set_hook(hook);
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let address = name.split(',').filter_map(|d| d.trim().strip_prefix("remote:")).collect::<Vec<_>>().join(", ");
        let text = text.unwrap_or("no message").lines().next().unwrap_or_default();
        let problem = format!(
            "a worker was lost ({text}). What was saved before stays: start the worker again and go on with --resume"
        );
        Err(DeviceError::Remote { address, problem }.into())
    })
}

#[cfg(not(feature = "remote"))]
pub(crate) fn watched<T>(_: &infer::Placement, run: impl FnOnce() -> Result<T>) -> Result<T> {
    run()
}
