//! PyTorch's `torch.save(model.state_dict())`: a zip archive of a pickle and the tensors' bytes; and the names that
//! torchvision gives to AlexNet's layers.

use crate::FormatError;
use crate::arrays::{Array, Arrays, elements, shapes};
use crate::error::{damaged, refused};
use crate::pickle::{self, View};
use crate::protobuf::floats;
use crate::zip;
use models::Network;
use models::weights::{Card, WeightsError};

/// Our card's entry in the archive; PyTorch reads over it.
const CARD: &str = "card.json";
/// Most bytes of a pickle: a state_dict's is a few thousand.
const PICKLE: usize = 16 << 20;

/// torchvision's names for the layers of `alexnet-torchvision`.
const TORCHVISION: [(&str, &str); 8] = [
    ("conv1", "features.0"),
    ("conv2", "features.3"),
    ("conv3", "features.6"),
    ("conv4", "features.8"),
    ("conv5", "features.10"),
    ("fc6", "classifier.1"),
    ("fc7", "classifier.4"),
    ("fc8", "classifier.6"),
];

/// `features.0.weight` for `conv1.weight` of torchvision's AlexNet; other names and other networks' as they are.
fn torchvision_name(model: &str, name: &str) -> String {
    let (layer, weight) = name.split_once('.').unwrap_or((name, ""));
    match TORCHVISION.iter().find(|(own, _)| *own == layer && model == "alexnet-torchvision") {
        Some((_, theirs)) => format!("{theirs}.{weight}"),
        None => name.into(),
    }
}

/// Arrays under torchvision's names under ours; others as they are.
pub(crate) fn own_names(model: &str, mut arrays: Arrays) -> Arrays {
    for (own, theirs) in TORCHVISION.iter().filter(|_| model == "alexnet-torchvision") {
        for weight in ["weight", "bias"] {
            if let Some(array) = arrays.remove(&format!("{theirs}.{weight}")) {
                arrays.entry(format!("{own}.{weight}")).or_insert(array);
            }
        }
    }
    arrays
}

/// The tensors of a `.pth` file, and our card if we wrote it.
///
/// # Errors
/// If the archive is damaged, the pickle does more than build a dictionary of tensors, or they are not f32.
pub(crate) fn read(bytes: &[u8]) -> Result<(Arrays, Option<Card>), FormatError> {
    let entries = zip::read(bytes)?;
    let pickle = entries.iter().find_map(|(name, data)| Some((name.strip_suffix("data.pkl")?, *data)));
    let Some((folder, pickle)) = pickle else {
        return Err(refused("zip archive", "it holds no data.pkl, so it is no PyTorch file."));
    };
    if pickle.len() > PICKLE {
        return Err(damaged("pickle", format!("{} bytes", pickle.len())));
    }
    let entry = |name: &str| entries.get(format!("{folder}{name}").as_str()).copied();
    if entry("byteorder").is_some_and(|order| order != b"little") {
        return Err(refused("PyTorch file", "it was saved on a big-endian machine. Save it again on another."));
    }
    // Views may overlap; what they hold together must not outgrow the file.
    let mut budget = bytes.len() / 4;
    let mut arrays = Arrays::new();
    for (name, view) in pickle::read(pickle)? {
        let storage = entry(&format!("data/{}", view.storage));
        let storage = storage.ok_or_else(|| damaged("PyTorch file", format!("the numbers of '{name}' are missing")))?;
        let count = elements(&view.shape).filter(|n| *n <= budget);
        let array = count.and_then(|n| {
            budget -= n;
            window(storage, view)
        });
        arrays
            .insert(name.clone(), array.ok_or_else(|| damaged("PyTorch file", format!("'{name}' outgrows the file")))?);
    }
    let card = entry(CARD).map(|text| serde_json::from_slice(text).map_err(|e| WeightsError::Card(e.to_string())));
    Ok((arrays, card.transpose()?))
}

/// What `view` shows of `storage`; `None` if it looks past the end.
fn window(storage: &[u8], view: View) -> Option<Array> {
    let count = elements(&view.shape)?;
    let dense =
        (0..view.shape.len()).all(|d| view.shape[d] == 1 || Some(view.strides[d]) == elements(&view.shape[d + 1..]));
    if dense {
        let from = view.offset.checked_mul(4)?;
        let part = storage.get(from..from.checked_add(count.checked_mul(4)?)?)?;
        return Array::new(view.shape, floats(part).collect());
    }
    let at = |mut i: usize| {
        let mut place = view.offset;
        for (length, stride) in view.shape.iter().zip(&view.strides).rev() {
            place = place.checked_add((i % length).checked_mul(*stride)?)?;
            i /= length;
        }
        let from = place.checked_mul(4)?;
        floats(storage.get(from..from.checked_add(4)?)?).next()
    };
    let values: Option<Vec<f32>> = (0..count).map(at).collect();
    Array::new(view.shape, values?)
}

/// The bytes of a `.pth` file with `network`'s weights, layer by layer.
///
/// # Errors
/// If it outgrows 4 GiB.
pub(crate) fn write(network: &Network, card: &Card) -> Result<Vec<u8>, FormatError> {
    let mut arrays = crate::arrays::join(network);
    let order: Vec<String> = shapes(network).into_iter().map(|(name, _)| name).collect();
    let tensors: Vec<(String, Array)> = (order.iter())
        .filter_map(|name| Some((torchvision_name(&network.model().name, name), arrays.remove(name)?)))
        .collect();
    let mut zip = zip::Writer::default();
    let pickle = pickle::write(tensors.iter().map(|(name, array)| (name.as_str(), array.shape.as_slice())));
    zip.entry("weights/data.pkl", &pickle)?;
    zip.entry("weights/byteorder", b"little")?;
    for (i, (_, array)) in tensors.iter().enumerate() {
        zip.entry(&format!("weights/data/{i}"), &array.bytes())?;
    }
    let card = serde_json::to_vec(card).map_err(|e| WeightsError::Card(e.to_string()))?;
    zip.entry(&format!("weights/{CARD}"), &card)?;
    zip.entry("weights/version", b"3\n")?;
    zip.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_windows() {
        let storage: Vec<u8> = (0..6).flat_map(|v| (v as f32).to_le_bytes()).collect();
        let view = |offset, shape: &[usize], strides: &[usize]| {
            let view = View { storage: "0".into(), offset, shape: shape.into(), strides: strides.into() };
            window(&storage, view).map(|a| a.values)
        };
        assert_eq!(view(1, &[2, 2], &[2, 1]), Some(vec![1., 2., 3., 4.]));
        assert_eq!(view(0, &[3, 2], &[1, 3]), Some(vec![0., 3., 1., 4., 2., 5.]));
        assert_eq!(view(3, &[2, 2], &[2, 1]), None);
        assert_eq!(view(usize::MAX, &[2], &[usize::MAX]), None);
    }

    #[test]
    fn only_torchvision_has_its_own_names() {
        assert_eq!(torchvision_name("alexnet-torchvision", "fc6.weight"), "classifier.1.weight");
        assert_eq!(torchvision_name("alexnet", "fc6.weight"), "fc6.weight");
    }
}
