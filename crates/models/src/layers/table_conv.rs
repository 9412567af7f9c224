use super::conv::adjoint;
use super::{WeightInit, function, gathered, misfit, per_map, through, windows};
use crate::activation::Activation;
use crate::back::Method;
use crate::draw::{Draw, Init};
use crate::layer::{Curvature, Layer, LayerConfig, Maps, Op, Seen, Shape, ShapeError, Spec, Window};
use alloc::{format, string::String, vec, vec::Vec};
use burn::module::{Module, Param};
use burn::tensor::module::conv2d_weight_backward;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};

/// A convolution in which each map that goes out sees only the maps that a table lists (LeCun 1998, table I).
#[derive(Clone, Debug)]
pub struct TableConvConfig {
    /// One row for each map that goes out: the maps that it sees, ascending.
    pub table: Vec<Vec<usize>>,
    /// Side of the square kernel. Stride 1, no padding.
    pub kernel: usize,
    /// What is applied to the sum.
    pub activation: Option<Activation>,
}

/// A connection table that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// No rows: nothing goes out.
    #[error("the connection table has no rows")]
    Empty,
    /// A map that sees nothing.
    #[error("row {row} of the connection table is empty")]
    EmptyRow {
        /// Which.
        row: usize,
    },
    /// A map that isn't there.
    #[error("row {row} of the connection table names map {map}, but only {maps} come in")]
    NoSuchMap {
        /// Which row.
        row: usize,
        /// The map it names.
        map: usize,
        /// How many there are.
        maps: usize,
    },
    /// Out of order, or twice the same.
    #[error("row {row} of the connection table is not ascending")]
    NotAscending {
        /// Which.
        row: usize,
    },
}

/// See [`TableConvConfig`].
///
/// Only connections that exist have numbers: `kernels` is `[connections, k, k]`, by row of the table. For the forward
/// pass they are laid into a dense `[out, in, k, k]` weight whose other kernels are a shared zero, and one dense
/// convolution does the work; the gradient comes back through the same indices, so a connection that isn't there gets
/// none. One gather of 60 kernels and a dense convolution take less time than the same work in groups (measured:
/// docs/results/c3.md).
#[derive(Module, Debug)]
pub struct TableConv {
    /// `[connections, k, k]`.
    kernels: Param<Tensor<3>>,
    /// `[out]`.
    bias: Param<Tensor<1>>,
    /// `[out * in]`: where in `kernels` each pair's kernel is; `connections` for none.
    place: Tensor<1, Int>,
    #[module(skip)]
    table: Vec<Vec<usize>>,
    #[module(skip)]
    activation: Option<Activation>,
    #[module(skip)]
    window: Window,
    #[module(skip)]
    spec: Spec,
}

impl TableConvConfig {
    /// Whether the table can be carried out on `maps` maps.
    ///
    /// # Errors
    /// The first row that can't, and why.
    pub fn check(&self, maps: usize) -> Result<(), TableError> {
        if self.table.is_empty() {
            return Err(TableError::Empty);
        }
        for (row, seen) in self.table.iter().enumerate() {
            if seen.is_empty() {
                return Err(TableError::EmptyRow { row });
            }
            if seen.windows(2).any(|pair| pair[0] >= pair[1]) {
                return Err(TableError::NotAscending { row });
            }
            if let Some(&map) = seen.iter().find(|&&map| map >= maps) {
                return Err(TableError::NoSuchMap { row, map, maps });
            }
        }
        Ok(())
    }

    /// `6·(25·3+1)+6·(25·4+1)+3·(25·4+1)+1·(25·6+1)`: as the chapter adds up C3, by runs of rows with the same number
    /// of maps, neighbouring (round the end, too) or not.
    fn formula(&self, maps: usize) -> String {
        let neighbouring = |seen: &[usize]| {
            let breaks = (0..seen.len()).filter(|&i| seen[(i + 1) % seen.len()] != (seen[i] + 1) % maps).count();
            breaks <= 1
        };
        let kinds: Vec<_> = self.table.iter().map(|seen| (seen.len(), neighbouring(seen))).collect();
        let area = self.kernel * self.kernel;
        let terms = kinds.chunk_by(|a, b| a == b).map(|run| format!("{}·({area}·{}+1)", run.len(), run[0].0));
        terms.collect::<Vec<_>>().join("+")
    }
}

