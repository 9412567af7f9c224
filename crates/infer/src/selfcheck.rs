//! Whether a device computes what PyTorch does: `infer selfcheck`, and before the first training on a device.

use crate::exit::DeviceFailed;
use anyhow::{Context, Result};
use burn::tensor::Device;
use models::check::{self, Agreement, Case, Exception, Part};
use models::device;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Instant, UNIX_EPOCH};

/// What came of a part of a case.
pub enum Outcome {
    /// It agreed.
    Agreed(Agreement),
    /// It isn't run on this device.
    Spared(&'static Exception),
    /// It differed, or couldn't be computed.
    Failed(String),
}

/// A part of a case that was run.
pub struct Line {
    /// Which.
    pub case: Case,
    /// Which part of it.
    pub part: Part,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
}

/// Runs the cases on the device called `name`, those that take a fraction of a second or, if `all`, all of them; `show`
/// sees each as it ends.
///
/// # Errors
/// If there is no such device; [`DeviceFailed`] if a case failed, after all have been run.
pub fn run(name: &str, all: bool, mut show: impl FnMut(&Line) -> Result<()>) -> Result<()> {
    let device = device::parse(name)?;
    let (mut count, mut failed) = (0, Vec::new());
    for case in check::cases().filter(|case| all || case.is_quick()) {
        for part in case.parts() {
            let started = Instant::now();
            let outcome = match check::exception(name, &case, part) {
                Some(exception) => Outcome::Spared(exception),
                None => {
                    count += 1;
                    attempt(&case, part, &device)
                }
            };
            if let Outcome::Failed(why) = &outcome {
                failed.push(format!("{} {}: {why}", case.name, part.name()));
            }
            show(&Line { case, part, outcome, seconds: started.elapsed().as_secs_f64() })?;
        }
    }
    if let Some(first) = failed.first() {
        let what = format!("{name}: {} of {count} cases differ from PyTorch. The first: {first}", failed.len());
        return Err(DeviceFailed(what).into());
    }
    Ok(())
}

fn attempt(case: &Case, part: Part, device: &Device) -> Outcome {
    // A backend that fails panics, as a rule.
    match catch_unwind(AssertUnwindSafe(|| case.run(part, device))) {
        Ok(Ok(agreed)) => Outcome::Agreed(agreed),
        Ok(Err(e)) => Outcome::Failed(e.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Outcome::Failed(format!("panicked: {}", text.or(panic.downcast_ref().copied()).unwrap_or("no message")))
        }
    }
}

/// Checks each of the devices in a list like `flex,ndarray` that this build of the program hasn't found right before.
///
/// # Errors
/// As [`run`].
pub fn once(names: &str) -> Result<()> {
    // A worker's device is checked where it is.
    for name in names.split(',').map(str::trim).filter(|name| !name.starts_with("remote:")) {
        let (stamp, program) = (stamp(name), program());
        if stamp.as_ref().is_some_and(|path| std::fs::read_to_string(path).is_ok_and(|found| found == program)) {
            continue;
        }
        let started = Instant::now();
        run(name, false, |_| Ok(())).with_context(|| {
            format!("`infer selfcheck --device {name}` shows all; --no-selfcheck trains there all the same")
        })?;
        eprintln!("{name} computes what PyTorch does: checked in {:.1} s, once", started.elapsed().as_secs_f64());
        let noted = stamp.map(|path| {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            data::whole(&path, program.as_bytes())
        });
        if let Some(Err(e)) = noted {
            eprintln!("it will be checked again next time: {e}"); // no reason not to train
        }
    }
    Ok(())
}

/// The file that says which build this adapter agreed in; `None` without a home.
fn stamp(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let what = device::find(name).map(|found| format!("{name} {} {}", found.adapter, found.driver))?;
    let what: String = what.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Some(cache.join("classic-cnns/selfcheck").join(what))
}

/// This build of the program: its version, and the file's length and time.
fn program() -> String {
    let file = std::env::current_exe().and_then(std::fs::metadata).ok();
    let time = file.as_ref().and_then(|file| file.modified().ok()?.duration_since(UNIX_EPOCH).ok());
    let (length, time) = (file.map_or(0, |file| file.len()), time.unwrap_or_default().as_nanos());
    format!("{} {length} {time}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flex_agrees_and_every_quick_case_is_shown() {
        let mut lines = 0;
        run("flex", false, |line| {
            lines += 1;
            assert!(matches!(line.outcome, Outcome::Agreed(a) if a.of_tolerance <= 1.0), "{}", line.case.name);
            Ok(())
        })
        .unwrap();
        assert!(lines > 40, "{lines}");
    }

    #[test]
    fn a_stamp_names_device_and_adapter_and_holds_the_build() {
        let stamp = stamp("flex").unwrap().file_name().unwrap().to_string_lossy().into_owned();
        assert!(stamp.starts_with("flex-"), "{stamp}");
        let (version, file) = program().split_once(' ').map(|(v, f)| (v.to_string(), f.to_string())).unwrap();
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        assert!(!file.starts_with("0 ") && !file.ends_with(" 0"), "{file}");
    }
}
