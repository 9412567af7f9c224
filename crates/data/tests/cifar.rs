//! CIFAR's binary layout and image folders, good and bad, made here.

#![allow(clippy::unwrap_used)] // helpers of tests

use data::{Dataset, Images, Loader, LoaderOptions, OnBadImage, Split, open, open_split, write_cifar10};
use flate2::{Compression, write::GzEncoder};
use image::RgbImage;
use models::{InputSpec, Model};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A file of CIFAR: `n` records, image `i` of class `i % classes` and filled with `i`.
fn batch(n: u8, classes: u8, head: usize) -> Vec<u8> {
    let record = |i: u8| [vec![i % classes; head], vec![i; 3072]].concat();
    (0..n).flat_map(record).collect()
}

fn cifar10() -> Vec<(String, Vec<u8>)> {
    let train = (1..=5).map(|i| (format!("data_batch_{i}.bin"), batch(4, 10, 1)));
    train.chain([("test_batch.bin".into(), batch(3, 10, 1))]).collect()
}

fn unpacked(files: &[(String, Vec<u8>)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

fn archive(dir: &Path, name: &str, inside: &str, files: &[(String, Vec<u8>)]) -> PathBuf {
    let path = dir.join(name);
    let gz = GzEncoder::new(fs::File::create(&path).unwrap(), Compression::fast());
    let mut tar = tar::Builder::new(gz);
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{inside}/{name}"), bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
    path
}

fn is_cifar10(dataset: &Dataset) {
    assert_eq!((dataset.train.len(), dataset.test.len()), (20, 3));
    assert_eq!((dataset.classes.len(), &*dataset.classes[9]), (10, "truck"));
    let image = dataset.train.image(6).unwrap();
    assert_eq!((image.channels, image.height, image.width, image.pixels[0]), (3, 32, 32, 2));
    assert_eq!(dataset.train.label(6), 2);
}

#[test]
fn cifar10_is_read_unpacked_and_packed() {
    is_cifar10(&open(unpacked(&cifar10()).path()).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let packed = archive(dir.path(), "cifar-10-binary.tar.gz", "cifar-10-batches-bin", &cifar10());
    is_cifar10(&open(&packed).unwrap());
    is_cifar10(&open(dir.path()).unwrap());
    assert_eq!(open(&packed).unwrap().name, "cifar10");
    let (test, _) = open_split(&packed, Split::Test).unwrap();
    assert_eq!(test.len(), 3);
}

#[test]
fn cifar100_has_its_fine_labels() {
    let names: String = (0..100).map(|i| format!("fine {i}\n")).chain(["\n".into()]).collect();
    let mut train = batch(5, 100, 2);
    train[3074] = 19; // image 1's coarse label; its fine one stays 1
    let files = [
        ("train.bin".into(), train),
        ("test.bin".into(), batch(2, 100, 2)),
        ("fine_label_names.txt".into(), names.into_bytes()),
    ];
    let dir = tempfile::tempdir().unwrap();
    let packed = archive(dir.path(), "cifar-100-binary.tar.gz", "cifar-100-binary", &files);
    for path in [packed.as_path(), unpacked(&files).path()] {
        let dataset = open(path).unwrap();
        assert_eq!((dataset.train.label(1), dataset.classes.len(), &*dataset.classes[1]), (1, 100, "fine 1"));
    }
}

#[test]
fn what_is_wrong_with_a_file_is_named() {
    let error = |change: fn(&mut Vec<(String, Vec<u8>)>)| {
        let mut files = cifar10();
        change(&mut files);
        open(unpacked(&files).path()).unwrap_err().to_string()
    };
    let cut = error(|files| files[1].1.truncate(5000));
    assert!(cut.contains("data_batch_2.bin: is not a whole file of CIFAR: it has 5000 bytes"), "{cut}");
    let short = error(|files| files[4].1.truncate(3 * 3073));
    assert!(short.contains("data_batch_5.bin") && short.contains("the batch before it 12292"), "{short}");
    let label = error(|files| files[0].1[3073] = 10);
    assert!(label.contains("data_batch_1.bin: label 1 is 10, expected less than 10"), "{label}");
    let missing = error(|files| drop(files.remove(2)));
    assert!(missing.contains("holds none of data_batch_3.bin"), "{missing}");

    let dir = tempfile::tempdir().unwrap();
    let packed = archive(dir.path(), "cifar-10-binary.tar.gz", "cifar-10-batches-bin", &cifar10());
    let bytes = fs::read(&packed).unwrap();
    fs::write(&packed, &bytes[..bytes.len() / 2]).unwrap();
    let cut = open(&packed).unwrap_err().to_string();
    assert!(cut.contains("cifar-10-binary.tar.gz"), "{cut}");
    let nothing = open(tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
    assert!(nothing.contains("cifar-100-binary.tar.gz, train_32x32.mat, train/<class>/<image>"), "{nothing}");
}

/// Some hundred bytes, in which each header claims a size for 64 KiB of zeros.
#[test]
fn an_archive_that_claims_too_much_is_refused_before_it_is_inflated() {
    let refused = |entries: &[(&str, u64)]| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cifar-10-binary.tar.gz");
        let mut gz = GzEncoder::new(fs::File::create(&path).unwrap(), Compression::fast());
        for (name, size) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_path(name).unwrap();
            header.set_mode(0o644);
            header.set_size(*size);
            header.set_cksum();
            gz.write_all(header.as_bytes()).unwrap();
            gz.write_all(&[0; 1 << 16]).unwrap();
        }
        gz.finish().unwrap();
        open(&path).unwrap_err().to_string()
    };
    let error = refused(&[("data_batch_1.bin", 1 << 40)]);
    assert!(error.contains("cifar-10-binary.tar.gz: is not a whole file of CIFAR"), "{error}");
    assert!(error.contains("it inflates to 1099511627776 bytes or more, expected at most 553320000"), "{error}");
    // Either alone would do.
    let error = refused(&[("data_batch_1.bin", 1 << 16), ("data_batch_2.bin", 553_300_000)]);
    assert!(error.contains("it inflates to 553365536 bytes or more"), "{error}");
    let error = refused(&[("batches.meta.txt", 1 << 16), ("data_batch_1.bin", 1 << 20)]);
    assert!(error.contains("data_batch_1.bin: is truncated: 65536 bytes are there, expected 1048576"), "{error}");
}

/// Two classes of four images to train on and one to test on, 40 x 36, all of one shade.
fn folders() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (split, n) in [("train", 4_u8), ("val", 1)] {
        for (class, red) in [("ant", 50_u8), ("bee", 200)] {
            let path = dir.path().join(split).join(class);
            fs::create_dir_all(&path).unwrap();
            for i in 0..n {
                let image = RgbImage::from_pixel(36, 40, image::Rgb([red, i, 0]));
                image.save(path.join(format!("{i}.{}", if i == 0 { "png" } else { "JPEG" }))).unwrap();
            }
            fs::write(path.join("notes.txt"), "no image").unwrap();
        }
    }
    dir
}

#[test]
fn folders_are_read_as_they_are_asked_for() {
    let dir = folders();
    let dataset = open(dir.path()).unwrap();
    assert_eq!(
        (dataset.train.len(), dataset.test.len(), &dataset.classes[..]),
        (8, 2, &["ant", "bee"].map(String::from)[..])
    );
    for i in 0..8 {
        let image = dataset.train.image(i).unwrap();
        assert_eq!((image.channels, image.height, image.width), (3, 40, 36));
        let red = [50, 200][usize::from(dataset.train.label(i))];
        assert!(image.pixels[0].abs_diff(red) < 4, "{i}: {}", image.pixels[0]);
    }
    let order: Vec<_> = (0..8).map(|i| dataset.train.label(i)).collect();
    assert!(order != [0, 0, 0, 0, 1, 1, 1, 1], "sorted by class, the last would be of one class");
    fs::write(dir.path().join("classes.txt"), "Formica\nApis\n").unwrap();
    assert_eq!(open(dir.path()).unwrap().classes, ["Formica", "Apis"]);
    fs::create_dir(dir.path().join("train/wasp")).unwrap();
    fs::write(dir.path().join("classes.txt"), "Formica\nApis\nVespa\n").unwrap();
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("classes.txt names 3 classes, there are 2"), "{error}");
    fs::remove_dir_all(dir.path().join("val")).unwrap();
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("holds no val/<class>/ or test/<class>/ with images"), "{error}");
}

