//! Runs that are killed, on disks that are full, broken or read-only: nothing is lost, and nothing changes.

#![cfg(unix)]

mod support;

use data::random::{Purpose, Rng, stream};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::{Bench, run};

const FILES: [&str; 3] = ["best.safetensors", "last.safetensors", "confusion.csv"];

/// Much that has a state: momentum, a plateau, distortions, parts of batches, checkpoints in the middle of epochs.
const STATE: [&str; 12] = [
    "--epochs",
    "8",
    "--checkpoint-steps",
    "5",
    "--set",
    "data.distortion={}",
    "--set",
    "training.accumulate=2",
    "--set",
    "schedule={ kind = \"plateau\", rate = 0.05, factor = 0.5, patience = 1 }",
    "--set",
    "optimizer.clip=2.0",
];

/// Killed at random moments, gently now and then, and resumed each time: the same bytes as without.
#[test]
fn a_run_killed_at_random_moments_ends_with_the_same_bytes() {
    let bench = Bench::new();
    let started = std::time::Instant::now();
    let (code, _, err) = run(&mut bench.smoke("whole", &STATE));
    assert_eq!(code, Some(0), "{err}");
    let whole = started.elapsed();

    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    println!("seed {seed}");
    let mut random = stream(seed, Purpose::Order, 0, 0);
    let mut child = bench.smoke("pieces", &STATE).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Before that it is no run yet, and there is nothing to go on with.
    while !bench.dir.path().join("pieces/run.toml").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    for i in 0..10 {
        let share = f64::from(random.next_u32()) / f64::from(u32::MAX);
        std::thread::sleep(whole.mul_f64(0.3 * share));
        let gentle = i % 4 == 3;
        Command::new("kill").args([if gentle { "-INT" } else { "-KILL" }, &child.id().to_string()]).status().unwrap();
        let code = child.wait().unwrap().code();
        // 3: interrupted and saved; 0: it was done before the signal came; none: killed.
        assert!(matches!(code, Some(0 | 3) | None), "{code:?}");
        assert!(bench.checkpoints("pieces").len() <= 3, "more than two are kept");
        let resume = bench.command(&["--resume", "pieces", "--checkpoint-steps", "5"]).stdout(Stdio::null()).spawn();
        child = resume.unwrap();
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    for file in FILES {
        assert!(bench.read(&format!("whole/{file}")) == bench.read(&format!("pieces/{file}")), "{file}, seed {seed}");
    }
    assert_eq!(bench.checkpoints("pieces").len(), 2);
}

/// As if interrupted after 13 more steps; from elsewhere, and the data set was named from here.
#[test]
fn what_a_resumed_run_is_told_holds_from_then_on() {
    let bench = Bench::new();
    let (code, _, err) = run(&mut bench.smoke("run", &["--set", "schedule.warmup=1", "--epochs", "2"]));
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = run(&mut bench.command(&["--resume", "run", "--epochs", "1"]));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("--resume run: schedule.warmup must end before training"), "{err}");
    let more = ["--resume", "run", "--epochs", "3", "--on-bad-image", "skip"];
    let (code, _, err) = run(&mut bench.command(&more));
    assert_eq!(code, Some(0), "{err}");
    fs::remove_file(&bench.checkpoints("run")[1]).unwrap();
    let (dir, elsewhere) = (bench.dir.path().join("run"), tempfile::tempdir().unwrap());
    let mut command = bench.command(&["--resume", dir.to_str().unwrap()]);
    let (code, out, err) = run(command.current_dir(elsewhere.path()));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("epoch  3/3"), "{out}");
    let told = String::from_utf8(bench.read("run/run.toml")).unwrap();
    assert!(told.contains("epochs = 3") && told.contains("on_bad_image = \"skip\""), "{told}");
}

