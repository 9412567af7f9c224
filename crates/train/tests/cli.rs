//! The program `train` from the outside: what it writes, what it says, how it ends and goes on.

mod support;

use serde_json::Value;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use support::{Bench, bars, run};

#[test]
fn a_run_writes_all_its_files() {
    let bench = Bench::new();
    let (code, out, err) = run(&mut bench.smoke("run", &["--set", "training.keep=[1,3]"]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("epoch  3/3") && out.contains("test error "), "{out}");
    for file in ["run.toml", "metrics.csv", "curves.png", "best.safetensors", "last.safetensors", "confusion.csv"] {
        assert!(!bench.read(&format!("run/{file}")).is_empty(), "{file}");
    }
    // The epochs asked for are kept, and no others.
    assert_eq!(bench.read("run/epoch-3.safetensors"), bench.read("run/last.safetensors"));
    assert_ne!(bench.read("run/epoch-1.safetensors"), bench.read("run/last.safetensors"));
    assert!(!bench.dir.path().join("run/epoch-2.safetensors").exists());
    let summary: Value = serde_json::from_slice(&bench.read("run/summary.json")).unwrap();
    let keys =
        "model dataset device seed epochs test_error test_top1 train_seconds images_per_second parameters weights";
    for key in keys.split(' ') {
        assert!(summary.get(key).is_some(), "{key} is missing: {summary}");
    }
    assert_eq!((&summary["model"], &summary["parameters"]), (&"lenet5".into(), &60_850.into()));
    assert_eq!(summary["test_error"].as_f64().unwrap() + summary["test_top1"].as_f64().unwrap(), 1.0);
    assert_eq!(String::from_utf8(bench.read("run/metrics.csv")).unwrap().lines().count(), 4);
}

#[test]
fn it_learns() {
    let bench = Bench::new();
    let (code, _, err) = run(&mut bench.smoke("run", &["--epochs", "12", "--set", "optimizer.weight_decay=0"]));
    assert_eq!(code, Some(0), "{err}");
    let summary: Value = serde_json::from_slice(&bench.read("run/summary.json")).unwrap();
    assert!(summary["test_error"].as_f64().unwrap() <= 0.1, "{summary}");
}

#[test]
fn json_is_json_line_by_line() {
    let bench = Bench::new();
    let (code, out, _) = run(&mut bench.smoke("run", &["--json", "--epochs", "2"]));
    assert_eq!(code, Some(0));
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds = events.iter().map(|e| e["event"].as_str().unwrap());
    let kinds: Vec<_> = kinds.filter(|kind| *kind != "warning").collect(); // so few steps may learn nothing
    assert_eq!(kinds, ["start", "epoch", "epoch", "end"]);
}

#[test]
fn one_seed_gives_the_same_bytes_whatever_the_threads() {
    let bench = Bench::new();
    let distorted = ["--set", "data.distortion={}"];
    for (out, threads) in [("a", "0"), ("b", "1"), ("c", "3")] {
        let (code, _, err) = run(bench.smoke(out, &distorted).args(["--threads", threads]));
        assert_eq!(code, Some(0), "{err}");
    }
    run(bench.smoke("other", &distorted).args(["--seed", "77"]));
    for file in ["best.safetensors", "last.safetensors", "confusion.csv"] {
        let a = bench.read(&format!("a/{file}"));
        assert!(a == bench.read(&format!("b/{file}")) && a == bench.read(&format!("c/{file}")), "{file}");
    }
    assert!(bench.read("a/last.safetensors") != bench.read("other/last.safetensors"));
}

#[test]
#[cfg(unix)]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let bench = Bench::new();
    let mut command = bench.smoke("run", &["--epochs", "1000"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Once there is a checkpoint the loop runs, and the handler is in place.
    for _ in 0..3000 {
        if !bench.checkpoints("run").is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("cargo run -p train -- --resume run"), "{stderr}");
}

#[test]
fn nothing_is_overwritten() {
    let bench = Bench::new();
    fs::create_dir(bench.dir.path().join("mine")).unwrap();
    fs::write(bench.dir.path().join("mine/notes.txt"), "mine").unwrap();
    let (code, _, err) = run(&mut bench.smoke("mine", &[]));
    assert_eq!(code, Some(1));
    assert!(err.contains("--out mine: is not empty"), "{err}");
    assert_eq!(bench.read("mine/notes.txt"), b"mine");
}

#[test]
fn a_run_that_can_t_begin_leaves_nothing() {
    let bench = Bench::new();
    bars(&bench.dir.path().join("none"), [0, 2]);
    for (changes, message) in [
        (["--set", "data.validation=100000"], "data.validation: cannot set the last 100000 images apart"),
        (["--set", "data.batch_size=0"], "data.batch_size is 0"),
        (["--data-dir", "none"], "none: there are no images to train on"),
    ] {
        let (code, _, err) = run(bench.smoke("run", &["--set", "data.validation=0"]).args(changes));
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains(message) && !bench.dir.path().join("run").exists(), "{err}");
    }
}

#[test]
fn images_that_can_t_be_read_are_told_and_counted_wherever_they_are() {
    let bench = Bench::new();
    bench.torn_photos();
    let photos = ["--data-dir", "photos", "--on-bad-image", "skip", "--epochs", "1", "--set", "data.validation=0"];
    let whitening = ["--set", "data.whitening={ contrast = 28.0, ridge = 0.1 }", "--set", "model.name=lenet5-dense"];
    let twice = ["--set", "data.repeat=2"];
    let (code, out, err) = run(bench.smoke("run", &photos).args(whitening).args(twice));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("10 images to train 2 times an epoch, 0 to validate, 4 to test"), "{out}");
    for file in ["train/a/3.png: ", "val/b/1.png: "] {
        assert_eq!(err.matches(file).count(), 1, "{err}");
    }
    let summary: Value = serde_json::from_slice(&bench.read("run/summary.json")).unwrap();
    assert_eq!(summary["bad_images"], 2);
    ["val/a/1.png", "val/a/2.png", "val/b/2.png"].into_iter().for_each(|file| bench.tear(file));
    let (code, _, err) = run(&mut bench.smoke("none", &photos));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("none of 4 images can be read. The first: "), "{err}");
}

