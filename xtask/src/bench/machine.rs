//! Where and with what a number was measured.

use crate::root;
use serde::{Deserialize, Serialize};
use std::process::Command;

/// What a number depends on besides the program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor by its own name, or the architecture's where it doesn't say.
    pub cpu: String,
    /// Threads that run at once.
    pub cores: usize,
    pub os: String,
    pub rustc: String,
    pub burn: String,
    /// The commit, `-dirty` if files differ from it; empty without git.
    pub commit: String,
}

impl Machine {
    /// This one.
    pub fn look() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = info.lines().find(|l| l.starts_with("model name")).and_then(|l| l.split_once(": "));
        let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap_or_default();
        let burn = lock.split("name = \"burn\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
        let mut git = Command::new("git");
        git.current_dir(root()).args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]);
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.arg("--version");
        Self {
            cpu: cpu.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).into(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            os: std::env::consts::OS.into(),
            rustc: said(&mut rustc),
            burn: burn.unwrap_or_default().into(),
            commit: said(&mut git),
        }
    }
}

/// What a command prints; nothing if it can't.
fn said(command: &mut Command) -> String {
    let output = command.output().ok().filter(|o| o.status.success());
    output.map_or_else(String::new, |o| String::from_utf8_lossy(&o.stdout).trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_and_the_versions_are_known() {
        let machine = Machine::look();
        assert!(machine.cores > 0 && !machine.cpu.is_empty());
        assert!(machine.burn.starts_with("0."), "{}", machine.burn);
        assert!(machine.rustc.starts_with("rustc 1."), "{}", machine.rustc);
    }
}
