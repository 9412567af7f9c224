//! CUDA's devices, asked of the driver itself: Burn panics where there is none.

use super::DeviceError;
use super::list::Found;
use burn::tensor::Device;
use libloading::Library;
use std::ffi::{CStr, c_char, c_int};

/// The driver's names for it, Linux's and Windows'.
const DRIVERS: [&str; 2] = ["libcuda.so.1", "nvcuda.dll"];
const NO_DRIVER: &str = "CUDA's driver isn't there: it takes NVIDIA's (nvidia-driver on Debian), and a card of theirs";

/// A card: name and bytes of memory.
type Card = (String, u64);

/// The driver, as `CUDA 12.8`, and every card that it knows; or what is missing.
fn cards() -> Result<(String, Vec<Card>), String> {
    // SAFETY: NVIDIA's driver runs no more than its own initialisation when loaded.
    let driver = DRIVERS.iter().find_map(|name| unsafe { Library::new(*name) }.ok()).ok_or(NO_DRIVER)?;
    ask(&driver).map_err(|what| format!("CUDA's driver {what}; `nvidia-smi` may say more"))
}

/// The driver API of cuda.h.
fn ask(driver: &Library) -> Result<(String, Vec<Card>), String> {
    type Init = unsafe extern "C" fn(u32) -> c_int;
    type Count = unsafe extern "C" fn(*mut c_int) -> c_int;
    type Name = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
    type Memory = unsafe extern "C" fn(*mut usize, c_int) -> c_int;
    let fine = |name: &str, code: c_int| if code == 0 { Ok(()) } else { Err(format!("answers {name} with {code}")) };
    let absent = |e: libloading::Error| format!("is none: {e}");
    // SAFETY: names and types are cuda.h's; every pointer is to a local of the size that is told.
    unsafe {
        fine("cuInit", driver.get::<Init>(b"cuInit\0").map_err(absent)?(0))?;
        let (mut version, mut count) = (0, 0);
        fine("cuDriverGetVersion", driver.get::<Count>(b"cuDriverGetVersion\0").map_err(absent)?(&raw mut version))?;
        fine("cuDeviceGetCount", driver.get::<Count>(b"cuDeviceGetCount\0").map_err(absent)?(&raw mut count))?;
        let name = driver.get::<Name>(b"cuDeviceGetName\0").map_err(absent)?;
        let memory = driver.get::<Memory>(b"cuDeviceTotalMem_v2\0").map_err(absent)?;
        let card = |i| -> Result<Card, String> {
            let (mut text, mut bytes) = ([0 as c_char; 256], 0usize);
            fine("cuDeviceGetName", name(text.as_mut_ptr(), 255, i))?;
            fine("cuDeviceTotalMem", memory(&raw mut bytes, i))?;
            Ok((CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned(), bytes as u64))
        };
        // A device's handle is its number.
        let cards = (0..count).map(card).collect::<Result<_, _>>()?;
        Ok((format!("CUDA {}.{}", version / 1000, version % 1000 / 10), cards))
    }
}

/// The n-th card, the first without a number.
pub(super) fn open(index: Option<&str>) -> Result<Device, DeviceError> {
    let name = index.map_or_else(|| "cuda".into(), |index| format!("cuda:{index}"));
    let hint = "expected cuda or cuda:0";
    let wrong = || DeviceError::Index { name: "cuda".into(), index: index.unwrap_or("").into(), hint };
    let n = index.map_or(Ok(0), str::parse::<usize>).map_err(|_| wrong())?;
    match cards() {
        Ok((_, cards)) if n < cards.len() => Ok(Device::cuda(n)),
        Ok((_, cards)) => {
            Err(DeviceError::Absent { name, missing: format!("{} cards answer, counted from 0", cards.len()) })
        }
        Err(missing) => Err(DeviceError::Absent { name, missing }),
    }
}

/// Whether NCCL's library is here, by the name that Burn asks for on Linux; there is none for other systems.
pub(super) fn has_nccl() -> bool {
    // SAFETY: NVIDIA's library runs no more than its own initialisation when loaded.
    unsafe { Library::new("libnccl.so") }.is_ok()
}

pub(super) fn list() -> (Vec<Found>, Option<String>) {
    match cards() {
        Ok((driver, cards)) => {
            let found = cards.into_iter().enumerate().map(|(i, (adapter, memory))| Found {
                name: format!("cuda:{i}"),
                adapter,
                driver: driver.clone(),
                memory: Some(memory),
                largest_buffer: None,
                floats: Found::floats(&Device::cuda(i)),
            });
            (found.collect(), None)
        }
        Err(missing) => (Vec::new(), Some(missing)),
    }
}
