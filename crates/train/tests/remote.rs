//! Trainings on the devices of other processes: the same weights as on one's own, and words for what goes wrong.

#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use support::{Bench, run};

/// A worker on a port of its own, and that port's address.
struct Worker(Child, String);

impl Worker {
    fn new(bench: &Bench, token: Option<&str>) -> Self {
        let mut command = bench.command(&["worker", "--listen", "127.0.0.1:0"]);
        match token {
            Some(token) => command.env("WORKER_TOKEN", token),
            None => command.arg("--no-auth"),
        };
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("remote:").unwrap_or_else(|| panic!("{line}")).1.to_string();
        Self(child, address)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn remote(command: &mut Command, device: &str) -> (Option<i32>, String, String) {
    run(command.env("WORKER_TOKEN", "sesame").args(["--device", device]))
}

/// 130 images, the last batch 5 of 25: shares of 13 and 12, 3 and 2.
const SHORT: [&str; 6] = ["--epochs", "2", "--set", "data.limit=130", "--set", "data.validation=25"];

#[test]
fn two_workers_train_as_one_device_does() {
    let bench = Bench::new();
    let [a, b] = [Worker::new(&bench, Some("sesame")), Worker::new(&bench, Some("sesame"))];
    let (code, _, err) = run(&mut bench.smoke("one", &SHORT));
    assert_eq!(code, Some(0), "{err}");
    let device = format!("remote:{},remote:{}", a.1, b.1);
    let (code, out, err) = remote(&mut bench.smoke("two", &SHORT), &device);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("2 replicas, each with 12 or 13 of a batch's 25 images"), "{out}");
    let apart = bench.apart("two", "one");
    assert!(apart < 1e-4, "{apart:e} apart");
}

#[test]
fn what_goes_wrong_with_a_worker_is_said() {
    let bench = Bench::new();
    let worker = Worker::new(&bench, Some("another"));
    let device = format!("remote:{}", worker.1);
    let (code, _, err) = remote(&mut bench.smoke("a", &SHORT), &device);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("refuses the token: WORKER_TOKEN must be"), "{err}");
    let (code, _, err) = run(bench.smoke("b", &SHORT).args(["--device", &device]).env_remove("WORKER_TOKEN"));
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("it asks for a token: set WORKER_TOKEN"), "{err}");
    let (code, _, err) = run(&mut bench.smoke("c", &["--device", "remote:nowhere"]));
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("expected a worker's address, remote:HOST:PORT"), "{err}");
    let (code, _, err) = run(bench.command(&["worker"]).env_remove("WORKER_TOKEN"));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("no token: set WORKER_TOKEN"), "{err}");
    drop(worker);
    let (code, _, err) = remote(&mut bench.smoke("d", &SHORT), &device);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains(&device) && err.contains("no worker answers. Start one there"), "{err}");
}

#[test]
fn a_worker_that_dies_ends_the_run_and_the_run_goes_on_with_another() {
    let bench = Bench::new();
    let worker = Worker::new(&bench, None);
    let device = format!("remote:{}", worker.1);
    let arguments = ["--epochs", "200", "--checkpoint-steps", "5", "--device", &device];
    let mut run_on_it = bench.smoke("run", &arguments);
    let child = run_on_it.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while bench.checkpoints("run").len() < 2 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(worker);
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("a worker was lost") && err.contains("go on with --resume"), "{err}");
    assert!(!err.contains("panicked"), "{err}");
    let (code, out, err) = run(&mut bench.command(&["--resume", "run", "--device", "flex", "--epochs", "3"]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains(&format!("the checkpoint is from --device {device}")), "{out}");
}
