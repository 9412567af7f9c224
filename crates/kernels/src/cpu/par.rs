//! Threads, and memory that is used again.

use core::cell::{Cell, RefCell};
use core::ops::Range;
use rayon::prelude::*;

std::thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
    static SCRATCH: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` with all its kernels on this thread: for who splits a batch over threads of its own.
pub fn alone<R>(f: impl FnOnce() -> R) -> R {
    let before = ALONE.replace(true);
    let result = f();
    ALONE.set(before);
    result
}

/// Threads that a kernel called here may use.
pub fn threads() -> usize {
    if ALONE.get() { 1 } else { rayon::current_num_threads() }
}

/// `f(i)` for each task `i` of `tasks`, on several threads if `work`, in multiply-accumulates or values moved, is worth
/// waking them up.
pub fn each(tasks: usize, work: usize, f: impl Fn(usize) + Send + Sync) {
    // Some 10 microseconds of one core: about what waking a thread takes. An estimate, not tuned.
    const WORTH: usize = 1 << 19;
    if tasks < 2 || work < WORTH || threads() == 1 {
        (0..tasks).for_each(f);
    } else {
        (0..tasks).into_par_iter().with_max_len(1).for_each(|task| alone(|| f(task)));
    }
}

/// The `i`-th of `parts` nearly equal parts of `0..n`.
pub fn part(n: usize, parts: usize, i: usize) -> Range<usize> {
    n * i / parts..n * (i + 1) / parts
}

/// `f` with `N` buffers of the sizes asked for, with whatever they held before. They stay with the thread.
pub fn scratch<const N: usize, R>(sizes: [usize; N], f: impl FnOnce([&mut [f32]; N]) -> R) -> R {
    let mut buffers: [Vec<f32>; N] =
        SCRATCH.with_borrow_mut(|free| core::array::from_fn(|_| free.pop().unwrap_or_default()));
    for (buffer, size) in buffers.iter_mut().zip(sizes) {
        if buffer.len() < size {
            buffer.resize(size, 0.0);
        }
    }
    let mut sizes = sizes.into_iter();
    let result = f(buffers.each_mut().map(|buffer| &mut buffer[..sizes.next().expect("as many sizes as buffers")]));
    // Given back in reverse: the next call of the same kernel finds each buffer in its old role, and grown already.
    SCRATCH.with_borrow_mut(|free| free.extend(buffers.into_iter().rev()));
    result
}

/// A slice that tasks write to, each its own part.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    start: *mut f32,
    len: usize,
    slice: core::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: whoever takes a part out of it promises that no other task has it.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// All of `slice`.
    pub fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: core::marker::PhantomData }
    }

    /// `range` of it, to write to.
    ///
    /// # Safety
    /// No other task may touch what lies in `range` while the part is in use.
    ///
    /// # Panics
    /// If the range reaches beyond the slice.
    #[allow(clippy::mut_from_ref)] // that is what it is for
    pub unsafe fn part(&self, range: Range<usize>) -> &'a mut [f32] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: in bounds by the line above; unshared by the caller's promise.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
