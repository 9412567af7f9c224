//! Files that mean harm or were damaged on the way: an error, never a panic or memory without bound.

use crate::fixtures::flex;
use crate::protobuf::Message;
use crate::{Format, arrays, pickle, read, write, zip};
use models::{Model, reference, weights};
use proptest::prelude::*;
use std::sync::LazyLock;

fn error(bytes: &[u8], model: &str) -> String {
    match read(bytes, Some(model), &flex()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was read"),
    }
}

/// `lenet5-dense`'s weights as a caffemodel with `layer`s.
fn caffemodel() -> Vec<u8> {
    let network = Model::named("lenet5-dense").unwrap().build(0, &flex()).unwrap();
    let mut arrays = arrays::join(&reference::with_formula_weights(network));
    let mut net = Message::default().text(1, "LeNet");
    for name in ["C1", "S2", "C3", "S4", "C5", "F6", "OUTPUT"] {
        let mut layer = Message::default().text(1, name);
        for weight in ["weight", "bias"] {
            if let Some(array) = arrays.remove(&format!("{name}.{weight}")) {
                let shape = array.shape.iter().fold(Message::default(), |m, d| m.int(1, *d as i64));
                layer = layer.message(7, Message::default().bytes(5, &array.bytes()).message(7, shape));
            }
        }
        net = net.message(100, layer);
    }
    net.0
}

/// A model whose graph has `nodes`: kind, what each reads, what it makes.
fn graph(nodes: &[(&str, &[&str], &str)]) -> Vec<u8> {
    let mut graph = Message::default();
    for (kind, inputs, output) in nodes {
        let node = inputs.iter().fold(Message::default(), |m, input| m.text(1, input));
        graph = graph.message(1, node.text(2, output).text(4, kind));
    }
    let value = |name| Message::default().text(1, name);
    Message::default().int(1, 7).message(7, graph.message(11, value("x")).message(12, value("y"))).0
}

#[test]
fn a_safetensors_header_of_2_to_the_60_bytes() {
    let mut bytes = (1u64 << 60).to_le_bytes().to_vec();
    bytes.extend(b"{\"conv1.weight\":");
    assert!(error(&bytes, "lenet5").starts_with("is damaged: safetensors: HeaderTooLarge"));
}

#[test]
fn a_cyclic_graph() {
    let message = error(&graph(&[("Identity", &["x"], "a"), ("Dropout", &["a"], "x")]), "lenet5");
    assert!(message.contains("the graph is cyclic: it comes back to 'a'"), "{message}");
    let message = error(&graph(&[("Conv", &["x", "x", "x"], "x")]), "lenet5");
    assert!(message.starts_with("is not lenet5: C1"), "{message}");
}

#[test]
fn tensors_that_claim_what_is_not_there() {
    let tensor = Message::default().int(1, 1 << 40).int(1, 1 << 40).int(2, 1).text(8, "w").bytes(9, &[0; 8]);
    let conv = Message::default().text(1, "x").text(1, "w").text(2, "y").text(4, "Conv");
    let value = |name| Message::default().text(1, name);
    let graph = Message::default().message(1, conv).message(5, tensor).message(11, value("x")).message(12, value("y"));
    let message = error(&Message::default().int(1, 7).message(7, graph).0, "nin-chapter");
    assert!(message.contains("'w' [1099511627776, 1099511627776] holds 2 numbers"), "{message}");
}

#[test]
fn a_caffemodel_cut_in_half() {
    let bytes = caffemodel();
    assert!(read(&bytes, Some("lenet5-dense"), &flex()).is_ok());
    let message = error(&bytes[..bytes.len() / 2], "lenet5-dense");
    assert!(message.starts_with("is damaged: protobuf: cut short"), "{message}");
}

