//! Our kernels on Flex in f32 against Burn's operators there in f64, and these against differences of values.
#![allow(clippy::unwrap_used)] // helpers of tests
#![cfg(all(feature = "std", feature = "flex", feature = "autodiff"))]

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use kernels::cpu::{Isa, isa, par};
use kernels::{Function, Lrn, Pool, Sgd};
use proptest::prelude::*;
use std::sync::{Mutex, MutexGuard};

const TANH: Function = Function::Tanh { amplitude: 1.7159, slope: 2.0 / 3.0 };
const FUNCTIONS: [Function; 4] = [Function::Identity, Function::Relu, TANH, Function::Sigmoid];

/// Which vectors are used is one setting for the process: who compares bits must hold it.
fn vectors() -> MutexGuard<'static, ()> {
    static VECTORS: Mutex<()> = Mutex::new(());
    VECTORS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Burn's generator is one for the process: who seeds it must hold it.
fn generator() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Values that repeat, so that windows have equal ones, and of which a few are zero.
fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) % 65) as f32 / 16.0 - 2.0
    };
    (0..len).map(|_| next()).collect()
}

/// In f32 or f64, on a graph, and with `swapped` laid out column by column.
fn tensor(seed: u64, shape: [usize; 4], dtype: DType, swapped: bool) -> Tensor<4> {
    let data = TensorData::new(values(seed, shape.iter().product()), shape);
    let x = Tensor::<4>::from_data(data, &Device::flex().autodiff()).cast(dtype);
    if !swapped {
        return x.require_grad();
    }
    let [n, c, h, w] = shape;
    let transposed = x.swap_dims(2, 3).reshape([n, c, 1, w * h]).detach().reshape([n, c, w, h]);
    transposed.swap_dims(2, 3).require_grad()
}

fn vector(seed: u64, len: usize, dtype: DType) -> Tensor<1> {
    Tensor::<1>::from_data(TensorData::new(values(seed, len), [len]), &Device::flex().autodiff())
        .cast(dtype)
        .require_grad()
}

fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.cast(DType::F64).into_data().try_to_vec().unwrap()
}

#[track_caller]
fn assert_near(what: &str, ours: &[f64], theirs: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let size = theirs.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance * size, "{what}[{i}]: {a}, not {b}");
    }
}

/// The value of `f` and its gradient by x, for a gradient of repeating values by what comes out.
fn run(f: &impl Fn(Tensor<4>) -> Tensor<4>, shape: [usize; 4], dtype: DType, swapped: bool) -> [Vec<f64>; 2] {
    let x = tensor(7, shape, dtype, swapped);
    let y = f(x.clone());
    let weights = tensor(8, y.dims(), dtype, swapped).detach();
    let gradients = (y.clone() * weights).sum().backward();
    [numbers(y), numbers(x.grad(&gradients).expect("x is on the graph"))]
}

/// f32 against f64.
#[track_caller]
fn agree(what: &str, f: &impl Fn(Tensor<4>) -> Tensor<4>, shape: [usize; 4], swapped: bool) {
    let ([y, dx], [y64, dx64]) = (run(f, shape, DType::F32, swapped), run(f, shape, DType::F64, false));
    assert_near(&format!("{what} {shape:?}: y"), &y, &y64, 2e-6);
    assert_near(&format!("{what} {shape:?}: dx"), &dx, &dx64, 4e-6);
}

/// Gradients in f64 against differences of values. Our own, in f32, agree with these: [`agree`].
#[track_caller]
fn differences(what: &str, f: &impl Fn(Tensor<4>) -> Tensor<4>, shape: [usize; 4]) {
    // Off the grid on which values tie and functions bend.
    let off: Vec<f64> = (1..=shape.iter().product()).map(|i| i as f64 * 3e-5).collect();
    let off = Tensor::<4>::from_data(TensorData::new(off, shape), (&Device::flex(), DType::F64));
    let x = tensor(7, shape, DType::F64, false).inner() + off;
    let tracked = x.clone().autodiff().require_grad();
    let y = f(tracked.clone());
    let weights = tensor(8, y.dims(), DType::F64, false).inner();
    let gradients = (y * weights.clone().autodiff()).sum().backward();
    let dx = numbers(tracked.grad(&gradients).unwrap());
    let flat = numbers(x);
    for i in (0..flat.len()).step_by(flat.len() / 40 + 1) {
        let value = |step: f64| {
            let mut moved = flat.clone();
            moved[i] += step;
            let data = TensorData::new(moved, shape);
            let x = Tensor::<4>::from_data(data, (&Device::flex(), DType::F64));
            numbers((f(x) * weights.clone()).sum())[0]
        };
        let slope = (value(1e-6) - value(-1e-6)) / 2e-6;
        assert!((slope - dx[i]).abs() < 1e-5 * (1.0 + slope.abs()), "{what}[{i}]: {}, not {slope}", dx[i]);
    }
}

