//! Connections: one thread each, no more than so many, none for ever.

use super::api;
use super::engine::Engine;
use super::request::{Refusal, comes, read};
use super::response::Response;
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Most connections at once.
const CONNECTIONS: usize = 256;
/// How long those under way may take when the server ends.
const DRAIN: Duration = Duration::from_secs(40);

/// The server: cheap to clone, shared by its connections.
#[derive(Clone, Debug)]
pub struct Server {
    engine: Engine,
    token: Option<Arc<str>>,
    stop: Arc<AtomicBool>,
    open: Arc<AtomicUsize>,
}

impl Server {
    /// A server that asks `engine`, and clients for `token`, until `stop` is set.
    pub fn new(engine: Engine, token: Option<String>, stop: Arc<AtomicBool>) -> Self {
        Self { engine, token: token.map(Into::into), stop, open: Arc::default() }
    }

    /// Serves until it is told to stop, then waits for those under way.
    pub fn run(&self, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            let Ok(mut stream) = stream else {
                std::thread::sleep(Duration::from_millis(10)); // out of file descriptors: wait for some
                continue;
            };
            stream.set_nodelay(true).ok();
            if self.open.load(Ordering::SeqCst) >= CONNECTIONS {
                stream.set_write_timeout(Some(Duration::from_secs(1))).ok();
                Response::busy("too many connections; try again").send(&mut stream, false, false).ok();
                continue;
            }
            self.open.fetch_add(1, Ordering::SeqCst);
            let server = self.clone();
            let thread = std::thread::Builder::new().name("connection".into()).spawn(move || {
                server.engine.metrics.connections.fetch_add(1, Ordering::Relaxed);
                catch_unwind(AssertUnwindSafe(|| server.serve(stream))).ok();
                server.engine.metrics.connections.fetch_sub(1, Ordering::Relaxed);
                server.open.fetch_sub(1, Ordering::SeqCst);
            });
            if thread.is_err() {
                self.open.fetch_sub(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(10)); // out of threads: this connection is closed, others end
            }
        }
        let deadline = Instant::now() + DRAIN;
        while self.open.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut left = Vec::new();
        loop {
            if left.is_empty() && !comes(&stream, &self.stop) {
                return;
            }
            let request = match read(&mut stream, &mut left, |head| api::allow(head, self.token.as_deref())) {
                Ok(request) => request,
                Err(Refusal::Gone) => return,
                Err(Refusal::Answer(response)) => {
                    self.engine.metrics.answered("refused", response.status, Duration::ZERO);
                    response.send(&mut stream, false, false).ok();
                    linger(&mut stream);
                    return;
                }
            };
            let started = Instant::now();
            let answer = catch_unwind(AssertUnwindSafe(|| api::answer(&self.engine, &request)));
            let response = answer.unwrap_or_else(|_| Response::error(500, "this request failed; the server goes on"));
            self.engine.metrics.answered(api::route(&request.path), response.status, started.elapsed());
            let keep_alive = request.keep_alive && !self.stop.load(Ordering::SeqCst);
            if response.send(&mut stream, keep_alive, request.method == "HEAD").is_err() || !keep_alive {
                return;
            }
        }
    }
}

/// Reads a little of what a refused client still sends: closing at once would reset the connection, and the answer with
/// it.
fn linger(stream: &mut TcpStream) {
    use std::io::Read;
    stream.shutdown(std::net::Shutdown::Write).ok();
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut buffer = [0; 64 << 10];
    let mut budget = 128 << 20;
    while budget > 0 && stream.set_read_timeout(Some(Duration::from_millis(500))).is_ok() && Instant::now() < deadline {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(n) => budget -= n.min(budget),
        }
    }
}
