//! The messages of onnx.proto, as far as a chain of layers needs them.

use crate::FormatError;
use crate::arrays::{Array, elements};
use crate::error::{damaged, refused};
use crate::protobuf::{Fields, Value, floats, push};
use std::collections::BTreeMap;

/// A model's graph and our card, if it has one.
#[derive(Debug, Default)]
pub(crate) struct Model<'a> {
    pub nodes: Vec<Node<'a>>,
    /// By name.
    pub tensors: BTreeMap<&'a str, Tensor<'a>>,
    /// The graph's inputs that are not initialisers, with their shapes (0 for an axis of any length).
    pub inputs: Vec<(&'a str, Vec<i64>)>,
    pub outputs: Vec<&'a str>,
    pub card: Option<&'a str>,
}

#[derive(Debug, Default)]
pub(crate) struct Node<'a> {
    pub kind: &'a str,
    pub name: &'a str,
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    pub attributes: BTreeMap<&'a str, Attribute<'a>>,
}

#[derive(Debug, Default)]
pub(crate) struct Attribute<'a> {
    pub float: Option<f32>,
    pub int: Option<i64>,
    pub text: Option<&'a [u8]>,
    pub ints: Vec<i64>,
    pub tensor: Option<Tensor<'a>>,
}

/// A tensor as it lies in the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tensor<'a> {
    dims: Vec<i64>,
    kind: i64,
    raw: Option<&'a [u8]>,
    /// Packed or single floats, one slice or value for each field.
    parts: Vec<Value<'a>>,
    ints: Vec<i64>,
    external: bool,
}

impl<'a> Model<'a> {
    /// # Errors
    /// If the bytes are not protobuf, or a field is not what onnx.proto says.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut model = Self::default();
        for field in Fields(bytes) {
            match field? {
                (7, graph) => model.graph(graph.bytes()?)?,
                (14, property) => {
                    let (key, value) = pair(property.bytes()?)?;
                    if key == super::CARD {
                        model.card = Some(value);
                    }
                }
                _ => {}
            }
        }
        let tensors = &model.tensors;
        model.inputs.retain(|(name, _)| !tensors.contains_key(name));
        Ok(model)
    }

    fn graph(&mut self, bytes: &'a [u8]) -> Result<(), FormatError> {
        let mut initialisers = 0;
        for field in Fields(bytes) {
            match field? {
                (1, node) => push(&mut self.nodes, Node::parse(node.bytes()?)?)?,
                (5, tensor) => {
                    let (name, tensor) = Tensor::parse(tensor.bytes()?)?;
                    initialisers += 1;
                    if initialisers > crate::protobuf::MOST {
                        return Err(damaged("ONNX", "too many initialisers"));
                    }
                    self.tensors.insert(name, tensor);
                }
                (11, value) => push(&mut self.inputs, value_info(value.bytes()?)?)?,
                (12, value) => push(&mut self.outputs, value_info(value.bytes()?)?.0)?,
                (15, _) => return Err(refused("ONNX", "sparse initialisers can't be read. Export it dense.")),
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Node<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut node = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, input) => push(&mut node.inputs, input.text()?)?,
                (2, output) => push(&mut node.outputs, output.text()?)?,
                (3, name) => node.name = name.text()?,
                (4, kind) => node.kind = kind.text()?,
                (5, attribute) => {
                    let (name, attribute) = Attribute::parse(attribute.bytes()?)?;
                    node.attributes.insert(name, attribute);
                }
                _ => {}
            }
        }
        Ok(node)
    }

    /// The node's name, or where it has none, what it makes.
    pub fn label(&self) -> &'a str {
        if self.name.is_empty() { self.outputs.first().copied().unwrap_or(self.kind) } else { self.name }
    }
}

impl<'a> Attribute<'a> {
    fn parse(bytes: &'a [u8]) -> Result<(&'a str, Self), FormatError> {
        let (mut name, mut attribute) = ("", Self::default());
        for field in Fields(bytes) {
            match field? {
                (1, text) => name = text.text()?,
                (2, value) => attribute.float = Some(value.float()?),
                (3, value) => attribute.int = Some(value.int()?),
                (4, value) => attribute.text = Some(value.bytes()?),
                (5, tensor) => attribute.tensor = Some(Tensor::parse(tensor.bytes()?)?.1),
                (8, values) => values.ints(&mut attribute.ints)?,
                _ => {}
            }
        }
        Ok((name, attribute))
    }
}