#[test]
fn a_pickle_that_runs_a_command() {
    let mut archive = zip::Writer::default();
    archive.entry("weights/data.pkl", b"\x80\x02cos\nsystem\nX\x06\x00\x00\x00rm -rf\x85R.").unwrap();
    let message = error(&archive.finish().unwrap(), "lenet5");
    assert!(message.starts_with("pickle: it asks for os.system"), "{message}");
}

#[test]
fn one_storage_for_many_tensors() {
    // A thousand views on one megabyte, if each were copied: a gigabyte.
    let mut state = b"\x80\x02}(".to_vec();
    for i in 0..1000 {
        state.extend(b"X\x04\x00\x00\x00");
        state.extend(format!("{i:04}").as_bytes());
        state.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n");
        state
            .extend(b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ\x00\x00\x04\x00tQK\x00(J\x00\x00\x04\x00t(K\x01t\x89}tR");
    }
    state.extend(b"u.");
    let mut archive = zip::Writer::default();
    archive.entry("weights/data.pkl", &state).unwrap();
    archive.entry("weights/data/0", &vec![0; 1 << 20]).unwrap();
    assert!(error(&archive.finish().unwrap(), "lenet5").contains("'0001' outgrows the file"));
}

#[test]
fn what_is_no_weight_file() {
    assert!(error(b"", "lenet5").starts_with("is neither safetensors"));
    assert!(error(b"<!DOCTYPE html>", "lenet5").contains("(starts with 3c 21 44 4f)"));
    assert!(error(b"version https://git-lfs.github.com/spec/v1\n", "lenet5").starts_with("Git LFS: this is a pointer"));
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(error(&tar, "lenet5").contains("a tar archive"));
    assert!(matches!(read(&caffemodel(), None, &flex()), Err(crate::FormatError::NoModel)));
}

/// LeNet-5 in every format.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let (network, card) = weights::load(weights::LENET5_MNIST, &flex()).unwrap();
    let mut files: Vec<_> =
        [Format::Safetensors, Format::Pytorch, Format::Onnx].map(|f| write(&network, &card, f).unwrap()).into();
    files.push(caffemodel());
    files
});

/// Some bytes changed, most of them where the structure is: near the ends. Then perhaps a cut.
fn mutated(len: usize) -> impl Strategy<Value = (Vec<(usize, u8)>, usize)> {
    let near = prop_oneof![0..len, 0..4096usize, len - 4096..len, 0..64usize];
    (prop::collection::vec((near, any::<u8>()), 1..8), prop_oneof![3 => Just(len), 1 => 0..len])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_of_any_kind(which in 0..4usize, (changes, cut) in mutated(240_000)) {
        let mut bytes = FILES[which].clone();
        for (at, byte) in changes {
            // Counted from the end where the place is near it.
            let place = if at > 235_904 { bytes.len() + at - 240_000 } else { at };
            bytes[place] = byte;
        }
        bytes.truncate(if cut == 240_000 { bytes.len() } else { cut });
        // Whatever comes of it, it comes.
        drop(read(&bytes, Some(if which == 3 { "lenet5-dense" } else { "lenet5" }), &flex()));
    }

    #[test]
    fn damaged_pickles(changes in prop::collection::vec((0..1500usize, any::<u8>()), 1..10)) {
        let shapes = weights::load(weights::LENET5_MNIST, &flex()).unwrap().0.param_shapes();
        let mut code = pickle::write(shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())));
        for (at, byte) in changes {
            let place = at % code.len();
            code[place] = byte;
        }
        drop(pickle::read(&code));
    }

    #[test]
    fn bytes_of_any_kind(bytes in prop::collection::vec(any::<u8>(), 0..300), start in 0..5usize) {
        let starts: [&[u8]; 5] = [b"PK\x03\x04", &[9, 0, 0, 0, 0, 0, 0, 0, b'{'], &[0x08, 7], &[0x0a], &[0xa2, 0x06]];
        drop(read(&[starts[start], &bytes].concat(), Some("lenet5"), &flex()));
        drop(pickle::read(&bytes));
    }
}
