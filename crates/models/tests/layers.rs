//! Layers against their formulas: differences, adjoints, unpooling, local response normalisation, dropout.

#![allow(clippy::unwrap_used)]

mod support;

use burn::tensor::{Tensor, TensorData};
use models::layers::{
    AvgPoolConfig, ConvConfig, DropoutConfig, LinearConfig, LrnConfig, MaxPoolConfig, RbfConfig, SubsampleConfig,
    TableConvConfig,
};
use models::{Activation, Definition, Draw, LayerConfig, Maps, Method, Op, Overlap, Shape};
use support::{Checked, Device, Tolerance, flex, formula, gradients, named, ndarray, tiny, values};

fn layer(config: &dyn LayerConfig, input: Shape, device: &Device) -> Op {
    config.init(input, &Draw { seed: 5, layer: "L".into(), device: device.clone() }).unwrap()
}

/// An image whose values are all at least 0.02 apart, so that no small step changes which of them is the greatest.
fn distinct([c, h, w]: Shape) -> Vec<f32> {
    let len = c * h * w;
    // 7919 is prime and divides no image here: a permutation.
    (0..len).map(|i| 0.02 * ((i * 7919 % len) as f32 - len as f32 / 2.0)).collect()
}

/// Gradients of the image and of every weight of a network, against central differences of its outputs.
fn differences(what: &str, input: Shape, layers: fn(Definition) -> Definition, x: Vec<f32>) {
    let device = flex();
    let [c, h, w] = input;
    let image = |x: &[f32], device: &Device| Tensor::from_data(TensorData::new(x.to_vec(), [1, c, h, w]), device);

    let tracked = tiny(input, layers, &device.clone().autodiff());
    let image_in = image(&x, &device.clone().autodiff()).require_grad();
    let y = tracked.forward(image_in.clone()).unwrap();
    let signal = formula(80, y.dims(), 1.0, &device);
    let grads = (y * signal.clone().autodiff()).sum().backward();
    let (weights, signal) = (tracked.tensors(), values(signal));

    // The sum of products in f64: outputs are the only f32 numbers in it.
    let network = tiny(input, layers, &device);
    let product = |y: Tensor<2>| values(y).iter().zip(&signal).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let step = 5e-3;
    let slope = |values: &[f32], loss: &dyn Fn(&[f32]) -> f64| -> Vec<f32> {
        let at = |i: usize, by: f32| {
            let mut moved = values.to_vec();
            moved[i] += by;
            loss(&moved)
        };
        (0..values.len()).map(|i| ((at(i, step) - at(i, -step)) / f64::from(2.0 * step)) as f32).collect()
    };

    let expected = slope(&x, &|x| product(network.forward(image(x, &device)).unwrap()));
    Tolerance::FINITE.check(&format!("{what}: input"), &values(image_in.grad(&grads).unwrap()), &expected);
    if weights.is_empty() {
        return;
    }
    let own = gradients(&tracked, &grads);
    for (name, data) in &weights {
        let expected = slope(&data.iter::<f32>().collect::<Vec<_>>(), &|values| {
            let mut moved = weights.clone();
            moved.insert(name.clone(), TensorData::new(values.to_vec(), data.shape().to_vec()));
            product(network.clone().with_tensors(&moved).unwrap().forward(image(&x, &device)).unwrap())
        });
        Tolerance::FINITE.check(&format!("{what}: {name}"), &named(&own, name), &expected);
    }
}

