//! Kernels on slices: accuracy of functions over all of f32, and outputs without holes.
#![cfg(feature = "std")]

use kernels::cpu::pool::Windows;
use kernels::cpu::{Isa, isa, loss, lrn, map, pool, subsample};
use kernels::{Function, Lrn};

const TANH: Function = Function::Tanh { amplitude: 1.0, slope: 1.0 };

fn apply(x: &[f32], function: Function) -> Vec<f32> {
    let mut y = vec![f32::NAN; x.len()];
    map::apply(x, function, &mut y);
    y
}

/// Every 4001st f32 from -100 to 100, denormals and zeros of both signs among them.
fn all() -> Vec<f32> {
    let most = 100_f32.to_bits();
    (0..=most).step_by(4001).chain([0, 1, 2, most]).flat_map(|b| [f32::from_bits(b), -f32::from_bits(b)]).collect()
}

#[test]
fn functions_are_accurate_everywhere() {
    let x = all();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_present()) {
        isa::force(Some(isa));
        for (x, y) in x.iter().zip(apply(&x, TANH)) {
            let exact = f64::from(*x).tanh();
            assert!((f64::from(y) - exact).abs() <= 4e-7 * exact.abs(), "{isa}: tanh {x:e} is {exact:e}, not {y:e}");
        }
        for (x, y) in x.iter().zip(apply(&x, Function::Sigmoid)) {
            let exact = 1.0 / (1.0 + (-f64::from(*x)).exp());
            let tolerance = (4e-7 * exact).max(1.2e-38);
            assert!((f64::from(y) - exact).abs() <= tolerance, "{isa}: sigmoid {x:e} is {exact:e}, not {y:e}");
        }
        let extremes = [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, f32::NAN];
        let bits = |function| apply(&extremes, function).iter().map(|v| v.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(bits(TANH), "1 -1 1 -1 NaN", "{isa}");
        assert_eq!(bits(Function::Sigmoid), "1 0 1 0 NaN", "{isa}");
        assert_eq!(bits(Function::Relu), format!("inf 0 {} 0 NaN", f32::MAX), "{isa}");
        let poisoned = [1.0, f32::NAN, 3.0, 2.0];
        let windows = Windows::new([2, 2], 2, 2, false);
        let mut y = [0.0];
        for turn in 0..4 {
            let mut x = poisoned;
            x.rotate_left(turn);
            pool::max(&x, windows, &mut y);
            assert!(y[0].is_nan(), "{isa}: {x:?}");
        }
    }
    isa::force(None);
}

/// Kernels get memory with anything in it; each must write all of it.
#[test]
fn outputs_have_no_holes() {
    let x: Vec<f32> = (0..2 * 3 * 21 * 37).map(|i| (i % 23) as f32 / 7.0 - 1.5).collect();
    let whole = |what: &str, y: &[f32]| assert!(y.iter().all(|v| v.is_finite()), "{what}: {y:?}");
    let holes = |len: usize| vec![f32::NAN; len];
    for (size, stride, ceil) in [(3, 2, true), (3, 2, false), (2, 2, false), (2, 3, false), (5, 3, true), (4, 1, false)]
    {
        let windows = Windows::new([21, 37], size, stride, ceil);
        let made = windows.output[0] * windows.output[1] * 6;
        let (mut y, mut dx) = (holes(made), holes(x.len()));
        pool::max(&x, windows, &mut y);
        whole("max", &y);
        pool::max_dx(&x, &y, &y, windows, &mut dx);
        whole("max_dx", &dx);
        let sums = [&dx, &y].map(|v| v.iter().map(|v| f64::from(*v)).sum::<f64>());
        assert!((sums[0] - sums[1]).abs() < 1e-2, "{windows:?}: {sums:?}");
        let (mut y, mut dx) = (holes(made), holes(x.len()));
        pool::mean(&x, windows, &mut y);
        whole("mean", &y);
        pool::mean_dx(&y, windows, &mut dx);
        whole("mean_dx", &dx);
    }
    let windows = Windows::new([21, 37], 1, 1, false);
    let (mut y, mut dx, mut dw) = (holes(x.len()), holes(x.len()), holes(3));
    subsample::forward(&x, &[1.0, 2.0, 3.0], &[0.0; 3], windows, TANH, &mut y);
    subsample::dx(&x, &[1.0, 2.0, 3.0], windows, &mut dx);
    subsample::dw(&x, &x, windows, &mut dw);
    [&y, &dx, &dw].into_iter().for_each(|v| whole("subsample", v));
    for size in [1, 3, 5, 7] {
        let (mut y, mut dx) = (holes(x.len()), holes(x.len()));
        let constants = Lrn { size, alpha: 1e-2, beta: 0.75, k: 2.0 };
        lrn::forward(&x, [2, 3, 21 * 37], constants, &mut y);
        lrn::backward(&x, &x, [2, 3, 21 * 37], constants, &mut dx);
        [&y, &dx].into_iter().for_each(|v| whole("lrn", v));
    }
    let mut dx = holes(x.len());
    loss::cross_entropy_dx(&x, 37, |i| i % 37, 1.0, &mut dx);
    whole("loss", &dx);
    map::through(&x, &x, TANH, &mut dx);
    whole("through", &dx);
}

#[test]
#[should_panic(expected = "index out of bounds")]
fn a_label_that_is_no_class_is_refused() {
    loss::cross_entropy(&[0.0; 6], 3, |i| 3 + i);
}

#[test]
#[should_panic(expected = "a window of 5 doesn't fit 4")]
fn windows_that_do_not_fit_are_refused() {
    Windows::new([9, 4], 5, 2, false);
}