#[test]
fn the_paper_s_recipes_run_on_both_backends() {
    let bench = Bench::new();
    let few = ["--set", "data.limit=60", "--epochs", "1", "--data-dir", "bars"];
    for (recipe, device, out) in [("lenet5-mnist-1998", "flex", "a"), ("lenet5-rbf-mnist", "ndarray", "b")] {
        let mut command = bench.command(&["--recipe", recipe, "--device", device, "--out", out]);
        let validation = ["--set", "data.validation=0", "--set", "schedule={ kind = \"constant\", rate = 0.0005 }"];
        let (code, out, err) = run(command.args(few).args(validation));
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains("lenet5-rbf (60,000 parameters)"), "{out}");
    }
}

#[test]
fn alexnet_trains_with_its_towers_on_two_devices_and_goes_on() {
    let bench = Bench::new();
    bars(&bench.dir.path().join("few"), [2, 2]);
    let alexnet = ["--towers", "flex,ndarray", "--set", "model.name=alexnet", "--data-dir", "few", "--out", "run"];
    let small = ["--set", "data.validation=0", "--set", "data.batch_size=2", "--set", "schedule.rate=1e-3"];
    let mut command = bench.command(&["--epochs", "1", "--set", "schedule.warmup=0"]);
    let (code, out, err) = run(command.args(alexnet).args(small));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("alexnet (56,909,194 parameters) on few"), "{out}");
    let crossing = "towers on flex and ndarray: 234,496 bytes cross for each image, \
                    conv3 173,056, fc6 36,864, fc7 16,384, fc8 8,192; as many come back as gradients";
    assert!(out.contains(crossing), "{out}");
    let (code, out, err) = run(&mut bench.command(&["--resume", "run", "--epochs", "2", "--json"]));
    assert_eq!(code, Some(0), "{err}");
    let events = out.lines().map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<Value> = events.filter(|e: &Value| e["event"] != "warning").collect(); // so few steps may learn nothing
    assert_eq!((&events[0]["device"], &events[0]["crossings"][0]["layer"]), (&"flex,ndarray".into(), &"conv3".into()));
    assert_eq!((&events[1]["event"], &events[1]["epoch"]), (&"epoch".into(), &2.into()), "the second only");
    let card = String::from_utf8_lossy(&bench.read("run/best.safetensors")[..2000]).into_owned();
    assert!(card.contains("--towers flex,ndarray"), "{card}");
}

