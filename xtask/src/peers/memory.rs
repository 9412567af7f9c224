//! The most memory that one training step takes, in a process that did nothing else.

use super::row::Framework;
use super::worker::{Memory, once};
use super::{Setting, find};
use crate::bench::machine::Machine;
use crate::bench::plan::Listed;
use crate::bench::samples::round;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What came out for one framework.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub model: String,
    mode: String,
    pub batch: u32,
    pub framework: Framework,
    pub version: String,
    /// The largest resident size of the process (`VmHWM`), program and libraries counted in.
    pub peak_mib: f64,
    /// How long the step took, the first of its process.
    first_ms: f64,
    pub threads: usize,
    #[serde(flatten)]
    pub machine: Machine,
}

/// One step of each network at each batch.
///
/// # Errors
/// If a step fails.
pub fn measure(setting: &Setting, wanted: &[(String, u32)], listed: &[Listed]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, batch) in wanted {
        let model = find(listed, name)?;
        let files = setting.export(name)?;
        for framework in [Framework::Ours, Framework::PyTorch] {
            let mut command = setting.command(framework, model, "train", *batch, files.path());
            let title = || format!("{name} at batch {batch} in {}", framework.name());
            let memory: Memory = once(command.arg("--memory")).with_context(title)?;
            rows.push(Row {
                model: name.clone(),
                mode: "train".into(),
                batch: *batch,
                framework,
                version: memory.version,
                peak_mib: round(memory.peak_mib),
                first_ms: round(memory.first_ms),
                threads: setting.threads,
                machine: setting.machine.clone(),
            });
        }
    }
    Ok(rows)
}

/// The rows as a table.
pub fn table(rows: &[Row]) -> String {
    let mut text =
        format!("{:<14} {:>5}  {:<12} {:>10} {:>12}\n", "model", "batch", "framework", "peak MiB", "step ms");
    for r in rows {
        let (name, batch, framework) = (&r.model, r.batch, r.framework.name());
        text.push_str(&format!("{name:<14} {batch:>5}  {framework:<12} {:>10.0} {:>12.0}\n", r.peak_mib, r.first_ms));
    }
    text
}

#[cfg(test)]
pub fn sample(framework: Framework, peak_mib: f64) -> Row {
    let machine = Machine { cpu: "A".into(), cores: 2, ..Machine::default() };
    let (model, mode, version) = ("alexnet".into(), "train".into(), "1".into());
    Row { model, mode, batch: 128, framework, version, peak_mib, first_ms: 4000.0, threads: 2, machine }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each() {
        let text = table(&[sample(Framework::Ours, 3000.4)]);
        assert!(text.ends_with("alexnet          128  classic-cnns       3000         4000\n"), "{text}");
    }
}
