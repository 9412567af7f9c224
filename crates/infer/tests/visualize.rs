//! `infer visualize` from the outside: pictures that open, numbers that are right, mistakes that are said.

#![allow(clippy::unwrap_used)] // helpers of tests: the lint spares only the tests themselves

use data::Split;
use image::{GenericImageView, GrayImage, Luma, RgbImage};
use models::{Model, weights};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Runs `infer visualize`; its exit code, standard output and error.
fn visualize(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_infer")).arg("visualize").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The picture's size, and the numbers behind it.
fn show(arguments: &[&str], out: &Path) -> ((u32, u32), Value) {
    let out = out.to_str().unwrap();
    let (code, text, err) = visualize(&[arguments, &["--out", out, "--json"]].concat());
    assert_eq!(code, Some(0), "{arguments:?}: {err}");
    (image::open(out).unwrap().dimensions(), serde_json::from_str(&text).unwrap())
}

#[test]
fn every_kind_of_picture_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.png");
    let (_, filters) = show(&["filters"], &out);
    assert_eq!(filters["shape"], serde_json::json!([6, 1, 5, 5]));

    let ((width, height), activations) = show(&["activations", "--index", "1"], &out);
    assert!(width > 600 && height > 900, "{width} x {height}");
    assert_eq!((&activations["class"], activations["layers"].as_array().unwrap().len()), (&"2".into(), 7));

    let methods = "deconvnet,guided,gradient,deconvnet-overwrite";
    let (_, deconvnet) = show(&["deconvnet", "--layer", "C3", "--count", "3", "--method", methods], &out);
    let units = deconvnet["units"].as_array().unwrap();
    let strengths: Vec<_> = units.iter().map(|u| u["activation"].as_f64().unwrap()).collect();
    assert!(strengths.len() == 3 && strengths.is_sorted_by(|a, b| a >= b), "{strengths:?}");
    assert_eq!(deconvnet["methods"].as_array().unwrap().len(), 4);
    assert_eq!(deconvnet["receptive_fields"][0]["height"], 14);
    let (_, unit) = show(&["deconvnet", "--layer", "S4", "--unit", "3,1,2"], &out);
    assert_eq!(unit["units"][0]["unit"], serde_json::json!({ "map": 3, "y": 1, "x": 2 }));
    for part in ["map", "layer"] {
        show(&["deconvnet", "--part", part, "--maps", "2"], &out);
    }

    let (_, top) = show(&["top", "--limit", "300", "--maps", "7,0"], &out);
    assert_eq!((top["images"].as_u64(), top["maps"][0]["map"].as_u64()), (Some(300), Some(7)));
    assert_eq!(top["maps"][1]["hits"].as_array().unwrap().len(), 9);

    let (_, occlusion) = show(&["occlusion", "--size", "12", "--stride", "10", "--class", "7"], &out);
    assert_eq!(occlusion["occlusion"]["places"], serde_json::json!([3, 3]));

    let (_, moved) = show(&["invariance", "--steps", "5"], &out);
    let at: Vec<_> = moved["changes"].as_array().unwrap().iter().map(|c| c["change"].as_str().unwrap()).collect();
    assert_eq!(at, ["vertical translation", "scale", "rotation"]);
    assert_eq!(moved["changes"][0]["images"][4].as_array().unwrap().len(), 5);

    let (_, confusion) = show(&["confusion", "--limit", "500"], &out);
    let (_, errors) = show(&["errors", "--limit", "500"], &out);
    assert_eq!(confusion["errors"].as_u64().unwrap() as usize, errors["mistakes"].as_array().unwrap().len());
}

/// A run that kept LeNet-5 untrained, as if after 2 epochs, and trained, as if after 10.
fn run_that_kept_two() -> TempDir {
    let run = tempfile::tempdir().unwrap();
    let flex = models::device::parse("flex").unwrap();
    let (shipped, card) = weights::load(weights::LENET5_MNIST, &flex).unwrap();
    let fresh = Model::named("lenet5").unwrap().build(7, &flex).unwrap();
    for (epoch, network) in [(10, &shipped), (2, &fresh)] {
        let path = run.path().join(format!("epoch-{epoch}.safetensors"));
        std::fs::write(path, weights::save(network, &card).unwrap()).unwrap();
    }
    run
}

