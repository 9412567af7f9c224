//! Which vector instructions the kernels use.

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};
use pulp::WithSimd;

/// A vector instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// 16 lanes: x86-64 with AVX-512 (level v4).
    Avx512,
    /// 8 lanes: x86-64 with AVX2 and FMA (level v3).
    Avx2,
    /// 4 lanes: 64-bit Arm.
    Neon,
    /// 8 lanes of plain Rust, which the compiler turns into what every processor of the target has.
    Portable,
}

/// What [`force`] said, as an index into `ALL`, plus 1.
static FORCED: AtomicU8 = AtomicU8::new(0);

impl Isa {
    /// All of them, fastest first.
    pub const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];

    /// The one that kernels use: the fastest there is, unless [`force`] said another.
    pub fn current() -> Self {
        if let Some(index) = FORCED.load(Ordering::Relaxed).checked_sub(1) {
            return Self::ALL[usize::from(index)];
        }
        static BEST: std::sync::OnceLock<Isa> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| Self::ALL.into_iter().find(|isa| isa.is_present()).expect("portable code runs anywhere"))
    }

    /// Whether this processor has it.
    pub fn is_present(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::try_new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => pulp::aarch64::Neon::try_new().is_some(),
            Self::Portable => true,
            #[allow(unreachable_patterns)] // the other architecture's
            _ => false,
        }
    }

    /// Runs `op` with it.
    ///
    /// # Panics
    /// If this processor doesn't have it.
    #[inline]
    pub fn run<Op: WithSimd>(self, op: Op) -> Op::Output {
        use pulp::Simd;
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Simd::vectorize(pulp::x86::V4::try_new().expect("AVX-512 is there"), op),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Simd::vectorize(pulp::x86::V3::try_new().expect("AVX2 is there"), op),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => Simd::vectorize(pulp::aarch64::Neon::try_new().expect("NEON is there"), op),
            Self::Portable => Simd::vectorize(pulp::Scalar256b, op),
            #[allow(unreachable_patterns)]
            _ => panic!("this processor has no {self}"),
        }
    }

    /// Values in a vector.
    pub const fn lanes(self) -> usize {
        match self {
            Self::Avx512 => 16,
            Self::Avx2 | Self::Portable => 8,
            Self::Neon => 4,
        }
    }

    /// Rows and vectors of the widest tile whose sums stay in registers.
    pub(crate) const fn tile(self) -> (usize, usize) {
        match self {
            Self::Avx512 => (12, 2),
            Self::Avx2 | Self::Portable => (4, 3),
            Self::Neon => (8, 3),
        }
    }
}

/// Makes all kernels use `isa`, or the fastest again. For tests, and for who measures what vectors are worth.
///
/// # Panics
/// If this processor doesn't have it.
pub fn force(isa: Option<Isa>) {
    let index = isa.map_or(0, |isa| {
        assert!(isa.is_present(), "this processor has no {isa}");
        1 + Isa::ALL.iter().position(|i| *i == isa).expect("one of all") as u8
    });
    FORCED.store(index, Ordering::Relaxed);
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avx512 => "AVX-512",
            Self::Avx2 => "AVX2",
            Self::Neon => "NEON",
            Self::Portable => "portable code",
        })
    }
}
