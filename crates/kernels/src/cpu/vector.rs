//! Loops over slices by whole vectors; what is left of a slice makes a vector with zeros behind it.

use core::any::TypeId;
use pulp::{Scalar256b, Simd};

/// A function over vectors of any kind, and under the same name, for slices, one that runs it with the current
/// [`Isa`](super::Isa).
macro_rules! vectorized {
    ($(#[$doc:meta])* $vis:vis fn $name:ident<'a, S>($simd:ident: S, $($arg:ident: $type:ty),+ $(,)?)
        $(-> $out:ty)? $body:block) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)] // plain data for one loop
        $vis fn $name<'a>($($arg: $type),+) $(-> $out)? {
            struct Op<'a>($($type,)+ core::marker::PhantomData<&'a ()>);
            impl<'a> pulp::WithSimd for Op<'a> {
                type Output = $crate::cpu::vector::vectorized!(@output $($out)?);

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, $simd: S) -> Self::Output {
                    let Self($($arg,)+ _) = self;
                    $body
                }
            }
            $crate::cpu::Isa::current().run(Op($($arg,)+ core::marker::PhantomData))
        }
    };
    (@output) => { () };
    (@output $out:ty) => { $out };
}
pub(crate) use vectorized;

/// `a b + c`, rounded once where that is as fast.
#[inline(always)]
pub fn mul_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    // pulp's portable vectors would call libm's `fmaf` for each lane.
    if TypeId::of::<S>() == TypeId::of::<Scalar256b>() {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    } else {
        simd.mul_add_e_f32s(a, b, c)
    }
}

/// `x = f(x)`.
#[inline(always)]
pub fn update<S: Simd>(simd: S, x: &mut [f32], f: impl Fn(S::f32s) -> S::f32s) {
    let (whole, rest) = S::as_mut_simd_f32s(x);
    for x in whole {
        *x = f(*x);
    }
    if !rest.is_empty() {
        let last = f(simd.partial_load_f32s(rest));
        simd.partial_store_f32s(rest, last);
    }
}

/// `out = f(x)`.
#[inline(always)]
pub fn map<S: Simd>(simd: S, x: &[f32], out: &mut [f32], f: impl Fn(S::f32s) -> S::f32s) {
    let ((x, x_rest), (out, out_rest)) = (S::as_simd_f32s(x), S::as_mut_simd_f32s(out));
    for (x, out) in x.iter().zip(out) {
        *out = f(*x);
    }
    if !out_rest.is_empty() {
        simd.partial_store_f32s(out_rest, f(simd.partial_load_f32s(x_rest)));
    }
}

/// `y = f(x, y)`.
#[inline(always)]
pub fn update_with<S: Simd>(simd: S, x: &[f32], y: &mut [f32], f: impl Fn(S::f32s, S::f32s) -> S::f32s) {
    let ((x, x_rest), (y, y_rest)) = (S::as_simd_f32s(x), S::as_mut_simd_f32s(y));
    for (x, y) in x.iter().zip(y) {
        *y = f(*x, *y);
    }
    if !y_rest.is_empty() {
        let last = f(simd.partial_load_f32s(x_rest), simd.partial_load_f32s(y_rest));
        simd.partial_store_f32s(y_rest, last);
    }
}

/// `out = f(x, y)`.
#[inline(always)]
pub fn map2<S: Simd>(simd: S, x: &[f32], y: &[f32], out: &mut [f32], f: impl Fn(S::f32s, S::f32s) -> S::f32s) {
    let ((x, x_rest), (y, y_rest)) = (S::as_simd_f32s(x), S::as_simd_f32s(y));
    let (out, out_rest) = S::as_mut_simd_f32s(out);
    for ((x, y), out) in x.iter().zip(y).zip(out) {
        *out = f(*x, *y);
    }
    if !out_rest.is_empty() {
        simd.partial_store_f32s(out_rest, f(simd.partial_load_f32s(x_rest), simd.partial_load_f32s(y_rest)));
    }
}

/// Sum of `x`: four running sums, since one would wait for its own last addition.
#[inline(always)]
pub fn sum<S: Simd>(simd: S, x: &[f32]) -> f32 {
    let (whole, rest) = S::as_simd_f32s(x);
    let (fours, ones) = pulp::as_arrays::<4, _>(whole);
    let mut sums = [simd.splat_f32s(0.0); 4];
    for four in fours {
        for (sum, x) in sums.iter_mut().zip(four) {
            *sum = simd.add_f32s(*sum, *x);
        }
    }
    for one in ones {
        sums[0] = simd.add_f32s(sums[0], *one);
    }
    sums[1] = simd.add_f32s(sums[1], simd.partial_load_f32s(rest));
    let [a, b, c, d] = sums;
    simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)))
}

