//! A graph's weights, told by where they stand: the graph is walked from its input to its output beside the network's
//! own steps, and every node must do what the step does.

use super::attributes::{At, close};
use super::proto::{Attribute, Model, Node};
use crate::FormatError;
use crate::arrays::{Array, Arrays};
use crate::steps::{Step, What, steps};
use models::weights::{Card, WeightsError};
use models::{AMPLITUDE, Activation, Network, SLOPE, Window};
use std::collections::BTreeMap;

/// What a graph holds, and how many numbers its file has room for.
pub(crate) struct Graph<'a>(Model<'a>, usize);

/// The graph in the bytes of an ONNX model, to be matched with a network.
///
/// # Errors
/// If the bytes are not ONNX.
pub(crate) fn read(bytes: &[u8]) -> Result<Graph<'_>, FormatError> {
    Ok(Graph(Model::parse(bytes)?, bytes.len() / 4))
}

impl Graph<'_> {
    /// Our card, if we wrote the file.
    ///
    /// # Errors
    /// If there is one that can't be read.
    pub fn card(&self) -> Result<Option<Card>, FormatError> {
        let card = self.0.card.map(|text| serde_json::from_str(text).map_err(|e| WeightsError::Card(e.to_string())));
        Ok(card.transpose()?)
    }

    /// Height and width that the graph says its images have; `None` if it leaves them open.
    pub fn image_size(&self) -> Option<[i64; 2]> {
        match self.0.inputs.first()?.1[..] {
            [_, _, h, w] if h > 0 && w > 0 => Some([h, w]),
            _ => None,
        }
    }

    /// The weights of `network`'s layers.
    ///
    /// # Errors
    /// The first node that is not what `network` does at that place, or a graph that is no chain.
    pub fn arrays(&self, network: &Network) -> Result<Arrays, FormatError> {
        let mut consumers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, node) in self.0.nodes.iter().enumerate() {
            for input in &node.inputs {
                let readers = consumers.entry(input).or_default();
                if readers.last() != Some(&i) {
                    readers.push(i);
                }
            }
        }
        let constants = self.0.nodes.iter().filter(|n| n.kind == "Constant");
        let constants = constants.filter_map(|n| Some((*n.outputs.first()?, n.attributes.get("value")?))).collect();
        let mut walk = Walk {
            graph: &self.0,
            constants,
            consumers,
            network: &network.model().name,
            layer: "input",
            at: "",
            seen: vec![false; self.0.nodes.len()],
            flat: false,
            budget: self.1,
            arrays: Arrays::new(),
        };
        let [(input, _)] = self.0.inputs[..] else {
            return Err(walk.wrong(format!("{} inputs, expected one", self.0.inputs.len())));
        };
        walk.at = input;
        for step in &steps(network) {
            walk.layer = step.layer;
            walk.step(step)?;
        }
        walk.end()?;
        Ok(walk.arrays)
    }
}

struct Walk<'a> {
    graph: &'a Model<'a>,
    /// Values of the nodes that are nothing but one.
    constants: BTreeMap<&'a str, &'a Attribute<'a>>,
    /// Nodes that read a tensor.
    consumers: BTreeMap<&'a str, Vec<usize>>,
    network: &'a str,
    /// The network's layer that is being matched.
    layer: &'a str,
    /// The tensor that the walk has come to.
    at: &'a str,
    /// Nodes behind it.
    seen: Vec<bool>,
    flat: bool,
    /// Numbers that may still be read: a file can name one tensor over and over.
    budget: usize,
    arrays: Arrays,
}

impl<'a> Walk<'a> {
    fn wrong(&self, problem: impl Into<String>) -> FormatError {
        FormatError::Mismatch { model: self.network.into(), place: self.layer.into(), problem: problem.into() }
    }

    /// The node that reads what the walk has come to, past those that do nothing at test time; `None` at the end.
    fn peek(&mut self) -> Result<Option<&'a Node<'a>>, FormatError> {
        loop {
            let index = match self.consumers.get(self.at).map(Vec::as_slice) {
                None => return Ok(None),
                Some(&[index]) => index,
                Some(many) => {
                    return Err(self.wrong(format!("'{}' goes to {} nodes, expected one", self.at, many.len())));
                }
            };
            let node = &self.graph.nodes[index];
            if self.seen[index] {
                return Err(self.wrong(format!("the graph is cyclic: it comes back to '{}'", node.label())));
            }
            if !matches!(node.kind, "Dropout" | "Identity") {
                return Ok(Some(node));
            }
            self.pass(node)?;
        }
    }