fn pools() -> impl Strategy<Value = Pool> {
    (1..5_usize, 1..4_usize, any::<bool>()).prop_map(|(size, stride, ceil)| Pool {
        size,
        stride: stride.min(size),
        ceil,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn functions(n in 1..3_usize, c in 1..4_usize, h in 1..9_usize, w in 1..40_usize, swapped: bool, which in 0..4_usize) {
        let f = FUNCTIONS[which];
        agree(&format!("{f:?}"), &|x| kernels::apply(x, f), [n, c, h, w], swapped);
    }

    #[test]
    fn normalisation(
        n in 1..3_usize, c in 1..12_usize, h in 1..6_usize, w in 1..40_usize, swapped: bool,
        half in 0..4_usize, plain: bool,
    ) {
        let beta = if plain { 0.75 } else { 0.6 };
        let lrn = Lrn { size: 2 * half + 1, alpha: 0.1, beta, k: 1.5 };
        agree(&format!("{lrn:?}"), &|x| kernels::lrn(x, lrn), [n, c, h, w], swapped);
    }

    #[test]
    fn maxima(n in 1..3_usize, c in 1..4_usize, h in 4..20_usize, w in 4..70_usize, swapped: bool, pool in pools()) {
        agree(&format!("{pool:?}"), &|x| kernels::max_pool2d(x, pool), [n, c, h, w], swapped);
    }

    #[test]
    fn means(n in 1..3_usize, c in 1..4_usize, h in 4..20_usize, w in 4..70_usize, swapped: bool, pool in pools()) {
        agree(&format!("{pool:?}"), &|x| kernels::overlap_avg_pool2d(x, pool), [n, c, h, w], swapped);
        agree(&format!("{pool:?}"), &|x| kernels::avg_pool2d(x, pool.size), [n, c, h, w], swapped);
        agree("by two", &|x| kernels::avg_pool2d(x, 2), [n, c, 2 * h, 2 * w], swapped);
        agree("global", &|x| kernels::avg_pool2d(x, h), [n, c, h, h], swapped);
    }

    #[test]
    fn subsampling(
        n in 1..4_usize, c in 1..5_usize, oh in 1..9_usize, ow in 1..20_usize, size in 1..4_usize, which in 0..4_usize,
        swapped: bool,
    ) {
        let (shape, f) = ([n, c, oh * size, ow * size], FUNCTIONS[which]);
        let gradients = [DType::F32, DType::F64].map(|dtype| {
            let x = tensor(7, shape, dtype, swapped);
            let (coefficient, bias) = (vector(2, c, dtype), vector(3, c, dtype));
            let y = kernels::subsample(x.clone(), coefficient.clone(), bias.clone(), size, f);
            let all = (y.clone() * tensor(8, y.dims(), dtype, swapped).detach()).sum().backward();
            let vectors = [coefficient, bias].map(|v| numbers(v.grad(&all).unwrap()));
            (numbers(y), numbers(x.grad(&all).unwrap()), vectors)
        });
        let [(y, dx, [dw, db]), (y64, dx64, [dw64, db64])] = gradients;
        for (what, ours, theirs) in [("y", y, y64), ("dx", dx, dx64), ("dw", dw, dw64), ("db", db, db64)] {
            assert_near(&format!("{what} {shape:?} {f:?}"), &ours, &theirs, 4e-6);
        }
    }

    /// The same choice for f32 and f64, on the way back as on the way there.
    #[test]
    fn dropout(n in 1..3_usize, c in 1..40_usize, h in 1..40_usize, w in 1..40_usize, swapped: bool, rate in 0.0..0.9, seed: u64) {
        let _held = generator();
        let f = |x| {
            Device::flex().seed(seed);
            kernels::dropout(x, rate)
        };
        agree(&format!("at {rate}"), &f, [n, c, h, w], swapped);
    }

    #[test]
    fn losses(n in 1..9_usize, classes in 1..70_usize, scale in 0.1..40.0_f32) {
        let [ours, theirs] = [DType::F32, DType::F64].map(|dtype| {
            let logits = tensor(7, [n, classes, 1, 1], dtype, false).inner().mul_scalar(scale).reshape([n, classes]);
            let logits: Tensor<2> = logits.autodiff().require_grad();
            let labels: Vec<i32> = (0..n).map(|i| (i * 7 % classes) as i32).collect();
            let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [n]), &Device::flex().autodiff());
            let loss = kernels::cross_entropy(logits.clone(), labels);
            let all = loss.clone().mul_scalar(3.0).backward();
            (numbers(loss), numbers(logits.grad(&all).unwrap()))
        });
        assert_near("loss", &ours.0, &theirs.0, 2e-6);
        assert_near("dx", &ours.1, &theirs.1, 2e-6);
    }

    #[test]
    fn descent(len in 1..3000_usize, shared: bool) {
        let step = Sgd { rate: 0.1, momentum: 0.9, decay: 5e-4 };
        let [ours, theirs] = [DType::F32, DType::F64].map(|dtype| {
            let [w, v, g] = [1, 2, 3].map(|seed| vector(seed, len, dtype).inner());
            let kept = shared.then(|| (w.clone(), v.clone()));
            let (w, v) = kernels::sgd(w, v, g, step);
            if let Some((w, v)) = kept {
                assert_eq!(numbers(w), numbers(vector(1, len, dtype)), "another's weight moved");
                assert_eq!(numbers(v), numbers(vector(2, len, dtype)), "another's velocity moved");
            }
            (numbers(w), numbers(v))
        });
        assert_near("weight", &ours.0, &theirs.0, 2e-7);
        assert_near("velocity", &ours.1, &theirs.1, 2e-7);
    }
}