/// Sum of `x y`.
#[inline(always)]
pub fn dot<S: Simd>(simd: S, x: &[f32], y: &[f32]) -> f32 {
    let ((x, x_rest), (y, y_rest)) = (S::as_simd_f32s(x), S::as_simd_f32s(y));
    let mut sum = simd.mul_f32s(simd.partial_load_f32s(x_rest), simd.partial_load_f32s(y_rest));
    for (x, y) in x.iter().zip(y) {
        sum = mul_add(simd, *x, *y, sum);
    }
    simd.reduce_sum_f32s(sum)
}

/// e^x - 1, to about 1e-7 of its value, for x from -87.33 to 88.
///
/// x = n ln 2 + r, |r| <= ln 2 / 2, so that e^x - 1 = 2^n (e^r - 1) + (2^n - 1); e^r - 1 by Taylor's series, of which the
/// first term left out, r^8 / 8!, is 1.5e-8 of the sum at most.
#[inline(always)]
pub fn exp_m1<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (power, rest) = exp_parts(simd, x);
    mul_add(simd, power, rest, simd.sub_f32s(power, simd.splat_f32s(1.0)))
}

/// e^x, to about 1e-7 of its value, for x from -87.33 to 88.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (power, rest) = exp_parts(simd, x);
    mul_add(simd, power, rest, power)
}

/// 2^n and e^r - 1 of [`exp_m1`].
#[inline(always)]
fn exp_parts<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
    // Adding 1.5 * 2^23 leaves the nearest integer in the last bits of the sum, in two's complement.
    let magic = simd.splat_f32s(12_582_912.0);
    let sum = mul_add(simd, x, simd.splat_f32s(core::f32::consts::LOG2_E), magic);
    let n = simd.sub_f32s(sum, magic);
    // ln 2 in two parts, the first with few enough bits that n times it is exact.
    let r = mul_add(simd, n, simd.splat_f32s(-0.693_359_4), x);
    let r = mul_add(simd, n, simd.splat_f32s(2.121_944_4e-4), r);
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(sum), simd.splat_u32s(23));
    let power = simd.transmute_f32s_u32s(simd.add_u32s(exponent, simd.splat_u32s(127 << 23)));
    let mut series = simd.splat_f32s(1.0 / 5040.0);
    for term in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5] {
        series = mul_add(simd, series, r, simd.splat_f32s(term));
    }
    (power, mul_add(simd, simd.mul_f32s(r, r), series, r))
}

/// e^x for x up to 88; below -87.33, where numbers begin to lose precision, 0.
#[inline(always)]
pub fn exp_or_zero<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let least = simd.splat_f32s(-87.33);
    let small = simd.less_than_f32s(x, least);
    simd.select_f32s(small, simd.splat_f32s(0.0), exp(simd, simd.select_f32s(small, least, x)))
}

/// tanh x = (e^2x - 1) / (e^2x + 1), to about 2e-7 of its value, for any x.
#[inline(always)]
pub fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let sign = simd.splat_f32s(-0.0);
    let size = simd.and_f32s(x, simd.splat_f32s(f32::from_bits(!(1 << 31))));
    // tanh 10 is 1 in f32. By comparison, not by minimum: NaN must stay.
    let most = simd.splat_f32s(10.0);
    let size = simd.select_f32s(simd.greater_than_f32s(size, most), most, size);
    let e = exp_m1(simd, simd.add_f32s(size, size));
    let tanh = simd.div_f32s(e, simd.add_f32s(e, simd.splat_f32s(2.0)));
    simd.or_f32s(tanh, simd.and_f32s(x, sign))
}

/// 1 / (1 + e^-x), to about 2e-7 of its value; 0 below -87.33.
#[inline(always)]
pub fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let e = exp_or_zero(simd, simd.or_f32s(x, simd.splat_f32s(-0.0)));
    let one = simd.splat_f32s(1.0);
    let share = simd.div_f32s(one, simd.add_f32s(one, e));
    simd.select_f32s(simd.less_than_f32s(x, simd.splat_f32s(0.0)), simd.mul_f32s(e, share), share)
}

/// The vector at `x[at..]`.
#[inline(always)]
pub fn load<S: Simd>(_: S, x: &[f32], at: usize) -> S::f32s {
    S::as_simd_f32s(&x[at..at + S::F32_LANES]).0[0]
}

/// Puts as much of a vector at `x[at..]` as there is room for.
#[inline(always)]
pub fn store_some<S: Simd>(simd: S, x: &mut [f32], at: usize, value: S::f32s) {
    if at + S::F32_LANES <= x.len() {
        store(simd, x, at, value);
    } else {
        simd.partial_store_f32s(&mut x[at..], value);
    }
}

/// Puts a vector at `x[at..]`.
#[inline(always)]
pub fn store<S: Simd>(_: S, x: &mut [f32], at: usize, value: S::f32s) {
    S::as_mut_simd_f32s(&mut x[at..at + S::F32_LANES]).0[0] = value;
}