    /// Goes on to what `node` makes.
    fn pass(&mut self, node: &'a Node<'a>) -> Result<(), FormatError> {
        let Some(&output) = node.outputs.first() else {
            return Err(self.wrong(format!("node '{}' makes nothing", node.label())));
        };
        if node.inputs.first() != Some(&self.at) && !matches!(node.kind, "Mul" | "Add") {
            return Err(self.wrong(format!("'{}' is not the first thing that node '{}' reads", self.at, node.label())));
        }
        // Consumers were found from the nodes, so the reader of `at` is in the list.
        for &index in &self.consumers[self.at] {
            self.seen[index] = true;
        }
        self.at = output;
        Ok(())
    }

    /// The next node, which must be a `kind`.
    fn take(&mut self, kind: &str) -> Result<At<'a>, FormatError> {
        let node = match self.peek()? {
            Some(node) if node.kind == kind => node,
            Some(node) => {
                let order = match node.kind {
                    "Transpose" => ": the layer after it would read its inputs in another order",
                    _ => "",
                };
                return Err(self.wrong(format!("{} '{}'{order}, expected {kind}", node.kind, node.label())));
            }
            None => return Err(self.wrong(format!("the graph ends, expected {kind}"))),
        };
        let from = self.at;
        self.pass(node)?;
        Ok(At { node, from, network: self.network, layer: self.layer })
    }

    /// The numbers of a tensor that the file holds.
    fn tensor(&mut self, name: &str) -> Result<Array, FormatError> {
        let constant = || self.constants.get(name).and_then(|c| c.tensor.as_ref());
        let Some(tensor) = self.graph.tensors.get(name).or_else(constant) else {
            return Err(self.wrong(format!("'{name}' is computed or missing, expected weights in the file")));
        };
        let array = tensor.array(name)?;
        let left = self.budget.checked_sub(array.values.len());
        self.budget = left.ok_or_else(|| self.wrong(format!("'{name}' is used more than once")))?;
        Ok(array)
    }

    /// Of a node with two inputs, the numbers of the one that the walk didn't come by.
    fn operand(&mut self, at: &At<'a>) -> Result<Array, FormatError> {
        match at.node.inputs[..] {
            [a, b] => self.tensor(if a == at.from { b } else { a }),
            _ => Err(at.wrong(format!("{} inputs, expected 2", at.node.inputs.len()))),
        }
    }

    fn store(&mut self, what: &str, array: Array) {
        self.arrays.insert(format!("{}.{what}", self.layer), array);
    }

    /// Weight and bias of a convolution or fully connected layer.
    fn weights(&mut self, at: &At<'a>, change: impl FnOnce(Array) -> Array) -> Result<(), FormatError> {
        let Some(weight) = at.node.inputs.get(1) else { return Err(at.wrong("it has no weights")) };
        let weight = change(self.tensor(weight)?);
        let out = weight.shape.first().copied().unwrap_or(0);
        let bias = match at.node.inputs.get(2) {
            Some(name) if !name.is_empty() => self.tensor(name)?,
            _ => Array { shape: vec![out], values: vec![0.0; weight.values.len().min(out)] },
        };
        self.store("weight", weight);
        self.store("bias", bias);
        Ok(())
    }

    /// Past a Reshape to `expected`, where -1 and 0 may stand for a length.
    fn reshape(&mut self, expected: &[i64]) -> Result<(), FormatError> {
        let at = self.take("Reshape")?;
        let shape = at.node.inputs.get(1).and_then(|name| {
            let constant = || self.constants.get(name).and_then(|c| c.tensor.as_ref());
            self.graph.tensors.get(name).or_else(constant)?.ints()
        });
        let shape = shape.or_else(|| at.node.attributes.get("shape").map(|a| a.ints.clone())).unwrap_or_default();
        let fits = |(got, want): (&i64, &i64)| got == want || *got == -1 || *want == -1;
        if shape.len() != expected.len() || !shape.iter().zip(expected).all(fits) {
            return Err(at.wrong(format!("it reshapes to {shape:?}, expected {expected:?}")));
        }
        Ok(())
    }

    /// Past whatever turns maps into rows, channel by channel: a Flatten or Reshape, or nothing.
    fn flatten(&mut self, units: usize) -> Result<(), FormatError> {
        match self.peek()?.map(|node| node.kind) {
            Some("Reshape") => self.reshape(&[-1, units as i64])?,
            _ => self.take("Flatten")?.int("axis", 1, 1)?,
        }
        self.flat = true;
        Ok(())
    }

    fn step(&mut self, step: &Step<'_>) -> Result<(), FormatError> {
        let [channels, height, width] = step.input;
        let units = channels * height * width;
        match &step.what {
            What::Conv { window: Window { kernel, stride, padding }, groups } => {
                let at = self.take("Conv")?;
                at.no_auto_pad()?;
                at.ints("kernel_shape", None, &kernel[..])?;
                at.ints("strides", Some(1), &[*stride; 2])?;
                at.ints("pads", Some(0), &padding[..])?;
                at.ints("dilations", Some(1), &[1; 2])?;
                at.int("group", 1, *groups as i64)?;
                self.weights(&at, |a| a)
            }
            What::Linear => {
                if !self.flat {
                    self.flatten(units)?;
                }
                let at = self.take("Gemm")?;
                at.float("alpha", 1.0, 1.0)?;
                at.float("beta", 1.0, 1.0)?;
                at.int("transA", 0, 0)?;
                let turned = at.node.attributes.get("transB").and_then(|a| a.int).unwrap_or(0) != 0;
                self.weights(&at, |a| if turned { a } else { a.transposed() })
            }
            What::MaxPool { kernel, stride, .. } => {
                let at = self.take("MaxPool")?;
                at.ints("dilations", Some(1), &[1; 2])?;
                at.pool(*kernel, *stride, step, true)
            }
            What::AvgPool { kernel, stride, .. } => match self.peek()?.map(|n| n.kind) {
                Some("GlobalAveragePool") if [*kernel; 2] == [height, width] => {
                    self.take("GlobalAveragePool").map(drop)
                }
                _ => self.take("AveragePool")?.pool(*kernel, *stride, step, false),
            },
            What::Lrn { config, parts } => {
                let [c, h, w] = step.input.map(|n| n as i64);
                if *parts > 1 {
                    self.reshape(&[-1, c / *parts as i64, h, w])?;
                }
                let at = self.take("LRN")?;
                at.int("size", 0, config.size as i64)?;
                at.float("alpha", 1e-4, config.alpha * config.size as f32)?;
                at.float("beta", 0.75, config.beta)?;
                at.float("bias", 1.0, config.k)?;
                if *parts > 1 { self.reshape(&[-1, c, h, w]) } else { Ok(()) }
            }
            What::Subsample { kernel } => {
                self.take("AveragePool")?.pool(*kernel, *kernel, step, false)?;
                let area = (kernel * kernel) as f32;
                let at = self.take("Mul")?;
                let scale = self.operand(&at)?;
                let values: Vec<_> = scale.values.iter().map(|v| v / area).collect();
                self.store("coefficient", Array { shape: vec![values.len()], values });
                let at = self.take("Add")?;
                let shift = self.operand(&at)?;
                self.store("bias", Array { shape: vec![shift.values.len()], values: shift.values });
                Ok(())
            }
            What::Rbf { codes } => {
                self.reshape(&[-1, 1, units as i64])?;
                let at = self.take("Sub")?;
                if self.operand(&at)?.values != *codes {
                    return Err(at.wrong("its codes are not those of the paper's figure 3"));
                }
                let at = self.take("ReduceSumSquare")?;
                at.ints("axes", None, &[2])?;
                at.int("keepdims", 1, 0)?;
                self.take("Neg")?;
                self.flat = true;
                Ok(())
            }
            What::Activation(activation) => match activation {
                Activation::Relu => self.take("Relu").map(drop),
                Activation::Sigmoid => self.take("Sigmoid").map(drop),
                Activation::Tanh => self.take("Tanh").map(drop),
                Activation::ScaledTanh => {
                    self.factor(SLOPE)?;
                    self.take("Tanh")?;
                    self.factor(AMPLITUDE)
                }
            },
        }
    }

    /// Past a multiplication by `expected`.
    fn factor(&mut self, expected: f32) -> Result<(), FormatError> {
        let at = self.take("Mul")?;
        let values = self.operand(&at)?.values;
        if values.iter().any(|v| !close(*v, expected)) || values.is_empty() {
            return Err(at.wrong(format!("it multiplies by {:?}, expected {expected}", values.first())));
        }
        Ok(())
    }

    /// Past what makes probabilities of logits, to the graph's output.
    fn end(&mut self) -> Result<(), FormatError> {
        while let Some(node) = self.peek()? {
            match node.kind {
                "Softmax" | "Flatten" | "Reshape" | "Squeeze" => self.pass(node)?,
                kind => return Err(self.wrong(format!("{kind} '{}' follows the last layer", node.label()))),
            }
        }
        if !self.graph.outputs.contains(&self.at) {
            return Err(self.wrong(format!("the last layer makes '{}', which is no output of the graph", self.at)));
        }
        let stray = self.graph.nodes.iter().zip(&self.seen).find(|(node, seen)| !**seen && node.kind != "Constant");
        match stray {
            Some((node, _)) => Err(self.wrong(format!("{} '{}' stands outside the chain", node.kind, node.label()))),
            None => Ok(()),
        }
    }
}
