//! What wgpu reaches: GPUs through Vulkan, Metal, DirectX or OpenGL, and drivers that compute on the processor.

use super::list::Found;
use super::{DeviceError, Limit};
use burn::tensor::{Device, DeviceKind};
use std::sync::{Mutex, OnceLock, PoisonError};
use wgpu::{Backends, DeviceType};

/// An adapter that answered.
struct Adapter {
    /// As Burn calls it: numbers count within a kind.
    kind: DeviceKind,
    software: bool,
    name: String,
    driver: String,
    /// The largest buffer that a kernel can be given, in bytes.
    largest: u64,
}

/// One graphics API's adapters at a time, like Burn, so that numbers mean the same.
fn apis(backend: &str) -> &'static [Backends] {
    match backend {
        "vulkan" => &[Backends::VULKAN],
        "metal" => &[Backends::METAL],
        "webgpu" => &[Backends::BROWSER_WEBGPU],
        _ if cfg!(target_os = "macos") => &[Backends::METAL],
        _ => &[Backends::VULKAN, Backends::DX12, Backends::GL],
    }
}

/// Asked once: the Vulkan loader doesn't bear instances that come and go on several threads.
fn instance() -> &'static wgpu::Instance {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    INSTANCE.get_or_init(|| wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle()))
}

/// The adapters of the first of the backend's APIs that has a GPU, else of the first that has any: what Burn settles on.
fn adapters(backend: &str) -> Vec<Adapter> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut software = Vec::new();
    for &api in apis(backend) {
        let found = kinds(pollster::block_on(instance().enumerate_adapters(api)));
        if found.iter().any(|a| !a.software) {
            return found;
        }
        if software.is_empty() {
            software = found;
        }
    }
    software
}

fn kinds(adapters: Vec<wgpu::Adapter>) -> Vec<Adapter> {
    let mut counts = [0; 4];
    let mut next = |kind: usize| {
        counts[kind] += 1;
        counts[kind] - 1
    };
    let named = adapters.into_iter().filter_map(|adapter| {
        let info = adapter.get_info();
        let kind = match info.device_type {
            DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(next(0)),
            DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(next(1)),
            DeviceType::VirtualGpu => DeviceKind::VirtualGpu(next(2)),
            DeviceType::Cpu => DeviceKind::Cpu,
            DeviceType::Other => return None, // OpenGL's word for what it knows nothing of; Burn has no name for it
        };
        let limits = adapter.limits();
        Some(Adapter {
            software: kind == DeviceKind::Cpu,
            kind,
            name: info.name,
            driver: format!("{} {}", info.driver, info.driver_info).trim().into(),
            largest: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
        })
    });
    named.collect()
}

/// Limits of what [`open`] opened.
static OPENED: Mutex<Vec<(Device, Limit)>> = Mutex::new(Vec::new());

pub(super) fn largest_buffer(device: &Device) -> Option<Limit> {
    let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    opened.iter().find(|(known, _)| known == device).map(|(_, limit)| limit.clone())
}

/// The n-th GPU for a number or none, a driver on the processor for `cpu`.
pub(super) fn open(backend: &str, index: Option<&str>) -> Result<Device, DeviceError> {
    let name = index.map_or_else(|| backend.into(), |index| format!("{backend}:{index}"));
    let wanted = match index {
        Some("cpu") => None,
        None => Some(0),
        Some(i) => Some(i.parse::<usize>().map_err(|_| DeviceError::Index {
            name: backend.into(),
            index: i.into(),
            hint: "expected a number from 0 for a GPU, or cpu",
        })?),
    };
    let adapters = adapters(backend);
    let found = match wanted {
        None => adapters.iter().find(|a| a.software),
        Some(n) => adapters.iter().filter(|a| !a.software).nth(n),
    };
    let Some(adapter) = found else {
        let missing = missing(backend, wanted.is_none(), &adapters);
        return Err(DeviceError::Absent { name, missing });
    };
    let device = device(backend, adapter.kind.clone());
    let limit = Limit { device: name, bytes: adapter.largest };
    OPENED.lock().unwrap_or_else(PoisonError::into_inner).push((device.clone(), limit));
    Ok(device)
}

fn device(backend: &str, kind: DeviceKind) -> Device {
    match backend {
        #[cfg(feature = "vulkan")]
        "vulkan" => Device::vulkan(kind),
        #[cfg(feature = "metal")]
        "metal" => Device::metal(kind),
        #[cfg(feature = "webgpu")]
        "webgpu" => Device::webgpu(kind),
        _ => Device::wgpu(kind),
    }
}

/// What isn't there, and what would bring it.
fn missing(backend: &str, software: bool, adapters: &[Adapter]) -> String {
    if software {
        return "no driver computes on the processor. Mesa's lavapipe does: apt-get install mesa-vulkan-drivers".into();
    }
    let gpus = adapters.iter().filter(|a| !a.software).count();
    if gpus > 0 {
        return format!("{gpus} GPUs answer, counted from 0");
    }
    let api = match backend {
        "metal" => "Metal: it takes macOS",
        "webgpu" => "WebGPU: it takes a browser",
        _ => "Vulkan: it takes the card's driver (nvidia-driver, or mesa-vulkan-drivers for AMD and Intel)",
    };
    let instead = adapters.iter().find(|a| a.software);
    let instead = instead.map_or_else(String::new, |a| format!("; {backend}:cpu is {}, on the processor", a.name));
    format!("no GPU answers through {api}{instead}")
}

/// What answers to `backend`, and what doesn't.
pub(super) fn list(backend: &str) -> (Vec<Found>, Option<String>) {
    let adapters = adapters(backend);
    let mut gpus = 0;
    let found = adapters.iter().map(|a| {
        let index = if a.software {
            "cpu".into()
        } else {
            gpus += 1;
            (gpus - 1).to_string()
        };
        Found {
            name: format!("{backend}:{index}"),
            adapter: a.name.clone(),
            driver: a.driver.clone(),
            memory: None, // wgpu doesn't tell
            largest_buffer: Some(a.largest),
            floats: Found::floats(&device(backend, a.kind.clone())),
        }
    });
    let found: Vec<_> = found.collect();
    let missing = (gpus == 0).then(|| missing(backend, false, &adapters));
    (found, missing)
}
