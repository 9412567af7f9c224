//! Memory that a program's steps free and ask for again.

/// Makes mimalloc, where it is the allocator, keep what is freed: a training step of AlexNet frees 244 MB of gradients
/// that the next one wants back, and the system clears each page that it hands out.
pub fn keep() {
    /// `mi_option_purge_delay` of mimalloc.h, versions 2 and 3.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: the option is one of mimalloc's, and -1, "never", one of its values.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
}
