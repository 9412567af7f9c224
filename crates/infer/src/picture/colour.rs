//! From numbers to colours, for eyes of every kind.

/// Viridis (Smith and van der Walt, matplotlib; public domain) at 33 even steps: lightness rises steadily, so it reads in
/// grey and to the colour-blind.
const VIRIDIS: [[u8; 3]; 33] = [
    [68, 1, 84],
    [71, 13, 96],
    [72, 24, 106],
    [72, 35, 116],
    [71, 45, 123],
    [69, 55, 129],
    [66, 64, 134],
    [62, 73, 137],
    [59, 82, 139],
    [55, 91, 141],
    [51, 99, 141],
    [47, 107, 142],
    [44, 114, 142],
    [41, 122, 142],
    [38, 130, 142],
    [35, 137, 142],
    [33, 145, 140],
    [31, 152, 139],
    [31, 160, 136],
    [34, 167, 133],
    [40, 174, 128],
    [50, 182, 122],
    [63, 188, 115],
    [78, 195, 107],
    [94, 201, 98],
    [112, 207, 87],
    [132, 212, 75],
    [152, 216, 62],
    [173, 220, 48],
    [194, 223, 35],
    [216, 226, 25],
    [236, 229, 27],
    [253, 231, 37],
];

/// Okabe and Ito's eight colours, told apart by the colour-blind.
pub const CATEGORIES: [[u8; 3]; 8] = [
    [0, 114, 178],
    [230, 159, 0],
    [0, 158, 115],
    [204, 121, 167],
    [86, 180, 233],
    [213, 94, 0],
    [240, 228, 66],
    [0, 0, 0],
];

/// The colour of `t`, from 0 (dark) to 1 (bright); what is beyond is as at the end.
pub fn viridis(t: f32) -> [u8; 3] {
    let t = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) };
    let at = t * (VIRIDIS.len() - 1) as f32;
    let (step, rest) = (at as usize, at.fract());
    let (low, high) = (VIRIDIS[step], VIRIDIS[(step + 1).min(VIRIDIS.len() - 1)]);
    std::array::from_fn(|c| (f32::from(low[c]) * (1.0 - rest) + f32::from(high[c]) * rest).round() as u8)
}

/// Black at 0, white at 1.
pub fn grey(t: f32) -> [u8; 3] {
    [(t.clamp(0.0, 1.0) * 255.0).round() as u8; 3]
}

/// Middle grey at 0, black at -1, white at 1: how the paper shows projections, a channel at a time.
pub fn signed(t: f32) -> u8 {
    (127.5 + 127.5 * t.clamp(-1.0, 1.0)).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viridis_gets_lighter_all_the_way() {
        let lightness = |c: [u8; 3]| 299 * u32::from(c[0]) + 587 * u32::from(c[1]) + 114 * u32::from(c[2]);
        let steps: Vec<_> = (0..=64).map(|i| lightness(viridis(i as f32 / 64.0))).collect();
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
        assert_eq!((viridis(-3.0), viridis(9.0)), (VIRIDIS[0], VIRIDIS[32]));
        assert_eq!(viridis(f32::NAN), VIRIDIS[0]);
    }

    #[test]
    fn nothing_is_middle_grey() {
        assert_eq!((signed(0.0), signed(-2.0), signed(2.0)), (128, 0, 255));
        assert_eq!((grey(0.0), grey(1.0)), ([0; 3], [255; 3]));
    }
}
