//! What is asked, and what is answered.

use super::engine::{About, Engine};
use super::multipart;
use super::request::Request;
use super::response::Response;
use crate::commands::classify::prepared;
use burn::tensor::{Tensor, activation};
use data::decode_image;
use infer::best;
use models::{Framing, Method};
use serde_json::{Value, json};
use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Instant;
use visualize::{Occluder, Part, Region, Unit, last_convolution, occlude, project, receptive_field, values};

/// One file when it is asked for: looks and script go into their places.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    let page = include_str!("page.html").replace("/* page.css */", include_str!("page.css"));
    page.replace("/* page.js */", include_str!("page.js"))
});
const OPENAPI: &str = include_str!("openapi.json");
/// Longest side of an image, before it is decoded.
const SIDE: u32 = 8192;
/// Most pixels of an image, before it is decoded.
const PIXELS: u64 = 24_000_000;
/// Most places that one request may cover.
const PLACES: usize = 4096;

/// What can be asked: method and path.
const ROUTES: [(&str, &str); 9] = [
    ("GET", "/"),
    ("GET", "/openapi.json"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/v1/models"),
    ("POST", "/v1/classify"),
    ("POST", "/v1/activations"),
    ("POST", "/v1/deconvnet"),
    ("POST", "/v1/occlusion"),
];

type Answer = Result<Response, Response>;

/// The route that a path belongs to, for counting.
pub fn route(path: &str) -> &'static str {
    ROUTES.iter().find(|(_, known)| *known == path).map_or("other", |(_, known)| known)
}

/// Whether a request may be made, by its head.
pub fn allow(head: &Request, token: Option<&str>) -> Result<(), Response> {
    let Some((method, _)) = ROUTES.iter().find(|(_, path)| *path == head.path) else {
        return Err(Response::error(404, "there is no such page; /openapi.json says what there is"));
    };
    let same = head.method == *method || (head.method == "HEAD" && *method == "GET");
    if !same {
        return Err(Response::error(405, &format!("{} is asked by {method}", head.path)).with("Allow", *method));
    }
    // The page itself holds nothing to protect, and must come to ask for the token.
    let open = matches!(head.path.as_str(), "/" | "/healthz" | "/openapi.json");
    match token {
        Some(token) if !open => {
            let given = head.authorization.as_deref().and_then(|a| a.strip_prefix("Bearer ")).unwrap_or("");
            // In a time that doesn't tell how much of it is right.
            let wrong =
                given.bytes().zip(token.bytes()).fold(given.len() ^ token.len(), |w, (a, b)| w | usize::from(a ^ b));
            if wrong == 0 {
                return Ok(());
            }
            Err(Response::error(401, "this server asks for its token: Authorization: Bearer …")
                .with("WWW-Authenticate", "Bearer"))
        }
        _ => Ok(()),
    }
}

/// The answer to a request.
pub fn answer(engine: &Engine, request: &Request) -> Response {
    // Whoever asks the network needs a place, before its image is decoded.
    let _place = match (request.method == "POST").then(|| engine.admit()).transpose() {
        Ok(place) => place,
        Err(busy) => return busy,
    };
    let answer = match request.path.as_str() {
        "/" => Ok(page()),
        "/openapi.json" => Ok(Response::new(200, "application/json", OPENAPI)),
        "/healthz" => Ok(Response::new(200, "text/plain; charset=utf-8", "ok\n")),
        "/metrics" => Ok(Response::new(200, "text/plain; version=0.0.4", engine.metrics.text())),
        "/v1/models" => Ok(models(engine)),
        "/v1/classify" => classify(engine, request),
        "/v1/activations" => activations(engine, request),
        "/v1/deconvnet" => deconvnet(engine, request),
        "/v1/occlusion" => occlusion(engine, request),
        _ => Err(Response::error(404, "there is no such page")),
    };
    answer.unwrap_or_else(|refusal| refusal)
}

