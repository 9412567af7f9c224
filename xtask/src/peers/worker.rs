//! A framework's process: it starts once, then answers turns, a line in and a line out.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long an answer may take beyond the seconds asked for: loading weights, or one slow call.
const PATIENCE: Duration = Duration::from_secs(120);

/// The process.
pub struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    pub ready: Ready,
}

/// What it says first.
#[derive(Debug, Default, Deserialize)]
pub struct Ready {
    pub version: String,
    /// The first image's.
    pub logits: Vec<f32>,
}

/// What it says of a turn.
#[derive(Debug, Deserialize)]
pub struct Turn {
    #[serde(default)]
    pub samples_ms: Vec<f64>,
    /// A choice that it made.
    pub how: Option<String>,
}

/// What it says of its memory, if that is what it was started for.
#[derive(Debug, Deserialize)]
pub struct Memory {
    pub version: String,
    pub peak_mib: f64,
    pub first_ms: f64,
}

impl Worker {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// If it can't be started, or ends instead: with what it said last.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{command:?} can't be started"))?;
        let (Some(out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) else { bail!("no pipes") };
        let input = child.stdin.take();
        let (send, lines) = mpsc::channel();
        thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let stderr = Some(thread::spawn(move || {
            let mut bytes = Vec::new();
            err.read_to_end(&mut bytes).ok(); // what came before an error is still worth showing
            String::from_utf8_lossy(&bytes).into_owned()
        }));
        let mut worker = Self { child, input, lines, stderr, ready: Ready::default() };
        worker.ready = worker.answer(Duration::ZERO)?;
        Ok(worker)
    }

    /// Makes calls for `seconds`.
    ///
    /// # Errors
    /// If it has ended, or says nothing in time.
    pub fn turn(&mut self, seconds: f64) -> Result<Turn> {
        let input = self.input.as_mut().context("it was told to end")?;
        // If it has ended, its last words say more than the broken pipe does.
        writeln!(input, "{seconds}").and_then(|()| input.flush()).ok();
        self.answer(Duration::from_secs_f64(seconds))
    }

    fn answer<T: for<'a> Deserialize<'a>>(&mut self, after: Duration) -> Result<T> {
        match self.lines.recv_timeout(after + PATIENCE) {
            Ok(line) => serde_json::from_str(&line).with_context(|| format!("not an answer: {line}")),
            Err(RecvTimeoutError::Timeout) => bail!("no answer after {} s", (after + PATIENCE).as_secs()),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait()?;
                Err(anyhow!("ended with {status}: {}", last_line(&self.stderr.take().map(JoinHandle::join))))
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It holds gigabytes and has nothing to save.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs a command that says one line of JSON and ends.
///
/// # Errors
/// If it fails: with what it said last.
pub fn once<T: for<'a> Deserialize<'a>>(command: &mut Command) -> Result<T> {
    let output = command.output().with_context(|| format!("{command:?} can't be started"))?;
    let err = Some(Ok(String::from_utf8_lossy(&output.stderr).into_owned()));
    ensure!(output.status.success(), "ended with {}: {}", output.status, last_line(&err));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn last_line(text: &Option<thread::Result<String>>) -> &str {
    let text = text.as_ref().and_then(|t| t.as_ref().ok()).map_or("", String::as_str);
    text.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("nothing on standard error")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Worker> {
        Worker::start(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn turns_are_lines() {
        let script = r#"echo '{"version":"1","logits":[0.5]}'
            while read s; do echo '{"samples_ms":['$s',2.0],"how":"so"}'; done"#;
        let mut worker = shell(script).unwrap();
        assert_eq!((worker.ready.version.as_str(), worker.ready.logits.as_slice()), ("1", &[0.5][..]));
        for seconds in [0.25, 0.5] {
            let turn = worker.turn(seconds).unwrap();
            assert_eq!((turn.samples_ms, turn.how.as_deref()), (vec![seconds, 2.0], Some("so")));
        }
    }

    #[test]
    fn one_that_ends_tells_its_last_words() {
        let error = shell("echo first >&2; echo 'no torch' >&2; exit 3").err().unwrap().to_string();
        assert!(error.contains("3: no torch"), "{error}");
        let mut worker = shell(r#"echo '{"version":"1","logits":[]}'; read s; echo crash >&2; exit 1"#).unwrap();
        let error = worker.turn(0.1).unwrap_err().to_string();
        assert!(error.ends_with("crash"), "{error}");
    }

    #[test]
    fn nonsense_is_shown() {
        let error = shell("echo hello").err().unwrap().to_string();
        assert!(error.contains("not an answer: hello"), "{error}");
        let memory = r#"echo '{"version":"2","peak_mib":3.5,"first_ms":1}'"#;
        let memory: Memory = once(Command::new("sh").args(["-c", memory])).unwrap();
        assert_eq!((memory.version.as_str(), memory.peak_mib, memory.first_ms), ("2", 3.5, 1.0));
    }
}
