//! Devices of other processes and machines, lent by `train worker` over Burn's remote backend.

use super::DeviceError;
use alloc::format;
use alloc::string::{String, ToString};
use burn::remote::{ConnectError, RemoteHost};
use burn::tensor::Device;

/// The environment variable with the secret that a worker and those who use it share.
pub const TOKEN: &str = "WORKER_TOKEN";

/// Connects with the worker at `address`, `HOST:PORT`. One that has only just been started is waited for.
pub(super) fn open(address: &str) -> Result<Device, DeviceError> {
    let mut host = RemoteHost::websocket(&format!("ws://{address}"));
    if let Ok(token) = std::env::var(TOKEN) {
        host = host.with_credential(token);
    }
    Device::remote_options(&host).init().map_err(|error| DeviceError::Remote {
        address: address.to_string(),
        problem: match error {
            ConnectError::Unauthorized if std::env::var_os(TOKEN).is_none() => {
                format!("it asks for a token: set {TOKEN} to the one that it was started with")
            }
            ConnectError::Unauthorized => {
                format!("it refuses the token: {TOKEN} must be the one that it was started with")
            }
            ConnectError::Unreachable { .. } => String::from(
                "no worker answers. Start one there with `train worker --listen HOST:PORT`, or correct the address",
            ),
            other => format!("{other}. Both sides must be built from the same version"),
        },
    })
}
