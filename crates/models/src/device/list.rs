//! What there is to compute on.

use super::{BACKENDS, Backend};
use burn::tensor::{DType, Device};
use serde::Serialize;
use std::format;
use std::string::String;
use std::vec::Vec;

/// A backend, and what answers to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// What its devices' names begin with.
    pub backend: &'static str,
    /// The cargo feature that brings it.
    pub feature: &'static str,
    /// Whether this program has it.
    pub linked: bool,
    /// Its devices.
    pub devices: Vec<Found>,
    /// What isn't there, and which feature or driver would bring it.
    pub missing: Option<String>,
}

/// A device that is there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// What `--device` calls it.
    pub name: String,
    /// What it calls itself.
    pub adapter: String,
    /// The driver and its version.
    pub driver: String,
    /// Its memory in bytes, where it says.
    pub memory: Option<u64>,
    /// The largest tensor in bytes, if something else than its memory limits it.
    pub largest_buffer: Option<u64>,
    /// Floating-point types that it computes in.
    pub floats: Vec<&'static str>,
}

impl Found {
    pub(super) fn floats(device: &Device) -> Vec<&'static str> {
        let types = [("f64", DType::F64), ("f32", DType::F32), ("f16", DType::F16), ("bf16", DType::BF16)];
        types.into_iter().filter(|(_, dtype)| device.supports_dtype(*dtype)).map(|(name, _)| name).collect()
    }

    /// One that is the processor, with all of its memory.
    fn processor(name: &str, driver: &str) -> Self {
        let floats = super::parse(name).map(|device| Self::floats(&device)).unwrap_or_default();
        let (adapter, memory) = (processor(), memory());
        Self { name: name.into(), adapter, driver: driver.into(), memory, largest_buffer: None, floats }
    }
}

/// Every backend that this library can be built with, and the devices of those that are linked. Looks for them: loads
/// drivers.
pub fn list() -> Vec<Listed> {
    BACKENDS.iter().map(listed).collect()
}

/// The device that [`parse`](super::parse) opens under this name; `None` if there is none. Looks at its backend only.
pub fn find(name: &str) -> Option<Found> {
    let (backend, index) = name.split_once(':').map_or((name, None), |(backend, index)| (backend, Some(index)));
    let found = listed(BACKENDS.iter().find(|b| b.name == backend)?).devices;
    let meant = |f: &Found| f.name == name || index.is_none() && f.name.ends_with(":0");
    found.into_iter().find(meant)
}

fn listed(&Backend { name, feature, linked }: &Backend) -> Listed {
    let (devices, missing) = match name {
        _ if !linked => (Vec::new(), Some(format!("not linked: build with --features {feature}"))),
        #[cfg(feature = "wgpu")]
        "wgpu" | "vulkan" | "metal" | "webgpu" => super::gpu::list(name),
        #[cfg(feature = "cuda")]
        "cuda" => super::nvidia::list(),
        "remote" => {
            (Vec::new(), Some("named by its address, remote:HOST:PORT: where `train worker` lends a device".into()))
        }
        "libtorch" => (Vec::from([Found::processor(name, "libtorch")]), None),
        _ => (Vec::from([Found::processor(name, "")]), None),
    };
    Listed { backend: name, feature, linked, devices, missing }
}

/// The processor by its own name, or the architecture's where it doesn't say.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find(|l| l.starts_with("model name")).and_then(|l| l.split_once(": "));
    name.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).into()
}

/// Bytes of main memory; only Linux is asked.
fn memory() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = info.lines().find_map(|l| l.strip_prefix("MemTotal:"))?.trim().strip_suffix(" kB")?.parse::<u64>();
    kib.ok().map(|kib| kib * 1024)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_there_or_says_what_is_missing() {
        let all = list();
        let flex = all.iter().find(|l| l.backend == "flex").unwrap();
        assert_eq!((flex.devices.len(), &flex.missing), (1, &None));
        assert!(flex.devices[0].floats.contains(&"f32"));
        for other in &all {
            assert!(!other.devices.is_empty() || other.missing.is_some(), "{other:?}");
        }
    }

    #[test]
    fn every_name_in_the_list_opens() {
        for found in list().iter().flat_map(|l| &l.devices) {
            assert!(super::super::parse(&found.name).is_ok(), "{found:?}");
        }
    }
}