impl<'a> Tensor<'a> {
    fn parse(bytes: &'a [u8]) -> Result<(&'a str, Self), FormatError> {
        let (mut name, mut tensor) = ("", Self::default());
        for field in Fields(bytes) {
            match field? {
                (1, dims) => dims.ints(&mut tensor.dims)?,
                (2, kind) => tensor.kind = kind.int()?,
                // Kept as they lie; only a packed list is worth the space of its own entry.
                (4, part) => push(&mut tensor.parts, part)?,
                (7, ints) => ints.ints(&mut tensor.ints)?,
                (8, text) => name = text.text()?,
                (9, raw) => tensor.raw = Some(raw.bytes()?),
                (13, _) => tensor.external = true,
                (14, location) => tensor.external = location.int()? != 0,
                _ => {}
            }
        }
        Ok((name, tensor))
    }

    /// Its numbers; `name` is for the message.
    ///
    /// # Errors
    /// If it is not of floats, lies in another file, or holds more or fewer than its shape says.
    pub fn array(&self, name: &str) -> Result<Array, FormatError> {
        if self.external {
            return Err(refused("ONNX", format!("'{name}' lies in another file. Save the model as one file.")));
        }
        if self.kind != 1 {
            return Err(refused("ONNX", format!("'{name}' is of ONNX type {}; only FLOAT (1) can be read", self.kind)));
        }
        let shape: Option<Vec<_>> = self.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        let expected = shape.as_deref().and_then(elements);
        let wrong = |got: usize| damaged("ONNX", format!("'{name}' {:?} holds {got} numbers", self.dims));
        let values = match self.raw {
            Some(raw) if Some(raw.len()) == expected.and_then(|n| n.checked_mul(4)) => floats(raw).collect(),
            Some(raw) => return Err(wrong(raw.len() / 4)),
            None => {
                let mut values = Vec::new();
                for part in &self.parts {
                    part.floats(&mut values)?;
                }
                values
            }
        };
        let got = values.len();
        shape.and_then(|shape| Array::new(shape, values)).ok_or_else(|| wrong(got))
    }

    /// Its numbers if it is a list of 64-bit whole numbers.
    pub fn ints(&self) -> Option<Vec<i64>> {
        let from =
            |raw: &[u8]| raw.chunks_exact(8).map(|b| i64::from_le_bytes(std::array::from_fn(|i| b[i]))).collect();
        (self.kind == 7).then(|| self.raw.map_or_else(|| self.ints.clone(), from))
    }
}

fn pair(bytes: &[u8]) -> Result<(&str, &str), FormatError> {
    let (mut key, mut value) = ("", "");
    for field in Fields(bytes) {
        match field? {
            (1, text) => key = text.text()?,
            (2, text) => value = text.text()?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// The field `number` of the message `bytes`, the last one if it is there more than once.
fn inside(bytes: &[u8], number: u32) -> Result<&[u8], FormatError> {
    let mut found: &[u8] = &[];
    for field in Fields(bytes) {
        let (n, value) = field?;
        if n == number {
            found = value.bytes()?;
        }
    }
    Ok(found)
}

/// Name and shape.
fn value_info(bytes: &[u8]) -> Result<(&str, Vec<i64>), FormatError> {
    let name = core::str::from_utf8(inside(bytes, 1)?).map_err(|_| damaged("ONNX", "an input's name is not UTF-8"))?;
    let mut dims = Vec::new();
    for field in Fields(inside(inside(inside(bytes, 2)?, 1)?, 2)?) {
        if let (1, dim) = field? {
            let mut length = 0;
            for field in Fields(dim.bytes()?) {
                if let (1, value) = field? {
                    length = value.int()?;
                }
            }
            push(&mut dims, length)?;
        }
    }
    Ok((name, dims))
}
