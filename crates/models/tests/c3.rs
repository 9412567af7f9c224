//! LeNet-5's C3 and convolutions by a connection table in general, against a dense convolution under a 0/1 mask.

#![allow(clippy::unwrap_used)]

mod support;

use burn::module::Param;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, TensorData};
use models::layers::TableConvConfig;
use models::weights::{Card, save};
use models::{Definition, Model, Network, ParamVisitor, zoo};
use proptest::prelude::*;
use safetensors::SafeTensors;
use support::{Checked, Device, Tolerance, flex, formula, gradients, named, ndarray, tiny, try_tiny, values};

/// LeCun 1998, table I, as printed: a line for each map of S2, a column for each map of C3.
const PRINTED: [&str; 6] = [
    "X...XXX..XXXX.XX",
    "XX...XXX..XXXX.X",
    "XXX...XXX..X.XXX",
    ".XXX..XXXX..X.XX",
    "..XXX..XXXX.XX.X",
    "...XXX..XXXX.XXX",
];

/// The printed table as rows of maps seen.
fn printed() -> Vec<Vec<usize>> {
    (0..16).map(|c3| (0..6).filter(|&s2| PRINTED[s2].as_bytes()[c3] == b'X').collect()).collect()
}

/// C3 alone, out of lenet5's own definition.
fn c3(device: &Device) -> Network {
    let lenet5 = (zoo::find("lenet5").unwrap().define)(&Model::named("lenet5").unwrap());
    let layer = lenet5.layers.into_iter().find(|(name, _)| name == "C3").unwrap();
    let alone = |mut definition: Definition| {
        definition.layers.push(layer);
        definition
    };
    tiny([6, 14, 14], alone, device)
}

fn layer(table: &[Vec<usize>], kernel: usize) -> TableConvConfig {
    TableConvConfig { table: table.to_vec(), kernel, activation: None }
}

#[test]
fn each_map_of_s2_moves_the_maps_of_c3_that_table_i_says() {
    for device in [flex(), ndarray()] {
        let network = c3(&device);
        let x = formula(50, [1, 6, 14, 14], 1.0, &device);
        let run = |x| network.forward_traced(x).unwrap().1.output("C3").unwrap();
        let before = run(x.clone());
        for (s2, line) in PRINTED.iter().enumerate() {
            let moved = x.clone().narrow(1, s2, 1) + formula(51, [1, 1, 14, 14], 1.0, &device);
            let after = run(x.clone().slice_assign([0..1, s2..s2 + 1, 0..14, 0..14], moved));
            let columns = (0..16).map(|map| {
                let [a, b] = [&before, &after].map(|y| values(y.clone().narrow(1, map, 1)));
                // Every unit of a map that sees s2 moves, and no bit of any other.
                let moved = a.iter().zip(&b).filter(|(a, b)| a != b).count();
                match moved {
                    0 => '.',
                    100 => 'X',
                    _ => '?',
                }
            });
            assert_eq!(columns.collect::<String>(), *line, "S2 map {s2}");
        }
    }
}

#[test]
fn every_group_of_maps_has_its_own_number_of_weights() {
    // LeCun 1998, II-B; chapter, table 4.1: six maps of three kernels, nine of four, one of six.
    let expected: Vec<usize> = [[25 * 3 + 1; 6].as_slice(), &[25 * 4 + 1; 9], &[25 * 6 + 1]].concat();
    let network = c3(&flex().autodiff());
    let count = |map| {
        let y = network.forward_traced(formula(52, [1, 6, 14, 14], 1.0, &flex())).unwrap().1.output("C3").unwrap();
        let gradients = gradients(&network, &y.narrow(1, map, 1).sum().backward());
        ["C3.kernels", "C3.bias"].iter().map(|n| named(&gradients, n).iter().filter(|g| **g != 0.0).count()).sum()
    };
    assert_eq!((0..16).map(count).collect::<Vec<usize>>(), expected);
    assert_eq!(network.summary()[0].spec.formula, "6·(25·3+1)+6·(25·4+1)+3·(25·4+1)+1·(25·6+1)");
}

#[test]
fn c3_has_1516_numbers_wherever_one_looks() {
    struct Count(usize);
    impl ParamVisitor for Count {
        fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
            if name.starts_with("C3.") {
                self.0 += param.val().into_data().num_elements();
            }
        }
    }
    let model = Model::named("lenet5").unwrap();
    let network = model.build(0, &flex()).unwrap();
    let shapes = network.param_shapes().into_iter().filter(|(name, _)| name.starts_with("C3."));
    let expected = [("C3.kernels".to_string(), vec![60, 5, 5]), ("C3.bias".to_string(), vec![16])];
    assert_eq!(shapes.collect::<Vec<_>>(), expected);
    let mut visited = Count(0);
    network.visit_params(&mut visited);
    assert_eq!(visited.0, 1516);
    assert_eq!(network.summary()[2].spec.parameters, 1516);

    let classes = (0..10).map(|c| c.to_string()).collect();
    let card = Card { model, classes, input: network.input().clone(), training: None };
    let file = save(&network, &card).unwrap();
    let saved = SafeTensors::deserialize(&file).unwrap();
    let bytes: usize = saved.iter().filter(|(n, _)| n.starts_with("C3.")).map(|(_, t)| t.data().len()).sum();
    assert_eq!(bytes, 1516 * 4);
}

