//! A node's attributes, held against what a network does at its place.

use super::proto::Node;
use crate::FormatError;
use crate::steps::Step;

/// A node at the layer that it is matched with.
pub(crate) struct At<'a> {
    pub node: &'a Node<'a>,
    /// The tensor by which the walk came to it.
    pub from: &'a str,
    pub network: &'a str,
    pub layer: &'a str,
}

impl At<'_> {
    pub fn wrong(&self, problem: impl std::fmt::Display) -> FormatError {
        let problem = format!("{} '{}': {problem}", self.node.kind, self.node.label());
        FormatError::Mismatch { model: self.network.into(), place: self.layer.into(), problem }
    }

    pub fn int(&self, name: &str, default: i64, expected: i64) -> Result<(), FormatError> {
        let got = self.node.attributes.get(name).and_then(|a| a.int).unwrap_or(default);
        if got == expected { Ok(()) } else { Err(self.wrong(format!("{name} is {got}, expected {expected}"))) }
    }

    pub fn float(&self, name: &str, default: f32, expected: f32) -> Result<(), FormatError> {
        let got = self.node.attributes.get(name).and_then(|a| a.float).unwrap_or(default);
        if close(got, expected) { Ok(()) } else { Err(self.wrong(format!("{name} is {got}, expected {expected}"))) }
    }

    /// Without a default, the attribute must be there or go without saying.
    pub fn ints(&self, name: &str, default: Option<i64>, expected: &[usize]) -> Result<(), FormatError> {
        let got = match (self.node.attributes.get(name), default) {
            (Some(attribute), _) => attribute.ints.clone(),
            (None, Some(default)) => vec![default; expected.len()],
            (None, None) => return Ok(()),
        };
        let equal = got.len() == expected.len() && got.iter().zip(expected).all(|(g, e)| *g == *e as i64);
        if equal { Ok(()) } else { Err(self.wrong(format!("{name} is {got:?}, expected {expected:?}"))) }
    }

    pub fn no_auto_pad(&self) -> Result<(), FormatError> {
        match self.node.attributes.get("auto_pad").and_then(|a| a.text) {
            None | Some(b"NOTSET") => Ok(()),
            Some(other) => Err(self.wrong(format!("auto_pad is {}, expected pads", String::from_utf8_lossy(other)))),
        }
    }

    /// Zeros at the end and a rounded-up size say the same of a maximum, so what is compared is the windows: their
    /// size, step, first place, and how many there are on our maps.
    pub fn pool(&self, kernel: usize, stride: usize, step: &Step<'_>, padding: bool) -> Result<(), FormatError> {
        self.no_auto_pad()?;
        self.ints("kernel_shape", Some(0), &[kernel; 2])?;
        self.ints("strides", Some(1), &[stride; 2])?;
        let pads = self.node.attributes.get("pads").map_or_else(|| vec![0; 4], |a| a.ints.clone());
        let ([0, 0, bottom, right], true) = (&pads[..], padding || pads == [0; 4]) else {
            return Err(self.wrong(format!("pads is {pads:?}, expected none")));
        };
        let ceil = self.node.attributes.get("ceil_mode").and_then(|a| a.int).unwrap_or(0) != 0;
        for (side, (size, end)) in [(step.input[1], *bottom), (step.input[2], *right)].into_iter().enumerate() {
            let end = usize::try_from(end).unwrap_or(usize::MAX);
            let span = size.saturating_add(end).saturating_sub(kernel);
            let windows = if ceil { span.div_ceil(stride) } else { span / stride } + 1;
            if windows != step.output[side + 1] {
                let expected = step.output[side + 1];
                return Err(self.wrong(format!("{windows} windows over {size} units, expected {expected}")));
            }
        }
        Ok(())
    }
}

pub(crate) fn close(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-5 * b.abs()
}