#[test]
fn filters_are_held_within_a_radius() {
    let bench = Bench::new();
    let radius = |radius| format!("optimizer.filter_radius={radius}");
    for (out, set) in [("free", None), ("inf", Some(radius("inf"))), ("held", Some(radius("0.03")))] {
        let set = set.iter().flat_map(|set| ["--set", set]).collect::<Vec<_>>();
        let (code, _, err) = run(&mut bench.smoke(out, &[&["--epochs", "1"], &set[..]].concat()));
        assert_eq!(code, Some(0), "{err}");
    }
    let weights = |out: &str| {
        let device = models::device::parse("flex").unwrap();
        models::weights::load(&bench.read(&format!("{out}/last.safetensors")), &device).unwrap().0.tensors()
    };
    assert_eq!(weights("inf"), weights("free"));
    let greatest = |out: &str, layer: &str| {
        let values: Vec<f32> = weights(out)[layer].iter().collect();
        let size = values.len() / weights(out)[layer].shape()[0];
        let rms = |filter: &[f32]| (filter.iter().map(|w| w * w).sum::<f32>() / filter.len() as f32).sqrt();
        values.chunks(size).map(rms).fold(0.0, f32::max)
    };
    assert!(greatest("free", "C1.weight") > 0.04);
    let held = greatest("held", "C1.weight");
    assert!(held > 0.0 && held <= 0.030_001, "{held}");
}

#[test]
fn a_family_s_name_means_its_first_network_and_classes_are_the_data_s() {
    let bench = Bench::new();
    let names: String = (0..12).map(|i| format!("class {i}\n")).collect();
    fs::write(bench.dir.path().join("bars/classes.txt"), names).unwrap();
    let few = ["--set", "data.limit=4", "--epochs", "1", "--set", "schedule.warmup=0"];
    for (family, said) in [
        ("lenet5", "lenet5 (61,020 parameters) on bars"), // 60,850, and 85 more for each class
        ("nin", "nin-cifar10 (967,372 parameters) on bars"), // 966,986, and 193 more
    ] {
        let mut command = bench.command(&["--data-dir", "bars", "--set", "data.validation=0", "--out", family]);
        let (code, out, err) = run(command.args(few).args(["--set", &format!("model.name={family}")]));
        assert_eq!(code, Some(0), "{err}");
        assert!(out.starts_with(said), "{out}");
        assert!(bench.read(&format!("{family}/confusion.csv")).starts_with(b"true\\answer,class 0,"));
    }
}

#[test]
fn bench_says_which_network_and_where() {
    let bench = |arguments: &[&str]| -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        let (code, out, err) = run(command.args(["--seconds", "0", "--limit", "300"]).args(arguments));
        assert_eq!(code, Some(0), "{err}");
        serde_json::from_str(&out).unwrap()
    };
    let row = bench(&["--model", "nin"]);
    assert_eq!((&row["model"], &row["device"], &row["error"]), (&"nin-cifar10".into(), &"flex".into(), &Value::Null));
    assert_eq!(row.get("crossings"), None);
    let row = bench(&["--model", "alexnet", "--towers", "flex,ndarray"]);
    assert_eq!((&row["device"], &row["error"]), (&"flex,ndarray".into(), &Value::Null));
    let crossings = row["crossings"].as_array().unwrap();
    assert_eq!(crossings.iter().map(|c| c["bytes_per_image"].as_u64().unwrap()).sum::<u64>(), 234_496);
    let row = bench(&["--model", "nin", "--towers", "flex,ndarray"]);
    assert!(row["error"].as_str().unwrap().contains("nin-cifar10 has one tower"), "{row}");
}