/// Outputs and all gradients of the layer, and of a dense convolution whose kernels a mask silences.
fn against_dense(table: &[Vec<usize>], maps: usize, kernel: usize, side: usize, device: &Device) {
    let device = device.clone().autodiff();
    let (out, k, n) = (table.len(), kernel, 2);
    let network = tiny([maps, side, side], |d| d.with("C", layer(table, k)), &device);
    let x = formula(60, [n, maps, side, side], 1.0, &device).require_grad();
    let y = network.forward_traced(x.clone()).unwrap().1.output("C").unwrap();
    let [_, _, oh, ow] = y.dims();
    let signal = formula(61, [n, out, oh, ow], 1.0, &device);

    let weights = network.tensors();
    let kernels = named(&weights, "C.kernels");
    let pairs: Vec<(usize, usize)> =
        table.iter().enumerate().flat_map(|(o, seen)| seen.iter().map(move |&i| (o, i))).collect();
    let area = k * k;
    // Where there is no connection the dense kernel is 9: only the mask keeps it out.
    let (mut dense, mut mask) = (vec![9.0; out * maps * area], vec![0.0; out * maps * area]);
    for (c, (o, i)) in pairs.iter().enumerate() {
        let at = (o * maps + i) * area;
        dense[at..at + area].copy_from_slice(&kernels[c * area..(c + 1) * area]);
        mask[at..at + area].fill(1.0);
    }
    let tensor = |v| Tensor::<4>::from_data(TensorData::new(v, [out, maps, k, k]), &device);
    let (dense, mask) = (tensor(dense).require_grad(), tensor(mask));
    let bias = Tensor::<1>::from_data(named(&weights, "C.bias").as_slice(), &device).require_grad();
    let x2 = x.clone().detach().require_grad();
    let options = ConvOptions::new([1; 2], [0; 2], [1; 2], 1);
    let y2 = conv2d(x2.clone(), dense.clone() * mask, Some(bias.clone()), options);

    let check = |what: &str, got: Vec<f32>, expected: Vec<f32>| Tolerance::CPU.check(what, &got, &expected);
    check("output", values(y.clone()), values(y2.clone()));
    let grads = (y * signal.clone()).sum().backward();
    let grads2 = (y2 * signal).sum().backward();
    check("gradient of the input", values(x.grad(&grads).unwrap()), values(x2.grad(&grads2).unwrap()));
    let own = gradients(&network, &grads);
    check("gradient of the bias", named(&own, "C.bias"), values(bias.grad(&grads2).unwrap()));
    let full = values(dense.grad(&grads2).unwrap());
    let kept = pairs.iter().flat_map(|(o, i)| full[(o * maps + i) * area..][..area].to_vec());
    check("gradient of the kernels", named(&own, "C.kernels"), kept.collect());
}

#[test]
fn c3_is_a_dense_convolution_under_a_mask() {
    against_dense(&printed(), 6, 5, 14, &flex());
    against_dense(&printed(), 6, 5, 14, &ndarray());
}

fn tables() -> impl Strategy<Value = (usize, Vec<Vec<usize>>)> {
    (1..=8usize).prop_flat_map(|maps| {
        let row = (1..1u32 << maps).prop_map(move |bits| (0..maps).filter(|i| bits >> i & 1 == 1).collect());
        (Just(maps), prop::collection::vec(row, 1..=10))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_table_is_a_dense_convolution_under_a_mask((maps, table) in tables(), kernel in 1..=4usize, more in 0..=3usize) {
        against_dense(&table, maps, kernel, kernel + more, &flex());
        let connections = table.iter().map(Vec::len).sum::<usize>();
        let network = try_tiny([maps, 4, 4], |d| d.with("C", layer(&table, kernel)), &flex()).unwrap();
        prop_assert_eq!(network.parameters(), connections * kernel * kernel + table.len());
    }
}

#[test]
fn tables_that_are_none_say_what_is_wrong() {
    let message = |table: &[&[usize]], kernel| {
        let table: Vec<_> = table.iter().map(|row| row.to_vec()).collect();
        try_tiny([3, 4, 4], |d| d.with("C3", layer(&table, kernel)), &flex()).unwrap_err().to_string()
    };
    assert_eq!(message(&[], 2), "C3: the connection table has no rows");
    assert_eq!(message(&[&[0], &[]], 2), "C3: row 1 of the connection table is empty");
    assert_eq!(message(&[&[0, 3]], 2), "C3: row 0 of the connection table names map 3, but only 3 come in");
    assert_eq!(message(&[&[0], &[2, 1]], 2), "C3: row 1 of the connection table is not ascending");
    assert_eq!(message(&[&[1, 1]], 2), "C3: row 0 of the connection table is not ascending");
    assert_eq!(message(&[&[0]], 5), "C3: a 5x5 kernel doesn't fit a 4x4 map");
}
