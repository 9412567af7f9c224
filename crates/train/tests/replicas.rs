//! Trainings on several devices: as on one, and exact when resumed.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use support::{Bench, run};

/// 320 images in batches of 25, the last one of 20: shares of 9, 8 and 8, then of 7, 7 and 6.
#[test]
fn several_devices_end_with_the_weights_of_one() {
    let bench = Bench::new();
    let (code, _, err) = run(&mut bench.smoke("one", &[]));
    assert_eq!(code, Some(0), "{err}");
    for (out, device) in [("two", "flex,flex"), ("three", "flex,ndarray,flex")] {
        let (code, said, err) = run(&mut bench.smoke(out, &["--device", device]));
        assert_eq!(code, Some(0), "{err}");
        assert!(said.contains(" replicas, each with "), "{said}");
        let apart = bench.apart(out, "one");
        assert!(apart < 1e-3, "{device}: {apart:e} apart");
        let run = String::from_utf8(bench.read(&format!("{out}/run.toml"))).unwrap();
        assert!(run.contains(&format!("device = \"{device}\"")), "{run}");
    }
}

/// With dropout, whose numbers every replica draws by itself.
#[test]
fn a_run_on_several_devices_goes_on_with_the_same_bytes() {
    let bench = Bench::new();
    let changes = ["data.batch_size=5", "data.validation=8", "data.synthetic={ classes = 4, train = 24, test = 8 }"];
    let train = |out: &str, epochs: &str| {
        let mut command = bench.command(&["--recipe", "smoke-nin", "--device", "flex,flex"]);
        changes.iter().for_each(|change| _ = command.args(["--set", change]));
        let (code, _, err) = run(command.args(["--epochs", epochs, "--out", out]));
        assert_eq!(code, Some(0), "{err}");
    };
    train("whole", "2");
    train("pieces", "1");
    let (code, out, err) = run(&mut bench.command(&["--resume", "pieces", "--epochs", "2"]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("2 replicas") && !out.contains("the checkpoint is from"), "{out}");
    // The card tells how often the first command was to pass over the data: the weights alone are compared.
    assert_eq!(bench.apart("pieces", "whole"), 0.0);
    let (code, out, err) = run(&mut bench.command(&["--resume", "pieces", "--epochs", "3", "--device", "flex"]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("the checkpoint is from --device flex,flex"), "{out}");
}
