//! GET, and no more of HTTP than downloading a file takes.

use anyhow::{Context, Result, bail, ensure};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of a response's head, and of redirections in a row.
const HEAD: u64 = 64 << 10;
const REDIRECTIONS: usize = 5;

/// A response whose body has not been read.
pub(crate) struct Response {
    /// 200 for the whole file, 206 for a part.
    pub status: u16,
    /// Bytes in the body, if the server says.
    pub length: Option<u64>,
    /// The first byte's place in the file, of a 206.
    pub start: Option<u64>,
    /// The body.
    pub body: Box<dyn Read>,
}

/// Asks for the file at `address` from byte `from` on, following redirections.
///
/// # Errors
/// If the address is malformed, the server can't be reached or answers with anything but a file.
pub(crate) fn get(address: &str, from: u64) -> Result<Response> {
    let mut address = address.to_string();
    for _ in 0..=REDIRECTIONS {
        let (head, body) = ask(&address, from).with_context(|| address.clone())?;
        let status: u16 = head.first().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let header = |name: &str| {
            let fields = head.iter().filter_map(|line| line.split_once(':'));
            fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next_back()
        };
        match status {
            200 | 206 => {
                let coding = header("transfer-encoding").unwrap_or("identity");
                ensure!(coding == "identity", "{address}: the server sends the file as {coding}, which can't be read");
                let range = header("content-range").and_then(|range| range.strip_prefix("bytes "));
                return Ok(Response {
                    status,
                    length: header("content-length").and_then(|length| length.parse().ok()),
                    start: range.and_then(|range| range.split('-').next()?.parse().ok()),
                    body: Box::new(body),
                });
            }
            301 | 302 | 303 | 307 | 308 => {
                let to = header("location").with_context(|| format!("{address}: redirected to nowhere"))?;
                let (scheme, host, _) = parts(&address)?;
                let insecure = scheme == "https" && to.starts_with("http:");
                ensure!(!insecure, "{address}: redirected to {to}, which is not encrypted");
                address = if to.starts_with('/') { format!("{scheme}://{host}{to}") } else { to.to_string() };
            }
            _ => bail!("{address}: the server answers {:?}", head.first().map_or("", |line| line.trim())),
        }
    }
    bail!("{address}: redirected over and over")
}

/// Scheme, host with port if it has one, and path of an address.
fn parts(address: &str) -> Result<(&str, &str, &str)> {
    let split = || {
        let (scheme, rest) = address.split_once("://")?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        (!host.is_empty() && plain(host) && plain(path)).then_some((
            scheme,
            host,
            if path.is_empty() { "/" } else { path },
        ))
    };
    split().with_context(|| format!("'{address}' is no address of a file"))
}

/// A response's head, line by line, and the rest of it.
type Answer = (Vec<String>, BufReader<Box<dyn Stream>>);

/// Sends the request.
fn ask(address: &str, from: u64) -> Result<Answer> {
    let (scheme, host, path) = parts(address)?;
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().context("its port is no number")?),
        None => (host, if scheme == "https" { 443 } else { 80 }),
    };
    let place = (name, port).to_socket_addrs().context("the server's address can't be found")?.next();
    let plain = TcpStream::connect_timeout(&place.context("the server has no address")?, PATIENCE)?;
    plain.set_read_timeout(Some(PATIENCE))?;
    plain.set_write_timeout(Some(PATIENCE))?;
    let mut stream: Box<dyn Stream> = match scheme {
        "http" => Box::new(plain),
        "https" => {
            let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            let server = ServerName::try_from(name.to_string()).context("its host has no name")?;
            Box::new(StreamOwned::new(ClientConnection::new(Arc::new(config), server)?, plain))
        }
        other => bail!("'{other}' is neither http nor https"),
    };
    let range = if from > 0 { format!("Range: bytes={from}-\r\n") } else { String::new() };
    let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept-Encoding: identity\r\n{range}\
         Connection: close\r\n\r\n"
    )?;
    stream.flush()?;
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    let mut left = HEAD;
    loop {
        let mut line = Vec::new();
        left -= reader.by_ref().take(left).read_until(b'\n', &mut line)? as u64;
        ensure!(line.ends_with(b"\n"), "the server's answer is cut short or too long");
        let line = String::from_utf8_lossy(&line).trim_end().to_string();
        if line.is_empty() {
            return Ok((head, reader));
        }
        head.push(line);
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_encryption_is_no_https_server() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("https://{}/file", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut hello = [0; 5];
            stream.read_exact(&mut hello).unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            hello
        });
        let error = get(&address, 0).map(|_| ()).unwrap_err();
        assert!(format!("{error:#}").starts_with(&address), "{error:#}");
        assert_eq!(server.join().unwrap()[..2], [0x16, 3]); // a TLS handshake was tried
    }

    #[test]
    fn addresses_have_parts() {
        assert_eq!(parts("https://a.org/b/c").unwrap(), ("https", "a.org", "/b/c"));
        assert_eq!(parts("http://127.0.0.1:80").unwrap(), ("http", "127.0.0.1:80", "/"));
        for wrong in ["a.org/b", "http:///b", "http://a/b\r\nX: y"] {
            assert!(parts(wrong).is_err(), "{wrong}");
        }
    }
}
