//! Every case of `models::check` on every linked device that is there.
//!
//! `REQUIRE_WGPU=1` makes it a failure if wgpu is not linked or reaches nothing.

#![allow(clippy::unwrap_used)]

use burn::tensor::{Tensor, TensorData};
use models::check::{self, Case, Part};
use models::device;
use models::reference::sines;
use std::sync::Mutex;
use std::time::Instant;

/// Held by a network with tens of millions of weights: several at a time would take gigabytes.
static BIG: Mutex<()> = Mutex::new(());

/// All cases on one device; every one that fails is told.
fn all(name: &str) {
    let device = device::parse(name).unwrap();
    let mut failed = Vec::new();
    for case in check::cases() {
        let _one = (!case.is_quick()).then(|| BIG.lock().unwrap_or_else(|e| e.into_inner()));
        for part in case.parts() {
            if check::exception(name, &case, part).is_some() {
                continue;
            }
            let started = Instant::now();
            match case.run(part, &device) {
                Ok(agreed) => println!(
                    "{name} {} {}: {:.3} of the tolerance, {:.2} s",
                    case.name,
                    part.name(),
                    agreed.of_tolerance,
                    started.elapsed().as_secs_f64()
                ),
                Err(e) => failed.push(format!("{} {}: {e}", case.name, part.name())),
            }
        }
    }
    assert!(failed.is_empty(), "{name}:\n{}", failed.join("\n"));
}

#[test]
fn every_network_of_the_zoo_has_a_case() {
    let missing: Vec<_> = models::zoo::variants().filter(|v| check::cases().all(|case| case.name != v.name)).collect();
    assert!(missing.is_empty(), "{:?}", missing.iter().map(|v| v.name).collect::<Vec<_>>());
}

/// The devices that answer to a backend; `require` names what makes it an error if none does.
fn devices(backend: &str, require: &str) -> Vec<String> {
    let listed = device::list().into_iter().find(|l| l.backend == backend).unwrap();
    if let Some(missing) = listed.missing.filter(|_| listed.devices.is_empty()) {
        assert!(std::env::var_os(require).is_none(), "{require} is set, but {backend}: {missing}");
        println!("{backend}: {missing}");
    }
    listed.devices.into_iter().map(|found| found.name).collect()
}

#[test]
fn flex() {
    all("flex");
}

#[test]
fn ndarray() {
    all("ndarray");
}

#[test]
fn wgpu() {
    for name in devices("wgpu", "REQUIRE_WGPU") {
        all(&name);
    }
}

#[test]
fn cuda() {
    for name in devices("cuda", "REQUIRE_CUDA") {
        all(&name);
    }
}

/// One kernel for GPUs, Burn's operators on ndarray: held against flex where windows hang over the edges and powers aren't 3/4.
#[test]
fn lrn_of_any_window_on_ndarray_and_wgpu() {
    let cases = [([2, 7, 3, 5], 3, 0.5), ([1, 2, 1, 1], 5, 0.75), ([1, 4, 9, 2], 1, 1.0), ([3, 9, 2, 2], 7, 0.6)];
    for name in devices("wgpu", "REQUIRE_WGPU").into_iter().chain(["ndarray".into()]) {
        for (shape, size, beta) in cases {
            let run = |name: &str| {
                let device = device::parse(name).unwrap().autodiff();
                let numbers = |salt, spread| {
                    let values = sines(salt, shape.iter().product(), spread);
                    Tensor::<4>::from_data(TensorData::new(values, shape), &device)
                };
                let x = numbers(7, 2.0).require_grad();
                let y = kernels::lrn(x.clone(), kernels::Lrn { size, alpha: 0.3, beta, k: 1.5 });
                let gradients = (y.clone() * numbers(8, 1.0)).sum().backward();
                [y.inner(), x.grad(&gradients).unwrap()].map(|t| t.into_data())
            };
            for (got, expected) in run(&name).iter().zip(run("flex")) {
                got.assert_approx_eq::<f32>(&expected, burn::tensor::Tolerance::rel_abs(1e-4, 1e-5));
            }
        }
    }
}

/// A network with a weight over the largest buffer is refused before it is allocated; the paper's halves go there.
#[test]
fn a_weight_over_the_largest_buffer_is_refused() {
    for name in devices("wgpu", "REQUIRE_WGPU") {
        let device = device::parse(&name).unwrap();
        let limit = device::largest_buffer(&device).unwrap();
        let build = |model: &str| models::Model::named(model).unwrap().build(0, &device);
        let halves = build("alexnet").unwrap();
        assert!(halves.param_shapes().iter().all(|(_, s)| 4 * s.iter().product::<usize>() as u64 <= limit.bytes));
        if limit.bytes < 4096 * 9216 * 4 {
            let message = build("alexnet-single").unwrap_err().to_string();
            assert!(message.starts_with("fc6.weight takes 151 MB, and "), "{message}");
        }
    }
}

#[test]
fn exceptions_are_for_cases_that_there_are_and_spare_the_small_ones() {
    let met = |device: &str| {
        let all = check::cases().flat_map(|case| case.parts().map(move |part| (case, part)));
        all.filter(|(case, part)| check::exception(device, case, *part).is_some()).collect::<Vec<(Case, Part)>>()
    };
    assert_eq!(met("flex").len(), 0);
    assert_eq!(met("wgpu:0").len(), 0);
    for device in ["ndarray", "wgpu:cpu"] {
        let met = met(device);
        assert!(!met.is_empty() && met.iter().all(|(case, _)| !case.is_quick()), "{device}");
    }
}
