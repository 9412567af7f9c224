//! The benchmark binary: built once, then a process for each measurement.

use super::plan::Listed;
use super::row::Row;
use crate::cargo;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Devices that are linked on demand, by the cargo feature of their name.
const OPTIONAL: [&str; 6] = ["wgpu", "vulkan", "metal", "webgpu", "cuda", "libtorch"];
/// How much longer than its limit a process may take to say that it ran out of time.
const GRACE: Duration = Duration::from_secs(5);

/// The binary.
pub struct Bench(PathBuf);

/// What a process said.
#[derive(Default, Deserialize)]
pub struct Answer {
    pub median_ms: Option<f64>,
    pub samples_ms: Vec<f64>,
    pub first_ms: Option<f64>,
    pub adapter: Option<String>,
    pub peak_mib: Option<f64>,
    pub max_abs_diff: Option<f64>,
    pub error: Option<String>,
    /// How long the process took.
    #[serde(skip)]
    pub took: Duration,
}

/// Just enough of cargo's messages.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

impl Bench {
    /// Builds it with what `devices` need. Cargo's own messages are shown.
    pub fn build(devices: &[String]) -> Result<Self> {
        let backend = |device: &String| device.split(':').next().unwrap_or_default().to_string();
        let mut features: Vec<_> = devices
            .iter()
            .map(backend)
            .filter(|b| OPTIONAL.contains(&b.as_str()))
            .map(|b| format!("train/{b}"))
            .collect();
        features.sort();
        features.dedup();
        build("bench", &features).map(Self)
    }

    /// One that is there already.
    #[cfg(test)]
    pub fn at(path: &str) -> Self {
        Self(path.into())
    }

    /// It, to be told what to do.
    pub fn command(&self) -> Command {
        Command::new(&self.0)
    }

    /// What there is to time.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let output = Command::new(&self.0).arg("--list").output().context("the benchmark can't be started")?;
        ensure!(output.status.success(), "bench --list: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// One measurement of `seconds`, given up after `limit`. However the process ends, there is an answer.
    ///
    /// # Errors
    /// If the process can't be started.
    pub fn time(&self, row: &Row, seconds: f64, limit: Duration) -> Result<Answer> {
        let start = Instant::now();
        let mut child = Command::new(&self.0)
            .args([
                "--model",
                &row.of.model,
                "--mode",
                row.of.mode.name(),
                "--device",
                &row.device,
                "--dtype",
                row.dtype,
            ])
            .args(["--batch", &row.of.batch.to_string(), "--seconds", &seconds.to_string()])
            .args(["--limit", &limit.as_secs_f64().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("the benchmark can't be started")?;
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else { bail!("no pipes") };
        let (out, err) = (thread::spawn(move || text(out)), thread::spawn(move || text(err)));
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if start.elapsed() > limit + GRACE {
                child.kill()?;
                child.wait()?;
                break None;
            }
            thread::sleep(Duration::from_millis(10));
        };
        let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
        let answer = match status {
            None => Err(format!("killed: no answer {} s after it started", start.elapsed().as_secs())),
            Some(status) => serde_json::from_str(out.trim()).map_err(|_| {
                let last = err.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("nothing on standard error");
                format!("ended with {status} and without an answer: {last}")
            }),
        };
        let answer = answer.unwrap_or_else(|error| Answer { error: Some(error), ..Answer::default() });
        Ok(Answer { took: start.elapsed(), ..answer })
    }
}

/// Builds the workspace's program `bin`: its path.
///
/// # Errors
/// If cargo can't; its messages are shown.
pub fn build(bin: &str, features: &[String]) -> Result<PathBuf> {
    let mut command = cargo();
    // The whole workspace's features, so that this and the tests share one build of Burn.
    command.args(["build", "--workspace", "--bin", bin, "--message-format=json-render-diagnostics"]);
    if !features.is_empty() {
        command.args(["--features", &features.join(",")]);
    }
    eprintln!("building {bin}");
    let output = command.stderr(Stdio::inherit()).output().context("cargo can't be started")?;
    ensure!(output.status.success(), "{bin} can't be built: see cargo's message above");
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let path = messages.lines().filter_map(|l| serde_json::from_str::<Message>(l).ok()?.executable).next_back();
    path.with_context(|| format!("cargo built no executable called {bin}"))
}

fn text(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).ok(); // what came before an error is still worth showing
    String::from_utf8_lossy(&bytes).into_owned()
}
