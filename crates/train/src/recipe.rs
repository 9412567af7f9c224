//! Recipes: everything that decides what a training run does, in one TOML file.

use crate::schedule::Schedule;
use anyhow::{Context, Result, anyhow, bail, ensure};
use data::{Augment, Crop, Distortion, Synthetic};
use models::{Activation, Model, Whitening, zoo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

macro_rules! shipped {
    ($name:literal) => {
        ($name, include_str!(concat!("../recipes/", $name, ".toml")))
    };
}

/// The recipes inside the program, the default first.
const SHIPPED: &[(&str, &str)] = &[
    shipped!("lenet5-mnist"),
    shipped!("lenet5-mnist-distorted"),
    shipped!("lenet5-mnist-1998"),
    shipped!("lenet5-rbf-mnist"),
    shipped!("alexnet-imagenet"),
    shipped!("zfnet-imagenet"),
    shipped!("alexnet-hundred"),
    shipped!("zfnet-hundred"),
    shipped!("nin-cifar10"),
    shipped!("nin-cifar10-augmented"),
    shipped!("nin-cifar10-short"),
    shipped!("nin-cifar100"),
    shipped!("nin-mnist"),
    shipped!("nin-svhn"),
    shipped!("nin-chapter-cifar100"),
    shipped!("smoke-lenet5"),
    shipped!("smoke-nin"),
    shipped!("smoke-alexnet"),
];

/// A training run on paper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Its name, that of its file.
    pub name: String,
    /// Seed of weights, order and distortions.
    pub seed: u64,
    /// The network.
    pub model: ModelChoice,
    /// What it sees.
    pub data: Data,
    /// How long, and what is made small.
    pub training: Training,
    /// How the weights move.
    pub optimizer: Optimizer,
    /// How the learning rate moves.
    pub schedule: Schedule,
}

/// `[model]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelChoice {
    /// As `infer list` names it.
    pub name: String,
    /// Another activation than the paper's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Another rate than the paper's in every dropout layer; 0 drops nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
}

/// `[data]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The data set in `datasets/` under this name, unless `--data-dir` says otherwise; `synthetic` for a made-up one.
    pub dataset: String,
    /// What is made up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<Synthetic>,
    /// How many images at the end of the training set validate; 0 for none.
    pub validation: usize,
    /// Train on that many images only, from the start of the training set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// An epoch goes that many times through the training images: for sets so small that saving would take longer.
    #[serde(default = "one")]
    pub repeat: usize,
    /// Images a step.
    pub batch_size: usize,
    /// In which order an epoch goes through the images.
    #[serde(default)]
    pub order: Order,
    /// LeCun's planar distortions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distortion: Option<Distortion>,
    /// Where training images are cut out: `{ pad = 4 }`, `random` or `five`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
    /// Mirrors every other training image.
    #[serde(default)]
    pub flip: bool,
    /// AlexNet's light of another colour (0.1 in the paper).
    #[serde(default)]
    pub lighting: f32,
    /// Contrast normalisation and whitening, fitted on the training set, instead of the network's own mean and deviation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whitening: Option<Whitening>,
}

impl Data {
    /// What is done to training images.
    pub fn augment(&self) -> Augment {
        let Self { distortion, crop, flip, lighting, .. } = self.clone();
        Augment { distortion, crop, flip, lighting }
    }
}

/// In which order an epoch goes through the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// A random one, each epoch another.
    #[default]
    Shuffled,
    /// One random order for all epochs (LeCun 1998, III-B).
    Constant,
}

/// `[training]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Passes over the training set.
    pub epochs: u64,
    /// Epochs, from 1, after which the weights are kept as `epoch-N.safetensors`: what `infer visualize evolution` shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<u64>,
    /// What is made small.
    pub loss: Loss,
    /// Parts that a batch is worked on one after the other, for less memory: their gradients add up to the batch's.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Ends training after so many epochs without a new minimum of the validation error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
}

fn one() -> usize {
    1
}

/// What is made small.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Loss {
    /// Softmax and cross-entropy.
    CrossEntropy {
        /// Share of the truth that is spread evenly over all classes.
        #[serde(default)]
        smoothing: f32,
    },
    /// The penalty of the right class (LeCun 1998, eq. 8); for RBF outputs.
    Penalty,
    /// The penalty of the right class against all others and a rubbish class at `j` (LeCun 1998, eq. 9).
    Map {
        /// The penalty of rubbish, positive. The paper gives no value.
        j: f32,
    },
}

