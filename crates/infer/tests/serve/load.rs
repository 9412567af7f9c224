//! Many clients, slow clients, and the end.

use crate::client::{Server, digit};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn slow_clients_are_cut_off_and_hold_up_nobody() {
    let server = Server::start(&[]);
    let (png, _) = digit(2);
    let started = Instant::now();
    let slow: Vec<_> = (0..50)
        .map(|_| {
            let mut connection = server.connect();
            connection.send("POST /v1/classify HTTP/1.1\r\nContent-Le", &[]);
            connection
        })
        .collect();
    let asked = Instant::now();
    assert_eq!(server.post("/v1/classify", &png).status, 200);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    // A byte a second doesn't buy more time.
    let mut dripping = slow;
    let mut first = dripping.pop().unwrap();
    for _ in 0..8 {
        std::thread::sleep(Duration::from_secs(1));
        first.send("n", &[]);
    }
    let reply = first.receive().unwrap();
    assert_eq!(reply.status, 408, "{reply:?}");
    for mut connection in dripping {
        assert_eq!(connection.receive().map(|reply| reply.status), Some(408));
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[cfg(unix)]
#[test]
fn the_end_is_graceful() {
    let mut server = Server::start(&[]);
    let (png, label) = digit(4);
    // Whoever is connected and says nothing holds nothing up.
    let _idle = server.connect();
    // A request whose second half comes after the signal.
    let mut late = server.connect();
    let head = format!("POST /v1/classify HTTP/1.1\r\nContent-Length: {}\r\n\r\n", png.len());
    late.send(&head, &png[..50]);
    std::thread::sleep(Duration::from_millis(200));
    server.signal("-TERM");
    std::thread::sleep(Duration::from_millis(200));
    late.send("", &png[50..]);
    let reply = late.receive().unwrap();
    assert_eq!(reply.json()["class"].as_str(), Some(label.as_str()));
    assert!(reply.head.contains("Connection: close"));
    let answered = Instant::now();
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!(answered.elapsed() < Duration::from_secs(5), "{:?}", answered.elapsed());
    assert!(TcpStream::connect(&server.address).is_err());
}

/// Latencies' percentiles in milliseconds.
fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |p: usize| times[(times.len() - 1) * p / 100].as_secs_f64() * 1000.0;
    format!("median {:.1} ms, 95 % {:.1} ms, 99 % {:.1} ms", at(50), at(95), at(99))
}

#[test]
fn under_load_nothing_is_lost() {
    let server = Arc::new(Server::start(&["--queue", "32"]));
    let (png, label) = digit(5);
    let time = Duration::from_secs(2);
    let client = |server: Arc<Server>, png: Vec<u8>, label: String, until: Instant| {
        let (mut times, mut refused, mut connection) = (Vec::new(), 0, server.connect());
        while Instant::now() < until {
            let begun = Instant::now();
            let reply = connection.post("/v1/classify", "image/png", &png);
            match reply.status {
                200 => {
                    assert_eq!(reply.json()["class"].as_str(), Some(label.as_str()));
                    times.push(begun.elapsed());
                }
                503 => {
                    assert!(reply.head.contains("Retry-After: 1\r\n"), "{}", reply.head);
                    assert!(reply.error().contains("try again"));
                    refused += 1;
                    std::thread::sleep(Duration::from_millis(20)); // a polite client would wait for a second
                }
                other => panic!("{other}: {reply:?}"),
            }
        }
        (times, refused)
    };
    let (alone, _) = client(server.clone(), png.clone(), label.clone(), Instant::now() + time);
    println!("one at a time: {:.0} requests/s, {}", alone.len() as f64 / time.as_secs_f64(), percentiles(alone));
    let (mut turned_away, mut memory) = (Vec::new(), Vec::new());
    // As many as it holds, then four times as many, twice: the first time makes the threads' memory.
    for clients in [32, 4 * 33, 4 * 33] {
        let until = Instant::now() + time;
        let threads: Vec<_> = (0..clients)
            .map(|_| {
                let (server, png, label) = (server.clone(), png.clone(), label.clone());
                std::thread::spawn(move || client(server, png, label, until))
            })
            .collect();
        let (mut times, mut refused) = (Vec::new(), 0);
        for thread in threads {
            let (t, r) = thread.join().unwrap(); // each request was answered, or the thread has panicked
            times.extend(t);
            refused += r;
        }
        let rate = times.len() as f64 / time.as_secs_f64();
        println!("{clients} at a time: {rate:.0} requests/s, {}, {refused} told to come back", percentiles(times));
        turned_away.push(refused);
        memory.push(server.memory());
    }
    let [_, before, after] = memory[..] else { panic!("three rounds") };
    println!("memory {before} kB before the last round, {after} kB after");
    assert_eq!(turned_away[0], 0, "who finds room is not turned away");
    assert!(after < before + before / 4, "{before} kB before, {after} kB after");
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    let counter = |name: &str| -> f64 {
        metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
    };
    assert!(counter("infer_images_total ") > 1.5 * counter("infer_batches_total "), "requests are batched: {metrics}");
    assert_eq!(counter("infer_waiting "), 0.0);
}
