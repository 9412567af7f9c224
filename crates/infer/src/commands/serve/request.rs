//! Requests off the wire, within limits of size and time.

use super::response::Response;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Most bytes of a request's head.
const HEAD: usize = 16 << 10;
/// Most header fields.
const FIELDS: usize = 64;
/// Most bytes of a body.
pub const BODY: usize = 10 << 20;
/// Most bytes of all bodies together.
const BODIES: usize = 256 << 20;
/// How long a connection may stay silent between requests.
const IDLE: Duration = Duration::from_secs(20);
/// How long a head, once begun, and a whole request may take.
const HEAD_TIME: Duration = Duration::from_secs(5);
const REQUEST_TIME: Duration = Duration::from_secs(20);

/// A request.
#[derive(Debug)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Without what follows a `?`.
    pub path: String,
    /// What follows it, decoded.
    pub query: Vec<(String, String)>,
    /// The field `content-type`.
    pub content_type: String,
    /// The field `authorization`.
    pub authorization: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the client wants to go on with this connection.
    pub keep_alive: bool,
    room: Option<Room>,
}

/// Bytes set aside for a body; given back when dropped.
#[derive(Debug)]
struct Room(usize);

/// Bytes set aside for all bodies.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Room {
    fn take(bytes: usize) -> Option<Self> {
        let room = Self(bytes);
        (TAKEN.fetch_add(bytes, Ordering::SeqCst) + bytes <= BODIES).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.0, Ordering::SeqCst);
    }
}

impl Request {
    /// The value of `name` in the query, if it is there.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no request.
#[derive(Debug)]
pub enum Refusal {
    /// The client went away, or never said anything.
    Gone,
    /// It gets this answer, and the connection is closed.
    Answer(Response),
}

/// Whether something comes before the connection has been silent for too long, or `stop` is set.
pub fn comes(stream: &TcpStream, stop: &AtomicBool) -> bool {
    let deadline = Instant::now() + IDLE;
    while Instant::now() < deadline && !stop.load(Ordering::SeqCst) {
        if stream.set_read_timeout(Some(Duration::from_millis(100))).is_err() {
            return false;
        }
        match stream.peek(&mut [0]) {
            Ok(n) => return n > 0,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(_) => return false,
        }
    }
    false
}

/// Reads one request. `left` holds what came before, and keeps what comes after it. `allow` looks at the head, before a
/// body is read.
pub fn read(
    stream: &mut TcpStream,
    left: &mut Vec<u8>,
    allow: impl FnOnce(&Request) -> Result<(), Response>,
) -> Result<Request, Refusal> {
    let begun = Instant::now();
    let (mut request, head, length, wants_leave) = loop {
        let parsed = parse(left)?;
        if parsed.as_ref().map_or(left.len(), |(_, head, ..)| *head) > HEAD {
            return refuse(431, "the request's head is too long");
        }
        if let Some(parsed) = parsed {
            break parsed;
        }
        if more(stream, left, begun + HEAD_TIME)? == 0 {
            return Err(Refusal::Gone);
        }
    };
    allow(&request).map_err(Refusal::Answer)?;
    if length > BODY {
        return refuse(413, &format!("a body of {length} bytes is too large, at most {BODY} are read"));
    }
    request.room = Room::take(length);
    if request.room.is_none() {
        return Err(Refusal::Answer(Response::busy("too many images are on their way; try again")));
    }
    if wants_leave && length > 0 {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| Refusal::Gone)?;
    }
    left.drain(..head);
    while left.len() < length {
        if more(stream, left, begun + REQUEST_TIME)? == 0 {
            return Err(Refusal::Gone);
        }
    }
    let after = left.split_off(length);
    request.body = std::mem::replace(left, after);
    Ok(request)
}

