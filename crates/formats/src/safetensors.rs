//! Safetensors that others wrote: f32 tensors by name, without a card.

use crate::FormatError;
use crate::arrays::{Array, Arrays};
use crate::error::damaged;
use crate::protobuf::floats;
use models::weights::WeightsError;
use safetensors::{Dtype, SafeTensors};

/// Whether the header has a card, so that [`models::weights::load`] is the one to read it.
pub(crate) fn has_card(bytes: &[u8]) -> bool {
    let header = SafeTensors::read_metadata(bytes).ok();
    header.and_then(|(_, h)| h.metadata().as_ref().map(|notes| notes.contains_key("card"))).unwrap_or(false)
}

/// The tensors of the file.
///
/// # Errors
/// If the bytes are not a whole safetensors file of f32 tensors.
pub(crate) fn read(bytes: &[u8]) -> Result<Arrays, FormatError> {
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
