//! What the kernels that aren't convolutions take at AlexNet's and LeNet-5's sizes, beside the same of Burn's operators:
//! medians in ms, and GB/s of what a single pass over inputs and outputs moves.
//!
//! `cargo run --example speed [BATCH]`

use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Device, Distribution, Tensor, activation};
use kernels::cpu::pool::Windows;
use kernels::cpu::{loss, lrn, map, pool, sgd, subsample};
use kernels::{Function, Lrn, Pool, Sgd};
use std::time::Instant;

const TANH: Function = Function::Tanh { amplitude: 1.7159, slope: 2.0 / 3.0 };
const ALEXNET: Lrn = Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0 };

/// Median of repetitions for a third of a second, in ms.
fn time(mut f: impl FnMut()) -> f64 {
    f();
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() < 5 || start.elapsed().as_secs_f64() < 0.3 {
        let before = Instant::now();
        f();
        times.push(before.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn row(name: &str, values: usize, ours: f64, stock: Option<f64>) {
    let rate = values as f64 * 4e-6 / ours;
    let stock = stock.map_or(String::new(), |stock| format!("{stock:>10.4} {:>6.1}x", stock / ours));
    println!("{name:<34}{ours:>10.4}{rate:>8.1} {stock}");
}

fn random(shape: [usize; 4]) -> Tensor<4> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
}

fn stock_lrn(x: Tensor<4>) -> Tensor<4> {
    let maps = x.dims()[1];
    let squares = x.clone().square().pad([(0, 0), (2, 2), (0, 0), (0, 0)], 0.0);
    let sum = (0..5).map(|i| squares.clone().narrow(1, i, maps)).reduce(|a, b| a + b).expect("five");
    let root = sum.mul_scalar(ALEXNET.alpha).add_scalar(ALEXNET.k).sqrt();
    x / (root.clone() * root.sqrt())
}

/// Forward, then forward with the way back, of ours and of Burn's.
fn compare(
    name: &str,
    shape: [usize; 4],
    ours: impl Fn(Tensor<4>) -> Tensor<4>,
    stock: impl Fn(Tensor<4>) -> Tensor<4>,
) {
    let x = random(shape);
    let (read, made) = (x.shape().num_elements(), ours(x.clone()).shape().num_elements());
    let forward = |f: &dyn Fn(Tensor<4>) -> Tensor<4>| time(|| drop(f(x.clone())));
    row(&format!("{name} {shape:?}"), read + made, forward(&ours), Some(forward(&stock)));
    let dy = random(ours(x.clone()).dims()).autodiff();
    let both = |f: &dyn Fn(Tensor<4>) -> Tensor<4>| {
        time(|| {
            let x = x.clone().autodiff().require_grad();
            drop((f(x) * dy.clone()).sum().backward());
        })
    };
    row("  and back, on Burn's graph", 2 * (read + made), both(&ours), Some(both(&stock)));
}

fn main() {
    let n: usize = std::env::args().nth(1).map_or(8, |n| n.parse().expect("a batch size"));
    println!("{:<34}{:>10}{:>8} {:>10}", "", "ms", "GB/s", "Burn's ms");
    let pool = |size, ceil| Pool { size, stride: 2, ceil };
    let stock = |size, ceil| MaxPoolOptions::new([size; 2]).with_stride([2; 2]).with_ceil_mode(ceil);
    let conv1 = [n, 96, 55, 55];
    compare("relu", conv1, |x| kernels::apply(x, Function::Relu), activation::relu);
    compare("tanh", conv1, |x| kernels::apply(x, TANH), |x| (x * (2.0 / 3.0)).tanh() * 1.7159);
    compare("sigmoid", conv1, |x| kernels::apply(x, Function::Sigmoid), activation::sigmoid);
    compare("LRN", conv1, |x| kernels::lrn(x, ALEXNET), stock_lrn);
    compare("LRN", [n, 256, 27, 27], |x| kernels::lrn(x, ALEXNET), stock_lrn);
    for shape in [conv1, [n, 256, 27, 27], [n, 256, 13, 13]] {
        compare("max 3/2", shape, |x| kernels::max_pool2d(x, pool(3, false)), |x| max_pool2d(x, stock(3, false)));
    }
    compare("max 2/2", [n, 64, 56, 56], |x| kernels::max_pool2d(x, pool(2, true)), |x| max_pool2d(x, stock(2, true)));
    let over = AvgPoolOptions::new([3; 2]).with_stride([2; 2]).with_count_include_pad(false).with_ceil_mode(true);
    compare(
        "mean 3/2",
        [n, 192, 32, 32],
        |x| kernels::overlap_avg_pool2d(x, pool(3, true)),
        |x| avg_pool2d(x, over.clone()),
    );
    compare("mean 8", [n, 192, 8, 8], |x| kernels::avg_pool2d(x, 8), |x| avg_pool2d(x, AvgPoolOptions::new([8; 2])));
    for n in [1, 64] {
        let (coefficient, bias) = (random([6, 1, 1, 1]).reshape([6]), random([6, 1, 1, 1]).reshape([6]));
        compare(
            "subsample 2",
            [n, 6, 28, 28],
            |x| kernels::subsample(x, coefficient.clone(), bias.clone(), 2, TANH),
            |x| {
                let mean = avg_pool2d(x, AvgPoolOptions::new([2; 2]));
                let sum = mean * coefficient.clone().mul_scalar(4.0).reshape([1, 6, 1, 1]);
                ((sum + bias.clone().reshape([1, 6, 1, 1])) * (2.0 / 3.0)).tanh() * 1.7159
            },
        );
    }

    println!("\non slices");
    let len: usize = conv1.iter().product();
    let x: Vec<f32> = (0..len).map(|i| (i as f32 * 0.37).sin()).collect();
    let (mut y, mut dx) = (vec![0.0; len], vec![0.0; len]);
    let windows = Windows::new([55, 55], 3, 2, false);
    let made = n * 96 * 27 * 27;
    row("relu", 2 * len, time(|| map::apply(&x, Function::Relu, &mut y)), None);
    row("tanh", 2 * len, time(|| map::apply(&x, TANH, &mut y)), None);
    row("through tanh", 3 * len, time(|| map::through(&x, &x, TANH, &mut y)), None);
    row("sum of maps", len, time(|| map::sum_maps(&x, [n, 96, 55 * 55], &mut y[..96])), None);
    row("LRN", 2 * len, time(|| lrn::forward(&x, [n, 96, 55 * 55], ALEXNET, &mut y)), None);
    row("LRN back", 3 * len, time(|| lrn::backward(&x, &x, [n, 96, 55 * 55], ALEXNET, &mut dx)), None);
    row("max 3/2", len + made, time(|| pool::max(&x, windows, &mut y[..made])), None);
    row("max 3/2 back", 2 * len + 2 * made, time(|| pool::max_dx(&x, &y[..made], &x[..made], windows, &mut dx)), None);
    row("mean 3/2", len + made, time(|| pool::mean(&x, windows, &mut y[..made])), None);
    row("mean 3/2 back", len + made, time(|| pool::mean_dx(&y[..made], windows, &mut dx)), None);
    let lenet = Windows::new([28, 28], 2, 2, false);
    let (c, maps) = ([0.5; 6], 6 * 28 * 28);
    for n in [1, 64] {
        let (read, made) = (n * maps, n * maps / 4);
        let name = |what| format!("subsample {what}, batch {n}");
        let forward = time(|| subsample::forward(&x[..read], &c, &c, lenet, TANH, &mut y[..made]));
        row(&name("2"), read + made, forward, None);
        row(&name("dx"), read + made, time(|| subsample::dx(&x[..made], &c, lenet, &mut dx[..read])), None);
        row(&name("dw"), read + made, time(|| subsample::dw(&x[..read], &y[..made], lenet, &mut dx[..6])), None);
    }
    let logits = 1000 * n;
    let back = time(|| loss::cross_entropy_dx(&x[..logits], 1000, |i| i, 1.0, &mut dx[..logits]));
    row("cross-entropy back, 1000 classes", 2 * logits, back, None);
    let step = Sgd { rate: 0.01, momentum: 0.9, decay: 5e-4 };
    let weights = 4096 * 9216;
    let gradient = vec![1e-3; weights];
    let (mut w, mut v) = (vec![0.1_f32; weights], vec![0.0_f32; weights]);
    row("descent, fc6", 5 * weights, time(|| sgd::step(&mut w, &mut v, &gradient, step)), None);
    row("memory: a copy of fc6", 2 * weights, time(|| w.copy_from_slice(&gradient)), None);
}
