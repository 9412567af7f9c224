//! The command line.

use crate::recipe::Recipe;
use clap::Parser;
use infer::PlacementArguments;
use std::path::PathBuf;

/// Train LeNet-5 and its kin. Without arguments: LeNet-5 on the MNIST that ships, to about 1 % test error in minutes.
#[derive(Parser)]
#[command(name = "train", version, after_help = recipes(), args_override_self = true)]
pub struct Cli {
    /// A recipe that ships with the program, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "lenet5-mnist")]
    pub recipe: String,
    /// Change a key of the recipe: --set model.name=lenet5-rbf. Can be given again
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "resume")]
    pub set: Vec<String>,
    /// Passes over the training set [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub epochs: Option<u64>,
    /// Seed of weights, order and distortions [default: the recipe's]
    #[arg(long, conflicts_with = "resume")]
    pub seed: Option<u64>,
    /// Where to compute.
    #[command(flatten)]
    pub placement: PlacementArguments,
    /// Folder with the data set, four IDX files as MNIST's [default: the one that ships]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// New directory for the run's files [default: runs/RECIPE-N]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub out: Option<PathBuf>,
    /// Go on with an interrupted run, where it ran unless a device is named
    #[arg(long, value_name = "DIR", conflicts_with = "recipe")]
    pub resume: Option<PathBuf>,
    /// Threads that prepare images; changes nothing but the time
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,
    /// Progress as JSON lines
    #[arg(long)]
    pub json: bool,
}

fn recipes() -> String {
    format!("Recipes: {}", Recipe::shipped().collect::<Vec<_>>().join(", "))
}
