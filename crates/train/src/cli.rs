//! The command line.

use crate::recipe::Recipe;
use clap::{Args, Parser, Subcommand};
use infer::{OnBadImage, PlacementArguments};
use std::path::PathBuf;
use std::thread::available_parallelism;

/// Train LeNet-5 and its kin. Without arguments: LeNet-5 on the MNIST that ships, to about 1 % test error in minutes.
#[derive(Parser)]
#[command(name = "train", version, after_help = recipes(), args_override_self = true)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What else to do than to train.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to train, and how.
    #[command(flatten)]
    pub run: Run,
}

/// What else there is to do.
#[derive(Subcommand)]
pub enum Command {
    /// Download a data set: its files are put where a recipe finds them
    Fetch(Fetch),
    /// Write images in folders as a data set in CIFAR-10's binary layout
    Pack(Pack),
    /// Draw the curves of several runs into one picture
    Compare(Compare),
    /// Lend this machine's device to trainings elsewhere: --device remote:HOST:PORT there
    Worker(Worker),
}

/// Arguments of training.
#[derive(Args)]
pub struct Run {
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
    /// Begin with the weights in this file, of any format that `infer` reads, instead of the paper's initial ones
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub weights: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub placement: PlacementArguments,
    /// The data set: a folder with four IDX files, with CIFAR's or SVHN's files, or with train/CLASS/IMAGE and
    /// val/CLASS/IMAGE; or CIFAR's archive [default: datasets/NAME by the recipe]
    #[arg(long, value_name = "PATH")]
    pub data_dir: Option<PathBuf>,
    /// What becomes of an image that can't be decoded [default: fail, or what the resumed run does]
    #[arg(long, value_name = "WHAT")]
    pub on_bad_image: Option<OnBadImage>,
    /// New directory for the run's files [default: runs/RECIPE-N]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub out: Option<PathBuf>,
    /// Go on with an interrupted run, where it ran unless a device is named
    #[arg(long, value_name = "DIR", conflicts_with = "recipe")]
    pub resume: Option<PathBuf>,
    /// Save all that is needed to go on after so many seconds, too; epochs end with it anyway
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub checkpoint_seconds: u64,
    /// And after so many steps
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub checkpoint_steps: Option<u64>,
    /// Threads that prepare images; changes nothing but the time [default: half of the cores, at most 8]
    #[arg(long, value_name = "N", default_value_t = threads(), hide_default_value = true)]
    pub threads: usize,
    /// Don't hold a device against PyTorch's numbers before the first training there
    #[arg(long)]
    pub no_selfcheck: bool,
    /// Progress as JSON lines
    #[arg(long, conflicts_with = "tui")]
    pub json: bool,
    /// Progress as a dashboard that fills the terminal, if there is one; q saves and stops
    #[arg(long)]
    pub tui: bool,
    /// Write each epoch's numbers for TensorBoard, too: `tensorboard --logdir runs`. A resumed run goes on with it
    #[arg(long)]
    pub tensorboard: bool,
}

/// Arguments of `train fetch`.
#[derive(Args)]
pub struct Fetch {
    /// Data set to download [default: list those that can be had]
    pub name: Option<String>,
    /// Put it into DIR/NAME
    #[arg(long, value_name = "DIR", default_value = "datasets")]
    pub dir: PathBuf,
    /// Another list of data sets than the program's own, datasets/manifest.toml
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
}

/// Arguments of `train pack`.
#[derive(Args)]
pub struct Pack {
    /// Folder with train/CLASS/IMAGE and test/CLASS/IMAGE, 32x32 pixels each
    pub from: PathBuf,
    /// New directory for the data set
    pub out: PathBuf,
}

/// Arguments of `train compare`.
#[derive(Args)]
pub struct Compare {
    /// Directories of runs
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The picture, PNG
    #[arg(long, value_name = "FILE", default_value = "compare.png")]
    pub out: PathBuf,
}

/// Arguments of `train worker`.
#[derive(Args)]
pub struct Worker {
    /// Where to wait for them. What is not on this machine reaches 0.0.0.0:PORT, unencrypted
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:3000")]
    pub listen: String,
    /// The device to lend
    #[arg(long, default_value = "flex")]
    pub device: String,
    /// Ask nobody for the token in the environment's WORKER_TOKEN: whoever reaches the port may compute here
    #[arg(long)]
    pub no_auth: bool,
    /// Don't hold the device against PyTorch's numbers before it is lent for the first time
    #[arg(long)]
    pub no_selfcheck: bool,
}

fn recipes() -> String {
    format!("Recipes: {}", Recipe::shipped().collect::<Vec<_>>().join(", "))
}

fn threads() -> usize {
    (available_parallelism().map_or(1, usize::from) / 2).clamp(1, 8)
}
