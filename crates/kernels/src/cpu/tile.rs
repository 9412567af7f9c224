//! The kernel under every matrix product: a tile of sums that stays in registers.

use super::{Isa, vector};
use pulp::{Simd, WithSimd};

/// Rows of a panel of A are stored by runs of as many steps: `[k / CHUNK][rows][CHUNK]`, so that packing copies runs.
pub const CHUNK: usize = 16;

/// Rows of a panel: full tiles first, the rest rounded up to 4, but for LeNet-5's 6.
pub fn panel_rows(isa: Isa, rows: usize, first: usize) -> usize {
    let (left, tall) = (rows - first, isa.tile().0);
    if left == 6 && tall > 6 { 6 } else { left.next_multiple_of(4).min(tall) }
}

/// Numbers in all panels of A for `rows` x `depth`.
pub fn panels_len(rows: usize, depth: usize) -> usize {
    rows.next_multiple_of(4) * depth.next_multiple_of(CHUNK)
}

/// Where the panel begins whose first row is `first`.
pub fn panel_start(first: usize, depth: usize) -> usize {
    first * depth.next_multiple_of(CHUNK)
}

/// Packs row-major `a`, row `r` at `r * stride`, into panels of full tiles.
pub fn pack_rows(isa: Isa, a: &[f32], rows: usize, depth: usize, stride: usize, panels: &mut [f32]) {
    let mut first = 0;
    while first < rows {
        let height = panel_rows(isa, rows, first);
        let panel = &mut panels[panel_start(first, depth)..][..height * depth.next_multiple_of(CHUNK)];
        for (i, chunk) in panel.chunks_exact_mut(height * CHUNK).enumerate() {
            let from = i * CHUNK;
            let len = CHUNK.min(depth - from);
            for (r, run) in chunk.chunks_exact_mut(CHUNK).enumerate() {
                if first + r < rows {
                    let start = (first + r) * stride + from;
                    run[..len].copy_from_slice(&a[start..start + len]);
                    run[len..].fill(0.0);
                } else {
                    run.fill(0.0);
                }
            }
        }
        first += height;
    }
}

/// Where step `k` of B lies: `b[at(k)..]` holds the tile's columns.
#[derive(Clone, Copy)]
pub enum Steps<'a> {
    /// At `k * stride`.
    Even(usize),
    /// At `table[k]`.
    Table(&'a [u32]),
}

/// One tile: `out[r][c] (+)= sum_k a[r][k] b[k][c]` for `rows` rows and `vectors` vectors of columns; row `r` of `out`
/// begins at `r * stride`.
pub struct Tile<'a> {
    pub rows: usize,
    pub vectors: usize,
    pub depth: usize,
    /// A panel of A or, with `a_step`, numbers of which row `r` of step `k` is at `k * a_step + r`.
    pub a: &'a [f32],
    pub a_step: Option<usize>,
    pub b: &'a [f32],
    pub steps: Steps<'a>,
    pub out: &'a mut [f32],
    pub stride: usize,
    /// Adds to what is there.
    pub add: bool,
}

impl Tile<'_> {
    #[inline(always)]
    pub fn run<S: Simd>(self, simd: S) {
        macro_rules! pick {
            ($($rows:literal $vectors:literal),+) => {
                match (self.rows, self.vectors) {
                    $(($rows, $vectors) if self.a_step.is_none() => self.sized::<S, $rows, $vectors, true>(simd),)+
                    $(($rows, $vectors) => self.sized::<S, $rows, $vectors, false>(simd),)+
                    (rows, vectors) => unreachable!("no tile of {rows} x {vectors} vectors"),
                }
            };
        }
        pick!(12 2, 12 1, 8 3, 8 2, 8 1, 6 3, 6 2, 6 1, 4 3, 4 2, 4 1)
    }

    #[inline(always)]
    fn sized<S: Simd, const ROWS: usize, const VECTORS: usize, const PANEL: bool>(self, simd: S) {
        let lanes = S::F32_LANES;
        let width = VECTORS * lanes;
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        let Self { depth, a, a_step, b, steps, out, stride, add, .. } = self;
        // From row to row and from step to step of A.
        let (a_row, a_step) = if PANEL { (CHUNK, 1) } else { (1, a_step.unwrap_or(0)) };
        let a_len = if PANEL { ROWS * depth.next_multiple_of(CHUNK) } else { (depth - 1) * a_step + ROWS };
        assert!(a.len() >= a_len && out.len() >= (ROWS - 1) * stride + width);
        let last = match steps {
            Steps::Even(step) => (depth - 1) * step,
            Steps::Table(table) => {
                assert!(table.len() >= depth);
                0
            }
        };
        assert!(b.len() >= last + width);
        // Plain loops throughout: what a closure does isn't compiled for the vectors of the function around it.
        let mut k = 0;
        let mut even = b.as_ptr();
        while k < depth {
            let chunk = if PANEL { a[k * ROWS..][..ROWS * CHUNK].as_ptr() } else { a[k * a_step..].as_ptr() };
            let end = CHUNK.min(depth - k);
            let mut lane = 0;
            while lane < end {
                // SAFETY: `b` holds `width` values from each step on: asserted above, or the table's maker saw to it. A
                // chunk of the panel has `ROWS * CHUNK` numbers; without panels, the last step's rows are asserted to be there.
                unsafe {
                    let row = match steps {
                        Steps::Even(step) => {
                            let row = even;
                            even = even.wrapping_add(step);
                            row
                        }
                        Steps::Table(table) => b.as_ptr().add(*table.get_unchecked(k + lane) as usize),
                    };
                    let mut vectors = [simd.splat_f32s(0.0); VECTORS];
                    let mut v = 0;
                    while v < VECTORS {
                        vectors[v] = row.add(v * lanes).cast::<S::f32s>().read_unaligned();
                        v += 1;
                    }
                    let mut r = 0;
                    while r < ROWS {
                        let value = simd.splat_f32s(*chunk.add(r * a_row + lane * a_step));
                        let mut v = 0;
                        while v < VECTORS {
                            sums[r][v] = vector::mul_add(simd, value, vectors[v], sums[r][v]);
                            v += 1;
                        }
                        r += 1;
                    }
                }
                lane += 1;
            }
            k += CHUNK;
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                // SAFETY: asserted above.
                unsafe {
                    let to = out.as_mut_ptr().add(r * stride + v * lanes).cast::<S::f32s>();
                    let value = if add { simd.add_f32s(to.read_unaligned(), *sum) } else { *sum };
                    to.write_unaligned(value);
                }
            }
        }
    }
}

/// [`Tile::run`] for who has no vectors at hand.
impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.run(simd);
    }
}