/// `[optimizer]`: stochastic gradient descent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimizer {
    /// Share of the last step that goes on; no dampening.
    #[serde(default)]
    pub momentum: f64,
    /// Pull of the weights to 0, relative to the learning rate; biases and coefficients are left alone.
    #[serde(default)]
    pub weight_decay: f64,
    /// Filters of convolutions are scaled down to this root mean square where a step takes them over it (Zeiler 2013,
    /// section 3). The network's own if left out, 0.1 for ZFNet; `inf` for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_radius: Option<f32>,
    /// Factors on the rate of weights with that word in their name: `{ bias = 2.0, cccp6 = 0.1 }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<String, f64>,
    /// Greatest length of the gradient over all weights together; a longer one is scaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// A step size for each weight from the diagonal of the Hessian (LeCun 1998, appendix C).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_order: Option<SecondOrder>,
}

/// `[optimizer.second-order]`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondOrder {
    /// Added to every curvature, so that flat directions don't run away (the paper: 0.02).
    pub mu: f64,
    /// Images that the curvature is estimated on before each pass (the paper: 500).
    pub samples: usize,
}

impl Recipe {
    /// Names of the recipes inside the program, the default first.
    pub fn shipped() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// The recipe called `name`, or in the file of that name, with `changes` of the form `key=value`.
    ///
    /// # Errors
    /// If there is no such recipe, or it can't be carried out: names the key.
    pub fn load(name: &str, changes: &[String]) -> Result<Self> {
        let text = match SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            Some((_, text)) => (*text).to_string(),
            None if Path::new(name).extension().is_some() => {
                std::fs::read_to_string(name).with_context(|| format!("recipe {name} can't be read"))?
            }
            None => {
                let shipped: Vec<_> = Self::shipped().collect();
                bail!("no recipe is called '{name}'; there are {}, or give a file ending in .toml", shipped.join(", "))
            }
        };
        Self::parse(&text, changes).with_context(|| format!("recipe {name}"))
    }

    /// The recipe that `text` describes, with `changes` of the form `key=value`.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub fn parse(text: &str, changes: &[String]) -> Result<Self> {
        let recipe: Self = if changes.is_empty() {
            toml::from_str(text)? // from the text, so that an error points at the line
        } else {
            let mut table: toml::Table = toml::from_str(text)?;
            for change in changes {
                set(&mut table, change)?;
            }
            toml::Value::Table(table).try_into()?
        };
        recipe.check()?;
        Ok(recipe)
    }

    /// The network that it trains, with `classes` classes.
    ///
    /// # Errors
    /// If there is no such network.
    pub fn model(&self, classes: usize) -> Result<Model> {
        let mut model = Model::named(&self.model.name)?;
        model.classes = classes;
        model.activation = self.model.activation.unwrap_or(model.activation);
        Ok(model)
    }

    /// # Errors
    /// If it can't be carried out: names the key.
    pub(crate) fn check(&self) -> Result<()> {
        let variant = zoo::find(&self.model.name).context("model.name")?;
        ensure!(
            self.model.dropout.is_none_or(|rate| (0.0..1.0).contains(&rate)),
            "model.dropout must be at least 0 and below 1"
        );
        ensure!(self.data.batch_size > 0, "data.batch_size is 0");
        ensure!(self.data.limit != Some(0), "data.limit is 0: leave it out to train on all images");
        ensure!(self.data.repeat > 0, "data.repeat is 0");
        ensure!(self.training.epochs > 0, "training.epochs is 0");
        ensure!(!self.training.keep.contains(&0), "training.keep: epochs count from 1");
        ensure!((0.0..1.0).contains(&self.optimizer.momentum), "optimizer.momentum must be at least 0 and below 1");
        ensure!(self.optimizer.weight_decay >= 0.0, "optimizer.weight_decay is negative");
        ensure!(self.training.accumulate > 0, "training.accumulate is 0");
        ensure!(self.training.patience != Some(0), "training.patience is 0");
        ensure!(self.optimizer.clip.is_none_or(|v| v.is_finite() && v > 0.0), "optimizer.clip must be positive");
        ensure!(
            self.optimizer.filter_radius.is_none_or(|r| r > 0.0),
            "optimizer.filter_radius must be positive, or inf"
        );
        for (word, factor) in &self.optimizer.rates {
            ensure!(factor.is_finite() && *factor >= 0.0, "optimizer.rates: {word} is {factor}, expected at least 0");
        }
        let synthetic = self.data.dataset == "synthetic";
        ensure!(synthetic == self.data.synthetic.is_some(), "data.synthetic goes with data.dataset = \"synthetic\"");
        if let Some(second_order) = self.optimizer.second_order {
            ensure!(second_order.mu > 0.0, "optimizer.second_order.mu must be positive");
            ensure!(second_order.samples > 0, "optimizer.second_order.samples is 0");
        }
        match self.training.loss {
            Loss::CrossEntropy { smoothing } => {
                ensure!((0.0..1.0).contains(&smoothing), "training.loss: smoothing must be at least 0 and below 1");
            }
            Loss::Penalty | Loss::Map { .. } if variant.name != "lenet5-rbf" => {
                bail!("training.loss: only lenet5-rbf has penalties for outputs; {} has logits", variant.name);
            }
            Loss::Map { j } => ensure!(j > 0.0, "training.loss: j must be positive (LeCun 1998, eq. 9)"),
            Loss::Penalty => {}
        }
        self.schedule.check(self.training.epochs)?;
        Ok(())
    }
}

