//! Devices by name, the one place that names backends.

#[cfg(feature = "remote")]
mod remote;

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
    /// A worker that can't be reached, or doesn't let us in.
    #[error("device 'remote:{address}': {problem}")]
    Remote {
        /// Where it should be, `HOST:PORT`.
        address: String,
        /// What happened, and what to do.
        problem: String,
    },
}

/// A backend: its name, the cargo feature that brings it, whether it is linked.
const BACKENDS: &[(&str, &str, bool)] = &[
    ("flex", "flex", cfg!(feature = "flex")),
    ("ndarray", "ndarray", cfg!(feature = "ndarray")),
    ("wgpu", "wgpu", cfg!(feature = "wgpu")),
    ("cuda", "cuda", cfg!(feature = "cuda")),
    ("libtorch", "libtorch", cfg!(feature = "libtorch")),
    ("remote", "remote", cfg!(feature = "remote")),
];

/// The linked backends' names, `flex, ndarray`.
pub fn linked() -> String {
    let mut names = String::new();
    for (name, ..) in BACKENDS.iter().filter(|(.., linked)| *linked) {
        if !names.is_empty() {
            names.push_str(", ");
        }
        names.push_str(name);
    }
    if names.is_empty() { "none".into() } else { names }
}

fn how_to_link() -> String {
    let mut hint = String::from("Others, by cargo feature:");
    for (name, feature, _) in BACKENDS.iter().filter(|(.., linked)| !linked) {
        hint.push_str(&format!(" {name} (--features {feature})"));
    }
    hint
}

/// The device called `name`: `flex`, `ndarray`, and where linked `wgpu`, `wgpu:0`, `wgpu:cpu`, `cuda:0`, `libtorch`,
/// `remote:HOST:PORT`.
///
/// ```
/// let device = models::device::parse("flex")?;
/// # Ok::<_, models::device::DeviceError>(())
/// ```
///
/// # Errors
/// If no backend has the name, or this program isn't linked with it: says what is, and which feature would add it.
pub fn parse(name: &str) -> Result<Device, DeviceError> {
    let (backend, index) = name.split_once(':').map_or((name, None), |(backend, index)| (backend, Some(index)));
    let Some(&(_, feature, linked)) = BACKENDS.iter().find(|(known, ..)| *known == backend) else {
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
        "wgpu" => {
            use burn::tensor::DeviceKind;
            let kind = match index {
                None => DeviceKind::DefaultDevice,
                Some("cpu") => DeviceKind::Cpu,
                Some(i) => DeviceKind::DiscreteGpu(i.parse().map_err(|_| wrong("expected wgpu, wgpu:0 or wgpu:cpu"))?),
            };
            Ok(Device::wgpu(kind))
        }
        #[cfg(feature = "cuda")]
        "cuda" => {
            let i = index.map_or(Ok(0), str::parse).map_err(|_| wrong("expected cuda or cuda:0"))?;
            Ok(Device::cuda(i))
        }
        #[cfg(feature = "remote")]
        "remote" => match index {
            Some(address) if address.contains(':') => remote::open(address),
            _ => Err(wrong("expected a worker's address, remote:HOST:PORT")),
        },
        _ => Err(DeviceError::Unknown { name: backend.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_devices_list_what_is_linked_and_what_would_add_others() {
        let message = parse("tpu").unwrap_err().to_string();
        assert!(message.starts_with("no device is called 'tpu'; linked here: flex, ndarray. "), "{message}");
        assert!(message.contains("cuda (--features cuda)"), "{message}");
    }

    #[test]
    fn unlinked_devices_name_their_feature() {
        if !cfg!(feature = "cuda") {
            let message = parse("cuda:0").unwrap_err().to_string();
            assert!(message.ends_with("Build with --features cuda"), "{message}");
        }
    }

    #[test]
    fn a_cpu_has_no_number() {
        assert!(parse("flex:1").unwrap_err().to_string().contains("leave the number out"));
        assert_eq!(parse("flex"), Ok(Device::flex()));
    }
}