impl LayerConfig for TableConvConfig {
    fn init(&self, input: Shape, draw: &Draw) -> Result<Op, ShapeError> {
        let ([maps, h, w], k, out) = (input, self.kernel, self.table.len());
        self.check(maps).map_err(|e| misfit(draw, format!("{e}")))?;
        let (Some(oh), Some(ow)) = (windows(h, 0, k, 1, false), windows(w, 0, k, 1, false)) else {
            return Err(misfit(draw, format!("a {k}x{k} kernel doesn't fit a {h}x{w} map")));
        };
        let connections = self.table.iter().map(Vec::len).sum::<usize>();
        let mut place = vec![connections as i64; out * maps];
        let pairs = self.table.iter().enumerate().flat_map(|(o, seen)| seen.iter().map(move |&i| o * maps + i));
        for (kernel, pair) in pairs.enumerate() {
            place[pair] = kernel as i64;
        }
        // A unit's fan-in differs from map to map, and LeCun's start with it; one range for all is drawn at the widest,
        // then each map's kernels are scaled to their own.
        let window = Window { kernel: [k; 2], stride: 1, padding: [0; 4] };
        let spec = Spec {
            output: [out, oh, ow],
            window: Some(window),
            parameters: connections * k * k + out,
            formula: self.formula(maps),
            macs: connections * k * k * oh * ow,
            activation: self.activation.map(Activation::name),
            ..Spec::pointwise("table-conv", input)
        };
        let fan_in = |seen: &Vec<usize>| seen.len() * k * k;
        let narrowest = self.table.iter().map(fan_in).min().expect("the table has rows");
        let scales: Vec<f32> =
            (self.table.iter()).flat_map(|seen| vec![narrowest as f32 / fan_in(seen) as f32; seen.len()]).collect();
        let kernels = draw.scaled("kernels", [connections, k, k], WeightInit::LeCun.with_fan_in(narrowest), scales);
        Ok(Op::TableConv(TableConv {
            kernels,
            bias: draw.param("bias", [out], Init::Constant(0.0)),
            place: Tensor::from_data(TensorData::new(place, [out * maps]), &draw.device),
            table: self.table.clone(),
            activation: self.activation,
            window,
            spec,
        }))
    }
}

impl TableConv {
    /// One row for each map that goes out: the maps that it sees, ascending. `kernels` is ordered by it.
    pub fn table(&self) -> &[Vec<usize>] {
        &self.table
    }

    /// `[out, in, k, k]` with zeros where there is no connection.
    fn dense(&self) -> Tensor<4> {
        let kernels = self.kernels.val();
        let [_, k, _] = kernels.dims();
        let none = Tensor::zeros([1, k, k], &kernels.device());
        let place = self.place.clone().to_device(&kernels.device());
        let (out, maps) = (self.spec.output[0], self.spec.input[0]);
        Tensor::cat(vec![kernels, none], 0).select(0, place).reshape([out, maps, k, k])
    }
}

impl Layer for TableConv {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn forward(&self, x: Maps) -> Maps {
        let conv = kernels::Conv { stride: [1; 2], padding: [0; 4], groups: 1 };
        let x = x.join_on(&self.bias.lazy_device());
        Maps::one(kernels::conv2d(x, self.dense(), self.bias.val(), conv, function(self.activation)))
    }

    fn exchange(&self, towers: usize) -> (usize, usize) {
        (1, gathered(self.spec.input.iter().product(), towers, 1))
    }

    fn project(&self, signal: Maps, seen: &Seen, method: Method) -> Maps {
        let signal = method.rectify(self.activation, signal.join(), &seen.output.0[0]);
        Maps::one(adjoint(signal, self.dense(), self.window, self.spec.input))
    }

    fn curvature(&self, x: Tensor<4>, y: Tensor<4>, h: Tensor<4>) -> Option<Curvature> {
        let h = through(self.activation, y, h);
        let squares = self.dense().square();
        let options = ConvOptions::new([1; 2], [0; 2], [1; 2], 1);
        let dense = conv2d_weight_backward(x.square(), squares.clone(), h.clone(), options);
        let ([out, maps, k, _], connections) = (dense.dims(), self.kernels.lazy_shape()[0]);
        // Every connection is met once, so adding to zeros is gathering; what has no connection goes to the last row.
        let place = self.place.clone().to_device(&dense.device());
        let kernels = Tensor::<2>::zeros([connections + 1, k * k], &dense.device())
            .select_assign(0, place, dense.reshape([out * maps, k * k]), IndexingUpdateOp::Add)
            .narrow(0, 0, connections);
        Some(Curvature {
            input: adjoint(h.clone(), squares, self.window, self.spec.input),
            weights: vec![("kernels", kernels.reshape([-1])), ("bias", per_map(h))],
        })
    }
}
