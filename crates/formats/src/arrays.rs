//! A network's weights as other frameworks hold them: towers joined into one array, table convolutions dense.

use crate::FormatError;
use burn::tensor::TensorData;
use models::weights::{Tensors, WeightsError};
use models::{Network, Op};
use std::collections::BTreeMap;

/// Numbers in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// Arrays by name: `conv2.weight` `[out, in / groups, k, k]`, `fc6.bias` `[out]`, `S2.coefficient` `[C]`.
pub(crate) type Arrays = BTreeMap<String, Array>;

impl Array {
    /// `values` in the shape `shape`, if that many fit.
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Option<Self> {
        (elements(&shape)? == values.len()).then_some(Self { shape, values })
    }

    /// Little-endian.
    pub fn bytes(&self) -> Vec<u8> {
        self.values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    /// `[in, out]` as `[out, in]`.
    pub fn transposed(self) -> Self {
        let [rows, columns] = self.shape[..] else { return self };
        let at = |i: usize| self.values[i % rows * columns + i / rows];
        Self { shape: vec![columns, rows], values: (0..rows * columns).map(at).collect() }
    }

    /// `[out, channels, k, k]` with the order of the channels reversed: BGR to RGB.
    pub fn reverse_channels(&mut self) {
        if let [_, channels, h, w] = self.shape[..] {
            let map = h * w;
            for filter in self.values.chunks_exact_mut((channels * map).max(1)) {
                for c in 0..channels / 2 {
                    let (low, high) = filter.split_at_mut((channels - 1 - c) * map);
                    low[c * map..][..map].swap_with_slice(&mut high[..map]);
                }
            }
        }
    }
}

/// How many numbers a shape holds; `None` if that overflows.
pub(crate) fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))
}

/// `conv2.weight` for the parts `conv2.a.weight` and `conv2.b.weight`; other names as they are.
fn whole_name(name: &str) -> String {
    match name.split('.').collect::<Vec<_>>()[..] {
        [layer, tower, weight] if tower.len() == 1 => format!("{layer}.{weight}"),
        _ => name.into(),
    }
}

/// What `kernels` `[connections, k, k]` becomes: `weight` `[out, in, k, k]`.
struct Table<'a> {
    rows: &'a [Vec<usize>],
    maps: usize,
}

impl<'a> Table<'a> {
    /// The tables of the layers that have one.
    fn all(network: &'a Network) -> BTreeMap<String, Self> {
        let table = |(name, op): (&str, &'a Op)| match op {
            Op::TableConv(layer) => {
                let maps = op.layer().spec().input[0];
                Some((format!("{name}.kernels"), Self { rows: layer.table(), maps }))
            }
            _ => None,
        };
        network.layers().filter_map(table).collect()
    }

    /// Of each connection in turn, its place among the `out * in` pairs.
    fn pairs(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().enumerate().flat_map(move |(o, row)| row.iter().map(move |i| o * self.maps + i))
    }

    fn shape(&self, k: usize) -> Vec<usize> {
        vec![self.rows.len(), self.maps, k, k]
    }

    fn dense(&self, kernels: Array) -> Array {
        let k = kernels.shape[1];
        let mut values = vec![0.0; self.rows.len() * self.maps * k * k];
        for (pair, kernel) in self.pairs().zip(kernels.values.chunks_exact(k * k)) {
            values[pair * k * k..][..k * k].copy_from_slice(kernel);
        }
        Array { shape: self.shape(k), values }
    }

    /// The kernels of a dense weight; `None` if it connects what the table doesn't.
    fn sparse(&self, weight: &Array) -> Option<Vec<f32>> {
        let area = weight.shape[2] * weight.shape[3];
        let mut rest: Vec<_> = weight.values.chunks_exact(area).collect();
        let kernels = self.pairs().flat_map(|pair| std::mem::take(&mut rest[pair]).to_vec()).collect();
        rest.into_iter().flatten().all(|v| *v == 0.0).then_some(kernels)
    }
}

fn numbers(data: &TensorData) -> Vec<f32> {
    data.as_slice::<f32>().map_or_else(|_| data.iter::<f32>().collect(), <[f32]>::to_vec)
}

/// `network`'s weights, joined.
pub(crate) fn join(network: &Network) -> Arrays {
    let tables = Table::all(network);
    let mut arrays = Arrays::new();
    for (name, data) in network.tensors() {
        let part = Array { shape: data.shape().to_vec(), values: numbers(&data) };
        if let Some(table) = tables.get(&name) {
            arrays.insert(name.replace(".kernels", ".weight"), table.dense(part));
            continue;
        }
        // The map's order is the towers' order: `a` before `b`.
        match arrays.get_mut(&whole_name(&name)) {
            Some(whole) => {
                whole.shape[0] += part.shape[0];
                whole.values.extend(part.values);
            }
            None => drop(arrays.insert(whole_name(&name), part)),
        }
    }
    arrays
}