#[test]
fn gradients_are_differences() {
    const STRONG: LrnConfig = LrnConfig { size: 5, k: 1.5, alpha: 0.3, beta: 0.75, across_towers: false };
    let smooth = |input: Shape| values(formula(81, input, 1.0, &flex()));
    let check = |what: &str, input: Shape, layers| differences(what, input, layers, smooth(input));

    check("subsample, scaled tanh", [2, 4, 6], |d| {
        d.with("S", SubsampleConfig { kernel: 2, activation: Activation::ScaledTanh })
    });
    check("subsample of 3x3, sigmoid", [2, 6, 3], |d| {
        d.with("S", SubsampleConfig { kernel: 3, activation: Activation::Sigmoid })
    });
    check("lrn", [7, 2, 3], |d| d.with("L", STRONG));
    check("lrn, any power", [7, 2, 3], |d| d.with("L", LrnConfig { size: 3, beta: 0.6, ..STRONG }));
    check("lrn within towers", [1, 3, 3], |d| {
        d.with("C", ConvConfig { towers: 2, ..ConvConfig::new(8, 2) }).with("L", STRONG)
    });
    check("lrn across towers", [1, 3, 3], |d| {
        d.with("C", ConvConfig { towers: 2, ..ConvConfig::new(8, 2) })
            .with("L", LrnConfig { across_towers: true, ..STRONG })
    });
    check("grouped convolution", [4, 5, 6], |d| {
        let grouped =
            ConvConfig { towers: 2, grouped: true, stride: 2, padding: [1, 0, 2, 1], ..ConvConfig::new(6, 3) };
        d.with("C", ConvConfig { activation: Some(Activation::Tanh), ..grouped })
    });
    check("towers that cross", [2, 4, 4], |d| {
        let two = |out, kernel| ConvConfig { towers: 2, ..ConvConfig::new(out, kernel) };
        d.with("C", two(4, 2)).with("D", two(4, 2)).with("F", LinearConfig { towers: 2, ..LinearConfig::new(4) })
    });
    check("table convolution", [3, 4, 4], |d| {
        let table = vec![vec![0, 2], vec![1], vec![0, 1, 2]];
        d.with("C", TableConvConfig { table, kernel: 2, activation: Some(Activation::ScaledTanh) })
    });
    check("rbf", [84, 1, 1], |d| d.with("R", RbfConfig { out: 3 }));
    check("average over the map", [3, 4, 4], |d| d.with("A", AvgPoolConfig { kernel: None }));

    let pool = [2, 6, 8];
    differences(
        "overlapping max pool with a window over the edge",
        pool,
        |d| d.with("P", MaxPoolConfig { kernel: 3, stride: 2, ceil: true }),
        distinct(pool),
    );
}

#[test]
fn lrn_is_the_formula_of_the_paper() {
    // Krizhevsky 2012, 3.3, with its constants, in f64; alpha is not divided by n. Values as large as pixels: among
    // small ones the sum hardly counts.
    let (k, n, alpha, beta) = (2.0, 5, 1e-4, 0.75);
    let config = LrnConfig { size: n, k: 2.0, alpha: 1e-4, beta: 0.75, across_towers: false };
    let (maps, area) = (16, 6);
    for device in [flex(), ndarray()] {
        let x = formula(82, [1, maps, 2, 3], 300.0, &device);
        let a: Vec<f64> = values(x.clone()).into_iter().map(f64::from).collect();
        let expected = |towers: usize| -> Vec<f32> {
            let width = maps / towers;
            let at = |i: usize, at: usize| {
                let (first, last) = (i / width * width, i / width * width + width - 1);
                let (low, high) = (i.saturating_sub(n / 2).max(first), (i + n / 2).min(last));
                let sum: f64 = (low..=high).map(|j| a[j * area + at].powi(2)).sum();
                (a[i * area + at] / (k + alpha * sum).powf(beta)) as f32
            };
            (0..maps).flat_map(|i| (0..area).map(move |p| (i, p))).map(|(i, p)| at(i, p)).collect()
        };
        let run = |config, maps: Maps| values(layer(&config, [16, 2, 3], &device).layer().forward(maps).join());
        let two = || Maps::one(x.clone()).split(2);
        Tolerance::CPU.check("one tower", &run(config, Maps::one(x.clone())), &expected(1));
        Tolerance::CPU.check("within towers", &run(config, two()), &expected(2));
        let across = LrnConfig { across_towers: true, ..config };
        Tolerance::CPU.check("across towers", &run(across, two()), &expected(1));
        assert_eq!(layer(&across, [16, 2, 3], &device).layer().forward(two()).0.len(), 2, "towers stay apart");
    }
}

