//! The card of a file that has none: what its kind of file is known to want, and the names of known classes.

use crate::{FormatError, Kind};
use models::weights::{Card, WeightsError};
use models::{Framing, InputSpec, Model, Network, Normalise};

/// ImageNet's thousand (ILSVRC 2012), in the order of their synsets, one a line.
const IMAGENET: &str = include_str!("imagenet-classes.txt");
const CIFAR10: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Names for `model`'s classes: ImageNet's for the networks of ImageNet with a thousand, CIFAR-10's for its network with
/// ten, else numbers.
pub fn class_names(model: &Model) -> Vec<String> {
    let imagenet = ["alexnet", "zfnet", "nin-imagenet"].iter().any(|family| model.name.starts_with(family));
    match model.classes {
        1000 if imagenet => IMAGENET.lines().map(String::from).collect(),
        10 if model.name.starts_with("nin-cifar10") => CIFAR10.map(String::from).to_vec(),
        n => (0..n).map(|class| class.to_string()).collect(),
    }
}

/// The card of a network that nobody has trained yet.
pub fn untrained(network: &Network) -> Card {
    let model = network.model().clone();
    Card { classes: class_names(&model), model, input: network.input().clone(), training: None }
}

/// Whether a file's first layer reads blue, green, red: Caffe's order for photographs, and that of the nets which went
/// from Caffe and Caffe2 into the ONNX model zoo.
pub(crate) fn is_bgr(kind: Kind, network: &Network) -> bool {
    match kind {
        Kind::Caffe => network.input().channels == 3 && network.input().height > 32,
        Kind::Onnx => ["alexnet-bvlc", "alexnet-caffenet", "zfnet512"].contains(&network.model().name.as_str()),
        Kind::Safetensors | Kind::Pytorch => false,
    }
}

/// The card of somebody else's file, and what it can't say. `images` is the height and width that the file names.
pub(crate) fn of_foreign(kind: Kind, network: &Network, images: Option<[i64; 2]>) -> (Card, Vec<String>) {
    let (mut card, mut notes) = (untrained(network), Vec::new());
    if is_bgr(kind, network) {
        // Caffe's mean of the ilsvrc12 training set, as red, green, blue; pixels stay 0..=255.
        let mean = [122.679, 116.669, 104.007].map(|m| m / 255.0).to_vec();
        let normalise = Normalise::MeanStd { mean, std: vec![1.0 / 255.0; 3] };
        card.input = InputSpec { framing: Framing::ResizeCrop { shorter: 256 }, normalise, ..card.input };
        notes.push("the first layer's colours were turned round from BGR to RGB".into());
    }
    if kind == Kind::Caffe && network.model().name.starts_with("nin-cifar10") {
        notes.push(
            "Caffe's net was trained on whitened images: its card can't whiten, so photos will be misread".into(),
        );
    }
    let [_, h, w] = network.input().shape().map(|n| n as i64);
    if let Some([height, width]) = images
        && [height, width] != [h, w]
    {
        notes.push(format!(
            "the file's graph takes {height}x{width} images; {} shows its weights {h}x{w}, as they were trained",
            network.model().name
        ));
    }
    (card, notes)
}

/// # Errors
/// If `model` names another network than the card.
pub(crate) fn check_name(card: &Card, model: Option<&str>) -> Result<(), FormatError> {
    match model.map(models::zoo::find).transpose()? {
        Some(wanted) if wanted.name != card.model.name => Err(FormatError::Mismatch {
            model: wanted.name.into(),
            place: "card".into(),
            problem: format!("the file is for {}", card.model.name),
        }),
        _ => Ok(()),
    }
}

/// # Errors
/// If a card's input or class names are not those of the network that it names.
pub(crate) fn check(card: &Card, network: &Network) -> Result<(), FormatError> {
    card.input.check().map_err(WeightsError::Card)?;
    if card.input.shape() == network.input().shape() && card.classes.len() == card.model.classes {
        return Ok(());
    }
    let (shape, names) = (card.input.shape(), card.classes.len());
    let problem = format!("its input {shape:?} and {names} class names don't fit {}", card.model.name);
    Err(WeightsError::Card(problem).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_a_thousand() {
        let names = class_names(&Model::named("alexnet").unwrap());
        assert_eq!((names.len(), &*names[0], &*names[999]), (1000, "tench", "toilet tissue"));
    }

    #[test]
    fn another_number_of_classes_has_numbers() {
        let model = Model { classes: 3, ..Model::named("alexnet").unwrap() };
        assert_eq!(class_names(&model), ["0", "1", "2"]);
    }
}
