//! What must hold of the repository's files, beyond what compilers and clippy see.

use crate::root;
use anyhow::{Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines that a source file may have.
const LINES: usize = 400;
/// Bytes that all shipped weights may have together: each clone carries them for ever.
const WEIGHTS: u64 = 8 << 20;
/// Lines that the embedded program may have.
const EMBED: usize = 20;

/// Checks all of it.
///
/// # Errors
/// Every problem, a line each.
pub fn run() -> Result<()> {
    let problems = problems(&root());
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    println!("the files are tidy");
    Ok(())
}

fn problems(root: &Path) -> Vec<String> {
    let files = files(root);
    let mut problems = Vec::new();
    for path in &files {
        // What isn't text has no lines to check.
        let Ok(text) = fs::read_to_string(path) else { continue };
        let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
        if name.ends_with(".rs") {
            problems.extend(source(&name, &text));
        }
        for dir in [std::env::var("HOME").ok(), root.to_str().map(String::from)].into_iter().flatten() {
            if dir.len() > 1 && text.contains(&format!("{dir}/")) {
                problems.push(format!("{name}: names a directory of this machine, {dir}"));
            }
        }
    }
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_default();
    for (name, holds) in [
        ("LICENSE-MIT", "Permission is hereby granted"),
        ("LICENSE-APACHE", "Apache License"),
        ("NOTICE.md", "MNIST"),
        ("CHANGELOG.md", "## Unreleased"),
        // One command for people and for the gate.
        ("README.md", "cargo xtask ci"),
        (".ci/run", "cargo xtask ci"),
    ] {
        if !read(name).contains(holds) {
            problems.push(format!("{name}: is missing, or doesn't hold \"{holds}\""));
        }
    }
    problems.extend(embed(&read("README.md"), &read("examples/classify/src/main.rs")));
    let weights: Vec<_> = files.iter().filter(|p| p.extension().is_some_and(|e| e == "safetensors")).collect();
    let sizes = weights.iter().map(|p| fs::metadata(p).map_or(0, |m| m.len()));
    let (total, least) = sizes.fold((0, u64::MAX), |(total, least), n| (total + n, n.min(least)));
    if weights.is_empty() || least == 0 || total > WEIGHTS {
        problems.push(format!(
            "{} weight files with {total} bytes: expected some, none empty, at most {WEIGHTS}",
            weights.len()
        ));
    }
    problems
}

/// What is wrong with a file of Rust.
fn source(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > LINES {
        problems.push(format!("{name}: has {lines} lines, at most {LINES} can be taken in; split it"));
    }
    if (name.ends_with("/lib.rs") || name.ends_with("/main.rs")) && !text.starts_with("//!") {
        problems.push(format!("{name}: begins without saying what the crate is (//!)"));
    }
    problems
}

/// The README shows the embedded program as it is, in the code block after a comment with its path.
fn embed(readme: &str, program: &str) -> Option<String> {
    const PATH: &str = "examples/classify/src/main.rs";
    let block = readme.split_once(&format!("<!-- {PATH} -->")).and_then(|(_, rest)| {
        let (_, rest) = rest.split_once("```rust\n")?;
        Some(rest.split_once("```")?.0)
    });
    let lines = program.lines().count();
    if lines == 0 || lines > EMBED {
        return Some(format!("{PATH}: has {lines} lines, expected 1 to {EMBED}"));
    }
    (block != Some(program)).then(|| format!("README.md: the code block after <!-- {PATH} --> isn't that file"))
}

/// Every file that belongs to the repository, as far as one can tell without git.
fn files(root: &Path) -> Vec<PathBuf> {
    let skipped = ["target", ".git", "runs", "shared", "node_modules"];
    let mut files = Vec::new();
    let mut dirs = vec![root.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if skipped.iter().any(|s| entry.file_name() == *s) {
                continue;
            }
            if path.is_dir() { dirs.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let problems = problems(&root());
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    #[test]
    fn long_files_and_nameless_crates_are_found() {
        assert_eq!(source("a/lib.rs", "//! A.\n"), Vec::<String>::new());
        assert_eq!(source("a/lib.rs", &"\n".repeat(LINES + 1)).len(), 2);
    }

    #[test]
    fn the_readme_holds_the_program() {
        let readme = "Embed it:\n<!-- examples/classify/src/main.rs -->\n```rust\nfn main() {}\n```\n";
        assert_eq!(embed(readme, "fn main() {}\n"), None);
        assert!(embed(readme, "fn main() { }\n").is_some_and(|p| p.starts_with("README.md")));
        assert!(embed("", "").is_some());
    }
}
