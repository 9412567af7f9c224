//! Dropout's choice: by key and place, so that threads, and the way back, make it anew and find the same.

/// Values that one key is drawn for.
pub(crate) const BLOCK: usize = 1 << 15;

/// Which values dropout silences, and by how much it scales the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The probability with which a value is silenced.
    pub rate: f64,
    /// Another key, another choice.
    pub key: u64,
}

impl Dropout {
    /// What values are multiplied with that stay.
    pub(crate) fn scale(self) -> f32 {
        (1.0 / (1.0 - self.rate)) as f32
    }

    /// Those whose number is below it are silenced.
    pub(crate) fn threshold(self) -> u32 {
        (self.rate * 4_294_967_296.0) as u32
    }

    /// The key of the `block`-th [`BLOCK`] values, by SplitMix64.
    pub(crate) fn block(self, block: usize) -> [u32; 2] {
        let mut z = self.key.wrapping_add((block as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        [z as u32, (z >> 32) as u32]
    }

    /// 0 or the scale for each of the first `len` values.
    pub(crate) fn mask(self, len: usize) -> impl Iterator<Item = f32> {
        let (threshold, scale) = (self.threshold(), self.scale());
        (0..len).map(move |i| {
            let number = number(self.block(i / BLOCK), (i % BLOCK) as u32);
            if number < threshold { 0.0 } else { scale }
        })
    }
}

/// The number of a block's `i`-th value, uniform over all of u32: a counter through two rounds of a multiply-xorshift hash
/// (Wellons' lowbias32), half of the key before each.
#[inline(always)]
pub(crate) fn number(key: [u32; 2], i: u32) -> u32 {
    let mut x = i ^ key[0];
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^= (x >> 16) ^ key[1];
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}
