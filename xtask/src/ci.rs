//! `cargo xtask ci`: the cheapest checks first.

use crate::api;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Runs every check; stops at the first that fails.
pub fn run() -> Result<()> {
    let mut ci = Ci(Vec::new());
    let ended = ci.all();
    println!("== seconds");
    for (name, seconds) in &ci.0 {
        println!("   {seconds:>5}  {name}");
    }
    println!("   {:>5}  all of it", ci.0.iter().map(|(_, seconds)| seconds).sum::<u64>());
    ended
}

/// What each step so far took, in seconds.
struct Ci(Vec<(&'static str, u64)>);

impl Ci {
    fn all(&mut self) -> Result<()> {
        self.cargo("format", &["fmt", "--all", "--check"], &[])?;
        self.cargo("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
        self.cargo("documentation", &["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])?;
        self.offered()?;
        self.cargo("programs", &["build", "--workspace"], &[])?;
        for example in ["features", "finetune", "train_inside"] {
            self.cargo(example, &["run", "--example", example], &[])?;
        }
        // Models without std: Burn with other features, built once more.
        self.cargo("embedding", &["run", "--locked", "--manifest-path", "examples/classify/Cargo.toml"], &[])?;
        self.without_std()?;
        if let Ok(python) = std::env::var("PEERS_PYTHON") {
            let infer = Path::new(&target_dir()).join("debug/infer");
            let script = ["crates/formats/tests/check_peers.py", &infer.display().to_string()];
            self.step("PyTorch and ONNX Runtime agree", Command::new(python).args(script))?;
        } else {
            println!("   PyTorch and ONNX Runtime: not compared, PEERS_PYTHON names no Python that has them");
        }
        if std::env::var_os("CHROMIUM").is_some() {
            let infer = Path::new(&target_dir()).join("debug/infer");
            let script = ["crates/infer/tests/page/test.cjs", &infer.display().to_string()];
            self.step("the page in a browser", Command::new("node").args(script))?;
        } else {
            println!("   the page: not opened, CHROMIUM names no browser");
        }
        self.cargo("tests", &["test", "--workspace"], &[])?;
        self.cargo("dashboard", &["test", "--workspace", "--features", "train/tui", "--lib", "dashboard"], &[])?;
        self.features()
    }

    /// What takes other features than a plain build: the cases on wgpu, workers, and whether the rest compiles. One set of
    /// features and packages to run, one to check, in a directory of their own: each other one would be another build of Burn.
    fn features(&mut self) -> Result<()> {
        const RUN: &str = "models/wgpu,train/remote";
        /// All but libtorch, whose build wants PyTorch.
        const CHECK: &str = "models/vulkan,models/metal,models/webgpu,models/cuda,models/fusion,train/remote,train/tui";
        let Ok(dir) = std::env::var("WGPU_TARGET_DIR") else {
            println!("   other features: not built, WGPU_TARGET_DIR names no directory for them");
            return Ok(());
        };
        // Trying out kernels takes minutes on a processor.
        let on = [("CARGO_TARGET_DIR", dir.as_str()), ("CUBECL_AUTOTUNE_LEVEL", "minimal")];
        self.cargo("wgpu: programs", &["build", "--workspace", "--features", RUN, "--bins"], &on)?;
        let tests = |target, filter: &[&'static str]| {
            [&["test", "--workspace", "--features", RUN, "--test", target, "--"], filter].concat()
        };
        let wgpu = tests("backends", &["--nocapture", "wgpu", "largest_buffer"]);
        self.cargo("wgpu: the cases", &wgpu, &[on[0], on[1], ("REQUIRE_WGPU", "1")])?;
        self.cargo("workers", &tests("remote", &[]), &on)?;
        let infer = Path::new(&dir).join("debug/infer");
        self.step("wgpu: devices", Command::new(infer).arg("devices"))?;
        // DOCS_RS: what Burn's build would download for linking isn't needed for checking.
        let check = ["check", "--workspace", "--features", CHECK];
        self.cargo("every backend: type-check", &check, &[on[0], ("DOCS_RS", "1")])
    }

    /// What the crates offer to programs, against the lists that are committed.
    fn offered(&mut self) -> Result<()> {
        if !api::readable()? {
            println!("   what the crates offer: not compared, this isn't Rust {}", api::RUST);
            return Ok(());
        }
        println!("== what the crates offer");
        let started = Instant::now();
        api::run(&api::Arguments { write: false })?;
        self.0.push(("what the crates offer", started.elapsed().as_secs()));
        Ok(())
    }

    /// That inference needs no `std`: where the program above runs, Burn's clock brings one; this target has none.
    fn without_std(&mut self) -> Result<()> {
        const BARE: &str = "x86_64-unknown-none";
        let rustc = Command::new("rustc").args(["--print", "target-libdir", "--target", BARE]).output()?;
        if !Path::new(String::from_utf8_lossy(&rustc.stdout).trim()).is_dir() {
            println!("   without std: not checked, `rustup target add {BARE}` brings a target that has none");
            return Ok(());
        }
        let models =
            ["check", "--locked", "-p", "models", "--no-default-features", "--features", "flex", "--target", BARE];
        self.cargo("without std", &models, &[])
    }

    fn cargo(&mut self, name: &'static str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
        self.step(name, crate::cargo().args(arguments).envs(environment.iter().copied()))
    }

    fn step(&mut self, name: &'static str, command: &mut Command) -> Result<()> {
        println!("== {name}");
        let started = Instant::now();
        let status = command
            .current_dir(crate::root())
            .status()
            .with_context(|| format!("{name}: {command:?} can't be started"))?;
        let seconds = started.elapsed().as_secs();
        self.0.push((name, seconds));
        ensure!(status.success(), "{name}: {command:?} ended with {status}");
        println!("   {name}: {seconds} s");
        Ok(())
    }
}

fn target_dir() -> String {
    std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into())
}