#[test]
fn mistakes_end_with_their_codes() {
    let bench = Bench::new();
    for (arguments, code, message) in [
        (&["--recipe", "lenet"][..], 1, "no recipe is called 'lenet'"),
        (&["--device", "tpu"], 2, "linked here: flex, ndarray"),
        (&["--device", "cuda"], 2, "Build with --features cuda"),
        (&["--towers", "flex,ndarray"], 1, "lenet5 has one tower. Those that have two: alexnet, alexnet-caffenet, "),
        (&["--towers", "flex"], 1, "--towers flex: expected two devices"),
        (&["--towers", "flex,tpu"], 2, "no device is called 'tpu'"),
        (&["--towers", "flex,ndarray", "--device", "flex"], 1, "cannot be used with"),
        (&["--data-dir", "nowhere", "--out", "x"], 1, "nowhere"),
        (&["--resume", "nowhere"], 1, "is not a run's directory"),
        (&["--epochs", "0"], 1, "0 is not in 1.."),
        (&["--colour"], 1, "unexpected argument"),
        (&["--set", "optimizer.rates={ cccp6 = 0.1 }"], 1, "'cccp6' for a part between the dots; there are C1.weight"),
        (&["--set", "optimizer.rates={ \"C1.weight\" = 0.1 }"], 1, "no weight's name has 'C1.weight' for a part"),
        (&["--epochs", "1"], 1, "schedule.warmup must end before training"), // as with --set training.epochs=1
        (&["--set", "data.crop=random", "--data-dir", "bars"], 1, "this input is centred"),
        (&["--recipe", "nin-cifar10"], 1, "`train fetch` lists what it can download"),
        (&["fetch", "cifar11"], 1, "no data set 'cifar11' can be downloaded; there are cifar10, cifar100"),
    ] {
        let (got, _, err) = run(&mut bench.command(arguments));
        assert_eq!(got, Some(code), "{arguments:?}: {err}");
        assert!(err.contains(message), "{arguments:?}: {err}");
    }
    let (code, help, _) = run(&mut bench.command(&["--help"]));
    assert_eq!(code, Some(0));
    assert!(help.contains("Recipes: lenet5-mnist, "), "{help}");
}