/// Reads what there is, until `deadline`.
fn more(stream: &mut TcpStream, into: &mut Vec<u8>, deadline: Instant) -> Result<usize, Refusal> {
    let mut buffer = [0; 16 << 10];
    let late = || refuse(408, "the request took too long to arrive");
    let time = deadline.saturating_duration_since(Instant::now());
    if time.is_zero() {
        return late();
    }
    stream.set_read_timeout(Some(time)).map_err(|_| Refusal::Gone)?;
    match stream.read(&mut buffer) {
        Ok(n) => {
            into.extend_from_slice(&buffer[..n]);
            Ok(n)
        }
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => late(),
        Err(e) if e.kind() == ErrorKind::Interrupted => more(stream, into, deadline),
        Err(_) => Err(Refusal::Gone),
    }
}

/// The request without its body, the head's length, the body's, and whether the client waits for leave to send it. `None`
/// if the head isn't complete.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize, usize, bool)>, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let size = match head.parse(bytes) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return refuse(431, "the request has too many fields"),
        Err(e) => return refuse(400, &format!("this is no HTTP request: {e}")),
    };
    let all = |name: &str| -> Vec<&str> {
        let same = head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        same.map(|field| std::str::from_utf8(field.value).unwrap_or("").trim()).collect()
    };
    let one = |name: &str| all(name).first().copied().unwrap_or("");
    if !all("transfer-encoding").is_empty() {
        return refuse(411, "send the body with its Content-Length, not in chunks");
    }
    let length = match all("content-length")[..] {
        [] => 0,
        [length] if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            length.parse().unwrap_or(usize::MAX)
        }
        _ => return refuse(400, "Content-Length must be one number"),
    };
    let target = head.path.unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let connection = one("connection").to_ascii_lowercase();
    let request = Request {
        method: head.method.unwrap_or("").into(),
        path: decode(path),
        query: pairs.map(|(key, value)| (decode(key), decode(value))).collect(),
        content_type: one("content-type").into(),
        authorization: all("authorization").first().map(ToString::to_string),
        body: Vec::new(),
        keep_alive: head.version == Some(1) && connection != "close",
        room: None,
    };
    let wants_leave = one("expect").eq_ignore_ascii_case("100-continue");
    Ok(Some((request, size, length, wants_leave)))
}

/// `%41` and `+` as what they stand for.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = (bytes[i] == b'%').then(|| text.get(i + 1..i + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(if bytes[i] == b'+' { b' ' } else { bytes[i] });
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn refuse<T>(status: u16, problem: &str) -> Result<T, Refusal> {
    Err(Refusal::Answer(Response::error(status, problem)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &[u8]) -> u16 {
        match parse(head) {
            Err(Refusal::Answer(response)) => response.status,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn heads_are_read() {
        let head = b"POST /v1/deconvnet?layer=C3&map=5&x=%32+a HTTP/1.1\r\nHost: a\r\ncontent-length: 12\r\n\r\nbody";
        let (request, size, length, wants_leave) = parse(head).unwrap().unwrap();
        assert_eq!((size, length, wants_leave), (head.len() - 4, 12, false));
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/deconvnet"));
        assert_eq!((request.query("layer"), request.query("x"), request.query("y")), (Some("C3"), Some("2 a"), None));
        assert!(request.keep_alive);
        assert!(parse(&head[..30]).unwrap().is_none());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert_eq!(status(b"\x16\x03\x01\x02\x00\x01"), 400);
        assert_eq!(status(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"), 411);
        // Two lengths, or none that is a number, would let two servers see two different requests.
        assert_eq!(status(b"POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n"), 400);
        assert_eq!(status(b"POST / HTTP/1.1\r\ncontent-length: +3\r\n\r\n"), 400);
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(FIELDS + 1));
        assert_eq!(status(many.as_bytes()), 431);
    }

    #[test]
    fn odd_percents_stay() {
        assert_eq!(decode("%zz%4"), "%zz%4");
        assert_eq!(decode("%e4%b8%ad"), "中");
    }
}
