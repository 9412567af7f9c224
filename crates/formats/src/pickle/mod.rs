//! Just enough of Python's pickle for a `state_dict`: a list of tensors by name. Nothing is ever executed. A pickle is a
//! program; here the few instructions that build dictionaries, tuples and tensors are carried out on plain data, the few
//! globals that PyTorch names in a `state_dict` are known by name, and anything else is an error that says what it was.

mod torch;
mod write;

pub(crate) use write::write;

use crate::FormatError;
use crate::error::{damaged, refused};
use crate::protobuf::MOST;
use std::collections::BTreeMap;

/// Most values that a pickle may make.
const VALUES: usize = 1_000_000;
/// Longest name in bytes.
const NAME: usize = 1000;

/// A tensor that a pickle describes: a window on a storage in another entry of the archive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct View {
    /// Entry `data/{storage}`.
    pub storage: String,
    /// Index of the first element.
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// Index of a value: a list can then be changed after it was noted down in the memo.
type Id = usize;

#[derive(Clone, Debug)]
enum Value {
    Nothing,
    Bool,
    Int(i64),
    Float,
    Text(String),
    /// A tuple or list.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(String),
    Tensor(View),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    FloatStorage,
}

/// The tensors of a pickled `state_dict`, in its order.
///
/// # Errors
/// If the pickle is damaged, or does anything but build a dictionary of f32 tensors: names the global or instruction.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<(String, View)>, FormatError> {
    let mut machine =
        Machine { code: bytes, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new() };
    let top = loop {
        if let Some(top) = machine.step()? {
            break top;
        }
    };
    let Value::Dict(entries) = &machine.values[top] else {
        return Err(refused("pickle", "it holds no dictionary. Save the model's state_dict()."));
    };
    if entries.len() > MOST {
        return Err(damaged("pickle", format!("{} tensors", entries.len())));
    }
    let mut tensors = Vec::new();
    for (key, value) in entries {
        match (&machine.values[*key], &machine.values[*value]) {
            (Value::Text(name), _) if name.len() > NAME => return Err(damaged("pickle", "a very long name")),
            (Value::Text(name), Value::Tensor(view)) => tensors.push((name.clone(), view.clone())),
            (Value::Text(name), _) => {
                return Err(refused("pickle", format!("'{name}' is no tensor. Save the model's state_dict() alone.")));
            }
            _ => return Err(refused("pickle", "a key is no name. Save the model's state_dict() alone.")),
        }
    }
    Ok(tensors)
}

