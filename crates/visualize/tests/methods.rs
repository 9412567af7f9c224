//! Receptive fields, top activations, occlusion, invariance, correspondence, filters.

#![allow(clippy::unwrap_used)]

mod support;

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use models::{Network, ParamMapper, weights};
use serde::Deserialize;
use support::{close, flex, formula, values, zoo_network};
use visualize::{
    Change, Error, Occluder, Region, Top, Zero, correspondence, feature_layers, filters, invariance, occlude,
    receptive_field, transform,
};

/// Every weight 1 over its unit's fan-in, every bias 0: what goes in comes out wherever it can.
fn conducting(network: Network) -> Network {
    struct Positive;
    impl ParamMapper for Positive {
        fn map<const D: usize>(&mut self, _: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let shape = param.lazy_shape();
            // Coefficients are vectors, too, but of subsampling they must let something through.
            let value = if D == 1 { 0.0 } else { 1.0 / (shape.num_elements() / shape[0]) as f32 };
            let id = param.id;
            Param::initialized(id, Tensor::full(shape, value, &param.lazy_device()))
        }
    }
    network.map_params(&mut Positive)
}

/// A pixel alone in the dark reaches exactly the units that have it in their receptive field.
#[test]
fn receptive_fields_are_exact_to_the_border() {
    let mut asked = 0;
    for (name, last) in
        [("lenet5-dense", "C5"), ("nin-mnist", "cccp5"), ("nin-cifar10-caffe", "cccp4"), ("alexnet", "pool2")]
    {
        // Flex's own convolutions are Winograd's, which leave rounding's dust where there is nothing.
        let device = models::device::parse("ndarray").unwrap();
        let network = conducting(zoo_network(name, &device));
        let [c, h, w] = network.input().shape();
        for (y, x) in [(0, 0), (h - 1, 0), (h / 2, w / 3), (h / 3, w - 1), (h - 1, w - 1)] {
            let mut pixels = vec![0f32; c * h * w];
            for channel in 0..c {
                pixels[(channel * h + y) * w + x] = 1e4;
            }
            let image = Tensor::from_data(TensorData::new(pixels, [1, c, h, w]), &device);
            let (_, trace) = network.forward_traced(image).unwrap();
            for (layer, output) in trace.outputs() {
                let [_, _, oh, ow] = output.dims();
                let lit = values(output.narrow(1, 0, 1));
                for (i, value) in lit.iter().enumerate() {
                    let field = receptive_field(&network, layer, i / ow, i % ow).unwrap();
                    let what = format!("{name} {layer}, unit {i} of {oh}x{ow}, pixel {y}, {x}: {field:?}");
                    assert_eq!(*value > 0.0, field.contains(y, x), "{what}");
                    asked += 1;
                }
                if layer == last {
                    break;
                }
            }
        }
    }
    assert!(asked > 10_000);
}

#[test]
fn receptive_fields_are_those_of_the_papers() {
    let field = |name: &str, layer: &str, y, x| receptive_field(&zoo_network(name, &flex()), layer, y, x).unwrap();
    assert_eq!(field("lenet5", "S4", 0, 0), Region { top: 0, left: 0, height: 16, width: 16 });
    assert_eq!(field("lenet5", "OUTPUT", 0, 0), Region { top: 0, left: 0, height: 32, width: 32 });
    assert_eq!(field("nin-cifar10", "cccp1", 16, 31), Region { top: 14, left: 29, height: 5, width: 3 });
}

