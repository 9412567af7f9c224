//! Convolutions and fully connected layers on Flex against f64 sums, and their gradients against Burn's.
#![allow(clippy::unwrap_used)] // helpers of tests

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use kernels::cpu::{Isa, isa, par};
use kernels::{Conv, Function};
use proptest::prelude::*;
use std::sync::Mutex;

/// Tests that force an instruction set take turns.
static TURN: Mutex<()> = Mutex::new(());

fn values(salt: u64, len: usize) -> Vec<f32> {
    let mut state = salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn tensor<const D: usize>(salt: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values(salt, shape.iter().product()), shape), device)
}

/// The largest difference, over the largest value.
fn difference<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let (a, b): (Vec<f32>, Vec<f32>) = (a.into_data().iter().collect(), b.into_data().iter().collect());
    let scale = b.iter().fold(1e-6_f32, |m, v| m.max(v.abs()));
    a.iter().zip(&b).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs())) / scale
}

#[derive(Clone, Debug)]
struct Case {
    n: usize,
    c: usize,
    m: usize,
    size: [usize; 2],
    kernel: [usize; 2],
    conv: Conv,
}

fn cases() -> impl Strategy<Value = Case> {
    let sides = (1..=5_usize, 1..=5_usize, 0..12_usize, 0..40_usize);
    let padding = (0..4_usize, 0..4_usize, 0..4_usize, 0..4_usize);
    (1..6_usize, 1..40_usize, 1..40_usize, sides, padding, (1..4_usize, 1..4_usize), 1..3_usize).prop_map(
        |(n, c, m, (kh, kw, h, w), (top, left, bottom, right), (down, across), groups)| Case {
            n,
            c: c * groups,
            m: m * groups,
            size: [h + kh, w + kw],
            kernel: [kh, kw],
            conv: Conv { stride: [down, across], padding: [top, left, bottom, right], groups },
        },
    )
}

/// Those that fast algorithms take.
fn fast_cases() -> impl Strategy<Value = Case> {
    let padding = (0..3_usize, 0..3_usize, 0..3_usize, 0..3_usize);
    (
        1..5_usize,
        16..40_usize,
        16..70_usize,
        prop_oneof![Just(3_usize), Just(5_usize)],
        0..12_usize,
        0..40_usize,
        padding,
    )
        .prop_map(|(n, c, m, k, h, w, (top, left, bottom, right))| Case {
            n,
            c,
            m,
            size: [h + k, w + k],
            kernel: [k; 2],
            conv: Conv { stride: [1; 2], padding: [top, left, bottom, right], groups: 1 },
        })
}

/// Those that step, and that fast algorithms take when the steps are folded away.
fn stepping_cases() -> impl Strategy<Value = Case> {
    let padding = (0..3_usize, 0..3_usize, 0..3_usize, 0..3_usize);
    let kernel = prop_oneof![(Just(2_usize), 5..7_usize), (Just(3_usize), 7..10_usize), (Just(4_usize), 9..13_usize)];
    (1..4_usize, 2..20_usize, 16..40_usize, kernel, 6..40_usize, 6..40_usize, padding).prop_map(
        |(n, c, m, (step, k), h, w, (top, left, bottom, right))| Case {
            n,
            c,
            m,
            size: [h + k, w + k],
            kernel: [k; 2],
            conv: Conv { stride: [step; 2], padding: [top, left, bottom, right], groups: 1 },
        },
    )
}