struct Machine<'a> {
    code: &'a [u8],
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// One instruction; the result if it was the last.
    fn step(&mut self) -> Result<Option<Id>, FormatError> {
        let op = self.take(1)?[0];
        match op {
            0x80 => drop(self.take(1)?), // PROTO
            0x95 => drop(self.take(8)?), // FRAME
            b'.' => return self.pop().map(Some),
            b'(' if self.marks.len() < MOST => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::Nothing)?,
            0x88 | 0x89 => self.push(Value::Bool)?,
            b'K' => self.int(1)?,
            b'M' => self.int(2)?,
            b'J' => self.int(4)?,
            0x8a => {
                let len = self.take(1)?[0];
                self.int(len.into())?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Float)?;
            }
            b'X' => {
                let len = self.number(4)?;
                self.text(len)?;
            }
            0x8c => {
                let len = self.number(1)?;
                self.text(len)?;
            }
            b')' | b']' => self.push(Value::List(Vec::new()))?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::List(items))?;
            }
            0x85..=0x87 => {
                let at = self.stack.len().checked_sub(usize::from(op - 0x84)).ok_or_else(underflow)?;
                let items = self.stack.split_off(at);
                self.push(Value::List(items))?;
            }
            b'a' | b'e' => {
                let items = if op == b'a' { vec![self.pop()?] } else { self.pop_mark()? };
                match self.top()? {
                    Value::List(list) => list.extend(items),
                    _ => return Err(damaged("pickle", "something is appended to what is no list")),
                }
            }
            b's' | b'u' => {
                let items = if op == b'u' {
                    self.pop_mark()?
                } else {
                    let at = self.stack.len().checked_sub(2).ok_or_else(underflow)?;
                    self.stack.split_off(at)
                };
                match self.top()? {
                    Value::Dict(dict) => dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
                    _ => return Err(damaged("pickle", "an entry is set in what is no dictionary")),
                }
            }
            b'q' | b'r' | 0x94 => {
                let key = match op {
                    b'q' => self.number(1)?,
                    b'r' => self.number(4)?,
                    _ => self.memo.len(),
                };
                let value = *self.stack.last().ok_or_else(underflow)?;
                self.memo.insert(key as u32, value);
                self.bounded(self.memo.len())?;
            }
            b'h' | b'j' => {
                let key = self.number(if op == b'h' { 1 } else { 4 })?;
                let value = self.memo.get(&(key as u32)).copied();
                self.stack.push(value.ok_or_else(|| damaged("pickle", "it reads what it never noted down"))?);
                self.bounded(self.stack.len())?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.global(&module, &name)?;
            }
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            b'b' => {
                // The state of an OrderedDict: the versions of the modules. Nothing to us.
                self.pop()?;
                if !matches!(self.top()?, Value::Dict(_)) {
                    return Err(refused("pickle", "it sets the state of an object, which is never done here."));
                }
            }
            other => return Err(refused("pickle", format!("instruction {other:#04x} has no place in a state_dict."))),
        }
        Ok(None)
    }

    fn bounded(&self, len: usize) -> Result<(), FormatError> {
        if len <= VALUES { Ok(()) } else { Err(damaged("pickle", format!("over {VALUES} values"))) }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let cut = self.code.split_at_checked(len);
        let (taken, rest) = cut.ok_or_else(|| damaged("pickle", "cut short"))?;
        self.code = rest;
        Ok(taken)
    }

    /// Unsigned, little-endian.
    fn number(&mut self, len: usize) -> Result<usize, FormatError> {
        Ok(self.take(len)?.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)))
    }

    /// One or two bytes are unsigned, more are signed.
    fn int(&mut self, len: usize) -> Result<(), FormatError> {
        if len > 8 {
            return Err(damaged("pickle", "a number of over 64 bits"));
        }
        let bytes = self.take(len)?;
        let negative = len > 2 && bytes[len - 1] >= 0x80;
        let start = if negative { -1i64 } else { 0 };
        let value = bytes.iter().rev().fold(start, |n, b| n << 8 | i64::from(*b));
        self.push(Value::Int(value))
    }

    fn text(&mut self, len: usize) -> Result<(), FormatError> {
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| damaged("pickle", "a text is not UTF-8"))?;
        self.push(Value::Text(text.into()))
    }

    fn line(&mut self) -> Result<&'a str, FormatError> {
        let end = self.code.iter().position(|b| *b == b'\n').ok_or_else(|| damaged("pickle", "cut short"))?;
        let line = self.take(end)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| damaged("pickle", "a name is not UTF-8"))
    }

    fn push(&mut self, value: Value) -> Result<(), FormatError> {
        self.bounded(self.values.len() + 1)?;
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, FormatError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() > floor { self.stack.pop().ok_or_else(underflow) } else { Err(underflow()) }
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, FormatError> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        if mark > self.stack.len() {
            return Err(underflow());
        }
        Ok(self.stack.split_off(mark))
    }

    fn pop_text(&mut self) -> Result<String, FormatError> {
        let id = self.pop()?;
        if let Value::Text(text) = &self.values[id] { Ok(text.clone()) } else { Err(damaged("pickle", "no name")) }
    }

    fn top(&mut self) -> Result<&mut Value, FormatError> {
        let id = *self.stack.last().ok_or_else(underflow)?;
        Ok(&mut self.values[id])
    }
}

fn underflow() -> FormatError {
    damaged("pickle", "it takes more than it put")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_executed() {
        let code = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.";
        let error = read(code).unwrap_err().to_string();
        assert!(error.contains("asks for os.system"), "{error}");
        let stacked = b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.";
        assert!(read(stacked).unwrap_err().to_string().contains("builtins.eval"));
        assert!(read(b"\x80\x02i__builtin__\neval\n.").unwrap_err().to_string().contains("instruction 0x69"));
    }

    #[test]
    fn a_list_in_itself_is_no_trouble() {
        assert!(read(b"\x80\x02]q\x00h\x00a.").is_err());
        let mut many = b"\x80\x02".to_vec();
        many.resize(VALUES + 10, b'N');
        assert!(read(&many).unwrap_err().to_string().contains("over 1000000 values"));
    }
}