/// The whole arrays that `network` is made of: name and shape.
pub(crate) fn shapes(network: &Network) -> Vec<(String, Vec<usize>)> {
    let tables = Table::all(network);
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    for (name, shape) in network.param_shapes() {
        let (name, shape) = match tables.get(&name) {
            Some(table) => (name.replace(".kernels", ".weight"), table.shape(shape[1])),
            None => (whole_name(&name), shape),
        };
        match shapes.iter_mut().find(|(other, _)| *other == name) {
            Some((_, whole)) => whole[0] += shape[0],
            None => shapes.push((name, shape)),
        }
    }
    shapes
}

/// `network` with the weights `arrays`, taken apart into its towers.
///
/// # Errors
/// The first array that is missing, extra or misshapen, or connects what the network's table doesn't.
pub(crate) fn split(network: Network, mut arrays: Arrays) -> Result<Network, FormatError> {
    let model = network.model().name.clone();
    let known = shapes(&network);
    for (name, expected) in &known {
        match arrays.get(name) {
            None => {
                let nearest = nearest(name, arrays.iter().map(|(n, a)| (n.as_str(), &a.shape[..])));
                return Err(WeightsError::Missing { name: name.clone(), shape: expected.clone(), nearest }.into());
            }
            Some(array) if array.shape != *expected => {
                let (expected, got) = (expected.clone(), array.shape.clone());
                return Err(WeightsError::Shape { name: name.clone(), model, expected, got }.into());
            }
            Some(_) => {}
        }
    }
    if let Some((name, array)) = arrays.iter().find(|(name, _)| !known.iter().any(|(own, _)| own == *name)) {
        let nearest = nearest(name, known.iter().map(|(n, s)| (n.as_str(), &s[..])));
        return Err(WeightsError::Extra { name: name.clone(), shape: array.shape.clone(), model, nearest }.into());
    }
    let mut tensors = Tensors::new();
    let tables = Table::all(&network);
    for (name, shape) in network.param_shapes().into_iter().rev() {
        let values = match tables.get(&name) {
            Some(table) => {
                let place = name.replace(".kernels", ".weight");
                table.sparse(&arrays[&place]).ok_or_else(|| FormatError::Mismatch {
                    model: model.clone(),
                    place,
                    problem: "it connects maps that the network's table keeps apart".into(),
                })?
            }
            None => {
                // Backwards: the last tower's part is the end of what is left of the whole.
                let left = arrays.get_mut(&whole_name(&name)).map(|whole| &mut whole.values);
                let left = left.expect("its presence and shape were checked above");
                left.split_off(left.len() - shape.iter().product::<usize>())
            }
        };
        tensors.insert(name, TensorData::new(values, shape));
    }
    Ok(network.with_tensors(&tensors)?)
}

/// The name with most letters in common from the start: near enough for a hint.
fn nearest<'a>(name: &str, known: impl Iterator<Item = (&'a str, &'a [usize])>) -> String {
    let common = |other: &str| name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    known
        .max_by_key(|(other, _)| common(other))
        .map_or_else(|| "none: it is empty".into(), |(other, shape)| format!("'{other}' {shape:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::{Model, device, reference};

    fn formula(model: &str) -> Network {
        let network = Model::named(model).unwrap().build(0, &device::parse("flex").unwrap()).unwrap();
        reference::with_formula_weights(network)
    }

    #[test]
    fn a_table_goes_there_and_back() {
        let network = formula("lenet5");
        let arrays = join(&network);
        assert_eq!(arrays["C3.weight"].shape, [16, 6, 5, 5]);
        assert_eq!(arrays["C3.weight"].values.iter().filter(|v| **v != 0.0).count(), 1500);
        assert_eq!(shapes(&network).len(), arrays.len());
        let back = split(network.clone(), arrays.clone()).unwrap();
        assert_eq!(back.tensors(), network.tensors());
        let mut dense = arrays;
        dense.get_mut("C3.weight").unwrap().values.fill(1.0);
        assert!(split(network, dense).unwrap_err().to_string().contains("C3.weight: it connects maps"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let network = formula("lenet5");
        let mut arrays = join(&network);
        let bias = arrays.remove("C5.bias").unwrap();
        let error = split(network.clone(), arrays.clone()).unwrap_err().to_string();
        assert!(error.starts_with("weight 'C5.bias' [120] is missing"), "{error}");
        arrays.insert("C5.bias".into(), Array { shape: vec![10, 12], ..bias });
        let error = split(network, arrays).unwrap_err().to_string();
        assert_eq!(error, "weight 'C5.bias' is [120] in lenet5 but [10, 12] in the file");
    }

    #[test]
    fn channels_and_axes_turn() {
        let values: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let mut colours = Array::new(vec![2, 3, 1, 2], values.clone()).unwrap();
        colours.reverse_channels();
        assert_eq!(colours.values, [4., 5., 2., 3., 0., 1., 10., 11., 8., 9., 6., 7.]);
        let turned = Array::new(vec![2, 3], values[..6].to_vec()).unwrap().transposed();
        assert_eq!((turned.shape, turned.values), (vec![3, 2], vec![0., 3., 1., 4., 2., 5.]));
        assert_eq!(Array::new(vec![usize::MAX, 2], vec![]), None);
    }
}
