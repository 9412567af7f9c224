//! `infer selfcheck`.

use anyhow::Result;
use infer::DeviceArgument;
use infer::selfcheck::{self, Line, Outcome};
use serde_json::json;
use std::io::Write;
use std::time::Instant;

/// Arguments of `infer selfcheck`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    device: DeviceArgument,
    /// The big networks, too, at their full width: minutes
    #[arg(long)]
    all: bool,
    /// A JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let device = arguments.device.name()?;
    let mut out = std::io::stdout().lock();
    let (started, mut agreed) = (Instant::now(), 0);
    selfcheck::run(device, arguments.all, |line| {
        agreed += usize::from(matches!(line.outcome, Outcome::Agreed(_)));
        if arguments.json {
            writeln!(out, "{}", serde_json::to_string(&row(line))?)?;
        } else {
            let what = match &line.outcome {
                Outcome::Agreed(agreed) => format!("{:5.1} % of the tolerance", 100.0 * agreed.of_tolerance),
                Outcome::Spared(exception) => format!("not run: {}", exception.reason),
                Outcome::Failed(why) => format!("DIFFERS: {why}"),
            };
            writeln!(out, "{:<24} {:<9} {:>6.2} s  {what}", line.case.name, line.part.name(), line.seconds)?;
        }
        Ok(out.flush()?)
    })?;
    if !arguments.json {
        let seconds = started.elapsed().as_secs_f64();
        writeln!(out, "{device} computes what PyTorch does: {agreed} checks in {seconds:.1} s")?;
    }
    Ok(())
}

fn row(line: &Line) -> serde_json::Value {
    let (of_tolerance, reason, upstream, error) = match &line.outcome {
        Outcome::Agreed(agreed) => (Some(agreed.of_tolerance), None, None, None),
        Outcome::Spared(exception) => (None, Some(exception.reason), exception.upstream, None),
        Outcome::Failed(why) => (None, None, None, Some(why)),
    };
    json!({
        "case": line.case.name, "part": line.part.name(), "seconds": line.seconds, "of_tolerance": of_tolerance,
        "not_run": reason, "upstream": upstream, "error": error,
    })
}
