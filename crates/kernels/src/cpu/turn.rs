//! Maps turned so that channels lie side by side.

/// Values of a cache line.
const LINE: usize = 16;

/// `to[p * stride + c] = from[c * step + p]` for the first `channels` and `len` places.
///
/// In squares of four by four, which compilers make shuffles of, and by whole cache lines. Not inlined: compiled for
/// AVX-512, it would become scatters, which take several times as long.
#[inline(never)]
pub fn turn(from: &[f32], step: usize, [channels, len]: [usize; 2], to: &mut [f32], stride: usize) {
    for line in (0..len).step_by(LINE) {
        let end = len.min(line + LINE);
        for c in (0..channels).step_by(4) {
            let mut p = line;
            if c + 4 <= channels {
                while p + 4 <= end {
                    let mut rows = [[0.0; 4]; 4];
                    for (i, row) in rows.iter_mut().enumerate() {
                        row.copy_from_slice(&from[(c + i) * step + p..][..4]);
                    }
                    for i in 0..4 {
                        to[(p + i) * stride + c..][..4]
                            .copy_from_slice(&[rows[0][i], rows[1][i], rows[2][i], rows[3][i]]);
                    }
                    p += 4;
                }
            }
            for p in p..end {
                for c in c..channels.min(c + 4) {
                    to[p * stride + c] = from[c * step + p];
                }
            }
        }
    }
}
