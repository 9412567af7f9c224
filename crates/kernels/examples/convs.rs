//! Times the convolutions of the networks, kernel by kernel: `cargo run --example convs`.

use kernels::Function;
use kernels::cpu::{Isa, conv, par};
use std::time::Instant;

fn main() {
    let layers = [
        ("nin conv1 5x5", 16, 3, 32, 192, 5, 1, 2),
        ("nin cccp1", 16, 192, 32, 160, 1, 1, 0),
        ("nin conv2 5x5", 16, 96, 16, 192, 5, 1, 2),
        ("nin cccp3", 16, 192, 16, 192, 1, 1, 0),
        ("nin conv3 3x3", 16, 192, 8, 192, 3, 1, 1),
        ("alexnet conv1", 8, 3, 227, 96, 11, 4, 0),
        ("alexnet conv2", 8, 48, 27, 128, 5, 1, 2),
        ("alexnet conv3", 8, 256, 13, 384, 3, 1, 1),
        ("zfnet conv2", 8, 96, 55, 256, 5, 2, 0),
        ("alexnet conv3 b1", 1, 256, 13, 384, 3, 1, 1),
        ("lenet c1", 64, 1, 32, 6, 5, 1, 0),
        ("lenet c3", 64, 6, 14, 16, 5, 1, 0),
        ("lenet c5", 64, 16, 5, 120, 5, 1, 0),
    ];
    let isa = Isa::current();
    println!("{isa}, {} threads", par::threads());
    for (name, n, c, size, m, k, stride, pad) in layers {
        let mut s = conv::Shape {
            n,
            c,
            h: size,
            w: size,
            m,
            kh: k,
            kw: k,
            stride: [stride; 2],
            padding: [pad; 4],
            x_step: c * size * size,
            y_step: 0,
        };
        s.y_step = m * s.oh() * s.ow();
        let fill = |len: usize| (0..len).map(|i| ((i * 7919) % 1000) as f32 * 1e-3 - 0.5).collect::<Vec<f32>>();
        let (x, w, dz) = (fill(n * s.x_step), fill(m * s.depth()), fill(n * s.y_step));
        let (mut y, mut dx, mut dw) = (vec![0.0; n * s.y_step], vec![0.0; n * s.x_step], vec![0.0; m * s.depth()]);
        let packed = conv::Packed::new(isa, &s, &w);
        let time = |f: &mut dyn FnMut()| {
            f();
            let mut times: Vec<f64> = (0..21)
                .map(|_| {
                    let t = Instant::now();
                    f();
                    t.elapsed().as_secs_f64()
                })
                .collect();
            times.sort_by(f64::total_cmp);
            times[0]
        };
        let forward = time(&mut || conv::forward(&s, &x, &packed, None, Function::Relu, &mut y));
        let back_x = time(&mut || conv::backward_x(isa, &s, &w, &dz, &mut dx));
        let back_w = time(&mut || conv::backward_w(isa, &s, &x, &dz, &mut dw));
        let report = |t: f64| format!("{:8.2} ms {:6.0} GFLOP/s", t * 1e3, 2.0 * s.macs() as f64 / t / 1e9);
        println!("{name:18} {} {} {}", report(forward), report(back_x), report(back_w));
    }
}
