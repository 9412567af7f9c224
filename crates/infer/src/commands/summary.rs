//! `infer summary`: the chapter's tables 4.1 to 4.4, for every network.

use anyhow::Result;
use infer::{Table, thousands};
use models::{Activation, Model, Row, Shape, device, zoo};
use serde::Serialize;
use std::io::Write;

/// Arguments of `infer summary`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Network, as `infer list` names it
    model: String,
    /// Classes to tell apart [default: as published]
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// Activation of the hidden layers [default: as published]
    #[arg(long)]
    activation: Option<Activation>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Summary<'a> {
    model: &'a str,
    parameters: usize,
    macs: usize,
    layers: Vec<Row>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let variant = zoo::find(&arguments.model)?;
    let mut model = Model::named(variant.name)?;
    model.classes = arguments.classes.unwrap_or(model.classes);
    model.activation = arguments.activation.unwrap_or(model.activation);
    let network = model.build(0, &device::parse("flex")?)?;
    let summary = Summary {
        model: variant.name,
        parameters: network.parameters(),
        macs: network.macs(),
        layers: network.summary(),
    };
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&summary)?)?;
        return Ok(());
    }
    let [channels, height, width] = network.input().shape();
    writeln!(out, "{}: {} ({})", variant.name, variant.title, variant.source)?;
    writeln!(out, "input {channels}x{height}x{width}, {} classes\n", model.classes)?;
    let mut table =
        Table::new(&["layer", "what", "input", "kernel", "output", ">parameters", "formula", ">MACs", ">field"]);
    for row in &summary.layers {
        let what = row.spec.activation.map_or_else(|| row.spec.kind.into(), |a| format!("{} + {a}", row.spec.kind));
        table.row([
            row.name.clone(),
            if row.spec.kind == "activation" { row.spec.activation.unwrap_or_default().into() } else { what },
            shape(row.spec.input),
            kernel(row),
            shape(row.spec.output),
            number(row.spec.parameters),
            row.spec.formula.clone(),
            number(row.spec.macs),
            format!("{0}x{0}", row.receptive_field),
        ]);
    }
    table.row(["total", "", "", "", "", &thousands(summary.parameters), "", &thousands(summary.macs), ""]);
    write!(out, "{table}")?;
    Ok(())
}

/// As the chapter writes it: height, width, maps.
fn shape([c, h, w]: Shape) -> String {
    format!("{h}x{w}x{c}")
}

fn number(n: usize) -> String {
    if n == 0 { "–".into() } else { thousands(n) }
}

/// `5x5/1`, and padding and groups where there are any.
fn kernel(row: &Row) -> String {
    let Some(window) = row.spec.window else { return "–".into() };
    let mut text = format!("{}x{}/{}", window.kernel[0], window.kernel[1], window.stride);
    match window.padding {
        [0, 0, 0, 0] => {}
        [t, l, b, r] if t == l && t == b && t == r => text.push_str(&format!(" pad {t}")),
        [t, l, b, r] => text.push_str(&format!(" pad {t},{l},{b},{r}")),
    }
    if row.spec.groups > 1 {
        text.push_str(&format!(" groups {}", row.spec.groups));
    }
    text
}
