//! Names, shapes, parameters, work and receptive fields of every network.

#![allow(clippy::unwrap_used)]

mod support;

use burn::tensor::Tensor;
use models::reference::with_formula_weights;
use models::{Model, zoo};
use support::flex;

/// Name, parameters, multiply-accumulates, and how many parameters one class more brings. From the papers, the authors'
/// configuration files and, for `alexnet-torchvision` and `zfnet512`, the published files; added up layer by layer in
/// layers.txt.
const VARIANTS: [(&str, usize, usize, usize); 19] = [
    ("lenet5", 60_850, 326_520, 84 + 1),
    ("lenet5-rbf", 60_000, 326_520, 0),
    ("lenet5-dense", 61_706, 416_520, 84 + 1),
    ("alexnet", 60_965_224, 724_406_816, 4096 + 1),
    ("alexnet-caffenet", 60_965_224, 724_406_816, 4096 + 1),
    ("alexnet-bvlc", 60_965_224, 724_406_816, 4096 + 1),
    ("alexnet-chapter", 60_965_224, 724_406_816, 4096 + 1),
    ("alexnet-single", 62_378_344, 1_135_256_096, 4096 + 1),
    ("alexnet-torchvision", 61_100_840, 714_188_480, 4096 + 1),
    ("zfnet", 62_357_608, 1_168_032_896, 4096 + 1),
    ("zfnet-b", 107_627_624, 2_476_704_896, 4096 + 1),
    ("zfnet512", 87_250_536, 1_481_727_008, 1024 + 1),
    ("nin-cifar10", 966_986, 222_486_528, 192 + 1),
    ("nin-cifar100", 984_356, 223_592_448, 192 + 1),
    ("nin-svhn", 1_986_026, 274_235_392, 256 + 1),
    ("nin-mnist", 349_674, 50_699_712, 96 + 1),
    ("nin-imagenet", 7_595_176, 1_100_188_800, 1024 + 1),
    ("nin-cifar10-caffe", 966_986, 222_486_528, 192 + 1),
    ("nin-chapter", 81_960, 56_753_408, 0), // its whole third block is as wide as there are classes: see the test
];

/// The layers of twelve of them: the file's head says what a line holds.
const ROWS: &str = include_str!("layers.txt");

#[test]
fn every_network_has_the_published_size() {
    assert!(zoo::variants().map(|v| v.name).eq(VARIANTS.iter().map(|v| v.0)));
    for (variant, (name, parameters, macs, _)) in zoo::variants().zip(VARIANTS) {
        let network = Model::named(name).unwrap().build(0, &flex()).unwrap();
        assert_eq!((network.parameters(), network.macs()), (parameters, macs), "{name}");
        assert_eq!((variant.parameters, variant.macs), (parameters, macs), "{name}, as listed");
        let numbers = |(_, shape): (String, Vec<usize>)| shape.iter().product::<usize>();
        assert_eq!(network.param_shapes().into_iter().map(numbers).sum::<usize>(), parameters, "{name}, as stored");
    }
}

#[test]
fn every_layer_has_the_published_shape_and_size() {
    let sections: Vec<&str> = ROWS.split("\n== ").skip(1).collect();
    assert_eq!(sections.len(), 12);
    for section in sections {
        let (model, rows) = section.split_once('\n').unwrap();
        let summary = Model::named(model).unwrap().build(0, &flex()).unwrap().summary();
        let expected: Vec<&str> = rows.lines().collect();
        for (row, expected) in summary.iter().zip(&expected) {
            let ([c, h, w], spec) = (row.spec.output, &row.spec);
            let size = format!("{} {w}x{h}x{c} {} {}", row.name, thousands(spec.parameters), thousands(spec.macs));
            let sees = format!("{size} {}/{}", row.receptive_field, row.jump);
            let got = if expected.contains('/') { sees } else { size };
            assert_eq!(got, *expected, "{model}");
        }
        assert_eq!(summary.len(), expected.len(), "{model}: number of layers");
        let (_, parameters, macs, _) = VARIANTS.iter().find(|v| v.0 == model).unwrap();
        let column = |n: usize| expected.iter().map(move |row| number(row.split(' ').nth(n).unwrap())).sum::<usize>();
        assert_eq!((column(2), column(3)), (*parameters, *macs), "{model}: what the file adds up to");
    }
}