/// Stopped after an epoch's last step and before its end: no step of it is left.
#[test]
fn the_rate_of_an_epoch_whose_steps_are_done_is_known() {
    let bench = Bench::new();
    let (code, _, err) = run(&mut bench.smoke("run", &["--epochs", "1"]));
    assert_eq!(code, Some(0), "{err}");
    let rate = || -> f64 {
        let metrics = String::from_utf8(bench.read("run/metrics.csv")).unwrap();
        metrics.lines().nth(1).unwrap().split(',').nth(3).unwrap().parse().unwrap()
    };
    let (before, path) = (rate(), bench.checkpoints("run").remove(0));
    assert!(before > 0.0);
    let (tensors, progress) = models::weights::from_bytes(&fs::read(&path).unwrap(), "progress").unwrap();
    let mut progress: Value = serde_json::from_str(&progress).unwrap();
    let stopped = json!({ "epoch": 0, "step": 13, "loss_sum": 320.0, "images": 320, "history": [], "best": null });
    progress.as_object_mut().unwrap().extend(stopped.as_object().unwrap().clone());
    fs::write(&path, models::weights::to_bytes(&tensors, "progress", &progress.to_string()).unwrap()).unwrap();
    let (code, _, err) = run(&mut bench.command(&["--resume", "run"]));
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(rate(), before);
}

#[test]
fn a_truncated_checkpoint_gives_way_to_the_one_before() {
    let bench = Bench::new();
    let (code, _, err) = run(&mut bench.smoke("whole", &STATE));
    assert_eq!(code, Some(0), "{err}");
    run(bench.smoke("run", &STATE).args(["--epochs", "3"]));
    let [before, newest] = &bench.checkpoints("run")[..] else { panic!("expected two checkpoints") };
    let bytes = fs::read(newest).unwrap();
    fs::write(newest, &bytes[..bytes.len() / 2]).unwrap();
    let (code, _, err) = run(&mut bench.command(&["--resume", "run", "--epochs", "8"]));
    assert_eq!(code, Some(0), "{err}");
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
    let says = format!("run/{}: the checkpoint can't be used", name(newest));
    assert!(err.contains(&says) && err.contains(&format!("going on from {}", name(before))), "{err}");
    // The card tells how often the first command was to pass over the data: the weights alone are compared.
    let weights = |run: &str| {
        let device = models::device::parse("flex").unwrap();
        models::weights::load(&bench.read(&format!("{run}/last.safetensors")), &device).unwrap().0.tensors()
    };
    assert!(weights("whole") == weights("run"));

    for path in bench.checkpoints("run") {
        fs::write(path, "nonsense").unwrap();
    }
    let (code, _, err) = run(&mut bench.command(&["--resume", "run", "--epochs", "9"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("the checkpoint can't be used"), "{err}");
}

/// Files may have 400 KB at most: LeNet-5's weights fit, a checkpoint of weights and velocities doesn't.
#[test]
fn a_full_disk_ends_the_run_and_leaves_everything_whole() {
    let bench = Bench::new();
    let first = ["--epochs", "1"];
    let (code, _, err) = run(&mut bench.smoke("run", &first));
    assert_eq!(code, Some(0), "{err}");
    let before: Vec<_> = bench.checkpoints("run").iter().map(|p| (p.clone(), fs::read(p).unwrap())).collect();
    let program = env!("CARGO_BIN_EXE_train");
    let script = format!("trap '' XFSZ; ulimit -f 400; exec {program} --resume run --epochs 4");
    let (code, _, err) = run(Command::new("bash").current_dir(bench.dir.path()).args(["-c", &script]));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("run/checkpoint-") && err.contains("can't be written"), "{err}");
    let after: Vec<_> = bench.checkpoints("run").iter().map(|p| (p.clone(), fs::read(p).unwrap())).collect();
    assert!(before == after);
    let parts = fs::read_dir(bench.dir.path().join("run")).unwrap();
    assert!(parts.map(|e| e.unwrap().file_name()).all(|name| !name.to_str().unwrap().ends_with(".part")));
    let (code, _, err) = run(&mut bench.command(&["--resume", "run", "--epochs", "2"]));
    assert_eq!(code, Some(0), "{err}");
}

/// For root nothing is read-only: the program runs as nobody then.
#[test]
fn a_read_only_directory_is_an_error_that_changes_nothing() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let bench = Bench::new();
    let (code, _, err) = run(&mut bench.smoke("run", &["--epochs", "1"]));
    assert_eq!(code, Some(0), "{err}");
    let (top, dir) = (bench.dir.path(), bench.dir.path().join("run"));
    let program = top.join("train");
    fs::copy(env!("CARGO_BIN_EXE_train"), &program).unwrap();
    let before = bench.checkpoints("run");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(top, 0o755);
    mode(&dir, 0o555);
    let mut command = Command::new(&program);
    command.current_dir(top).args(["--resume", "run", "--epochs", "2"]);
    if fs::metadata(top).unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    }
    let (code, _, err) = run(&mut command);
    mode(&dir, 0o755);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("run/run.toml: can't be written"), "{err}");
    assert_eq!(bench.checkpoints("run"), before);
}