#[test]
fn gradients_are_differences_of_values() {
    for f in FUNCTIONS {
        differences(&format!("{f:?}"), &|x| kernels::apply(x, f), [2, 2, 3, 5]);
    }
    for beta in [0.75, 0.6] {
        let lrn = Lrn { size: 5, alpha: 0.1, beta, k: 1.5 };
        differences(&format!("{lrn:?}"), &|x| kernels::lrn(x, lrn), [2, 7, 3, 4]);
    }
    for (size, stride, ceil) in [(3, 2, false), (3, 2, true), (2, 2, true), (3, 1, false)] {
        let pool = Pool { size, stride, ceil };
        differences(&format!("max {pool:?}"), &|x| kernels::max_pool2d(x, pool), [2, 2, 8, 7]);
        differences(&format!("mean {pool:?}"), &|x| kernels::overlap_avg_pool2d(x, pool), [2, 2, 8, 7]);
    }
    differences("tiles", &|x| kernels::avg_pool2d(x, 2), [2, 2, 8, 6]);
}

/// Sums over images: the gradient by a bias that is added to maps.
#[test]
fn sums_of_maps() {
    for shape in [[3, 5, 4, 5], [2, 700, 1, 1], [130, 3, 1, 1], [1, 1, 1, 1]] {
        let [ours, theirs] = [DType::F32, DType::F64].map(|dtype| {
            let x = tensor(1, shape, dtype, false).detach();
            let (coefficient, bias) = (vector(2, shape[1], dtype), vector(3, shape[1], dtype));
            let y = kernels::subsample(x, coefficient, bias.clone(), 1, Function::Identity);
            let all = (y.clone() * tensor(8, y.dims(), dtype, false).detach()).sum().backward();
            numbers(bias.grad(&all).unwrap())
        });
        assert_near(&format!("{shape:?}"), &ours, &theirs, 2e-6);
    }
}