#[test]
fn formulas_come_to_the_number_of_parameters() {
    for variant in zoo::variants() {
        for row in Model::named(variant.name).unwrap().build(0, &flex()).unwrap().summary() {
            let spec = &row.spec;
            let value = if spec.formula.is_empty() { 0 } else { value(&spec.formula) };
            assert_eq!(value, spec.parameters, "{} {}: {}", variant.name, row.name, spec.formula);
        }
    }
    // The chapter's tables 4.1 and 4.2.
    let formula = |model, layer| {
        let summary = Model::named(model).unwrap().build(0, &flex()).unwrap().summary();
        summary.into_iter().find(|row| row.name == layer).unwrap().spec.formula
    };
    assert_eq!(formula("lenet5", "C1"), "(5·5·1+1)·6");
    assert_eq!(formula("lenet5", "S2"), "(1+1)·6");
    assert_eq!(formula("alexnet", "conv2"), "(5·5·48+1)·128·2");
    assert_eq!(formula("alexnet", "fc6"), "(9216+1)·2048·2");
}

/// What a formula of sums, products and brackets comes to.
fn value(formula: &str) -> usize {
    let split = |sign: char| {
        let mut depth = 0;
        let at = move |c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0 && c == sign
        };
        formula.split(at).collect::<Vec<_>>()
    };
    match (split('+'), split('·')) {
        (terms, _) if terms.len() > 1 => terms.into_iter().map(value).sum(),
        (_, factors) if factors.len() > 1 => factors.into_iter().map(value).product(),
        _ => match formula.strip_prefix('(') {
            Some(inner) => value(inner.strip_suffix(')').unwrap()),
            None => formula.parse().unwrap(),
        },
    }
}

fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group));
    groups.collect::<Vec<_>>().join(",")
}

fn number(text: &str) -> usize {
    text.replace(',', "").parse().unwrap()
}

#[test]
fn what_flows_has_the_shapes_of_the_summary() {
    for variant in zoo::variants() {
        let network = Model::named(variant.name).unwrap().build(0, &flex()).unwrap();
        let network = with_formula_weights(network); // faster than drawing 60 million Gaussian numbers
        let [c, h, w] = network.input().shape();
        let batch = if variant.parameters < 5_000_000 { 2 } else { 1 };
        let (logits, trace) = network.forward_traced(Tensor::zeros([batch, c, h, w], &flex())).unwrap();
        assert_eq!(logits.dims(), [batch, variant.classes], "{}", variant.name);
        let summary = network.summary();
        assert_eq!(trace.outputs().count(), summary.len());
        let mut before = [c, h, w];
        for (row, (name, output)) in summary.iter().zip(trace.outputs()) {
            let [n, c, h, w] = output.dims();
            assert_eq!((name, n, [c, h, w]), (row.name.as_str(), batch, row.spec.output), "{}", variant.name);
            assert_eq!(row.spec.input, before, "{}: what {name} reads", variant.name);
            before = row.spec.output;
        }
    }
}

#[test]
fn the_number_of_classes_can_be_changed() {
    for (name, parameters, _, per_class) in VARIANTS {
        let published = Model::named(name).unwrap();
        for classes in [2, 7, 79] {
            let network = Model { classes, ..published.clone() }.build(0, &flex()).unwrap();
            let expected = match name {
                // (9·64+1)·c + (c+1)·c behind the first four layers.
                "nin-chapter" => 448 + 272 + 9_280 + 4_160 + 577 * classes + (classes + 1) * classes,
                _ => parameters + per_class * classes - per_class * published.classes,
            };
            assert_eq!(network.parameters(), expected, "{name} with {classes} classes");
            assert_eq!(network.classes(), classes);
            assert_eq!(network.summary().last().unwrap().spec.output, [classes, 1, 1]);
        }
        if parameters < 5_000_000 {
            let network = Model { classes: 7, ..published }.build(0, &flex()).unwrap();
            let [c, h, w] = network.input().shape();
            let logits = network.forward(Tensor::zeros([1, c, h, w], &flex())).unwrap();
            assert_eq!(logits.dims(), [1, 7], "{name}");
        }
    }
}

#[test]
fn classes_that_cannot_be_told_apart_are_refused() {
    let message = |name: &str, classes| {
        let model = Model { classes, ..Model::named(name).unwrap() };
        model.build(0, &flex()).unwrap_err().to_string()
    };
    assert_eq!(message("alexnet", 1), "1 classes can't be told apart; expected 2 to 1,000,000");
    assert_eq!(message("lenet5", 1_000_001), "1000001 classes can't be told apart; expected 2 to 1,000,000");
    assert_eq!(message("lenet5-rbf", 80), "OUTPUT: 80 classes, but only 79 characters from '0' have a code");
}
