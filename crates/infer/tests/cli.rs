//! The program `infer` from the outside.

#![allow(clippy::unwrap_used)] // helpers of tests: the lint spares only the tests themselves

use data::Split;
use image::{GrayImage, Luma};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn infer(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_infer")).args(arguments).output().unwrap();
    let Output { status, stdout, stderr } = output;
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn json(arguments: &[&str]) -> Value {
    let (code, out, err) = infer(arguments);
    assert_eq!(code, Some(0), "{err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn list_names_every_network() {
    let list = json(&["list", "--json"]);
    assert_eq!(list.as_array().unwrap().len(), 19);
    let (_, text, _) = infer(&["list"]);
    for model in list.as_array().unwrap() {
        assert!(text.contains(model["model"].as_str().unwrap()));
    }
}

#[test]
fn summary_is_the_chapter_s_table() {
    let summary = json(&["summary", "lenet5", "--json"]);
    assert_eq!((&summary["model"], &summary["parameters"]), (&"lenet5".into(), &60_850.into()));
    assert_eq!(summary["macs"], 326_520);
    let parameters: Vec<_> =
        summary["layers"].as_array().unwrap().iter().map(|l| l["parameters"].as_u64().unwrap()).collect();
    assert_eq!(parameters, [156, 12, 1516, 32, 48_120, 10_164, 850]); // table 4.1
    let (_, text, _) = infer(&["summary", "lenet5"]);
    assert!(text.contains("6·(25·3+1)+6·(25·4+1)+3·(25·4+1)+1·(25·6+1)"), "{text}");
    assert!(infer(&["summary", "alexnet"]).1.starts_with("alexnet: AlexNet of 2012"));
    assert!(infer(&["summary", "nin"]).1.starts_with("nin-cifar10: "));
}

#[test]
fn mistakes_end_with_their_codes() {
    for (arguments, code, message) in [
        (&["summary", "lenet"][..], 1, "no network is called 'lenet'; nearest first, there are lenet5,"),
        (&["eval", "--device", "tpu"], 2, "linked here: flex, ndarray"),
        (&["eval", "--weights", "nowhere.safetensors"], 1, "nowhere.safetensors"),
        (&["eval", "--model", "lenet5-rbf"], 1, "no weights for lenet5-rbf ship"),
        (&["eval", "--data-dir", "nowhere"], 1, "nowhere"),
        (&["classify", "nowhere.png"], 1, "nowhere.png"),
        (&["classify"], 1, "<IMAGE>"),
    ] {
        let (got, _, err) = infer(arguments);
        assert_eq!(got, Some(code), "{arguments:?}: {err}");
        assert!(err.contains(message), "{arguments:?}: {err}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_infer"))
        .arg("list")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An MNIST digit as a photo would show it: dark on light paper, ten times as large, off the middle.
fn photo(pixels: &[u8], path: &Path) {
    let image = GrayImage::from_fn(400, 360, |x, y| {
        let (row, column) = ((y as i64 - 30) / 10, (x as i64 - 90) / 10);
        let inside = (0..28).contains(&row) && (0..28).contains(&column) && y >= 30 && x >= 90;
        let ink = if inside { pixels[(row * 28 + column) as usize] } else { 0 };
        Luma([230 - (f32::from(ink) * 0.8) as u8])
    });
    image.save(path).unwrap();
}

#[test]
fn photos_of_digits_are_read() {
    let (test, _) = data::open_split(&data::locate("mnist").unwrap(), Split::Test).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut right = 0;
    for i in 0..10 {
        let path = dir.path().join(format!("{i}.png"));
        photo(&test.image(i).unwrap().pixels, &path);
        let answer = json(&["classify", path.to_str().unwrap(), "--json", "--top", "2"]);
        assert_eq!(answer["top"].as_array().unwrap().len(), 2);
        assert!(answer["note"].as_str().unwrap().contains("invert"), "{answer}");
        right += usize::from(answer["class"].as_str().unwrap().parse() == Ok(test.label(i)));
    }
    assert!(right >= 9, "{right} of 10");
}

#[test]
fn the_weights_that_ship_are_as_good_as_their_card_says() {
    let report = json(&["eval", "--json"]);
    assert_eq!((&report["images"], &report["dataset"]), (&10_000.into(), &"mnist".into()));
    // 89 errors where they were trained; another processor may round an image or two the other way.
    let errors = report["errors"].as_i64().unwrap();
    assert!((errors - 89).abs() <= 3, "{errors}");
    let confusion = report["confusion"].as_array().unwrap();
    let counted: u64 = confusion.iter().flat_map(|row| row.as_array().unwrap()).map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(counted, 10_000);
}