fn page() -> Response {
    Response::new(200, "text/html; charset=utf-8", PAGE.as_str()).with(
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
         img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
}

fn models(engine: &Engine) -> Response {
    let each = engine.about.iter().map(|a| {
        let table = a.table.as_ref().map(|(layer, maps)| json!({ "layer": layer, "maps": maps }));
        json!({
            "model": a.card.model.name, "epoch": a.epoch, "parameters": a.parameters, "classes": a.card.classes,
            "input": a.card.input, "layers": a.rows, "connections": table, "training": a.card.training,
        })
    });
    Response::json(&json!({ "models": each.collect::<Vec<_>>() }))
}

/// Which network is asked: the one of `?epoch=N`, or the server's own.
fn chosen<'a>(engine: &'a Engine, request: &Request) -> Result<(usize, &'a About), Response> {
    let epoch = number::<u64>(request, "epoch")?;
    let found = engine.about.iter().position(|about| about.epoch == epoch);
    match found {
        Some(i) => Ok((i, &engine.about[i])),
        None => {
            let known: Vec<_> = engine.about.iter().filter_map(|a| a.epoch).map(|e| e.to_string()).collect();
            let known = if known.is_empty() { String::from("none") } else { known.join(", ") };
            Err(Response::error(400, &format!("epoch: there is no such checkpoint; there are {known}")))
        }
    }
}

/// The number called `name` in the query.
fn number<T: std::str::FromStr>(request: &Request, name: &str) -> Result<Option<T>, Response> {
    let parse =
        |text: &str| text.parse().map_err(|_| Response::error(400, &format!("{name}: '{text}' is no such number")));
    request.query(name).map(parse).transpose()
}

/// The image of a request, as the network is fed it, and what was done to it.
fn image(engine: &Engine, about: &About, request: &Request) -> Result<(Vec<f32>, String), Response> {
    let bytes = if request.content_type.starts_with("multipart/form-data") {
        multipart::field(&request.content_type, &request.body, "image")
            .ok_or_else(|| Response::error(400, "the form has no field 'image'"))?
    } else {
        &request.body[..]
    };
    if bytes.is_empty() {
        return Err(Response::error(
            400,
            "there is no image: send a PNG or JPEG as the body, or as the form's field 'image'",
        ));
    }
    let reader = image::ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let format = reader.as_ref().ok().and_then(image::ImageReader::format);
    if !matches!(format, Some(image::ImageFormat::Png | image::ImageFormat::Jpeg)) {
        return Err(Response::error(415, "the image is neither PNG nor JPEG"));
    }
    // The size that it claims comes before any memory for it.
    let size = reader.ok().and_then(|reader| reader.into_dimensions().ok());
    let Some((width, height)) = size else {
        return Err(Response::error(422, "the image's head can't be read"));
    };
    if width.max(height) > SIDE || u64::from(width) * u64::from(height) > PIXELS {
        let problem = format!(
            "the image is {width} x {height} pixels: at most {SIDE} a side and {} megapixels",
            PIXELS / 1_000_000
        );
        return Err(Response::error(413, &problem));
    }
    let unreadable = |e: &dyn std::fmt::Display| Response::error(422, &format!("{e}"));
    let (mut values, note) = engine.decode(|| {
        let image = decode_image(Path::new("the image"), bytes).map_err(|e| unreadable(&e))?;
        prepared(image, &about.card.input, 1).map_err(|e| unreadable(&format!("{e:#}")))
    })?;
    if let Some(cover) = request.query("cover") {
        hide(about, &mut values, cover)?;
    }
    Ok((values, note))
}

/// Covers `top,left,height,width` of the image with paper, or the training set's mean.
fn hide(about: &About, values: &mut [f32], cover: &str) -> Result<(), Response> {
    let [_, h, w] = about.card.input.shape();
    let numbers = cover.split(',').map(str::parse::<usize>).collect::<Result<Vec<_>, _>>().unwrap_or_default();
    let [top, left, height, width] = numbers[..] else {
        let problem = format!("cover: '{cover}' isn't top,left,height,width, four whole numbers of pixels");
        return Err(Response::error(400, &problem));
    };
    if top >= h || left >= w || height > h || width > w {
        return Err(Response::error(400, &format!("cover: the image is {h} x {w} pixels")));
    }
    for (plane, fill) in values.chunks_exact_mut(h * w).zip(about.card.input.blank()) {
        for y in top..(top + height).min(h) {
            plane[y * w + left..y * w + (left + width).min(w)].fill(fill);
        }
    }
    Ok(())
}

