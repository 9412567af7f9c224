//! A network as an ONNX model: one node for each step, named after the layer, with a batch axis of any length.

use super::CARD;
use crate::FormatError;
use crate::arrays::{Array, Arrays, join};
use crate::protobuf::Message;
use crate::steps::{Step, What, steps};
use models::weights::{Card, WeightsError};
use models::{AMPLITUDE, Activation, Network, SLOPE, Window};

/// The oldest operator set that has all that is used here in its present form.
const OPSET: i64 = 13;
/// The file format's version of that time.
const IR: i64 = 7;

/// The bytes of an ONNX model that computes `network`'s logits: input `images` `[batch, C, H, W]`, output `logits`
/// `[batch, classes]`. `card` is kept among its properties.
///
/// # Errors
/// If the card can't be written down.
pub(crate) fn write(network: &Network, card: &Card) -> Result<Vec<u8>, FormatError> {
    let card = serde_json::to_string(card).map_err(|e| WeightsError::Card(e.to_string()))?;
    let mut graph = Graph { arrays: join(network), last: "images".into(), ..Graph::default() };
    let steps = steps(network);
    for step in &steps {
        graph.step(step);
    }
    if !graph.flat {
        graph.flatten("flatten");
    }
    if let Some(node) = graph.nodes.last_mut() {
        node.output = "logits".into();
    }
    let [channels, height, width] = network.input().shape().map(|n| n as i64);
    let mut message = Message::default();
    for node in graph.nodes {
        message = message.message(1, node.message());
    }
    message = message.text(2, &network.model().name);
    for (name, shape, values) in graph.constants {
        message = message.message(5, tensor(&name, &shape, 7, &values));
    }
    for (name, array) in graph.weights {
        message = message.message(5, tensor(&name, &array.shape, 1, &array.bytes()));
    }
    let message = message
        .message(11, value("images", &[channels, height, width]))
        .message(12, value("logits", &[network.classes() as i64]));
    let opset = Message::default().text(1, "").int(2, OPSET);
    let property = Message::default().text(1, CARD).text(2, &card);
    let model = Message::default().int(1, IR).text(2, env!("CARGO_PKG_NAME")).text(3, env!("CARGO_PKG_VERSION"));
    Ok(model.message(7, message).message(8, opset).message(14, property).0)
}

#[derive(Default)]
struct Node {
    kind: &'static str,
    name: String,
    inputs: Vec<String>,
    output: String,
    attributes: Vec<Message>,
}

impl Node {
    fn message(self) -> Message {
        let mut message = Message::default();
        for input in &self.inputs {
            message = message.text(1, input);
        }
        message = message.text(2, &self.output).text(3, &self.name).text(4, self.kind);
        self.attributes.into_iter().fold(message, |m, attribute| m.message(5, attribute))
    }

    fn ints(mut self, name: &str, values: impl IntoIterator<Item = usize>) -> Self {
        let list = values.into_iter().fold(Message::default().text(1, name), |m, v| m.int(8, v as i64));
        self.attributes.push(list.int(20, 7));
        self
    }

    fn int(mut self, name: &str, value: i64) -> Self {
        self.attributes.push(Message::default().text(1, name).int(3, value).int(20, 2));
        self
    }

    fn float(mut self, name: &str, value: f32) -> Self {
        self.attributes.push(Message::default().text(1, name).float(2, value).int(20, 1));
        self
    }
}

/// The graph so far: a chain whose end is `last`.
#[derive(Default)]
struct Graph {
    nodes: Vec<Node>,
    /// f32 tensors that nodes read.
    weights: Vec<(String, Array)>,
    /// i64 tensors that nodes read: name, shape, bytes.
    constants: Vec<(String, Vec<usize>, Vec<u8>)>,
    /// Those of the network that no node has read yet.
    arrays: Arrays,
    last: String,
    /// Whether the maps are `[batch, units]` by now.
    flat: bool,
}

impl Graph {
    /// A node called `name` that reads the chain's end and `more`, and is its new end.
    fn push(&mut self, kind: &'static str, name: String, more: Vec<String>, with: impl FnOnce(Node) -> Node) {
        let mut inputs = vec![std::mem::replace(&mut self.last, name.clone())];
        inputs.extend(more);
        self.nodes.push(with(Node { kind, output: name.clone(), name, inputs, attributes: Vec::new() }));
    }

    /// The network's array `layer.what`, for a node to read.
    fn weight(&mut self, layer: &str, what: &str, change: impl FnOnce(Array) -> Array) -> String {
        let name = format!("{layer}.{what}");
        let array = self.arrays.remove(&name).expect("a step reads its own layer's arrays, once");
        self.weights.push((name.clone(), change(array)));
        name
    }

    fn constant(&mut self, name: String, shape: Vec<usize>, values: Vec<f32>) -> String {
        self.weights.push((name.clone(), Array { shape, values }));
        name
    }

    fn reshape(&mut self, name: String, shape: &[i64]) {
        let bytes = shape.iter().flat_map(|d| d.to_le_bytes()).collect();
        self.constants.push((format!("{name}.shape"), vec![shape.len()], bytes));
        let shape = format!("{name}.shape");
        self.push("Reshape", name, vec![shape], |n| n);
    }

    fn flatten(&mut self, name: &str) {
        self.push("Flatten", name.into(), Vec::new(), |n| n.int("axis", 1));
        self.flat = true;
    }

