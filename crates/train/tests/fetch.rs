//! `train fetch` from a server of a few lines on loopback: killed half-way, it goes on, and nothing bears a final name early.

#![allow(clippy::unwrap_used)] // the server runs outside of any #[test]

mod support;

use sha2::{Digest, Sha256};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use support::{Bench, run};

/// Serves `file` for ever; the first answer stalls after half of it.
fn serve(file: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/bars.bin", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut stalled = None; // held open
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let range = head.iter().find_map(|line| line.strip_prefix("Range: bytes=")?.strip_suffix('-'));
            let from: usize = range.map_or(0, |from| from.parse().unwrap());
            let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
            let (left, last, all) = (file.len() - from, file.len() - 1, file.len());
            write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {left}\r\nContent-Range: bytes {from}-{last}/{all}\r\n\r\n"
            )
            .unwrap();
            if stalled.is_none() {
                stream.write_all(&file[..all / 2]).unwrap();
                stalled = Some(stream);
            } else {
                stream.write_all(&file[from..]).unwrap();
            }
        }
    });
    address
}

#[test]
#[cfg(unix)]
fn a_killed_download_goes_on_and_is_checked() {
    let bench = Bench::new();
    let file: Vec<u8> = (0..1_000_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    let digest: String = Sha256::digest(&file).iter().map(|b| format!("{b:02x}")).collect();
    let address = serve(file.clone());
    let manifest = format!(
        "[[dataset]]\nname = \"bars\"\nfile = \"bars.bin\"\nsize = {}\nsha256 = \"{digest}\"\naddresses = [\"{address}\"]\n",
        file.len()
    );
    fs::write(bench.dir.path().join("list.toml"), manifest).unwrap();
    let arguments = ["fetch", "bars", "--manifest", "list.toml", "--dir", "sets"];
    let mut child = bench.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
    let part = bench.dir.path().join("sets/bars/bars.bin.part");
    for _ in 0..500 {
        if fs::metadata(&part).is_ok_and(|m| m.len() >= 400_000) {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(part.exists() && !bench.dir.path().join("sets/bars/bars.bin").exists());
    let (code, out, err) = run(&mut bench.command(&arguments));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("bars.bin: 1,000,000 bytes, SHA-256 as expected"), "{out}");
    assert!(bench.read("sets/bars/bars.bin") == file && !part.exists());
    let (_, out, _) = run(&mut bench.command(&["fetch"]));
    assert!(out.contains("cifar-10-binary.tar.gz") && out.contains("170,052,171"), "{out}");
}