#[test]
fn a_run_is_shown_epoch_by_epoch() {
    let run = run_that_kept_two();
    let out = run.path().join("a.png");
    let arguments = ["evolution", "--run", run.path().to_str().unwrap(), "--limit", "200", "--maps", "3,1,0"];
    let (_, shown) = show(&arguments, &out);
    let checkpoints = shown["checkpoints"].as_array().unwrap();
    let epochs: Vec<_> = checkpoints.iter().map(|c| c["epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [2, 10], "in the order of training");
    for checkpoint in checkpoints {
        let maps: Vec<_> = checkpoint["hits"].as_array().unwrap().iter().map(|h| h["map"].as_u64().unwrap()).collect();
        assert_eq!(maps, [3, 1, 0]);
    }
    assert_ne!(checkpoints[0]["hits"], checkpoints[1]["hits"]);
    let (code, _, err) = visualize(&[&arguments[..], &["--towers", "flex,ndarray", "--out", "b.png"]].concat());
    assert_eq!((code, err.contains("lenet5 has one tower")), (Some(1), true), "{err}");
}

#[test]
fn a_gallery_looks_through_the_images_that_evolution_does() {
    let run = run_that_kept_two();
    let path = |name: &str| run.path().join(name).display().to_string();
    let mut pictures = Vec::new();
    for split in [&[][..], &["--train-split"]] {
        let drawn = |arguments: &[&str]| {
            let more = ["--run", &path(""), "--limit", "40"];
            let (code, _, err) = visualize(&[arguments, &more, split].concat());
            assert_eq!(code, Some(0), "{err}");
        };
        drawn(&["gallery", "--out", &path("all")]);
        drawn(&["evolution", "--count", "8", "--out", &path("one.png")]);
        let one = std::fs::read(path("one.png")).unwrap();
        assert!(std::fs::read(path("all/evolution.png")).unwrap() == one, "{split:?}");
        pictures.push(one);
    }
    assert!(pictures[0] != pictures[1], "both splits look alike");
}

/// MNIST's first test images in folders, every seventh of them torn.
#[test]
fn torn_images_are_skipped_and_the_others_keep_their_numbers() {
    let dir = run_that_kept_two();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (mnist, _) = data::open_split(&data::locate("mnist").unwrap(), Split::Test).unwrap();
    for i in 0..70 {
        let class = dir.path().join("val").join(mnist.label(i).to_string());
        std::fs::create_dir_all(&class).unwrap();
        let digit = GrayImage::from_raw(28, 28, mnist.image(i).unwrap().pixels.into_owned()).unwrap();
        let file = class.join(format!("{i}.png"));
        if i % 7 == 3 { std::fs::write(file, "torn").unwrap() } else { digit.save(file).unwrap() }
    }
    let (images, _) = data::open_split(dir.path(), Split::Test).unwrap();
    // Untrained, it is mistaken about most.
    let (out, weights) = (dir.path().join("a.png"), path("epoch-2.safetensors"));
    let data = ["--data-dir", &path("")];
    let skip = [&data[..], &["--on-bad-image", "skip"]].concat();
    let with = ["--weights", &weights];
    for what in [&["top"][..], &["confusion"], &["errors"], &["evolution", "--run", &path("")]] {
        let with: &[&str] = if what[0] == "evolution" { &[] } else { &with };
        let (code, _, err) = visualize(&[what, with, &data, &["--out", out.to_str().unwrap()]].concat());
        assert_eq!((code, err.contains(".png: is neither PNG nor JPEG")), (Some(1), true), "{what:?}: {err}");
        let arguments = [what, with, &skip[..]].concat();
        assert_eq!(show(&arguments, &out).1["bad_images"], 10, "{what:?}");
        let (_, _, err) = visualize(&[&arguments[..], &["--out", out.to_str().unwrap()]].concat());
        assert_eq!(err.matches("Skipped").count(), 10, "{what:?}: {err}");
    }
    let (_, errors) = show(&[&["errors"][..], &with, &skip[..]].concat(), &out);
    let mistakes = errors["mistakes"].as_array().unwrap();
    assert!(errors["images"] == 60 && mistakes.len() > 30, "{errors}");
    for mistake in mistakes {
        let image = mistake["image"].as_u64().unwrap() as usize;
        assert_eq!(mistake["truth"], images.label(image).to_string(), "{mistake}");
    }
    let (_, top) = show(&[&["top", "--layer", "C3", "--maps", "3"][..], &with, &skip[..]].concat(), &out);
    let hits = top["maps"][0]["hits"].as_array().unwrap();
    assert_eq!((&top["images"], hits.len()), (&60.into(), 9));
    for hit in hits {
        let index = hit["image"].to_string();
        let one = ["deconvnet", "--layer", "C3", "--maps", "3", "--index", &index];
        let (_, shown) = show(&[&one[..], &with, &data].concat(), &out);
        let [one, of] = [&shown["units"][0], hit].map(|v| v["activation"].as_f64().unwrap());
        assert!((one - of).abs() < 1e-4 * of.abs(), "{hit}: {one}");
    }
    let gallery = |more: &[&str]| visualize(&[&["gallery", "--out", &path("all")][..], &with, more].concat());
    assert_eq!(gallery(&data).0, Some(1));
    let (code, _, err) = gallery(&skip);
    assert_eq!((code, err.matches("Skipped").count()), (Some(0), 10), "{err}");
    show(&[&["invariance", "--steps", "3"][..], &with, &skip[..]].concat(), &out);
}

#[test]
fn parts_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let parts = dir.path().join("parts.toml");
    let image =
        |index| format!("[[image]]\nindex = {index}\nparts.bar = [8, 9, 6, 16]\nparts.foot = [20, 10, 9, 10]\n");
    std::fs::write(&parts, [0, 17, 26].map(image).concat()).unwrap();
    let out = dir.path().join("a.png");
    let arguments = ["correspondence", "--parts", parts.to_str().unwrap(), "--layers", "C3,F6"];
    let (_, found) = show(&arguments, &out);
    let mean = |part: usize, layer: usize| found["parts"][part]["delta"][layer]["mean"].as_f64().unwrap();
    assert_eq!(found["parts"][2]["part"], "random");
    // Three sevens: hiding the bar, or the foot, does more of the same than hiding any places.
    for layer in 0..2 {
        assert!(mean(0, layer) < mean(2, layer) && mean(1, layer) < mean(2, layer), "{found}");
    }
    assert_eq!(show(&arguments, &out).1, found, "twice the same");
    std::fs::write(&parts, image(0) + "[[image]]\nindex = 1\nparts.bar = [8, 9, 6, 16]\n").unwrap();
    let (code, _, err) = visualize(&[&arguments[..], &["--out", out.to_str().unwrap()]].concat());
    assert_eq!(code, Some(1));
    assert!(err.contains("parts.toml") && err.contains("image 2 has the parts [\"bar\"]"), "{err}");
}

/// Any network, any image: small and large, wide and tall, grey and coloured.
#[test]
fn other_networks_and_images() {
    let dir = tempfile::tempdir().unwrap();
    let (wide, tall) = (dir.path().join("wide.png"), dir.path().join("tall.jpg"));
    RgbImage::from_fn(700, 90, |x, y| image::Rgb([(x % 256) as u8, (y * 2) as u8, 90])).save(&wide).unwrap();
    GrayImage::from_fn(30, 200, |x, y| Luma([((x * y) % 251) as u8])).save(&tall).unwrap();
    let out = dir.path().join("a.png");
    for (model, layer, image) in [
        ("nin-cifar10", "cccp6", &wide),
        ("nin-cifar10-caffe", "pool2", &tall),
        ("alexnet", "conv5", &tall),
        ("zfnet", "conv2", &wide),
        ("alexnet-chapter", "relu2", &wide),
    ] {
        let arguments = ["--model", model, "--image", image.to_str().unwrap(), "--layer", layer, "--count", "2"];
        let (_, shown) = show(&[&["deconvnet"][..], &arguments].concat(), &out);
        assert_eq!(shown["layer"], layer);
    }
    let image = tall.to_str().unwrap();
    show(&["occlusion", "--model", "nin-cifar10", "--image", image, "--stride", "12"], &out);
    show(&["activations", "--model", "nin-imagenet", "--image", image, "--count", "4", "--common-scale"], &out);
    show(&["filters", "--model", "alexnet"], &out);
}

#[test]
fn mistakes_are_said_and_leave_no_picture() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.png");
    let run = dir.path().to_str().unwrap();
    for (arguments, message) in [
        (&["deconvnet", "--layer", "conv5"][..], "lenet5 has no such layer; there are C1, S2, C3"),
        (&["deconvnet", "--maps", "16"], "C3 has 16 maps, numbered from 0"),
        (&["deconvnet", "--unit", "1,10,0"], "no unit at row 10, column 0 of map 1"),
        (&["deconvnet", "--method", "magic"], "no method is called 'magic'"),
        (&["occlusion", "--size", "40"], "a patch of 40 pixels"),
        (&["occlusion", "--stride", "100"], "in steps of 100 can't cover"),
        (&["occlusion", "--class", "cat"], "--class cat"),
        (&["top", "--model", "alexnet"], "give --image FILE or --data-dir DIR"),
        (&["activations", "--index", "10000"], "the data set has 10000 images"),
        (&["activations", "--image", "nowhere.png"], "nowhere.png"),
        (&["filters", "--contrast", "10"], "expected 50 to 100"),
        (&["evolution", "--run", run], "holds no epoch-N.safetensors"),
        (&["evolution", "--run", run, "--device", "flex,ndarray"], "only training computes on several devices"),
    ] {
        let (code, _, err) = visualize(&[arguments, &["--out", out.to_str().unwrap()]].concat());
        assert_eq!(code, Some(1), "{arguments:?}: {err}");
        assert!(err.contains(message), "{arguments:?}: {err}");
    }
    assert!(!out.exists());
    let (code, _, err) = visualize(&["filters", "--out", "nowhere/a.png"]);
    assert_eq!((code, err.contains("there is no directory nowhere")), (Some(1), true), "{err}");
}