/// A PNG's header that promises `side` x `side` pixels.
fn bomb(side: u32) -> Vec<u8> {
    let mut png = Vec::new();
    let tiny = RgbImage::from_pixel(1, 1, image::Rgb([1, 2, 3]));
    tiny.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
    png[16..20].copy_from_slice(&side.to_be_bytes());
    png[20..24].copy_from_slice(&side.to_be_bytes());
    let crc = crc(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    png
}

/// PNG's checksum, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b), |c, _| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 })
    })
}

/// What NIN is fed with.
fn nin() -> InputSpec {
    Model::named("nin-cifar10").unwrap().build(0, &models::device::parse("flex").unwrap()).unwrap().input().clone()
}

#[test]
fn a_bad_image_is_named_and_skipped_or_fatal() {
    let dir = folders();
    let (torn, bomb_path) = (dir.path().join("train/ant/1.JPEG"), dir.path().join("train/bee/2.JPEG"));
    let bytes = fs::read(&torn).unwrap();
    fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    fs::write(&bomb_path, bomb(60_000)).unwrap();
    let loader = |on_bad_image, threads| {
        let options = LoaderOptions { batch_size: 3, threads, on_bad_image, ..LoaderOptions::default() };
        Loader::new(open(dir.path()).unwrap().train, nin(), options).unwrap()
    };
    for threads in [0, 2] {
        let batches: Vec<_> = loader(OnBadImage::Skip, threads).epoch(0, 0).map(Result::unwrap).collect();
        assert_eq!(batches.len(), 3);
        assert_eq!(batches.iter().map(|b| b.labels.len()).sum::<usize>(), 6);
        assert!(batches.iter().all(|b| b.images.len() == b.labels.len() * 3072 && b.shape[0] == b.labels.len()));
        let bad: Vec<_> = batches.iter().flat_map(|b| b.bad.iter().map(|b| b.problem.as_str())).collect();
        assert_eq!(bad.len(), 2);
        assert!(bad.iter().any(|p| p.contains("train/ant/1.JPEG: is a JPEG that was cut short")), "{bad:?}");
        assert!(bad.iter().any(|p| p.contains("train/bee/2.JPEG: is 60000 x 60000 pixels")), "{bad:?}");
        let errors = loader(OnBadImage::Fail, threads).epoch(0, 0).filter(Result::is_err).count();
        assert_eq!(errors, 1);
    }
}

