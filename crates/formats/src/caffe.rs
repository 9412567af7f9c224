//! Caffe's `.caffemodel`: a `NetParameter`, whose layers are told by their names.

use crate::FormatError;
use crate::arrays::{Array, Arrays, elements};
use crate::error::{damaged, refused};
use crate::protobuf::{Fields, push};
use crate::steps::{Step, What, steps};
use models::Network;

/// A layer's description and weights.
#[derive(Debug, Default)]
struct Layer<'a> {
    name: &'a str,
    blobs: Vec<&'a [u8]>,
    convolution: Option<&'a [u8]>,
    pooling: Option<&'a [u8]>,
    lrn: Option<&'a [u8]>,
}

/// The weights of `network`'s layers in a caffemodel.
///
/// # Errors
/// If the bytes are damaged, a layer is missing, or one does something else than in `network`.
pub(crate) fn read(bytes: &[u8], network: &Network) -> Result<Arrays, FormatError> {
    let layers = layers(bytes)?;
    let wrong = |layer: &str, problem: String| FormatError::Mismatch {
        model: network.model().name.clone(),
        place: layer.into(),
        problem,
    };
    let mut arrays = Arrays::new();
    let mut last = 0;
    for step in steps(network) {
        let learned = matches!(step.what, What::Conv { .. } | What::Linear);
        let found = layers.iter().enumerate().filter(|(_, layer)| same(layer.name, step.layer));
        // A file of training and test phases lists some layers twice; those with weights once.
        let Some((place, layer)) = found.max_by_key(|(_, layer)| layer.blobs.len()) else {
            if learned {
                let known: Vec<_> = layers.iter().filter(|l| !l.blobs.is_empty()).map(|l| l.name).take(20).collect();
                return Err(wrong(step.layer, format!("no such layer; those with weights are {}", known.join(", "))));
            }
            continue;
        };
        if matches!(step.what, What::Activation(_)) {
            continue;
        }
        if place < last {
            return Err(wrong(step.layer, format!("it comes before '{}', expected after", layers[last].name)));
        }
        last = place;
        check(layer, &step).map_err(|problem| wrong(step.layer, problem))?;
        if learned {
            let [weight, bias] = layer.blobs[..] else {
                return Err(wrong(step.layer, format!("{} blobs, expected weight and bias", layer.blobs.len())));
            };
            let mut weight = blob(weight, step.layer)?;
            // Old files give every blob four dimensions.
            if matches!(step.what, What::Linear)
                && let [1, 1, out, inputs] = weight.shape[..]
            {
                weight.shape = vec![out, inputs];
            }
            let mut bias = blob(bias, step.layer)?;
            bias.shape = vec![bias.values.len()];
            arrays.insert(format!("{}.weight", step.layer), weight);
            arrays.insert(format!("{}.bias", step.layer), bias);
        }
    }
    Ok(arrays)
}

/// `cccp7-1024` is `cccp7`.
fn same(theirs: &str, ours: &str) -> bool {
    theirs == ours || theirs.strip_prefix(ours).is_some_and(|rest| rest == "-1024")
}

fn layers(bytes: &[u8]) -> Result<Vec<Layer<'_>>, FormatError> {
    let mut layers = Vec::new();
    for field in Fields(bytes) {
        let (number, value) = field?;
        let old = match number {
            100 => false,
            2 => true,
            _ => continue,
        };
        let mut layer = Layer::default();
        for field in Fields(value.bytes()?) {
            match (old, field?) {
                (true, (4, name)) | (false, (1, name)) => layer.name = name.text()?,
                (true, (6, blob)) | (false, (7, blob)) => push(&mut layer.blobs, blob.bytes()?)?,
                (true, (10, p)) | (false, (106, p)) => layer.convolution = Some(p.bytes()?),
                (true, (19, p)) | (false, (121, p)) => layer.pooling = Some(p.bytes()?),
                (true, (18, p)) | (false, (118, p)) => layer.lrn = Some(p.bytes()?),
                (true, (1, _)) => {
                    let problem = "it is of Caffe's first format. Bring it up to date with upgrade_net_proto_binary.";
                    return Err(refused("caffemodel", problem));
                }
                _ => {}
            }
        }
        push(&mut layers, layer)?;
    }
    Ok(layers)
}

