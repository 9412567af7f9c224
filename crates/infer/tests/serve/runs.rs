//! `--run`: a run's checkpoints, and what it ends at.

use crate::client::{Server, digit};
use models::weights::{self, Card};
use models::{Model, device};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Weights of `model` drawn from `seed`, as a run of `train` on MNIST writes them.
fn drawn(model: &str, seed: u64) -> Vec<u8> {
    let flex = device::parse("flex").unwrap();
    let (_, card) = weights::load(weights::LENET5_MNIST, &flex).unwrap();
    let model = Model::named(model).unwrap();
    let network = model.build(seed, &flex).unwrap();
    weights::save(&network, &Card { model, ..card }).unwrap()
}

/// A directory with these files.
fn run(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let run = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(run.path().join(name), bytes).unwrap();
    }
    run
}

/// What a server says that doesn't start.
fn refusal(arguments: &[&str]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_infer"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if !line.is_empty() {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!((line.as_str(), output.status.code()), ("", Some(1)), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A run's checkpoints can be asked, each by its epoch. Without a best.safetensors it ends at the weights that ship.
#[test]
fn checkpoints_answer_by_their_epochs() {
    let run = run(&[("epoch-1.safetensors", &drawn("lenet5", 7)), ("epoch-10.safetensors", weights::LENET5_MNIST)]);
    let server = Server::start(&["--run", run.path().to_str().unwrap()]);
    let epochs: Vec<_> =
        server.get("/v1/models").json()["models"].as_array().unwrap().iter().map(|m| m["epoch"].clone()).collect();
    assert_eq!(json!(epochs), json!([null, 1, 10]));
    let (png, _) = digit(0);
    let probability =
        |query| server.post(&format!("/v1/classify{query}"), &png).json()["probability"].as_f64().unwrap();
    assert!(probability("?epoch=1") < 0.5 && probability("?epoch=10") > 0.8);
    assert_eq!(probability("?epoch=10"), probability(""));
    let none = server.post("/v1/classify?epoch=2", &png);
    assert_eq!((none.status, none.error().contains("there are 1, 10")), (400, true), "{none:?}");
}

#[test]
fn a_run_ends_at_its_own_best() {
    let [first, second] = [1, 2].map(|seed| drawn("lenet5-dense", seed));
    let run = run(&[
        ("epoch-1.safetensors", &first),
        ("epoch-2.safetensors", &second),
        ("best.safetensors", &second),
        ("last.safetensors", &first),
    ]);
    let dir = run.path().to_str().unwrap();
    let (png, _) = digit(0);
    let top = |server: &Server, query: &str| server.post(&format!("/v1/classify{query}"), &png).json()["top"].clone();

    let server = Server::start(&["--run", dir]);
    for model in server.get("/v1/models").json()["models"].as_array().unwrap() {
        assert_eq!((&model["model"], &model["connections"]), (&json!("lenet5-dense"), &Value::Null));
    }
    assert_eq!(top(&server, ""), top(&server, "?epoch=2"));
    assert_ne!(top(&server, ""), top(&server, "?epoch=1"));

    let last = run.path().join("last.safetensors");
    let server = Server::start(&["--run", dir, "--weights", last.to_str().unwrap()]);
    assert_eq!(top(&server, ""), top(&server, "?epoch=1"));

    let contrary = refusal(&["--run", dir, "--model", "lenet5"]);
    assert!(contrary.contains("best.safetensors") && contrary.contains("lenet5-dense"), "{contrary}");
}

#[test]
fn a_run_of_another_network_has_no_end_here() {
    let run = run(&[("epoch-1.safetensors", &drawn("lenet5-dense", 1))]);
    let dir = run.path().to_str().unwrap();
    // Nothing says which network but the weights that ship: LeNet-5's, of the same images and classes.
    let other = refusal(&["--run", dir]);
    assert!(other.contains("epoch-1.safetensors: is of lenet5-dense") && other.contains("--weights"), "{other}");
    // Weights that nobody has trained are no run's end.
    let untrained = refusal(&["--run", dir, "--model", "lenet5-dense"]);
    assert!(untrained.contains("no weights for lenet5-dense ship"), "{untrained}");
}
