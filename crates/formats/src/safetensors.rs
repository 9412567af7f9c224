//! Safetensors that others wrote: f32 tensors by name, without a card.

use crate::FormatError;
use crate::arrays::{Array, Arrays};
use crate::error::{damaged, refused};
use crate::protobuf::floats;
use models::weights::WeightsError;
use safetensors::{Dtype, SafeTensors};

/// Whether the header has a card, so that [`models::weights::load`] is the one to read it.
pub(crate) fn has_card(bytes: &[u8]) -> bool {
    has_note(bytes, "card")
}

fn has_note(bytes: &[u8], key: &str) -> bool {
    let header = SafeTensors::read_metadata(bytes).ok();
    header.and_then(|(_, h)| h.metadata().as_ref().map(|notes| notes.contains_key(key))).unwrap_or(false)
}

/// The tensors of the file.
///
/// # Errors
/// If the bytes are not a whole safetensors file of f32 tensors.
pub(crate) fn read(bytes: &[u8]) -> Result<Arrays, FormatError> {
    // What `train` goes on from: its weights have no card, for their run isn't over.
    if has_note(bytes, "progress") {
        let problem = "this is where `train --resume` goes on. A run's weights are in last.safetensors and \
                       best.safetensors beside it, after each epoch.";
        return Err(refused("checkpoint", problem));
    }
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| damaged("safetensors", format!("{e:?}")))?;
    let array = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        if view.dtype() != Dtype::F32 {
            return Err(WeightsError::Type { name, dtype: format!("{:?}", view.dtype()) }.into());
        }
        let array = Array::new(view.shape().to_vec(), floats(view.data()).collect());
        Ok((name, array.ok_or_else(|| damaged("safetensors", "a shape doesn't fit its numbers"))?))
    };
    tensors.tensors().into_iter().map(array).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::weights::{Tensors, to_bytes};

    #[test]
    fn a_checkpoint_is_told_from_weights() {
        let bytes = to_bytes(&Tensors::new(), "progress", "{}").unwrap();
        let error = read(&bytes).unwrap_err().to_string();
        assert!(error.starts_with("checkpoint: ") && error.contains("last.safetensors"), "{error}");
    }
}
