//! The one source of chance: every random number is a function of (seed, purpose, epoch, index).
//!
//! The numbers come straight from ChaCha8's words, by arithmetic written here, so that no release of a dependency can
//! change a run.

pub use rand_chacha::rand_core::Rng;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// What random numbers are for. The streams of two purposes have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The order of the images in an epoch.
    Order = 1,
    /// The distortion of an image.
    Distortion = 2,
    /// Units dropped in a training step; the index is the step.
    Dropout = 3,
    /// Where a training image is cut out.
    Crop = 4,
    /// The colour of a training image's light.
    Lighting = 5,
    /// A made-up image.
    Synthetic = 6,
    /// Whether a training image is mirrored.
    Flip = 7,
}

/// The random numbers for one thing: a generator of its own for each (seed, purpose, epoch, index).
pub fn stream(seed: u64, purpose: Purpose, epoch: u64, index: u64) -> impl Rng + use<> {
    let mut key = [0; 32];
    for (part, word) in key.chunks_exact_mut(8).zip([seed, purpose as u64, epoch]) {
        part.copy_from_slice(&word.to_le_bytes());
    }
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(index);
    rng
}

/// A number in `lo..=hi`, evenly distributed over 2^24 steps.
pub fn uniform(rng: &mut impl Rng, lo: f32, hi: f32) -> f32 {
    lo + (hi - lo) * ((rng.next_u32() >> 8) as f32 / (1 << 24) as f32)
}

/// A number from the normal distribution with mean 0 and deviation 1 (Box and Muller).
pub fn normal(rng: &mut impl Rng) -> f32 {
    // uniform's steps end below 1, so that the logarithm is finite.
    let (u, v) = (f64::from(uniform(rng, 0.0, 1.0)), f64::from(uniform(rng, 0.0, 1.0)));
    (libm::sqrt(-2.0 * libm::log(1.0 - u)) * libm::cos(2.0 * std::f64::consts::PI * v)) as f32
}

/// An integer in `0..n`, each equally likely (Lemire's multiplication with rejection).
///
/// # Panics
/// `n` is 0.
pub fn below(rng: &mut impl Rng, n: u32) -> u32 {
    let rejected = n.wrapping_neg() % n;
    loop {
        let product = u64::from(rng.next_u32()) * u64::from(n);
        if product as u32 >= rejected {
            return (product >> 32) as u32;
        }
    }
}

/// The numbers `0..n` in an order that depends on `seed` and `epoch` only, each order equally likely (Fisher-Yates).
pub fn permutation(seed: u64, epoch: u64, n: u32) -> Vec<u32> {
    let mut rng = stream(seed, Purpose::Order, epoch, 0);
    let mut order: Vec<u32> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i as usize, below(&mut rng, i + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_words_are_chacha8s() {
        // From an independent implementation: key = 7, 2, 3, 0 as little-endian u64, nonce 11, block 0.
        let mut rng = stream(7, Purpose::Distortion, 3, 11);
        let words: Vec<u32> = (0..4).map(|_| rng.next_u32()).collect();
        assert_eq!(words, [1554971940, 571308624, 1628495417, 808686405]);
    }

    #[test]
    fn below_is_even() {
        let mut rng = stream(1, Purpose::Order, 0, 0);
        let mut counts = [0_i32; 7];
        for _ in 0..70_000 {
            counts[below(&mut rng, 7) as usize] += 1;
        }
        assert!(counts.iter().all(|c| (c - 10_000).abs() < 500), "{counts:?}");
    }

    proptest! {
        #[test]
        fn a_permutation_holds_every_number_once(seed: u64, epoch: u64, n in 0_u32..2000) {
            let mut order = permutation(seed, epoch, n);
            prop_assert_eq!(&order, &permutation(seed, epoch, n));
            order.sort_unstable();
            prop_assert!(order.into_iter().eq(0..n));
        }

        #[test]
        fn uniform_stays_inside(seed: u64, lo in -10.0_f32..10.0, width in 0.0_f32..10.0) {
            let x = uniform(&mut stream(seed, Purpose::Order, 0, 0), lo, lo + width);
            prop_assert!((lo..=lo + width).contains(&x));
        }
    }
}