/// Sets `a.b.c=value` in `table`. The value is read as TOML; what isn't TOML is taken for a string.
fn set(table: &mut toml::Table, change: &str) -> Result<()> {
    let (key, value) =
        change.split_once('=').ok_or_else(|| anyhow!("--set {change}: expected key=value, as in training.epochs=3"))?;
    let value = match format!("x = {value}").parse::<toml::Table>() {
        Ok(mut parsed) => parsed.remove("x").ok_or_else(|| anyhow!("--set {change}: no value"))?,
        Err(_) => toml::Value::String(value.into()),
    };
    let mut path: Vec<_> = key.trim().split('.').collect();
    let last = path.pop().filter(|k| !k.is_empty()).ok_or_else(|| anyhow!("--set {change}: no key"))?;
    let mut at = table;
    for part in path {
        at = at
            .entry(part)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| anyhow!("--set {change}: {part} is a value, not a table"))?;
    }
    at.insert(last.into(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(changes: &[&str]) -> Result<Recipe> {
        Recipe::load("lenet5-mnist", &changes.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn every_shipped_recipe_can_be_carried_out_and_is_called_like_its_file() {
        for name in Recipe::shipped() {
            let recipe = Recipe::load(name, &[]).unwrap();
            assert_eq!(recipe.name, name);
            let resolved = toml::to_string(&recipe).unwrap();
            assert_eq!(Recipe::parse(&resolved, &[]).unwrap(), recipe, "{resolved}");
        }
    }

    #[test]
    fn set_changes_one_key() {
        let recipe = load(&["training.epochs=3", "model.name=lenet5-dense", "model.activation=tanh"]).unwrap();
        assert_eq!((recipe.training.epochs, recipe.model.name.as_str()), (3, "lenet5-dense"));
        assert_eq!(recipe.model.activation, Some(Activation::Tanh));
        let recipe = load(&["data.distortion={ translate = 1.0 }"]).unwrap();
        assert_eq!(recipe.data.distortion.unwrap().translate, 1.0);
    }

    #[test]
    fn without_dropout_nothing_is_drawn() {
        let network = Model::named("nin-mnist").unwrap().build(1, &models::device::parse("flex").unwrap()).unwrap();
        assert!(network.is_random());
        assert!(!network.with_dropout(0.0).is_random());
    }

    #[test]
    fn mistakes_are_named() {
        let message = |changes: &[&str]| format!("{:#}", load(changes).unwrap_err());
        assert!(message(&["training.epoch=3"]).contains("unknown field `epoch`"), "{}", message(&["training.epoch=3"]));
        assert!(message(&["training.epochs=many"]).contains("invalid type"));
        assert!(message(&["training.epochs"]).contains("expected key=value"));
        assert!(message(&["model.name=lenet6"]).contains("no network is called 'lenet6'"));
        assert!(message(&["training.loss={ map = { j = 1.0 } }"]).contains("only lenet5-rbf has penalties"));
        assert!(message(&["model.dropout=1.0"]).contains("at least 0 and below 1"));
        assert!(message(&["data.batch_size=0"]).contains("data.batch_size is 0"));
        assert!(message(&["data.repeat=0"]).contains("data.repeat is 0"));
        assert!(message(&["data.limit=0"]).contains("data.limit is 0"));
        let unknown = format!("{:#}", Recipe::load("lenet5-minst", &[]).unwrap_err());
        assert!(unknown.contains("no recipe is called 'lenet5-minst'; there are lenet5-mnist,"), "{unknown}");
    }

    #[test]
    fn an_error_in_a_file_points_at_its_line() {
        let text = include_str!("../recipes/lenet5-mnist.toml").replace("batch_size", "batchsize");
        let message = format!("{:#}", Recipe::parse(&text, &[]).unwrap_err());
        assert!(message.contains("batchsize") && message.contains("line"), "{message}");
    }
}
