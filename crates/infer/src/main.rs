//! `infer`: classify images, evaluate weights, look inside and summarise networks.

mod commands;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Classify, evaluate, look inside and summarise with LeNet-5 and its kin.
#[derive(Parser)]
#[command(name = "infer", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say what is in an image.
    Classify(commands::classify::Arguments),
    /// Count the errors of weights on a data set.
    Eval(commands::eval::Arguments),
    /// Make a weight file of ours from PyTorch's, ONNX's or Caffe's.
    Convert(commands::convert::Arguments),
    /// Write a network with its weights for PyTorch or ONNX.
    Export(commands::export::Arguments),
    /// Download weights that others trained.
    Fetch(commands::fetch::Arguments),
    /// Print raw logits for tensors, for comparing with other frameworks.
    Logits(commands::logits::Arguments),
    /// Show a network layer by layer.
    Summary(commands::summary::Arguments),
    /// Time a network layer by layer.
    Profile(commands::profile::Arguments),
    /// Look inside: filters, maps, projections, occlusion, invariance.
    Visualize(commands::visualize::Arguments),
    /// Serve a page to draw on, and an API.
    Serve(commands::serve::Arguments),
    /// List the networks.
    List(commands::list::Arguments),
    /// List what there is to compute on, and what would bring the rest.
    Devices(commands::devices::Arguments),
    /// Hold a device against PyTorch's numbers.
    Selfcheck(commands::selfcheck::Arguments),
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    infer::memory::keep();
    infer::exit::run(|cli: Cli| -> Result<()> {
        match cli.command {
            Command::Classify(arguments) => commands::classify::run(&arguments),
            Command::Eval(arguments) => commands::eval::run(&arguments),
            Command::Convert(arguments) => commands::convert::run(&arguments),
            Command::Export(arguments) => commands::export::run(&arguments),
            Command::Fetch(arguments) => commands::fetch::run(&arguments),
            Command::Logits(arguments) => commands::logits::run(&arguments),
            Command::Summary(arguments) => commands::summary::run(&arguments),
            Command::Profile(arguments) => commands::profile::run(&arguments),
            Command::Visualize(arguments) => commands::visualize::run(&arguments),
            Command::Serve(arguments) => commands::serve::run(&arguments),
            Command::List(arguments) => commands::list::run(&arguments),
            Command::Devices(arguments) => commands::devices::run(&arguments),
            Command::Selfcheck(arguments) => commands::selfcheck::run(&arguments),
        }
    })
}