#[test]
fn an_image_that_can_t_be_framed_is_named() {
    let dir = folders();
    RgbImage::new(10_000, 1).save(dir.path().join("train/bee/0.png")).unwrap();
    let loader = Loader::new(open(dir.path()).unwrap().train, nin(), LoaderOptions::default());
    let batches = loader.and_then(|loader| loader.epoch(0, 0).collect::<Result<Vec<_>, _>>());
    let error = batches.unwrap_err().to_string();
    assert!(error.contains("train/bee/0.png: an image of 1 x 10000 pixels is too narrow"), "{error}");
}

#[test]
fn folders_become_cifar_s_layout() {
    let dir = tempfile::tempdir().unwrap();
    let images = |n: usize| Images {
        channels: 3,
        height: 32,
        width: 32,
        pixels: (0..n * 3072).map(|i| (i % 251) as u8).collect(),
        labels: (0..n).map(|i| (i % 2) as u16).collect(),
    };
    let classes = vec!["ant".into(), "bee".into()];
    let dataset = Dataset { name: "two".into(), classes, train: images(12).into(), test: images(3).into() };
    let out = dir.path().join("two");
    // Five batches of equal length: two images are left out.
    assert_eq!(write_cifar10(&dataset, &out).unwrap(), [10, 3]);
    let again = open(&out).unwrap();
    assert_eq!((again.classes, again.train.len(), again.test.len()), (dataset.classes.clone(), 10, 3));
    for i in 0..10 {
        assert_eq!(again.train.image(i).unwrap(), dataset.train.image(i).unwrap());
        assert_eq!(again.train.label(i), dataset.train.label(i));
    }
    let error = write_cifar10(&dataset, &out).unwrap_err().to_string();
    assert!(error.contains("two: cannot be written"), "{error}");
    let refused = |train: Images| {
        let wrong = Dataset { train: train.into(), ..dataset.clone() };
        write_cifar10(&wrong, &dir.path().join("wrong")).unwrap_err().to_string()
    };
    let error = refused(Images { height: 16, width: 64, ..images(12) });
    assert_eq!(error, "image 0: has 3 channels of 16 x 64 pixels, CIFAR's have 3 of 32 x 32");
    assert!(refused(images(4)).starts_with("4 images to train on and 3 to test on"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "half a data set is left");
}