#[test]
fn top_activations_do_not_depend_on_batches() {
    let x = values(formula::<4>(11, [23, 4, 3, 5], 1.0, &flex()));
    let see = |batch: usize| {
        let mut top = Top::new(vec![2, 0], 9);
        for images in x.chunks(batch * 60) {
            let n = images.len() / 60;
            top.see(Tensor::from_data(TensorData::new(images.to_vec(), [n, 4, 3, 5]), &flex()));
        }
        assert_eq!(top.seen(), 23);
        top.hits().map(|(map, hits)| (map, hits.to_vec())).collect::<Vec<_>>()
    };
    let all = see(23);
    assert_eq!(see(4), all);
    assert_eq!(see(1), all);
    for (map, hits) in &all {
        assert_eq!(hits.len(), 9);
        // The same, sorted by hand.
        let mut maxima: Vec<_> = (0..23)
            .map(|i| {
                let maps = &x[i * 60 + map * 15..][..15];
                let best = (0..15).reduce(|a, b| if maps[b] > maps[a] { b } else { a }).unwrap();
                (i, best / 5, best % 5, maps[best])
            })
            .collect();
        maxima.sort_by(|a, b| b.3.total_cmp(&a.3));
        let got: Vec<_> = hits.iter().map(|h| (h.image, h.unit.y, h.unit.x, h.activation)).collect();
        assert_eq!(got, maxima[..9]);
        assert!(hits.iter().all(|hit| hit.unit.map == *map));
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    network: String,
    size: usize,
    stride: usize,
    fill: f32,
    class: usize,
    places: [usize; 2],
    values: Vec<f32>,
}

#[test]
fn occlusion_is_captums() {
    let goldens: Vec<Golden> = serde_json::from_str(include_str!("golden/occlusion.json")).unwrap();
    assert_eq!(goldens.len(), 2);
    for golden in &goldens {
        let network = zoo_network(&golden.network, &flex());
        let [c, h, w] = network.input().shape();
        let image = formula(1000, [1, c, h, w], 1.0, &flex());
        let occluder = Occluder { size: golden.size, stride: golden.stride, fill: vec![golden.fill; c] };
        let layer = feature_layers(&network)[0].clone();
        let run = |batch| {
            let mut last = (0, 0);
            let done = |n, of| {
                last = (n, of);
                true
            };
            let occlusion =
                occlude(&network, image.clone(), &layer, Some(golden.class), &occluder, batch, done).unwrap();
            assert_eq!(last, (occlusion.regions.len(), occlusion.regions.len()));
            occlusion
        };
        let occlusion = run(7);
        assert_eq!(occlusion.places, golden.places, "{}", golden.network);
        // Captum gives a pixel the mean loss of its logit over the patches that cover it; each place here by one pixel.
        let heat = occlusion.heat(|covered| occlusion.whole.logit - covered.logit);
        let sampled: Vec<_> = (0..golden.values.len()).map(|i| heat[i * 2_654_435_761 % heat.len()]).collect();
        close(&golden.network, &sampled, &golden.values, 1e-3);
        assert_eq!(run(7), occlusion, "twice the same");
        let whole_batch = run(1000).heat(|r| r.probability);
        close("batches", &whole_batch, &occlusion.heat(|r| r.probability), 1e-4);
    }
}

/// What can't be covered is said before anything is computed.
#[test]
fn impossible_patches_are_named() {
    let network = zoo_network("lenet5", &flex());
    let image = Tensor::zeros([1, 1, 32, 32], &flex());
    let message = |size, stride, fill: Vec<f32>, class| {
        let occluder = Occluder { size, stride, fill };
        occlude(&network, image.clone(), "C3", class, &occluder, 8, |_, _| true).unwrap_err().to_string()
    };
    let expected = "a patch of 40 pixels in steps of 1 can't cover an image of 32x32, 8 at a time";
    assert_eq!(message(40, 1, vec![0.0], None), expected);
    assert!(message(4, 0, vec![0.0], None).contains("in steps of 0"));
    assert!(message(4, 100, vec![0.0], None).contains("in steps of 100"));
    assert_eq!(message(4, 1, vec![0.0; 3], None), "3 fills for 1 channels");
    assert!(message(4, 1, vec![0.0], Some(10)).contains("no class"));
}

/// Steps wider than the patch leave gaps, but no place is outside.
#[test]
fn wide_steps_stay_inside() {
    let (places, regions) = Occluder { size: 1, stride: 20, fill: vec![0.0] }.regions(32, 32);
    assert_eq!((places, regions[3]), ([2, 2], Region { top: 20, left: 20, height: 1, width: 1 }));
}

#[test]
fn a_patch_by_default_is_a_third_of_the_side_at_some_30_places() {
    let patch = Occluder::new(224, 300, None, None, vec![0.0; 3]);
    assert_eq!((patch.size, patch.stride, patch.regions(224, 300).0), (74, 5, [31, 47]));
    let patch = Occluder::new(32, 32, Some(4), Some(0), vec![0.0]);
    assert_eq!((patch.size, patch.stride), (4, 0), "what was asked for, right or wrong");
}

#[test]
fn an_occlusion_is_stopped_between_batches() {
    let occluder = Occluder { size: 12, stride: 2, fill: vec![0.0] };
    let mut batches = 0;
    let stopped = occlude(&zoo_network("lenet5", &flex()), seven(), "C3", None, &occluder, 8, |_, _| {
        batches += 1;
        batches < 2
    });
    assert_eq!((stopped, batches), (Err(Error::Stopped), 2));
}

/// The first MNIST test digit, a 7, as the network that ships wants it.
fn seven() -> Tensor<4> {
    let digit = include_bytes!("../../../examples/classify/seven.gray");
    let mut canvas = vec![-0.1f32; 32 * 32];
    for (i, pixel) in digit.iter().enumerate() {
        canvas[(i / 28 + 2) * 32 + i % 28 + 2] = -0.1 + 1.275 * f32::from(*pixel) / 255.0;
    }
    Tensor::from_data(TensorData::new(canvas, [1, 1, 32, 32]), &flex())
}

#[test]
fn covering_the_stroke_hurts_and_covering_the_paper_does_not() {
    let (network, _) = weights::load(weights::LENET5_MNIST, &flex()).unwrap();
    let occluder = Occluder { size: 12, stride: 2, fill: vec![-0.1] };
    let occlusion = occlude(&network, seven(), "C3", None, &occluder, 32, |_, _| true).unwrap();
    assert_eq!((occlusion.class, occlusion.whole.answer), (7, 7));
    // A corner holds paper; to cover it changes nothing.
    let last = occlusion.covered.last().unwrap();
    let change = last.probability - occlusion.whole.probability;
    assert!(change.abs() < 1e-5, "{change}");
    let least = occlusion.covered.iter().map(|r| r.probability).fold(1.0, f32::min);
    assert!(least < 0.5 * occlusion.whole.probability, "{least}");
    assert!(occlusion.covered.iter().any(|r| r.answer != 7));
}

#[test]
fn images_move_as_they_are_told() {
    let image = formula::<4>(4, [1, 2, 5, 5], 1.0, &flex());
    let pixels = values(image.clone());
    let changed = |change| values(transform(&image, change, &[7.0, 8.0]));
    for still in [Change::Shift(0.0), Change::Scale(1.0), Change::Rotate(0.0)] {
        assert_eq!(changed(still), pixels);
    }
    close("a whole turn", &changed(Change::Rotate(360.0)), &pixels, 1e-4);
    let down = changed(Change::Shift(2.0));
    assert_eq!((&down[..10], &down[10..25]), (&[7.0; 10][..], &pixels[..15]));
    assert_eq!(changed(Change::Shift(-5.0))[25..], [8.0; 25]);
    // Counter-clockwise: what was at the right is on top.
    let turned = changed(Change::Rotate(90.0));
    assert!((turned[2] - pixels[2 * 5 + 4]).abs() < 1e-4, "{} {}", turned[2], pixels[14]);
    // Twice as large: the middle stays, and what was one away is two away.
    let large = changed(Change::Scale(2.0));
    assert_eq!((large[12], large[14]), (pixels[12], pixels[13]));
}

#[test]
fn features_stay_with_the_image_and_leave_with_it() {
    let (network, _) = weights::load(weights::LENET5_MNIST, &flex()).unwrap();
    assert_eq!(feature_layers(&network), ["C1", "F6"]);
    assert_eq!(feature_layers(&zoo_network("nin-mnist", &flex())), ["conv1", "cccp6"]);
    assert_eq!(feature_layers(&zoo_network("alexnet", &flex())), ["conv1", "fc7"]);
    let changes: Vec<_> = (-20..=20).map(|dy| Change::Shift(dy as f32 / 2.0)).collect();
    let moved = invariance(&network, &seven(), 7, ["C1", "F6"], &changes, &[-0.1]).unwrap();
    let still = moved[20];
    // Batches of other sizes may round otherwise.
    assert!(still.first < 1e-4 && still.last < 1e-4, "{still:?}");
    assert!(still.probability > 0.9 && moved[0].probability < 0.5, "{moved:?}");
    assert!(moved[22].first > 0.0 && moved[22].last < moved[40].last);
}

#[test]
fn like_changes_correspond() {
    let (network, _) = weights::load(weights::LENET5_MNIST, &flex()).unwrap();
    let twins = Tensor::cat(vec![seven(), seven()], 0);
    let bar = Region { top: 8, left: 8, height: 5, width: 14 };
    let foot = Region { top: 20, left: 10, height: 8, width: 8 };
    let delta = |regions: [Region; 2], zero| correspondence(&network, &twins, &regions, "F6", &[-0.1], zero).unwrap();
    for zero in [Zero::Own, Zero::Ignored] {
        assert_eq!(delta([bar, bar], zero).mean, 0.0);
        assert!(delta([bar, foot], zero).mean > 0.1);
    }
    let outside = Region { top: 30, ..bar };
    let error = correspondence(&network, &twins, &[bar, outside], "F6", &[-0.1], Zero::Own).unwrap_err().to_string();
    assert!(error.starts_with("a part at row 30, column 8 of 5x14 pixels isn't inside"), "{error}");
}

#[test]
fn first_filters_are_the_first_layers_weights() {
    let network = zoo_network("lenet5", &flex());
    let expected: Vec<f32> = network.tensors()["C1.weight"].iter::<f32>().collect();
    let got = filters(&network).unwrap();
    assert_eq!((got.dims(), values(got)), ([6, 1, 5, 5], expected));
    assert_eq!(filters(&zoo_network("alexnet", &flex())).unwrap().dims(), [96, 3, 11, 11]);
}