/// Its images are photos in folders: one to train on and one to test on are torn.
#[test]
fn images_that_an_earlier_sitting_couldn_t_read_are_counted() {
    let bench = Bench::new();
    bench.torn_photos();
    let counted = |command: &mut Command| {
        let (code, _, err) = run(command);
        assert_eq!(code, Some(0), "{err}");
        let summary: Value = serde_json::from_slice(&bench.read("run/summary.json")).unwrap();
        summary["bad_images"].as_u64().unwrap()
    };
    let photos = ["--data-dir", "photos", "--on-bad-image", "skip", "--epochs", "1", "--set", "data.validation=3"];
    assert_eq!(counted(&mut bench.smoke("run", &photos)), 2);
    // All is done but the test, which meets one of the two.
    assert_eq!(counted(&mut bench.command(&["--resume", "run"])), 2);
    assert_eq!(counted(&mut bench.command(&["--resume", "run", "--epochs", "2"])), 2);
    // A checkpoint from before they were counted.
    let path = bench.checkpoints("run").pop().unwrap();
    let (tensors, progress) = models::weights::from_bytes(&fs::read(&path).unwrap(), "progress").unwrap();
    let mut progress: Value = serde_json::from_str(&progress).unwrap();
    assert_eq!(progress.as_object_mut().unwrap().remove("bad").unwrap().as_array().unwrap().len(), 1);
    fs::write(&path, models::weights::to_bytes(&tensors, "progress", &progress.to_string()).unwrap()).unwrap();
    assert_eq!(counted(&mut bench.command(&["--resume", "run"])), 1);
}

#[test]
fn what_whitening_learned_from_an_archive_is_kept_beside_it_or_that_it_isn_t_is_said() {
    let bench = Bench::new();
    let place = |name: &str| bench.dir.path().join(name);
    let images = |n: usize| data::Images {
        channels: 3,
        height: 32,
        width: 32,
        pixels: (0..n * 3072).map(|i| (i * i % 251) as u8).collect(),
        labels: (0..n).map(|i| (i % 10) as u16).collect(),
    };
    let classes = (0..10).map(|class| format!("class {class}")).collect();
    let dataset = data::Dataset { name: "few".into(), classes, train: images(40).into(), test: images(10).into() };
    data::write_cifar10(&dataset, &place("cifar-10-batches-bin")).unwrap();
    let archive = "cifar-10-binary.tar.gz";
    let (code, _, err) =
        run(Command::new("tar").current_dir(bench.dir.path()).args(["-czf", archive, "cifar-10-batches-bin"]));
    assert_eq!(code, Some(0), "{err}");
    let train = |out: &str| {
        let mut command = bench.smoke(out, &["--data-dir", archive, "--epochs", "1", "--set", "data.validation=0"]);
        command.args(["--set", "data.whitening={ contrast = 28.0, ridge = 0.1 }", "--set", "model.name=lenet5-dense"]);
        let (code, _, err) = run(&mut command);
        assert_eq!(code, Some(0), "{err}");
        err
    };
    let beside = || fs::read_dir(bench.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let kept = || beside().find(|path| path.extension().is_some_and(|ending| ending == "stats"));
    assert_eq!(kept(), None);
    assert!(!train("a").contains("whitening"));
    let path = kept().unwrap();
    assert!(path.to_str().unwrap().contains("/cifar-10-binary.tar.gz.whitening-"), "{path:?}");
    // The second run reads it and leaves it alone.
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    train("b");
    assert!(bench.read("a/last.safetensors") == bench.read("b/last.safetensors"));
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    // No file takes the place of a directory with something in it, not even for root.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("mine"), "").unwrap();
    let err = train("c");
    assert!(err.contains(".stats: cannot be written: ") && err.contains("The next run fits whitening again"), "{err}");
}
