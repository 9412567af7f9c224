//! The operators on CubeCL's devices: Burn's, but for local response normalisation. Burn's operators take some twenty
//! passes over memory for it; one kernel for each direction takes one. Where Burn fuses operators, they are left to it.

use crate::ops::{Kernels, Lrn};
use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

/// The squares of the maps from `reach` before to `reach` after `map`, in which `at` is, at its place; zero beyond the edges.
#[cube]
fn squares<F: Float>(x: &Tensor<F>, at: usize, map: usize, #[comptime] reach: usize) -> Array<F> {
    let plane = x.shape(2) * x.shape(3);
    let mut squares = Array::<F>::new(comptime!(2 * reach + 1));
    #[unroll]
    for i in 0..comptime!(2 * reach + 1) {
        squares[i] = F::new(0.0_f32);
        if map + i >= reach && map + i < x.shape(1) + reach {
            let value = x[at + i * plane - reach * plane];
            squares[i] = value * value;
        }
    }
    squares
}

/// `k + alpha * sum x'^2` over the `size` squares from `from` on.
#[cube]
fn scale<F: Float>(squares: &Array<F>, k: f32, alpha: f32, #[comptime] from: usize, #[comptime] size: usize) -> F {
    let mut sum = F::new(0.0_f32);
    #[unroll]
    for i in 0..size {
        sum += squares[comptime!(from + i)];
    }
    F::cast_from(k) + F::cast_from(alpha) * sum
}

/// The power of a scale: 3/4 by two square roots.
#[cube]
fn power<F: Float>(scale: F, beta: f32, #[comptime] three_quarters: bool) -> F {
    if three_quarters {
        let root = scale.sqrt();
        root * root.sqrt()
    } else {
        scale.powf(F::cast_from(beta))
    }
}

#[cube(launch)]
fn forward<F: Float>(
    x: &Tensor<F>,
    y: &mut Tensor<F>,
    k: f32,
    alpha: f32,
    beta: f32,
    #[comptime] size: usize,
    #[comptime] three_quarters: bool,
    #[define(F)] _type: ElemType,
) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let map = ABSOLUTE_POS / (x.shape(2) * x.shape(3)) % x.shape(1);
    let squares = squares::<F>(x, ABSOLUTE_POS, map, comptime!(size / 2));
    let scale = scale::<F>(&squares, k, alpha, 0usize, size);
    y[ABSOLUTE_POS] = x[ABSOLUTE_POS] / power::<F>(scale, beta, three_quarters);
}

/// `dx = dy / scale^beta - 2 alpha beta x * sum dy' y' / scale'`.
#[cube(launch)]
fn backward<F: Float>(
    x: &Tensor<F>,
    y: &Tensor<F>,
    dy: &Tensor<F>,
    dx: &mut Tensor<F>,
    k: f32,
    alpha: f32,
    beta: f32,
    #[comptime] size: usize,
    #[comptime] three_quarters: bool,
    #[define(F)] _type: ElemType,
) {
    if ABSOLUTE_POS >= dx.len() {
        terminate!();
    }
    let plane = x.shape(2) * x.shape(3);
    let map = ABSOLUTE_POS / plane % x.shape(1);
    let reach = comptime!(size / 2);
    let squares = squares::<F>(x, ABSOLUTE_POS, map, comptime!(2 * reach));
    let mut across = F::new(0.0_f32);
    #[unroll]
    for i in 0..size {
        if map + i >= reach && map + i < x.shape(1) + reach {
            let at = ABSOLUTE_POS + i * plane - reach * plane;
            across += dy[at] * y[at] / scale::<F>(&squares, k, alpha, i, size);
        }
    }
    let own = power::<F>(scale::<F>(&squares, k, alpha, reach, size), beta, three_quarters);
    dx[ABSOLUTE_POS] = dy[ABSOLUTE_POS] / own - F::cast_from(2.0_f32 * alpha * beta) * x[ABSOLUTE_POS] * across;
}

/// A tensor for as many values as `x` has, and how many threads write it.
fn like(x: &CubeTensor) -> (CubeTensor, CubeCount, CubeDim) {
    let values = x.meta.num_elements();
    let room = x.client.empty(values * x.dtype.size());
    let made = CubeTensor::new_contiguous(x.client.clone(), x.device.clone(), x.meta.shape().clone(), room, x.dtype);
    let threads = CubeDim::new(&x.client, values);
    (made, calculate_cube_count_elemwise(&x.client, values, threads), threads)
}

#[cfg(feature = "fusion")]
impl Kernels for burn::backend::Cube {}

impl Kernels for CubeBackend {
    fn lrn(x: CubeTensor, lrn: Lrn) -> CubeTensor {
        if x.meta.num_elements() == 0 {
            return x;
        }
        let x = into_contiguous(x);
        let (y, count, threads) = like(&x);
        let Lrn { size, alpha, beta, k } = lrn;
        let element = dtype_to_storage_type(x.dtype);
        let to = y.clone().into_tensor_arg();
        forward::launch(
            &y.client,
            count,
            threads,
            x.into_tensor_arg(),
            to,
            k,
            alpha,
            beta,
            size,
            beta == 0.75,
            element,
        );
        y
    }

    fn lrn_dx(x: CubeTensor, y: CubeTensor, dy: CubeTensor, lrn: Lrn) -> CubeTensor {
        if x.meta.num_elements() == 0 {
            return x;
        }
        let [x, y, dy] = [x, y, dy].map(into_contiguous);
        let (dx, count, threads) = like(&x);
        let Lrn { size, alpha, beta, k } = lrn;
        let element = dtype_to_storage_type(x.dtype);
        let to = dx.clone().into_tensor_arg();
        let [x, y, dy] = [x, y, dy].map(CubeTensor::into_tensor_arg);
        backward::launch(&dx.client, count, threads, x, y, dy, to, k, alpha, beta, size, beta == 0.75, element);
        dx
    }
}