/// The answer to an image: `class`, `probability` and `top`, what goes with every answer, and the object `more`.
fn verdict(about: &About, request: &Request, probabilities: &[f32], note: &str, more: Value) -> Answer {
    let classes = &about.card.classes;
    let top = number::<usize>(request, "top")?.unwrap_or(10).clamp(1, classes.len());
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    let guess = |&i: &usize| json!({ "class": classes[i], "probability": probabilities[i] });
    let mut answer = json!({
        "model": about.card.model.name, "epoch": about.epoch, "class": classes[order[0]],
        "probability": probabilities[order[0]], "top": order.iter().take(top).map(guess).collect::<Vec<_>>(),
        "note": note,
    });
    if let (Some(answer), Value::Object(more)) = (answer.as_object_mut(), more) {
        answer.extend(more);
    }
    Ok(Response::json(&answer))
}

fn softmax(logits: Tensor<2>) -> Vec<f32> {
    values(activation::softmax(logits, 1))
}

fn classify(engine: &Engine, request: &Request) -> Answer {
    let (network, about) = chosen(engine, request)?;
    let (values, note) = image(engine, about, request)?;
    let probabilities = engine.classify(network, values)?;
    verdict(about, request, &probabilities, &note, json!({}))
}

/// Errors of what was asked for, such as layers that aren't there.
fn refused(e: &dyn std::fmt::Display) -> Response {
    Response::error(400, &e.to_string())
}

/// Numbers as 256 levels between the least and the greatest.
fn levels(values: &[f32]) -> Value {
    let (least, greatest) = values.iter().fold((f32::MAX, f32::MIN), |(l, g), &v| (l.min(v), g.max(v)));
    let span = if greatest > least { greatest - least } else { 1.0 };
    let level = |v: &f32| ((v - least) / span * 255.0).round() as u8;
    json!({ "least": least, "greatest": greatest, "levels": values.iter().map(level).collect::<Vec<_>>() })
}

/// The image as the network sees it, as pixel values `[channels, height, width]`; whitened numbers about middle grey.
fn seen(about: &About, values: &[f32]) -> Value {
    let input = &about.card.input;
    let [c, h, w] = input.shape();
    let greatest = values.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let pixel = |(i, v): (usize, &f32)| {
        let pixel = match input.whitening {
            Some(_) => 127.5 + 127.5 * v / greatest,
            None => input.normalise.invert(i / (h * w), *v),
        };
        pixel.round().clamp(0.0, 255.0) as u8
    };
    let ink = input.framing == Framing::Centre && c == 1;
    json!({ "shape": [c, h, w], "ink": ink, "pixels": values.iter().enumerate().map(pixel).collect::<Vec<_>>() })
}

fn activations(engine: &Engine, request: &Request) -> Answer {
    let (network, about) = chosen(engine, request)?;
    let (values_in, note) = image(engine, about, request)?;
    let only = request.query("layer").map(String::from);
    if let Some(only) = &only
        && !about.rows.iter().any(|row| row.name == *only)
    {
        return Err(unknown_layer(about, only));
    }
    let input = seen(about, &values_in);
    let (probabilities, layers) = engine.compute(network, move |loaded, _| {
        let (logits, trace) = loaded.network.forward_traced(loaded.tensor(values_in)).map_err(|e| refused(&e))?;
        let layers = trace.outputs().filter(|(name, _)| only.as_ref().is_none_or(|only| only == name));
        let layers = layers.map(|(name, output)| {
            let [_, maps, h, w] = output.dims();
            let mut layer = levels(&values(output));
            layer["layer"] = json!(name);
            layer["shape"] = json!([maps, h, w]);
            layer
        });
        let layers: Vec<_> = layers.collect();
        Ok::<_, Response>((softmax(logits), layers))
    })??;
    verdict(about, request, &probabilities, &note, json!({ "input": input, "layers": layers }))
}

fn unknown_layer(about: &About, layer: &str) -> Response {
    let known: Vec<_> = about.rows.iter().map(|row| row.name.as_str()).collect();
    Response::error(400, &format!("layer: there is no '{layer}'; there are {}", known.join(", ")))
}

/// The layer asked for, or the last with more than one unit in a map.
fn layer(about: &About, request: &Request) -> Result<String, Response> {
    match request.query("layer") {
        Some(name) if about.rows.iter().any(|row| row.name == name) => Ok(name.into()),
        Some(name) => Err(unknown_layer(about, name)),
        None => {
            let last = last_convolution(&about.rows);
            last.map(|row| row.name.clone()).ok_or_else(|| Response::error(400, "layer: name one"))
        }
    }
}

