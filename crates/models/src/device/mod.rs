//! Devices by name, the one place that names backends.

#[cfg(feature = "wgpu")]
mod gpu;
#[cfg(feature = "std")]
mod list;
#[cfg(feature = "cuda")]
mod nvidia;
#[cfg(feature = "remote")]
mod remote;

#[cfg(feature = "std")]
pub use list::{Found, Listed, find, list};
#[cfg(feature = "remote")]
pub use remote::TOKEN;

use alloc::format;
use alloc::string::{String, ToString};
use burn::tensor::Device;

/// A device that can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No backend has this name.
    #[error("no device is called '{name}'; linked here: {}. {}", linked(), how_to_link())]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// The backend exists, but not in this program.
    #[error(
        "device '{name}' is not linked into this program; linked here: {}. Build with --features {feature}",
        linked()
    )]
    NotLinked {
        /// The name asked for.
        name: String,
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// A number where none belongs, or none where one does.
    #[error("device '{name}' has no number '{index}'; {hint}")]
    Index {
        /// The backend.
        name: String,
        /// What stood after the colon.
        index: String,
        /// What could stand there.
        hint: &'static str,
    },
    /// The backend is linked, but nothing answers to it here.
    #[error("device '{name}' is not here: {missing}. `infer devices` lists what is")]
    Absent {
        /// The name asked for.
        name: String,
        /// What isn't there, and what would bring it.
        missing: String,
    },
    /// A worker that can't be reached, or doesn't let us in.
    #[error("device 'remote:{address}': {problem}")]
    Remote {
        /// Where it should be, `HOST:PORT`.
        address: String,
        /// What happened, and what to do.
        problem: String,
    },
}

/// A backend that a device's name begins with.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    /// The cargo feature that brings it.
    pub(crate) feature: &'static str,
    pub(crate) linked: bool,
}

/// Every backend, in the order in which they are listed.
pub(crate) const BACKENDS: &[Backend] = &[
    Backend { name: "flex", feature: "flex", linked: cfg!(feature = "flex") },
    Backend { name: "ndarray", feature: "ndarray", linked: cfg!(feature = "ndarray") },
    Backend { name: "wgpu", feature: "wgpu", linked: cfg!(feature = "wgpu") },
    Backend { name: "vulkan", feature: "vulkan", linked: cfg!(feature = "vulkan") },
    Backend { name: "metal", feature: "metal", linked: cfg!(feature = "metal") },
    Backend { name: "webgpu", feature: "webgpu", linked: cfg!(feature = "webgpu") },
    Backend { name: "cuda", feature: "cuda", linked: cfg!(feature = "cuda") },
    Backend { name: "libtorch", feature: "libtorch", linked: cfg!(feature = "libtorch") },
    Backend { name: "remote", feature: "remote", linked: cfg!(feature = "remote") },
];

/// The linked backends' names, `flex, ndarray`.
pub fn linked() -> String {
    let mut names = String::new();
    for backend in BACKENDS.iter().filter(|b| b.linked) {
        if !names.is_empty() {
            names.push_str(", ");
        }
        names.push_str(backend.name);
    }
    if names.is_empty() { "none".into() } else { names }
}

fn how_to_link() -> String {
    let mut hint = String::from("Others, by cargo feature:");
    for backend in BACKENDS.iter().filter(|b| !b.linked) {
        hint.push_str(&format!(" {} (--features {})", backend.name, backend.feature));
    }
    hint
}

/// The device called `name`: `flex`, `ndarray`, and where linked `wgpu` or `wgpu:0` (the first GPU), `wgpu:cpu` (a driver
/// that computes on the processor), `vulkan`, `metal` and `webgpu` likewise, `cuda:0`, `libtorch`, `remote:HOST:PORT`.
///
/// ```
/// let device = models::device::parse("flex")?;
/// # Ok::<_, models::device::DeviceError>(())
/// ```
///
/// # Errors
/// If no backend has the name, this program isn't linked with it, or no such device answers: says what is, and which
/// feature or driver would add it. Nothing else ever takes its place.
pub fn parse(name: &str) -> Result<Device, DeviceError> {
    let (backend, index) = name.split_once(':').map_or((name, None), |(backend, index)| (backend, Some(index)));
    let Some(&Backend { feature, linked, .. }) = BACKENDS.iter().find(|b| b.name == backend) else {
        return Err(DeviceError::Unknown { name: name.to_string() });
    };
    if !linked {
        return Err(DeviceError::NotLinked { name: backend.to_string(), feature });
    }
    open(backend, index)
}

#[allow(unused_variables, unreachable_patterns, deprecated)] // which arms exist depends on the features
fn open(backend: &str, index: Option<&str>) -> Result<Device, DeviceError> {
    let wrong = |hint| DeviceError::Index { name: backend.to_string(), index: index.unwrap_or("").to_string(), hint };
    match backend {
        "flex" | "ndarray" | "libtorch" if index.is_some() => Err(wrong("it is one device: leave the number out")),
        #[cfg(feature = "flex")]
        "flex" => Ok(Device::flex()),
        #[cfg(feature = "ndarray")]
        "ndarray" => Ok(Device::ndarray()), // deprecated upstream, but asked for: users compare it with flex
        #[cfg(feature = "libtorch")]
        "libtorch" => Ok(Device::libtorch()),
        #[cfg(feature = "wgpu")]
        "wgpu" | "vulkan" | "metal" | "webgpu" => gpu::open(backend, index),
        #[cfg(feature = "cuda")]
        "cuda" => nvidia::open(index),
        #[cfg(feature = "remote")]
        "remote" => match index {
            Some(address) if address.contains(':') => remote::open(address),
            _ => Err(wrong("expected a worker's address, remote:HOST:PORT")),
        },
        _ => Err(DeviceError::Unknown { name: backend.to_string() }),
    }
}

/// Whether CUDA's devices can add tensors up among themselves (`burn::tensor::distributed::all_reduce`): this program is
/// linked with them, and NCCL's library is here, `libnccl.so` of the package libnccl-dev.
pub fn has_nccl() -> bool {
    #[cfg(feature = "cuda")]
    return nvidia::has_nccl();
    #[cfg(not(feature = "cuda"))]
    false
}

/// A device that limits how large a tensor may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The device's name.
    pub device: String,
    /// The largest buffer, in bytes.
    pub bytes: u64,
}

/// How large a tensor on `device` may be; `None` where only its memory limits it.
pub fn largest_buffer(device: &Device) -> Option<Limit> {
    #[cfg(feature = "wgpu")]
    return gpu::largest_buffer(&device.clone().without_autodiff());
    #[cfg(not(feature = "wgpu"))]
    {
        let _ = device;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_devices_list_what_is_linked_and_what_would_add_others() {
        let message = parse("tpu").unwrap_err().to_string();
        assert!(message.starts_with("no device is called 'tpu'; linked here: flex, ndarray"), "{message}");
        assert!(cfg!(feature = "cuda") || message.contains("cuda (--features cuda)"), "{message}");
    }

    #[test]
    fn unlinked_devices_name_their_feature() {
        for Backend { name, feature, .. } in BACKENDS.iter().filter(|b| !b.linked) {
            let message = parse(&format!("{name}:0")).unwrap_err().to_string();
            assert!(message.ends_with(&format!("Build with --features {feature}")), "{message}");
        }
    }

    #[test]
    fn a_cpu_has_no_number() {
        assert!(parse("flex:1").unwrap_err().to_string().contains("leave the number out"));
        assert_eq!(parse("flex"), Ok(Device::flex()));
        assert_eq!(largest_buffer(&Device::flex()), None);
    }
}