/// As often as the rate says, whatever a value's place and its neighbour's fate.
#[test]
fn dropout_is_fair() {
    let _held = generator();
    for (seed, rate) in [(1, 0.5), (2, 0.1), (3, 0.75)] {
        Device::flex().seed(seed);
        let (planes, places) = (50, 20_000);
        let y = kernels::dropout(Tensor::<2>::ones([planes, places], &Device::flex()), rate);
        let y: Vec<f32> = y.into_data().try_to_vec().unwrap();
        let scale = (1.0 / (1.0 - rate)) as f32;
        assert!(y.iter().all(|y| *y == 0.0 || *y == scale));
        // Within five standard deviations.
        let fair = |what: &str, silent: usize, of: usize, rate: f64| {
            let (mean, deviation) = (of as f64 * rate, (of as f64 * rate * (1.0 - rate)).sqrt());
            assert!((silent as f64 - mean).abs() < 5.0 * deviation, "{what}: {silent} of {of} at {rate}");
        };
        let silent = |values: &mut dyn Iterator<Item = bool>| values.filter(|silent| *silent).count();
        for lag in [1, 2, 16, 1 << 15] {
            let pairs = y.len() - lag;
            let both = silent(&mut y.iter().zip(&y[lag..]).map(|(a, b)| *a == 0.0 && *b == 0.0));
            // Overlapping pairs vary more than independent ones, by less than a factor of sqrt(3).
            fair(&format!("pairs {lag} apart"), both / 3, pairs / 3, rate * rate);
        }
        for plane in y.chunks_exact(places) {
            fair("a plane", silent(&mut plane.iter().map(|y| *y == 0.0)), places, rate);
        }
        let again = kernels::dropout(Tensor::<2>::ones([planes, places], &Device::flex()), rate);
        let again: Vec<f32> = again.into_data().try_to_vec().unwrap();
        let both = silent(&mut y.iter().zip(&again).map(|(a, b)| *a == 0.0 && *b == 0.0));
        fair("two calls", both, y.len(), rate * rate);
    }
}

/// Everything there is, on maps large enough for several threads: all values in one list.
fn everything() -> Vec<f64> {
    let shape = [4, 40, 55, 57];
    let lrn = Lrn { size: 5, alpha: 2e-5, beta: 0.75, k: 1.0 };
    let pool = Pool { size: 3, stride: 2, ceil: true };
    let mut all = Vec::new();
    let mut keep = |[y, dx]: [Vec<f64>; 2]| all.extend(y.into_iter().chain(dx));
    keep(run(&|x| kernels::apply(x, TANH), shape, DType::F32, false));
    keep(run(&|x| kernels::lrn(x, lrn), shape, DType::F32, false));
    keep(run(&|x| kernels::max_pool2d(x, pool), shape, DType::F32, false));
    keep(run(&|x| kernels::overlap_avg_pool2d(x, pool), shape, DType::F32, false));
    keep(run(
        &|x| {
            Device::flex().seed(1);
            kernels::dropout(x, 0.4)
        },
        shape,
        DType::F32,
        false,
    ));
    let x = tensor(7, shape, DType::F32, false);
    let (coefficient, bias) = (vector(2, 40, DType::F32), vector(3, 40, DType::F32));
    let y = kernels::subsample(x.clone(), coefficient.clone(), bias.clone(), 5, TANH);
    let gradients = y.clone().sum().backward();
    all.extend(numbers(y));
    all.extend(numbers(x.grad(&gradients).unwrap()));
    all.extend([coefficient, bias].into_iter().flat_map(|v| numbers(v.grad(&gradients).unwrap())));
    let [w, v, g] = [1, 2, 3].map(|seed| vector(seed, 700_001, DType::F32).inner());
    let (w, v) = kernels::sgd(w, v, g, Sgd { rate: 0.1, momentum: 0.9, decay: 5e-4 });
    all.extend(numbers(w).into_iter().chain(numbers(v)));
    all
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let _held = (vectors(), generator());
    assert!(par::threads() > 1 || std::thread::available_parallelism().unwrap().get() == 1);
    let (one, many) = (par::alone(everything), everything());
    assert_eq!(one.len(), many.len());
    assert!(one.iter().zip(&many).all(|(a, b)| a.to_bits() == b.to_bits()));
}

#[test]
fn all_vectors_give_the_same() {
    let _held = (vectors(), generator());
    isa::force(Some(Isa::Portable));
    let portable = everything();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_present()) {
        isa::force(Some(isa));
        assert_near(&isa.to_string(), &everything(), &portable, 2e-6);
    }
    isa::force(None);
}