fn deconvnet(engine: &Engine, request: &Request) -> Answer {
    let (network, about) = chosen(engine, request)?;
    let layer = layer(about, request)?;
    let method: Method = request.query("method").unwrap_or("deconvnet").parse().map_err(|e| refused(&e))?;
    let map = number::<usize>(request, "map")?;
    let place = (number::<usize>(request, "y")?, number::<usize>(request, "x")?);
    let (values_in, note) = image(engine, about, request)?;
    let input = seen(about, &values_in);
    let (probabilities, mut more) = engine.compute(network, move |loaded, _| {
        let (logits, trace) = loaded.network.forward_traced(loaded.tensor(values_in)).map_err(|e| refused(&e))?;
        let output = trace.output(&layer).ok_or_else(|| Response::error(400, "layer: there is none"))?;
        let [_, maps, h, w] = output.dims();
        let all = values(output);
        // Without a map, the whole layer's strongest unit; without a place, the map's.
        let candidates = match (map, place) {
            (Some(map), (Some(y), Some(x))) if map < maps && y < h && x < w => vec![(map * h + y) * w + x],
            (Some(map), (None, None)) if map < maps => (map * h * w..(map + 1) * h * w).collect(),
            (None, (None, None)) => (0..all.len()).collect(),
            _ => {
                let problem = format!("map, y, x: {layer} has {maps} maps of {h} x {w} units, numbered from 0");
                return Err(Response::error(400, &problem));
            }
        };
        let among: Vec<f32> = candidates.iter().map(|&i| all[i]).collect();
        let at = candidates[best(&among)];
        let unit = Unit { map: at / (h * w), y: at / w % h, x: at % w };
        let back =
            project(&loaded.network, &trace, &layer, &[(0, Part::Unit(unit))], method).map_err(|e| refused(&e))?;
        let field: Region = receptive_field(&loaded.network, &layer, unit.y, unit.x).map_err(|e| refused(&e))?;
        let mut more = levels(&values(back));
        more["layer"] = json!(layer);
        more["unit"] = json!(unit);
        more["activation"] = json!(all[at]);
        more["method"] = json!(method.to_string());
        more["receptive_field"] = json!(field);
        Ok::<_, Response>((softmax(logits), more))
    })??;
    more["shape"] = json!(about.card.input.shape());
    more["input"] = input;
    verdict(about, request, &probabilities, &note, more)
}

fn occlusion(engine: &Engine, request: &Request) -> Answer {
    let (network, about) = chosen(engine, request)?;
    let layer = layer(about, request)?;
    let [_, h, w] = about.card.input.shape();
    let (size, stride) = (number(request, "size")?, number(request, "stride")?);
    let class = match request.query("class") {
        None => None,
        Some(name) => match about.card.classes.iter().position(|class| class == name) {
            Some(class) => Some(class),
            None => return Err(Response::error(400, &format!("class: the network knows no '{name}'"))),
        },
    };
    let occluder = Occluder::new(h, w, size, stride, about.card.input.blank());
    let stride = occluder.stride.max(1);
    let places = (h.div_ceil(stride) + 1) * (w.div_ceil(stride) + 1);
    if places > PLACES {
        return Err(Response::error(400, &format!("stride: {places} places are too many, at most {PLACES}")));
    }
    let (values_in, note) = image(engine, about, request)?;
    let (probabilities, occlusion) = engine.compute(network, move |loaded, until| {
        let image = loaded.tensor(values_in);
        let logits = loaded.network.forward(image.clone()).map_err(|e| refused(&e))?;
        let in_time = |_: usize, _: usize| Instant::now() < until;
        let occlusion = occlude(&loaded.network, image, &layer, class, &occluder, 32, in_time);
        Ok::<_, Response>((softmax(logits), occlusion.map_err(|e| refused(&e))?))
    })??;
    let classes = &about.card.classes;
    let more = json!({
        "watched": { "class": classes[occlusion.class], "probability": occlusion.whole.probability },
        "heat": { "shape": [h, w], "probability": occlusion.heat(|r| r.probability) },
        "map": occlusion.map, "places": occlusion.places, "regions": occlusion.regions,
        "covered": occlusion.covered.iter().map(|r| json!({
            "probability": r.probability, "class": classes[r.answer], "activity": r.activity,
        })).collect::<Vec<_>>(),
    });
    verdict(about, request, &probabilities, &note, more)
}