/// Numbers of a parameter message by field, repeated ones by their first.
fn number(bytes: &[u8], field: u32) -> Result<Option<i64>, FormatError> {
    let mut list = Vec::new();
    for f in Fields(bytes) {
        let (n, value) = f?;
        if n == field {
            value.ints(&mut list)?;
        }
    }
    Ok(list.first().copied())
}

fn float(bytes: &[u8], field: u32) -> Result<Option<f32>, FormatError> {
    let mut found = None;
    for f in Fields(bytes) {
        let (n, value) = f?;
        if n == field {
            found = Some(value.float()?);
        }
    }
    Ok(found)
}

/// Whether a layer, as far as the file describes it, does what the step does.
fn check(layer: &Layer<'_>, step: &Step<'_>) -> Result<(), String> {
    let equal = |what: &str, got: i64, expected: usize| {
        if got == expected as i64 { Ok(()) } else { Err(format!("{what} is {got}, expected {expected}")) }
    };
    let int = |bytes, field, default| number(bytes, field).map(|v| v.unwrap_or(default)).map_err(|e| e.to_string());
    let real = |bytes, field, default| float(bytes, field).map(|v| v.unwrap_or(default)).map_err(|e| e.to_string());
    let near = |what: &str, got: f32, expected: f32| {
        let near = (got - expected).abs() <= 1e-5 * expected.abs();
        if near { Ok(()) } else { Err(format!("{what} is {got}, expected {expected}")) }
    };
    match (&step.what, layer.convolution, layer.pooling, layer.lrn) {
        (What::Conv { window, groups }, Some(p), ..) => {
            equal("kernel_size", int(p, 4, window.kernel[0] as i64)?, window.kernel[0])?;
            equal("stride", int(p, 6, 1)?, window.stride)?;
            equal("group", int(p, 5, 1)?, *groups)?;
            window.padding.iter().try_for_each(|side| equal("pad", int(p, 3, 0).unwrap_or(-1), *side))
        }
        (What::MaxPool { kernel, stride, .. }, _, Some(p), _) => {
            equal("pool (0 is MAX, 1 is AVE)", int(p, 1, 0)?, 0)?;
            equal("kernel_size", int(p, 2, *kernel as i64)?, *kernel)?;
            equal("stride", int(p, 3, 1)?, *stride)?;
            equal("pad", int(p, 4, 0)?, 0)
        }
        (What::AvgPool { kernel, stride, .. }, _, Some(p), _) => {
            equal("pool (0 is MAX, 1 is AVE)", int(p, 1, 0)?, 1)?;
            if int(p, 12, 0)? != 0 {
                return Ok(()); // over the whole map
            }
            equal("kernel_size", int(p, 2, *kernel as i64)?, *kernel)?;
            equal("stride", int(p, 3, 1)?, *stride)
        }
        (What::Lrn { config, .. }, _, _, Some(p)) => {
            equal("norm_region", int(p, 4, 0)?, 0)?;
            equal("local_size", int(p, 1, 5)?, config.size)?;
            near("alpha", real(p, 2, 1.0)?, config.alpha * config.size as f32)?;
            near("beta", real(p, 3, 0.75)?, config.beta)?;
            near("k", real(p, 5, 1.0)?, config.k)
        }
        _ => Ok(()),
    }
}

/// A `BlobProto`: its shape, or the four dimensions of old files, and its floats.
fn blob(bytes: &[u8], layer: &str) -> Result<Array, FormatError> {
    let (mut shape, mut old, mut values) = (None, [0i64; 4], Vec::new());
    for field in Fields(bytes) {
        match field? {
            (n @ 1..=4, value) => old[n as usize - 1] = value.int()?,
            (5, data) => data.floats(&mut values)?,
            (7, value) => {
                let mut dims = Vec::new();
                for field in Fields(value.bytes()?) {
                    if let (1, dim) = field? {
                        dim.ints(&mut dims)?;
                    }
                }
                shape = Some(dims);
            }
            (8, _) => return Err(refused("caffemodel", format!("'{layer}' holds doubles; only floats can be read."))),
            _ => {}
        }
    }
    let dims = shape.unwrap_or_else(|| old.to_vec());
    let wrong = || damaged("caffemodel", format!("'{layer}' {dims:?} holds {} numbers", values.len()));
    let shape: Option<Vec<usize>> = dims.iter().map(|d| usize::try_from(*d).ok()).collect();
    let shape = shape.filter(|s| elements(s) == Some(values.len())).ok_or_else(wrong)?;
    Ok(Array { shape, values })
}