/// <layer(x), y> = <x, way back(y)>, for a layer that is linear on `x` and `y`.
fn adjoint(what: &str, config: &dyn LayerConfig, [c, h, w]: Shape, scale: fn(Tensor<4>) -> Tensor<4>) {
    for device in [flex(), ndarray()] {
        let op = layer(config, [c, h, w], &device);
        let [oc, oh, ow] = op.layer().spec().output;
        let x = scale(formula(83, [2, c, h, w], 1.0, &device));
        let y = scale(formula(84, [2, oc, oh, ow], 1.0, &device));
        let seen = op.layer().trace(Maps::one(x.clone()));
        let back = op.layer().project(Maps::one(y.clone()), &seen, Method::default()).join();
        assert_eq!(back.dims(), x.dims(), "{what}");
        let product =
            |a, b| values(a).into_iter().zip(values(b)).map(|(a, b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let (there, and_back) = (product(seen.output.join(), y), product(x, back));
        assert!((there - and_back).abs() <= 1e-4 * there.abs(), "{what}: {there} there, {and_back} back");
    }
}

#[test]
fn the_way_back_through_a_linear_layer_is_its_adjoint() {
    let check = |what: &str, config: &dyn LayerConfig, input| adjoint(what, config, input, |x| x);
    let conv = |out, kernel, stride, padding| ConvConfig { stride, padding, ..ConvConfig::new(out, kernel) };
    let two = |grouped, conv| ConvConfig { towers: 2, grouped, ..conv };

    check("convolution", &conv(5, 3, 1, [0; 4]), [3, 7, 6]);
    check("convolution, padded", &conv(5, 5, 1, [2; 4]), [3, 7, 6]);
    check("convolution with rows that no window reaches", &conv(4, 3, 2, [0; 4]), [3, 8, 10]);
    check("convolution, unevenly padded", &conv(4, 3, 2, [1, 0, 2, 3]), [3, 8, 7]);
    check("alexnet's conv1, smaller", &conv(4, 11, 4, [0, 0, 3, 3]), [3, 32, 32]);
    check("grouped towers", &two(true, conv(6, 3, 2, [1; 4])), [4, 7, 8]);
    check("crossed towers", &two(false, conv(6, 3, 1, [1, 2, 0, 1])), [4, 7, 8]);
    let table = vec![vec![0, 1], vec![2], vec![0, 1, 2], vec![1]];
    check("table", &TableConvConfig { table, kernel: 3, activation: None }, [3, 6, 5]);
    check("linear", &LinearConfig::new(7), [3, 2, 4]);
    check("linear, towers", &LinearConfig { towers: 2, ..LinearConfig::new(8) }, [4, 2, 3]);
    check("average pool", &AvgPoolConfig { kernel: Some(2) }, [3, 4, 6]);
    check("global average pool", &AvgPoolConfig { kernel: None }, [3, 4, 4]);
    // Linear among positive numbers: the sum of a window times a positive coefficient.
    let positive = SubsampleConfig { kernel: 2, activation: Activation::Relu };
    adjoint("subsample", &positive, [3, 4, 6], Tensor::abs);
}

#[test]
fn unpooling_puts_maxima_back_where_they_were() {
    for device in [flex(), ndarray()] {
        let (input, n) = ([2, 4, 6], 1);
        let [c, h, w] = input;
        let x = Tensor::<4>::from_data(TensorData::new(distinct(input), [n, c, h, w]), &device).add_scalar(9.0);
        let op = layer(&MaxPoolConfig { kernel: 2, stride: 2, ceil: false }, input, &device);
        let seen = op.layer().trace(Maps::one(x.clone()));
        let back = op.layer().project(seen.output.clone(), &seen, Method::default()).join();
        // Zeros, but for one of every four, which is what it was.
        let kept = values(back.clone()).into_iter().zip(values(x)).filter(|(b, _)| *b != 0.0);
        assert_eq!(kept.inspect(|(b, x)| assert_eq!(b, x)).count(), c * h * w / 4);
        assert_eq!(values(op.layer().forward(Maps::one(back)).join()), values(seen.output.join()));
    }
}

#[test]
fn where_windows_overlap_signals_add_up_or_the_last_one_wins() {
    for device in [flex(), ndarray()] {
        // The 9 in the middle column is the maximum of both windows.
        let image = [[1f32, 2., 3., 2., 1.], [4., 0., 9., 8., 7.], [5., 6., 2., 3., 4.]];
        let op = layer(&MaxPoolConfig { kernel: 3, stride: 2, ceil: false }, [1, 3, 5], &device);
        let seen = op.layer().trace(Maps::one(Tensor::from_data([[image]], &device)));
        for (overlap, expected) in [(Overlap::Add, 3.), (Overlap::Overwrite, 2.)] {
            let signal = Tensor::from_data([[[[1f32, 2.]]]], &device);
            let back = values(op.layer().project(Maps::one(signal), &seen, Method::Deconvnet(overlap)).join());
            assert_eq!(back, [0., 0., 0., 0., 0., 0., 0., expected, 0., 0., 0., 0., 0., 0., 0.]);
        }
    }
}

#[test]
fn the_way_back_through_a_max_pool_is_its_gradient() {
    for (kernel, stride, ceil) in [(3, 2, false), (3, 2, true), (2, 2, true), (3, 1, false)] {
        let input = [3, 8, 9];
        let device = flex().autodiff();
        let x = formula(85, [2, 3, 8, 9], 1.0, &device).require_grad();
        let op = layer(&MaxPoolConfig { kernel, stride, ceil }, input, &device);
        let y = op.layer().forward(Maps::one(x.clone())).join();
        let signal = formula(86, y.dims(), 1.0, &device);
        let gradient = x.grad(&(y * signal.clone()).sum().backward()).unwrap();
        let seen = op.layer().trace(Maps::one(x.inner()));
        let back = op.layer().project(Maps::one(signal.inner()), &seen, Method::default()).join();
        // Where windows meet, one adds in another order than the other.
        let what = format!("{kernel}x{kernel}/{stride}, ceil {ceil}");
        Tolerance::CPU.check(&what, &values(back), &values(gradient));
    }
}

#[test]
fn dropout_silences_half_and_doubles_the_rest_in_training_only() {
    let run = |device: &Device| {
        device.seed(1);
        let x = Tensor::<4>::ones([1, 100, 10, 10], device);
        values(layer(&DropoutConfig(0.5), [100, 10, 10], device).layer().forward(Maps::one(x)).join())
    };
    assert!(run(&flex()).iter().all(|v| *v == 1.0));
    let trained = run(&flex().autodiff());
    let silent = trained.iter().filter(|v| **v == 0.0).count();
    assert!(trained.iter().all(|v| *v == 0.0 || *v == 2.0));
    // 10,000 coins: a deviation of 50.
    assert!((4800..5200).contains(&silent), "{silent} of 10000");
}

#[test]
fn activations_and_their_slopes_are_the_formulas() {
    let device = flex();
    let x: Vec<f32> = (-20..=20).map(|i| i as f32 * 0.2 + 0.05).collect();
    type Formula = fn(f64) -> f64;
    let formulas: [(Activation, Formula); 4] = [
        (Activation::ScaledTanh, |x| 1.7159 * (2.0 / 3.0 * x).tanh()), // LeCun 1998, appendix A
        (Activation::Tanh, f64::tanh),
        (Activation::Sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
        (Activation::Relu, |x| x.max(0.0)),
    ];
    for (activation, f) in formulas {
        let y = activation.forward(Tensor::<1>::from_data(x.as_slice(), &device));
        let expected: Vec<f32> = x.iter().map(|x| f(f64::from(*x)) as f32).collect();
        Tolerance::CPU.check(activation.name(), &values(y.clone()), &expected);
        let slope = |x: &f32| ((f(f64::from(*x) + 1e-5) - f(f64::from(*x) - 1e-5)) / 2e-5) as f32;
        let expected: Vec<f32> = x.iter().map(slope).collect();
        Tolerance::CPU.check(&format!("{activation}'s slope"), &values(activation.slope(y)), &expected);
    }
    let one = Activation::ScaledTanh.forward(Tensor::<1>::from_data([1f32, -1.0], &device));
    Tolerance { relative: 1e-4, absolute: 0.0 }.check("f(1) and f(-1)", &values(one), &[1.0, -1.0]);
}

#[test]
fn layers_that_do_not_fit_say_so() {
    let message = |config: &dyn LayerConfig, input| {
        config.init(input, &Draw { seed: 5, layer: "L".into(), device: flex() }).unwrap_err().to_string()
    };
    let conv = ConvConfig::new(4, 3);
    let pool = MaxPoolConfig { kernel: 3, stride: 2, ceil: true };
    assert_eq!(message(&conv, [1, 2, 5]), "L: a 3x3/1 kernel doesn't fit a 2x5 map");
    assert_eq!(
        message(&ConvConfig { stride: 0, ..conv.clone() }, [1, 5, 5]),
        "L: a 3x3/0 kernel doesn't fit a 5x5 map"
    );
    assert_eq!(message(&ConvConfig::new(4, 0), [1, 5, 5]), "L: a 0x0/1 kernel doesn't fit a 5x5 map");
    let thirds = ConvConfig { towers: 3, ..conv };
    assert_eq!(message(&thirds, [1, 5, 5]), "L: 1 -> 4 maps don't divide into 3 towers");
    let thirds = LinearConfig { towers: 3, ..LinearConfig::new(4) };
    assert_eq!(message(&thirds, [1, 5, 5]), "L: 4 units don't divide into 3 towers");
    assert_eq!(message(&pool, [1, 2, 5]), "L: a 3x3/2 window doesn't fit a 2x5 map");
    assert_eq!(message(&MaxPoolConfig { stride: 0, ..pool }, [1, 5, 5]), "L: a 3x3/0 window doesn't fit a 5x5 map");
    assert_eq!(message(&AvgPoolConfig { kernel: Some(2) }, [1, 4, 5]), "L: 2x2 windows don't tile a 4x5 map");
    let subsample = SubsampleConfig { kernel: 2, activation: Activation::Tanh };
    assert_eq!(message(&subsample, [1, 5, 4]), "L: 2x2 windows don't tile a 5x4 map");
    let lrn = LrnConfig { size: 4, k: 2.0, alpha: 1e-4, beta: 0.75, across_towers: false };
    assert_eq!(message(&lrn, [8, 1, 1]), "L: a window of 4 maps has no middle");
    assert_eq!(message(&RbfConfig { out: 10 }, [85, 1, 1]), "L: the codes have 84 pixels, 85 units come in");
}