/// Outputs and gradients of a case by our kernels and by Burn's operators on the same device.
fn both(case: &Case, function: Function) -> [[f32; 4]; 1] {
    let Case { n, c, m, size: [h, w], kernel: [kh, kw], conv } = *case;
    let device = Device::flex().autodiff();
    let inputs = || {
        let x = tensor(1, [n, c, h, w], &device).require_grad();
        let weight = tensor(2, [m, c / conv.groups, kh, kw], &device).require_grad();
        (x, weight, tensor(3, [m], &device).require_grad())
    };
    let (x, weight, bias) = inputs();
    let ours = kernels::conv2d(x.clone(), weight.clone(), bias.clone(), conv, function);
    let (x2, weight2, bias2) = inputs();
    let [top, left, bottom, right] = conv.padding;
    let options = ConvOptions {
        stride: conv.stride,
        padding: [(top, bottom), (left, right)],
        dilation: [1; 2],
        groups: conv.groups,
    };
    let theirs = conv2d(x2.clone(), weight2.clone(), Some(bias2.clone()), options);
    let theirs = match function {
        Function::Relu => burn::tensor::activation::relu(theirs),
        Function::Sigmoid => burn::tensor::activation::sigmoid(theirs),
        _ => theirs,
    };
    let pull = tensor(4, ours.dims(), &device);
    let value = difference(ours.clone().inner(), theirs.clone().inner());
    let a = (ours * pull.clone()).sum().backward();
    let b = (theirs * pull).sum().backward();
    [[
        value,
        difference(x.grad(&a).unwrap(), x2.grad(&b).unwrap()),
        difference(weight.grad(&a).unwrap(), weight2.grad(&b).unwrap()),
        difference(bias.grad(&a).unwrap(), bias2.grad(&b).unwrap()),
    ]]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn convolutions_are_burns(case in prop_oneof![cases(), fast_cases(), stepping_cases()]) {
        let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_present()) {
            isa::force(Some(isa));
            for function in [Function::Identity, Function::Sigmoid] {
                for off in both(&case, function).concat() {
                    prop_assert!(off < 5e-5, "{isa}: {off}");
                }
            }
        }
        isa::force(None);
    }

    #[test]
    fn fully_connected_layers_are_sums(n in 1..20_usize, m in 1..70_usize, k in 1..150_usize) {
        let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
        let device = Device::flex().autodiff();
        let (x, w) = (values(5, n * k), values(6, m * k));
        let (b, pull) = (values(7, m), values(8, n * m));
        let mut expected = vec![vec![0.0_f64; n * m], vec![0.0; n * k], vec![0.0; m * k]];
        for i in 0..n {
            for j in 0..m {
                expected[0][i * m + j] = f64::from(b[j]);
                for l in 0..k {
                    expected[0][i * m + j] += f64::from(x[i * k + l]) * f64::from(w[j * k + l]);
                    expected[1][i * k + l] += f64::from(pull[i * m + j]) * f64::from(w[j * k + l]);
                    expected[2][j * k + l] += f64::from(pull[i * m + j]) * f64::from(x[i * k + l]);
                }
            }
        }
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_present()) {
            isa::force(Some(isa));
            let x: Tensor<2> = Tensor::from_data(TensorData::new(x.clone(), [n, k]), &device).require_grad();
            let w: Tensor<2> = Tensor::from_data(TensorData::new(w.clone(), [m, k]), &device).require_grad();
            let y = kernels::linear(x.clone(), w.clone(), Tensor::from_data(b.as_slice(), &device), Function::Identity);
            let grads = (y.clone() * Tensor::from_data(TensorData::new(pull.clone(), [n, m]), &device)).sum().backward();
            let got = [y.inner(), x.grad(&grads).unwrap(), w.grad(&grads).unwrap()];
            for (got, expected) in got.into_iter().zip(&expected) {
                for (got, expected) in got.into_data().iter::<f32>().zip(expected) {
                    prop_assert!((f64::from(got) - expected).abs() < 2e-5 * (1.0 + k.max(m) as f64).sqrt(), "{isa}: {got} {expected}");
                }
            }
        }
        isa::force(None);
    }
}

/// The layers of AlexNet and ZFNet that differ in kind, at full width, one image; and the same bytes from one thread.
#[test]
fn large_layers_are_burns_whatever_the_threads() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let layer = |c, m, size, kernel, stride, padding, groups| Case {
        n: 2,
        c,
        m,
        size: [size; 2],
        kernel: [kernel; 2],
        conv: Conv { stride: [stride; 2], padding: [padding; 4], groups },
    };
    let layers = [layer(3, 96, 63, 11, 4, 0, 1), layer(96, 128, 27, 5, 1, 2, 2), layer(128, 192, 13, 3, 1, 1, 1)];
    for case in layers.iter().chain(&[layer(48, 64, 27, 5, 2, 0, 1)]) {
        for off in both(case, Function::Relu).concat() {
            assert!(off < 5e-5, "{case:?}: {off}");
        }
        let device = Device::flex();
        let run = || {
            let [h, w] = case.size;
            let [kh, kw] = case.kernel;
            let x = tensor(1, [case.n, case.c, h, w], &device);
            let weight = tensor(2, [case.m, case.c / case.conv.groups, kh, kw], &device);
            let y = kernels::conv2d(x, weight, tensor(3, [case.m], &device), case.conv, Function::Relu);
            y.into_data().iter::<f32>().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(run(), par::alone(run), "{case:?}");
    }
}