    fn step(&mut self, step: &Step<'_>) {
        let layer = step.layer;
        let name = || String::from(layer);
        let [channels, height, width] = step.input.map(|n| n as i64);
        match &step.what {
            What::Conv { window: Window { kernel, stride, padding }, groups } => {
                let inputs = vec![self.weight(layer, "weight", |a| a), self.weight(layer, "bias", |a| a)];
                self.push("Conv", name(), inputs, |n| {
                    let n = n.ints("kernel_shape", *kernel).ints("strides", [*stride; 2]);
                    n.ints("pads", *padding).int("group", *groups as i64)
                });
            }
            What::Linear => {
                if !self.flat {
                    self.flatten(&format!("{layer}.flatten"));
                }
                let inputs = vec![self.weight(layer, "weight", |a| a), self.weight(layer, "bias", |a| a)];
                self.push("Gemm", name(), inputs, |n| n.int("transB", 1));
            }
            What::MaxPool { kernel, stride, ceil } => self.push("MaxPool", name(), Vec::new(), |n| {
                let n = n.ints("kernel_shape", [*kernel; 2]).ints("strides", [*stride; 2]);
                n.int("ceil_mode", i64::from(*ceil))
            }),
            What::AvgPool { kernel, stride, ceil } => self.average(name(), *kernel, *stride, *ceil),
            What::Lrn { config, parts } => {
                // The parts are laid along the batch axis: there, no sum crosses from one to the other.
                let part = channels / *parts as i64;
                if *parts > 1 {
                    self.reshape(format!("{layer}.part"), &[-1, part, height, width]);
                }
                self.push("LRN", name(), Vec::new(), |n| {
                    let n = n.int("size", config.size as i64).float("alpha", config.alpha * config.size as f32);
                    n.float("beta", config.beta).float("bias", config.k)
                });
                if *parts > 1 {
                    self.reshape(format!("{layer}.join"), &[-1, channels, height, width]);
                }
            }
            What::Subsample { kernel } => {
                let (area, maps) = ((kernel * kernel) as f32, vec![channels as usize, 1, 1]);
                self.average(name(), *kernel, *kernel, false);
                let coefficient = self.weight(layer, "coefficient", |a| Array {
                    shape: maps.clone(),
                    values: a.values.iter().map(|c| c * area).collect(),
                });
                self.push("Mul", format!("{layer}.scale"), vec![coefficient], |n| n);
                let bias = self.weight(layer, "bias", |a| Array { shape: maps, ..a });
                self.push("Add", format!("{layer}.shift"), vec![bias], |n| n);
            }
            What::Rbf { codes } => {
                let units = (channels * height * width) as usize;
                self.reshape(format!("{layer}.row"), &[-1, 1, units as i64]);
                let codes = self.constant(format!("{layer}.codes"), vec![codes.len() / units, units], codes.clone());
                self.push("Sub", format!("{layer}.difference"), vec![codes], |n| n);
                self.push("ReduceSumSquare", name(), Vec::new(), |n| n.ints("axes", [2]).int("keepdims", 0));
                self.push("Neg", format!("{layer}.negative"), Vec::new(), |n| n);
                self.flat = true;
            }
            What::Activation(activation) => self.activation(layer, *activation),
        }
    }

    fn average(&mut self, name: String, kernel: usize, stride: usize, ceil: bool) {
        self.push("AveragePool", name, Vec::new(), |n| {
            let n = n.ints("kernel_shape", [kernel; 2]).ints("strides", [stride; 2]);
            n.int("ceil_mode", i64::from(ceil))
        });
    }

    fn activation(&mut self, layer: &str, activation: Activation) {
        let kind = match activation {
            Activation::Relu => "Relu",
            Activation::Sigmoid => "Sigmoid",
            Activation::Tanh | Activation::ScaledTanh => "Tanh",
        };
        let scaled = activation == Activation::ScaledTanh;
        if scaled {
            let slope = self.constant(format!("{layer}.slope"), Vec::new(), vec![SLOPE]);
            self.push("Mul", format!("{layer}.inner"), vec![slope], |n| n);
        }
        // A layer that is nothing but its activation bears the layer's name.
        let alone = self.nodes.iter().all(|node| node.name != layer);
        self.push(kind, if alone { layer.into() } else { format!("{layer}.{}", kind.to_lowercase()) }, vec![], |n| n);
        if scaled {
            let amplitude = self.constant(format!("{layer}.amplitude"), Vec::new(), vec![AMPLITUDE]);
            self.push("Mul", format!("{layer}.outer"), vec![amplitude], |n| n);
        }
    }
}

fn tensor(name: &str, shape: &[usize], kind: i64, bytes: &[u8]) -> Message {
    let message = shape.iter().fold(Message::default(), |m, d| m.int(1, *d as i64));
    message.int(2, kind).text(8, name).bytes(9, bytes)
}

/// A float tensor of a graph's interface: the batch axis, then `shape`.
fn value(name: &str, shape: &[i64]) -> Message {
    let batch = Message::default().message(1, Message::default().text(2, "batch"));
    let dims = shape.iter().fold(batch, |m, d| m.message(1, Message::default().int(1, *d)));
    let tensor = Message::default().int(1, 1).message(2, dims);
    Message::default().text(1, name).message(2, Message::default().message(1, tensor))
}