#[test]
fn every_kind_of_thing_a_recipe_asks_for_is_done() {
    let bench = Bench::new();
    let (code, out, err) = run(&mut bench.command(&["--recipe", "smoke-lenet5", "--epochs", "2", "--out", "a"]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("lenet5 (60,850 parameters) on synthetic"), "{out}");
    // A batch in parts has the batch's gradient, up to rounding.
    let parts =
        ["--set", "training.accumulate=3", "--set", "optimizer.clip=1000", "--set", "optimizer.filter_radius=1000"];
    let (code, _, err) = run(bench.command(&["--recipe", "smoke-lenet5", "--epochs", "2", "--out", "b"]).args(parts));
    assert_eq!(code, Some(0), "{err}");
    let loss = |run: &str| -> f64 {
        let metrics = String::from_utf8(bench.read(&format!("{run}/metrics.csv"))).unwrap();
        metrics.lines().nth(1).unwrap().split(',').nth(1).unwrap().parse().unwrap()
    };
    assert!((loss("a") - loss("b")).abs() < 1e-3 * loss("a"), "{} {}", loss("a"), loss("b"));
    let (code, out, err) = run(&mut bench.command(&["compare", "a", "b", "--out", "both.png"]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("a: 2 epochs, loss ") && out.contains("\nboth.png"), "{out}");
    assert!(bench.read("both.png").starts_with(b"\x89PNG"));
}

#[test]
fn training_ends_early_when_nothing_gets_better() {
    let bench = Bench::new();
    let still = ["--set", "schedule={ kind = \"constant\", rate = 1e-12 }", "--epochs", "9"];
    let (code, _, err) = run(bench.smoke("run", &still).args(["--set", "training.patience=2"]));
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(String::from_utf8(bench.read("run/metrics.csv")).unwrap().lines().count(), 1 + 3);
    assert!(err.contains("guessing has ln(10) = 2.3026: nothing is learnt yet"), "{err}");
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_and_keeps_what_was() {
    let bench = Bench::new();
    let wild = ["--set", "schedule={ kind = \"passes\", rates = [0.05, 1e38] }"];
    let (code, _, err) = run(&mut bench.smoke("run", &wild));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("the learning rate is too high") && err.contains("stays in run"), "{err}");
    let (code, out, err) = run(&mut bench.command(&["--resume", "run", "--epochs", "1"]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("weights of epoch 1"), "{out}");
}

/// The weights of an epoch's last step, which no loss comes after; without validation nothing else looks at them.
#[test]
fn weights_that_are_not_finite_replace_none() {
    let bench = Bench::new();
    let wild = ["--set", "schedule={ kind = \"passes\", rates = [0.05, 1e300] }", "--set", "data.batch_size=400"];
    let (code, _, err) = run(bench.smoke("run", &wild).args(["--set", "data.validation=0"]));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("is no longer finite") && err.contains("stays in run"), "{err}");
    let device = models::device::parse("flex").unwrap();
    for file in ["best", "last"] {
        let (network, _) = models::weights::load(&bench.read(&format!("run/{file}.safetensors")), &device).unwrap();
        assert!(network.tensors().values().all(|data| data.iter::<f32>().all(f32::is_finite)), "{file}");
    }
}

#[test]
fn whitening_is_kept_with_the_weights() {
    let bench = Bench::new();
    let whitening = ["--set", "data.whitening={ contrast = 28.0, ridge = 0.1 }", "--set", "model.name=lenet5-dense"];
    let (code, out, err) = run(bench.smoke("run", &["--epochs", "4"]).args(whitening));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("whitening fitted on 320 images"), "{out}");
    let kept = fs::read_dir(bench.dir.path().join("bars")).unwrap();
    assert_eq!(kept.filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "stats")).count(), 1);
    let device = models::device::parse("flex").unwrap();
    let (network, card) = models::weights::load(&bench.read("run/best.safetensors"), &device).unwrap();
    assert_eq!(network.input(), &card.input);
    let whitening = card.input.whitening.unwrap();
    assert_eq!((whitening.contrast, whitening.statistics.unwrap().mean.len()), (28.0, 1024));
    // What the trainer counted with the whitening of the run, infer counts with that of the file.
    let summary: Value = serde_json::from_slice(&bench.read("run/summary.json")).unwrap();
    let (test, _) = data::open_split(&bench.dir.path().join("bars"), data::Split::Test).unwrap();
    let confusion = infer::evaluate(&network, test, 50, &device).unwrap();
    assert_eq!(summary["test_error"].as_f64().unwrap(), confusion.error());
}

/// TFRecords: a length of eight bytes, its checksum, data, its checksum. Whether TensorBoard reads them was tried by hand.
#[test]
fn an_event_file_has_a_record_for_each_epoch_and_grows_when_the_run_goes_on() {
    let bench = Bench::new();
    let records = || {
        let (bytes, mut records, mut at) = (bench.read("run/metrics.tfevents"), 0, 0);
        while at < bytes.len() {
            at += 16 + u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            records += 1;
        }
        assert_eq!(at, bytes.len());
        records
    };
    let (code, _, err) = run(&mut bench.smoke("run", &["--tensorboard", "--epochs", "2"]));
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(records(), 3);
    let (code, _, err) = run(&mut bench.command(&["--resume", "run", "--epochs", "4"]));
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(records(), 5);
}

#[cfg(not(feature = "tui"))]
#[test]
fn a_dashboard_that_is_not_there_is_named() {
    let (code, _, err) = run(&mut Bench::new().smoke("run", &["--tui"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("built without the dashboard. On Unix, build with --features tui"), "{err}");
}
