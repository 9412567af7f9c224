//! What PyTorch's pickles ask for by name, carried out on plain data.

use super::{Global, Id, Machine, NAME, Value, View};
use crate::FormatError;
use crate::error::{damaged, refused};

impl Machine<'_> {
    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<(), FormatError> {
        let global = match (module, name) {
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
            ("torch", "FloatStorage") => Global::FloatStorage,
            ("torch", other) if other.ends_with("Storage") => {
                return Err(refused("pickle", format!("it holds a torch.{other}; only FloatStorage can be read.")));
            }
            _ => {
                return Err(refused(
                    "pickle",
                    format!(
                        "it asks for {module}.{name}, which has no place in a state_dict. Don't open this file in \
                         Python either, unless you trust whoever made it."
                    ),
                ));
            }
        };
        self.push(Value::Global(global))
    }

    /// `('storage', FloatStorage, key, device, elements)`.
    pub(super) fn storage(&mut self) -> Result<(), FormatError> {
        let id = self.pop()?;
        let Value::List(items) = &self.values[id] else { return Err(damaged("pickle", "a storage without a name")) };
        let key = match items.iter().map(|i| &self.values[*i]).collect::<Vec<_>>()[..] {
            [Value::Text(tag), Value::Global(Global::FloatStorage), Value::Text(key), _, Value::Int(_)]
                if tag == "storage" && key.len() <= NAME =>
            {
                key.clone()
            }
            _ => return Err(damaged("pickle", "a storage that is described in another way than PyTorch's")),
        };
        self.push(Value::Storage(key))
    }

    pub(super) fn call(&mut self) -> Result<(), FormatError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (Value::Global(function), Value::List(arguments)) = (&self.values[function], &self.values[arguments])
        else {
            return Err(refused("pickle", "it calls what is no function, which is never done here."));
        };
        let arguments: Vec<_> = arguments.iter().map(|i| &self.values[*i]).collect();
        let value = match (function, &arguments[..]) {
            (Global::OrderedDict, []) => Value::Dict(Vec::new()),
            (
                Global::RebuildTensor,
                [Value::Storage(key), Value::Int(offset), Value::List(shape), Value::List(strides), ..],
            ) => {
                let lengths = |ids: &[Id]| {
                    let length = |id: &Id| match self.values[*id] {
                        Value::Int(n) => usize::try_from(n).ok(),
                        _ => None,
                    };
                    (ids.len() <= 8).then(|| ids.iter().map(length).collect::<Option<Vec<_>>>()).flatten()
                };
                let view = usize::try_from(*offset).ok().zip(lengths(shape)).zip(lengths(strides));
                let view = view.filter(|((_, shape), strides)| shape.len() == strides.len());
                let Some(((offset, shape), strides)) = view else {
                    return Err(damaged("pickle", "a tensor with an impossible shape"));
                };
                Value::Tensor(View { storage: key.clone(), offset, shape, strides })
            }
            (Global::RebuildParameter, [Value::Tensor(view), ..]) => Value::Tensor(view.clone()),
            _ => return Err(damaged("pickle", "a tensor that is described in another way than PyTorch's")),
        };
        self.push(value)
    }
}
