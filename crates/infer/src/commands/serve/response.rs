//! Answers onto the wire.

use serde_json::{Value, json};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long a client may take to take an answer.
const TIME: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// 200, 404, ….
    pub status: u16,
    content_type: &'static str,
    body: Vec<u8>,
    fields: Vec<(&'static str, String)>,
}

impl Response {
    /// 200 with JSON.
    pub fn json(value: &Value) -> Self {
        Self::new(200, "application/json", value.to_string())
    }

    /// 200, or another status, with any body.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, body: body.into(), fields: Vec::new() }
    }

    /// A status that says no, and why.
    pub fn error(status: u16, problem: &str) -> Self {
        Self::new(status, "application/json", json!({ "error": problem }).to_string())
    }

    /// 503: come back in a second.
    pub fn busy(problem: &str) -> Self {
        Self::error(503, problem).with("Retry-After", "1")
    }

    /// One more field.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Sends it.
    ///
    /// # Errors
    /// If the client has gone away or is too slow.
    pub fn send(&self, stream: &mut TcpStream, keep_alive: bool, head_only: bool) -> std::io::Result<()> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            411 => "Length Required",
            413 => "Content Too Large",
            415 => "Unsupported Media Type",
            422 => "Unprocessable Content",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            504 => "Gateway Timeout",
            _ => "Internal Server Error",
        };
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let mut head = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\
             X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n",
            self.status,
            self.content_type,
            self.body.len()
        );
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if !head_only {
            bytes.extend_from_slice(&self.body);
        }
        let deadline = Instant::now() + TIME;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let time = deadline.saturating_duration_since(Instant::now());
            if time.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            stream.set_write_timeout(Some(time))?;
            match stream.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
