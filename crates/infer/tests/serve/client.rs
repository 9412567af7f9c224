//! A server to test, and a client that says exactly what it is told to.

use data::Split;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server on a free port, ended when dropped.
pub struct Server {
    pub child: Child,
    pub address: String,
}

impl Server {
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_infer"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_string();
        Self { child, address }
    }

    pub fn connect(&self) -> Connection {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection(BufReader::new(stream))
    }

    pub fn get(&self, path: &str) -> Reply {
        self.connect().ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"), &[])
    }

    pub fn post(&self, path: &str, body: &[u8]) -> Reply {
        self.connect().post(path, "image/png", body)
    }

    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub struct Connection(BufReader<TcpStream>);

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_string()
    }
}

impl Connection {
    pub fn send(&mut self, head: &str, body: &[u8]) {
        let stream = self.0.get_mut();
        // Who refuses a body may close before all of it is sent.
        stream.write_all(&[head.as_bytes(), body].concat()).ok();
    }

    pub fn receive(&mut self) -> Option<Reply> {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.lines().find_map(|l| l.strip_prefix("Content-Length: ")).map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some(Reply { status, head, body })
    }

    pub fn ask(&mut self, head: &str, body: &[u8]) -> Reply {
        self.send(head, body);
        self.receive().unwrap()
    }

    pub fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> Reply {
        let length = body.len();
        self.ask(
            &format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
            ),
            body,
        )
    }
}

/// MNIST test digit `i` as PNG, and what it is.
pub fn digit(i: usize) -> (Vec<u8>, String) {
    let (test, _) = data::open_split(&data::locate("mnist").unwrap(), Split::Test).unwrap();
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(&test.image(i).unwrap().pixels, 28, 28, ExtendedColorType::L8).unwrap();
    (png, test.label(i).to_string())
}
