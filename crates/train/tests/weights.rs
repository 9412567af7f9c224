//! `--weights`: what a run begins with.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use models::weights::{Tensors, load};
use std::fs;
use support::{Bench, run};

/// So small a rate that no weight moves.
const STILL: [&str; 4] = ["--epochs", "1", "--set", "schedule={ kind = \"constant\", rate = 1e-30 }"];
const FIRST: [&str; 2] = ["--weights", "first/last.safetensors"];

fn tensors(bench: &Bench, name: &str) -> Tensors {
    let device = models::device::parse("flex").unwrap();
    load(&bench.read(&format!("{name}/last.safetensors")), &device).unwrap().0.tensors()
}

#[test]
fn a_run_begins_with_the_weights_of_another() {
    let bench = Bench::new();
    let (code, _, err) = run(&mut bench.smoke("first", &[]));
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = run(bench.smoke("again", &FIRST).args(STILL));
    assert_eq!(code, Some(0), "{err}");
    assert!(!err.contains("prepared otherwise"), "{err}");
    assert_eq!(tensors(&bench, "again"), tensors(&bench, "first"));
    let card = String::from_utf8_lossy(&bench.read("again/best.safetensors")[..2000]).into_owned();
    assert!(card.contains("--weights first/last.safetensors"), "{card}");

    // Without its checkpoints it begins once more, with the same weights; with them it needs the file no longer.
    bench.checkpoints("again").into_iter().for_each(|file| fs::remove_file(file).unwrap());
    let (code, _, err) = run(&mut bench.command(&["--resume", "again"]));
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(tensors(&bench, "again"), tensors(&bench, "first"));
    fs::rename(bench.dir.path().join("first"), bench.dir.path().join("moved")).unwrap();
    let (code, _, err) = run(&mut bench.command(&["--resume", "again", "--epochs", "2"]));
    assert_eq!(code, Some(0), "{err}");

    // Other classes: the last layer begins anew, and the run says so.
    bench.photos();
    let photos = ["--weights", "moved/last.safetensors", "--data-dir", "photos", "--set", "data.validation=0"];
    let (code, out, err) = run(bench.smoke("other", &photos).args(STILL));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("OUTPUT begins anew: 10 classes in "), "{out}");
    let (ours, theirs) = (tensors(&bench, "other"), tensors(&bench, "moved"));
    for (name, data) in &ours {
        assert_eq!(*data == theirs[name], !name.starts_with("OUTPUT."), "{name}");
    }
}

#[test]
fn weights_that_don_t_fit_are_refused_before_anything_is_written() {
    let bench = Bench::new();
    let (code, _, err) = run(bench.smoke("first", &[]).args(STILL));
    assert_eq!(code, Some(0), "{err}");
    fs::write(bench.dir.path().join("torn"), &bench.read("first/last.safetensors")[..5000]).unwrap();
    let dense = ["--weights", "first/last.safetensors", "--set", "model.name=lenet5-dense"];
    for (changes, messages) in [
        (&["--weights", "none.safetensors"][..], ["none.safetensors: ", "No such file"]),
        (&["--weights", "torn"], ["--weights ", "torn: "]),
        (&dense, ["first/last.safetensors", "lenet5-dense"]),
    ] {
        let (code, _, err) = run(bench.smoke("run", changes).args(STILL));
        assert_eq!(code, Some(1), "{err}");
        assert!(messages.iter().all(|m| err.contains(m)), "{err}");
        assert!(!bench.dir.path().join("run").exists());
    }
}

#[test]
fn images_prepared_otherwise_are_warned_of() {
    let bench = Bench::new();
    let whitening = ["--set", "data.whitening={ contrast = 28.0, ridge = 0.1 }"];
    let (code, _, err) = run(bench.smoke("first", &whitening).args(STILL));
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = run(bench.smoke("again", &FIRST).args(STILL));
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("first/last.safetensors: its network was fed images prepared otherwise"), "{err}");
}
