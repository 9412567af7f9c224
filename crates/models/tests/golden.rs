//! What else golden/generate.py computes: LeNet-5's other squashing functions, and the formula's numbers themselves. The
//! networks are held against it in backends.rs.

#![allow(clippy::unwrap_used)]

mod support;

use models::reference::{sines, with_formula_weights};
use models::{Activation, Model};
use serde::Deserialize;
use std::path::Path;
use support::{Checked, Tolerance, flex, formula, ndarray, values};

/// The input's salt: as in generate.py.
const SALT: u32 = 1000;

fn read<T: for<'a> Deserialize<'a>>(file: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file).with_extension("json");
    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn other_squashing_functions() {
    let golden: std::collections::HashMap<Activation, Vec<f32>> = read("lenet5-squash");
    assert_eq!(golden.len(), 2);
    for device in [flex(), ndarray()] {
        for (&activation, expected) in &golden {
            let model = Model { activation, ..Model::named("lenet5").unwrap() };
            let network = with_formula_weights(model.build(0, &device).unwrap());
            let logits = network.forward(formula(SALT, [2, 1, 32, 32], 1.0, &device)).unwrap();
            Tolerance::TORCH.check(&format!("lenet5 with {activation}: logits"), &values(logits), expected);
        }
    }
}

/// The formula's numbers are PyTorch's to the last bit: without that, nothing above means anything.
#[test]
fn formula_numbers_are_the_same_in_python() {
    #[derive(Deserialize)]
    struct Numbers {
        fnv1a: String,
        first: Vec<f32>,
    }
    let golden: Numbers = read("sines");
    let numbers = sines(SALT, 1 << 16, 0.1);
    assert_eq!(numbers[..8], golden.first);
    let bytes = numbers.iter().flat_map(|v| v.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    assert_eq!(format!("{hash:016x}"), golden.fnv1a);
}
