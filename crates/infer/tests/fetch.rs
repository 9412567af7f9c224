//! Downloads, from a server of a few lines on loopback.

#![allow(clippy::unwrap_used)] // the server runs outside of any #[test]

use infer::{Download, fetch, known};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// What the server does with a request.
#[derive(Clone, Copy)]
enum Answer {
    /// The file, or what is asked for of it, up to so many bytes; then it hangs up.
    Cut(usize),
    /// The whole file, whatever was asked for.
    Whole,
    NotFound,
    /// To another path.
    Moved,
}

/// Serves `file`, one answer a request; the address, and what was asked: path and first byte.
fn serve(file: Vec<u8>, answers: Vec<Answer>) -> (String, Receiver<(String, usize)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/file", listener.local_addr().unwrap());
    let (asked, requests) = channel();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_string();
            let rest: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let range = rest.iter().find_map(|line| line.strip_prefix("Range: bytes=")?.strip_suffix('-'));
            let from: usize = range.map_or(0, |from| from.parse().unwrap());
            let _ = asked.send((path, from)); // not every test listens
            let mut send = |status: &str, from: usize, to: usize| {
                let length = file.len() - from;
                let range = format!("Content-Range: bytes {from}-{}/{}\r\n", file.len() - 1, file.len());
                write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{range}\r\n").unwrap();
                stream.write_all(&file[from..to.max(from)]).unwrap();
            };
            match answer {
                Answer::Cut(to) if from > 0 => send("206 Partial Content", from, to.min(file.len())),
                Answer::Cut(to) => send("200 OK", 0, to.min(file.len())),
                Answer::Whole => send("200 OK", 0, file.len()),
                Answer::NotFound => write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap(),
                Answer::Moved => write!(stream, "HTTP/1.1 302 Found\r\nLocation: /moved\r\n\r\n").unwrap(),
            }
        }
    });
    (address, requests)
}

fn content() -> Vec<u8> {
    models::reference::sines(7, 50_000, 1.0).iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// SHA-256 of [`content`].
const DIGEST: &str = "c00987a151ab9fdea64b576b56df8db27ca1f422f06aa0e6424d70261e8ccaaa";

fn weights(addresses: &[&String]) -> Download {
    let addresses = addresses.iter().map(|a| a.to_string()).collect();
    Download { name: "lenet5".into(), dir: None, file: "a.pth".into(), size: 200_000, sha256: DIGEST.into(), addresses }
}

const ALL: usize = usize::MAX;

#[test]
fn a_download_that_is_cut_off_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (address, requests) = serve(content(), vec![Answer::Cut(70_000), Answer::Cut(120_000), Answer::Cut(ALL)]);
    let mut heard = 0;
    let path = fetch(&weights(&[&address]), dir.path(), |bytes| heard = bytes).unwrap();
    assert_eq!((std::fs::read(&path).unwrap(), heard), (content(), 200_000));
    let from: Vec<_> = requests.iter().map(|(_, from)| from).collect();
    assert_eq!(from, [0, 70_000, 120_000]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    // It is there: nobody is asked again.
    fetch(&weights(&[&address]), dir.path(), |_| {}).unwrap();
}

#[test]
fn the_next_run_goes_on_where_the_last_one_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (address, _) = serve(content(), vec![Answer::Cut(70_000), Answer::Cut(0), Answer::NotFound]);
    let error = fetch(&weights(&[&address]), dir.path(), |_| {}).unwrap_err().to_string();
    assert!(error.contains("cut off after 70000 of 200000 bytes"), "{error}");
    assert!(error.ends_with("What came is kept: run the command again to go on."), "{error}");
    let (address, requests) = serve(content(), vec![Answer::Cut(ALL)]);
    let path = fetch(&weights(&[&address]), dir.path(), |_| {}).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content());
    assert_eq!(requests.iter().next(), Some(("/file".into(), 70_000)));
}

#[test]
fn a_server_without_ranges_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.pth.part"), [1; 1000]).unwrap();
    let (address, _) = serve(content(), vec![Answer::Moved, Answer::Whole]);
    let path = fetch(&weights(&[&address]), dir.path(), |_| {}).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content());
}

#[test]
fn a_wrong_digest_is_thrown_away_and_the_mirror_is_tried() {
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = content();
    wrong[100] ^= 1;
    let (bad, _) = serve(wrong.clone(), vec![Answer::Cut(ALL)]);
    let error = fetch(&weights(&[&bad]), dir.path(), |_| {}).unwrap_err().to_string();
    assert!(error.contains("its SHA-256 is ") && error.contains(DIGEST), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

    let (bad, _) = serve(wrong, vec![Answer::Cut(ALL)]);
    let (missing, _) = serve(Vec::new(), vec![Answer::NotFound]);
    let (good, _) = serve(content(), vec![Answer::Cut(ALL)]);
    let path = fetch(&weights(&[&bad, &missing, &good]), dir.path(), |_| {}).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content());
}

#[test]
fn what_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (address, _) = serve(Vec::new(), vec![Answer::NotFound]);
    let error = fetch(&weights(&[&address]), dir.path(), |_| {}).unwrap_err().to_string();
    assert!(error.contains("/file: the server answers \"HTTP/1.1 404 Not Found\""), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    // An error page instead of the file: its size tells.
    let (address, _) = serve(vec![b'x'; 300], vec![Answer::Whole]);
    let error = fetch(&weights(&[&address]), dir.path(), |_| {}).unwrap_err().to_string();
    assert!(error.contains("300 bytes are announced, expected 200000"), "{error}");
}

#[test]
fn a_file_of_that_name_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.pth"), b"mine").unwrap();
    let error = fetch(&weights(&[]), dir.path(), |_| {}).unwrap_err().to_string();
    assert!(error.ends_with("4 bytes, expected 200000. Move it away to download it again."), "{error}");
    assert_eq!(std::fs::read(dir.path().join("a.pth")).unwrap(), b"mine");
}

#[test]
fn the_list_is_sound() {
    for weights in known().unwrap() {
        assert_eq!(models::zoo::find(&weights.name).unwrap().name, weights.name);
        assert!(weights.sha256.len() >= 8 && weights.sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{weights:?}");
        assert!(weights.addresses.iter().all(|a| a.starts_with("https://")), "{weights:?}");
    }
}
