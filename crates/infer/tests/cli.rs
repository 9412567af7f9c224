//! The program `infer` from the outside.

#![allow(clippy::unwrap_used)] // helpers of tests: the lint spares only the tests themselves

use burn::tensor::TensorData;
use data::Split;
use image::{GrayImage, Luma};
use models::{Framing, Model, weights};
use serde_json::Value;
use std::fs;
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
fn a_profile_has_every_layer_and_adds_up() {
    for (model, layers, more) in [("lenet5", 7, &["--batch", "2"][..]), ("lenet5-dense", 7, &["--train"])] {
        let profile = json(&[&["profile", model, "--seconds", "0", "--json"], more].concat());
        let lines = profile["layers"].as_array().unwrap();
        assert_eq!((lines.len(), &lines[0]["name"]), (layers, &"C1".into()));
        assert_eq!(profile["mode"], if model == "lenet5" { "infer" } else { "train" });
        let sum = |key: &str| lines.iter().map(|l| l[key].as_f64().unwrap()).sum::<f64>();
        assert!((sum("share_of_time") - 1.0).abs() < 1e-6);
        assert!((sum("median_ms") - profile["sum_ms"].as_f64().unwrap()).abs() < 1e-6);
        assert!(lines[0]["gflops"].is_f64() && lines[0]["share_of_peak"].is_f64() && lines[1]["gflops"].is_null());
    }
    let (code, text, err) = infer(&["profile", "lenet5", "--seconds", "0"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(text.starts_with("lenet5: forward, batch 1, device flex\npeak "), "{text}");
    for layer in ["C1", "S2", "C3", "S4", "C5", "F6", "OUTPUT", "sum", "in one go"] {
        assert!(text.lines().any(|line| line.starts_with(layer)), "{layer}: {text}");
    }
}

#[test]
fn the_number_of_classes_can_be_changed_on_each() {
    for model in json(&["list", "--json"]).as_array().unwrap() {
        let summary = json(&["summary", model["model"].as_str().unwrap(), "--classes", "7", "--json"]);
        assert_eq!(summary["layers"].as_array().unwrap().last().unwrap()["output"], serde_json::json!([7, 1, 1]));
    }
}

/// Two images of 28x28 pixels in two classes, as IDX files.
fn two_images(dir: &Path) {
    let header = |numbers: &[u32]| numbers.iter().copied().flat_map(u32::to_be_bytes).collect::<Vec<u8>>();
    let pixels = (0..2 * 784).map(|i| (i * 37 % 256) as u8).collect();
    fs::write(dir.join("t10k-images-idx3-ubyte"), [header(&[2051, 2, 28, 28]), pixels].concat()).unwrap();
    fs::write(dir.join("t10k-labels-idx1-ubyte"), [header(&[2049, 2]), vec![3, 7]].concat()).unwrap();
}

/// Images of formula numbers as `infer logits` reads them.
fn formula_images(path: &Path, shape: [usize; 4], scale: f32) {
    let images = TensorData::new(models::reference::sines(1, shape.iter().product(), scale), shape);
    fs::write(path, weights::to_bytes(&[("images".into(), images)].into(), "note", "formula").unwrap()).unwrap();
}

#[test]
fn a_family_s_name_means_its_first_network_and_every_command_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (ours, again, images, photo) =
        (path("nin.safetensors"), path("again.safetensors"), path("images.safetensors"), path("photo.png"));
    GrayImage::from_fn(40, 40, |x, y| Luma([(x * y) as u8])).save(&photo).unwrap();
    formula_images(Path::new(&images), [1, 3, 32, 32], 1.0);
    two_images(dir.path());
    let dir = path("");
    let first = "nin-cifar10 (966,986 parameters";
    for (arguments, said) in [
        (&["export", "--model", "nin", "--to", "safetensors", "--out", &ours][..], first),
        (&["convert", &ours, "--model", "nin", "--out", &again], first),
        (&["logits", "--model", "nin", "--weights", &ours, "--input", &images], first),
        (&["classify", "--model", "nin", "--weights", &ours, &photo], first),
        (&["eval", "--model", "nin", "--weights", &ours, "--data-dir", &dir], "nin-cifar10 on "),
        (&["summary", "nin"], "nin-cifar10: "),
        (&["summary", "zfnet"], "zfnet: "),
    ] {
        let (code, out, err) = infer(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        assert!(out.contains(said) || err.contains(said), "{arguments:?}: {out}{err}");
    }
    let (code, _, err) = infer(&["fetch", "nin"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("no weights of nin-cifar10 can be downloaded; there are those of alexnet-"), "{err}");
}

#[test]
fn photos_get_the_five_best_of_imagenet_s_classes() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (weights, photo) = (path("nin.safetensors"), path("photo.png"));
    GrayImage::from_fn(300, 280, |x, y| Luma([(x * y / 99) as u8])).save(&photo).unwrap();
    infer(&["export", "--model", "nin-imagenet", "--to", "safetensors", "--out", &weights]);
    for more in [&[][..], &["--ten-crop"]] {
        let answer = json(&[&["classify", "--weights", &weights, "--json", &photo], more].concat());
        let top: Vec<_> = answer["top"].as_array().unwrap().iter().map(|g| g["class"].as_str().unwrap()).collect();
        let classes = formats::class_names(&Model::named("nin-imagenet").unwrap());
        assert!(top.len() == 5 && top.iter().all(|name| classes.iter().any(|class| class == name)), "{answer}");
    }
}

#[test]
fn alexnet_s_towers_infer_on_two_devices_as_on_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (file, images, photo) = (path("alexnet.safetensors"), path("images.safetensors"), path("photo.png"));
    let device = models::device::parse("flex").unwrap();
    let model = Model { classes: 10, ..Model::named("alexnet").unwrap() };
    let network = models::reference::with_formula_weights(model.build(0, &device).unwrap());
    fs::write(&file, weights::save(&network, &formats::untrained(&network)).unwrap()).unwrap();
    drop(network);
    formula_images(Path::new(&images), [2, 3, 224, 224], 100.0);
    GrayImage::from_fn(300, 280, |x, y| Luma([(x * y / 99) as u8])).save(&photo).unwrap();
    two_images(dir.path());
    let dir = path("");
    let both = |command: &[&str]| {
        let (_, one, err) = infer(&[command, &["--weights", &file]].concat());
        assert!(!err.contains("bytes cross"), "{err}");
        let (code, two, err) = infer(&[command, &["--weights", &file, "--towers", "flex,ndarray"]].concat());
        assert_eq!(code, Some(0), "{err}");
        assert!(
            err.contains("towers on flex and ndarray: 234,496 bytes cross for each image, conv3 173,056, "),
            "{err}"
        );
        (one, two)
    };
    let (one, two) = both(&["logits", "--input", &images]);
    let numbers = |lines: &str| -> Vec<f64> {
        lines.lines().flat_map(|line| serde_json::from_str::<Vec<f64>>(line).unwrap()).collect()
    };
    let (one, two) = (numbers(&one), numbers(&two));
    let greatest = one.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    assert_eq!((one.len(), two.len()), (20, 20));
    assert!(one.iter().zip(&two).all(|(a, b)| (a - b).abs() <= 1e-4 * greatest), "{one:?} {two:?}");
    let (one, two) = both(&["classify", "--json", &photo]);
    let class = |out: &str| serde_json::from_str::<Value>(out).unwrap()["class"].clone();
    assert_eq!(class(&two), class(&one));
    let (one, two) = both(&["eval", "--json", "--data-dir", &dir]);
    let counts = |out: &str| serde_json::from_str::<Value>(out).unwrap()["confusion"].clone();
    assert_eq!(counts(&two), counts(&one));
}

#[test]
fn mistakes_end_with_their_codes() {
    for (arguments, code, message) in [
        (&["summary", "lenet"][..], 1, "no network is called 'lenet'; nearest first, there are lenet5,"),
        (&["eval", "--device", "tpu"], 2, "linked here: flex, ndarray"),
        (&["eval", "--weights", "nowhere.safetensors"], 1, "nowhere.safetensors"),
        (&["eval", "--model", "lenet5-rbf"], 1, "no weights for lenet5-rbf ship"),
        (&["eval", "--data-dir", "nowhere"], 1, "nowhere"),
        (&["eval", "--towers", "flex,ndarray"], 1, "lenet5 has one tower. Those that have two: alexnet, "),
        (&["eval", "--towers", "flex,tpu"], 2, "no device is called 'tpu'"),
        (&["eval", "--model", "alexnet"], 1, "no weights for alexnet ship"),
        (&["eval", "--ten-crop"], 1, "ten crops need an input that is scaled and cut; this one is centred"),
        (&["eval", "--on-bad-image", "ask"], 1, "[possible values: skip, fail]"),
        (&["classify", "nowhere.png"], 1, "nowhere.png"),
        (&["classify"], 1, "<IMAGE>"),
        (&["profile", "lenet5", "--batch", "0"], 1, "--batch"),
        (&["profile", "lenet5", "--device", "tpu"], 2, "linked here: flex, ndarray"),
        (&["profile", "lenet5", "--device", "flex,ndarray"], 1, "flex,ndarray: only training computes on"),
        (&["selfcheck", "--device", "flex,ndarray"], 1, "flex,ndarray: only training computes on"),
        (&["eval", "--device", "flex,ndarray"], 1, "flex,ndarray: only training computes on"),
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

/// MNIST's first test images in folders, `val/CLASS/I.png`: with 70 of them there are some of each class.
fn digits(dir: &Path) {
    let (test, _) = data::open_split(&data::locate("mnist").unwrap(), Split::Test).unwrap();
    for i in 0..70 {
        let class = dir.join("val").join(test.label(i).to_string());
        fs::create_dir_all(&class).unwrap();
        let pixels = test.image(i).unwrap().pixels.into_owned();
        GrayImage::from_raw(28, 28, pixels).unwrap().save(class.join(format!("{i}.png"))).unwrap();
    }
}

#[test]
fn images_that_can_t_be_read_are_named_and_counted_or_fatal() {
    let dir = tempfile::tempdir().unwrap();
    digits(dir.path());
    let torn = ["val/7/0.png", "val/2/1.png"];
    torn.iter().for_each(|file| fs::write(dir.path().join(file), "torn").unwrap());
    let eval = ["eval", "--data-dir", dir.path().to_str().unwrap(), "--json"];
    let (code, _, err) = infer(&eval);
    assert_eq!(code, Some(1));
    assert!(torn.iter().any(|file| err.contains(&format!("{file}: is neither PNG nor JPEG"))), "{err}");
    let (code, out, err) = infer(&[&eval[..], &["--on-bad-image", "skip"]].concat());
    assert_eq!(code, Some(0), "{err}");
    assert!(torn.iter().all(|file| err.matches(file).count() == 1), "{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["images"], &report["bad_images"]), (&68.into(), &2.into()));
    let (_, out, _) = infer(&[&eval[..3], &["--on-bad-image", "skip"]].concat());
    assert!(out.contains("\n2 more can't be read and were skipped\n"), "{out}");
}

/// LeNet-5 as if its input were cut from larger digits: what `eval` counts is what `classify` says.
#[test]
fn eval_takes_ten_crops_of_each_image() {
    let dir = tempfile::tempdir().unwrap();
    digits(dir.path());
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (network, mut card) = weights::load(weights::LENET5_MNIST, &models::device::parse("flex").unwrap()).unwrap();
    card.input.framing = Framing::ResizeCrop { shorter: 40 };
    fs::write(path("cut.safetensors"), weights::save(&network, &card).unwrap()).unwrap();
    let weights = ["--weights", &path("cut.safetensors"), "--json"];
    let eval = |more: &[&str]| json(&[&["eval", "--data-dir", &path("")][..], &weights, more].concat());
    // Batches of 30 images.
    let ten = eval(&["--ten-crop", "--batch", "300"]);
    assert_eq!((&ten["images"], &ten["ten_crop"]), (&70.into(), &true.into()));
    assert_ne!(ten["confusion"], eval(&[])["confusion"]);

    let mut counted = vec![vec![0; 10]; 10];
    for (truth, row) in counted.iter_mut().enumerate() {
        let files = fs::read_dir(path(&format!("val/{truth}"))).unwrap();
        let files: Vec<_> = files.map(|file| file.unwrap().path().display().to_string()).collect();
        let files: Vec<_> = files.iter().map(String::as_str).collect();
        let (_, out, err) = infer(&[&["classify", "--ten-crop"][..], &weights, &files[..]].concat());
        assert_eq!(out.lines().count(), files.len(), "{err}");
        for line in out.lines() {
            let answer: Value = serde_json::from_str(line).unwrap();
            row[answer["class"].as_str().unwrap().parse::<usize>().unwrap()] += 1;
        }
    }
    assert_eq!(ten["confusion"], serde_json::json!(counted));
}

#[test]
fn the_weights_that_ship_are_as_good_as_their_card_says() {
    // Where they were trained; another processor may round an image or two the other way.
    for (model, expected) in [("lenet5", 89), ("nin-mnist", 41)] {
        let report = json(&["eval", "--model", model, "--json"]);
        assert_eq!((&report["images"], &report["dataset"]), (&10_000.into(), &"mnist".into()));
        let errors = report["errors"].as_i64().unwrap();
        assert!((errors - expected).abs() <= 3, "{model}: {errors}");
        let confusion = report["confusion"].as_array().unwrap();
        let counted: u64 = confusion.iter().flat_map(|row| row.as_array().unwrap()).map(|n| n.as_u64().unwrap()).sum();
        assert_eq!(counted, 10_000);
    }
}

#[test]
fn photos_of_cifar_s_classes_are_read() {
    // The first test image of each class.
    let names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
    let paths = names.map(|name| format!("{}/tests/cifar10/{name}.jpg", env!("CARGO_MANIFEST_DIR")));
    let arguments = ["classify", "--model", "nin-cifar10", "--json"];
    let (code, out, err) = infer(&[&arguments[..], &paths.each_ref().map(String::as_str)].concat());
    assert_eq!(code, Some(0), "{err}");
    let answers: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), names.len());
    let right = answers.iter().zip(names).filter(|(answer, name)| answer["class"] == *name).count();
    assert!(right >= 8, "{right} of 10: {out}");
}
