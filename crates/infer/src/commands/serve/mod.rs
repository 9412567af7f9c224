//! `infer serve`: a page to draw on and an API, on this machine by default.

mod api;
mod connection;
mod engine;
mod metrics;
mod multipart;
mod request;
mod response;

use super::Choice;
use super::visualize::checkpoints;
use anyhow::{Context, Result, ensure};
use connection::Server;
use engine::{Engine, Loaded};
use infer::thousands;
use models::weights;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Arguments of `infer serve`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// A run of `train` that kept weights along the way (`--set training.keep=[1,2,5,10]`): the page gets a slider, which
    /// ends at the run's best weights where --weights names no others
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Ask every request to the API for this bearer token [default: what the variable INFER_TOKEN holds, if it is set]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Serve beyond this machine without a token
    #[arg(long, conflicts_with = "token")]
    no_auth: bool,
    /// Requests that may be under way at once; beyond, they get 503
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    queue: u16,
}

/// Runs it, until SIGINT or SIGTERM.
pub fn run(arguments: &Arguments) -> Result<()> {
    let listen = &arguments.listen;
    // A command line can be read by everyone on the machine; the environment can't.
    let token = arguments.token.clone().or_else(|| std::env::var("INFER_TOKEN").ok()).filter(|_| !arguments.no_auth);
    ensure!(
        listen.ip().is_loopback() || token.is_some() || arguments.no_auth,
        "--listen {listen} can be reached from other machines: ask for a token with --token, or say --no-auth"
    );
    ensure!(token.as_ref().is_none_or(|t| !t.is_empty()), "--token: is empty");
    let (network, card, placement) = match &arguments.run {
        Some(run) => end(&arguments.choice, run).load()?,
        None => arguments.choice.load_or_draw()?,
    };
    let name = format!("{} ({} parameters)", card.model.name, thousands(network.parameters()));
    let mut loaded = vec![Loaded { epoch: None, network, card }];
    if let Some(run) = &arguments.run {
        for (epoch, path) in checkpoints(run)? {
            let bytes = std::fs::read(&path).with_context(|| format!("{}: can't be read", path.display()))?;
            let from = || path.display().to_string();
            let (network, card) = weights::load(&bytes, placement.first()).with_context(from)?;
            let end = &loaded[0].card;
            let fits = card.model == end.model && card.input == end.input && card.classes == end.classes;
            ensure!(
                fits,
                "{}: is of {}, and the run's end of {}: network, activation, input and classes must be the same. Name the \
                 weights that the run ended with by --weights",
                path.display(),
                card.model.name,
                end.model.name
            );
            let network = placement.place(network).with_context(from)?;
            loaded.push(Loaded { epoch: Some(epoch), network, card });
        }
    }
    let listener = TcpListener::bind(listen).with_context(|| format!("--listen {listen}: can't be listened on"))?;
    let address = listener.local_addr()?;
    let stop = stop_on_signal(address)?;
    let (engine, work) = Engine::start(loaded, arguments.queue.into())?;
    let server = Server::new(engine, token, stop);
    writeln!(std::io::stdout(), "{name} on http://{address}/ (Ctrl-C ends it)")?;
    server.run(&listener);
    // Whoever is being answered has been answered: the engine has nobody left to work for.
    drop(server);
    work.join().ok();
    eprintln!("ended; nothing was left unanswered");
    Ok(())
}

/// What a run ends at: the weights of the command line, else the run's best, else those that ship.
fn end(choice: &Choice, run: &Path) -> Choice {
    let best = Some(run.join("best.safetensors")).filter(|best| best.exists());
    Choice {
        model: choice.model.clone(),
        weights: choice.weights.clone().or(best),
        placement: choice.placement.clone(),
    }
}

/// Set by SIGINT and SIGTERM. The listener sleeps in `accept`, so it is woken with a connection.
fn stop_on_signal(address: SocketAddr) -> Result<Arc<AtomicBool>> {
    static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let stop = STOP.get_or_init(Arc::default).clone();
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            std::process::exit(130); // the second time means it
        }
        TcpStream::connect(address).ok();
    })?;
    Ok(stop)
}
