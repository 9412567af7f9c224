//! What a backend doesn't do, and why.

use super::{Case, Part};

/// A part of cases that isn't run on a backend.
#[derive(Debug)]
pub struct Exception {
    /// Beginning or end of the devices' names: `ndarray`, or `:cpu` for drivers that compute on the processor.
    pub devices: &'static str,
    /// Whether the case is meant.
    case: fn(&Case) -> bool,
    /// The part; all if none.
    part: Option<Part>,
    /// Why.
    pub reason: &'static str,
    /// Where it is known upstream; `None` where nobody has reported it.
    pub upstream: Option<&'static str>,
}

/// All of them.
pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        devices: "ndarray",
        case: |case| !case.is_quick() && !matches!(case.name, "nin-mnist" | "nin-chapter"),
        part: Some(Part::Training),
        reason: "takes minutes: the gradient by a convolution's weights is a convolution with a kernel as large as the map",
        upstream: None,
    },
    Exception {
        devices: ":cpu",
        case: |case| !case.is_quick(),
        part: None,
        reason: "takes minutes on a driver that computes on the processor: its layers are checked one by one, and the \
                 network at reduced width",
        upstream: Some("https://github.com/tracel-ai/burn/issues/2260"),
    },
];

/// Why `part` of `case` isn't run on the device called `device`; `None` if it is.
pub fn exception(device: &str, case: &Case, part: Part) -> Option<&'static Exception> {
    let meant = |e: &&Exception| {
        (device.starts_with(e.devices) || device.ends_with(e.devices))
            && (e.case)(case)
            && e.part.is_none_or(|p| p == part)
    };
    EXCEPTIONS.iter().find(meant)
}
