//! The API's description against what the server answers.

use crate::client::{Server, digit};
use serde_json::{Value, json};

/// What a `{"$ref": "#/…"}` stands for; anything else stands for itself.
fn resolved<'a>(described: &'a Value, part: &'a Value) -> &'a Value {
    match part["$ref"].as_str() {
        Some(place) => described.pointer(&place[1..]).unwrap_or_else(|| panic!("{place} is nowhere")),
        None => part,
    }
}

/// An object's properties and the names of those that it must have, with those of the schemas that it extends.
fn object<'a>(described: &'a Value, schema: &'a Value) -> (Vec<(&'a String, &'a Value)>, Vec<&'a str>) {
    let schema = resolved(described, schema);
    let mut properties: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
    let mut required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for extended in schema["allOf"].as_array().into_iter().flatten() {
        let (more, needed) = object(described, extended);
        properties.extend(more);
        required.extend(needed);
    }
    (properties, required)
}

/// Panics unless `value`, at `place`, is what `schema` says: of its type, with all that is required and nothing that isn't
/// described.
fn check(described: &Value, schema: &Value, value: &Value, place: &str) {
    let schema = resolved(described, schema);
    let is = |kind: &Value| match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    };
    let fits = schema["type"].as_array().map_or_else(|| is(&schema["type"]), |kinds| kinds.iter().any(is));
    assert!(fits, "{place} isn't of the type {}", schema["type"]);
    for value in value.as_array().into_iter().flatten() {
        check(described, &schema["items"], value, place);
    }
    let Some(members) = value.as_object() else { return };
    let (properties, required) = object(described, schema);
    for name in required {
        assert!(members.contains_key(name), "{place} lacks {name}");
    }
    for (name, value) in members {
        let Some((_, schema)) = properties.iter().find(|(known, _)| *known == name) else {
            panic!("{place}: {name} isn't described");
        };
        check(described, schema, value, &format!("{place}.{name}"));
    }
}

/// Path, method and description of all that can be asked.
fn operations(described: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = described["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))
    })
}

/// Every path that the API has is in its description.
#[test]
fn the_description_is_whole() {
    let server = Server::start(&[]);
    let described = server.get("/openapi.json").json();
    let mut paths: Vec<_> = operations(&described).map(|(path, ..)| path).collect();
    paths.sort();
    let expected =
        ["/healthz", "/metrics", "/v1/activations", "/v1/classify", "/v1/deconvnet", "/v1/models", "/v1/occlusion"];
    assert_eq!(paths, expected);
    for (path, method, _) in operations(&described) {
        let wrong = if method == "get" { "PUT" } else { "GET" };
        let reply = server.connect().ask(&format!("{wrong} {path} HTTP/1.1\r\n\r\n"), &[]);
        assert_eq!(reply.status, 405, "{path}");
    }
}

#[test]
fn every_answer_is_as_described() {
    let (png, _) = digit(0);
    let networks: [&[&str]; 2] = [&[], &["--model", "nin-cifar10"]];
    for network in networks {
        let server = Server::start(network);
        let described = server.get("/openapi.json").json();
        for (path, method, operation) in operations(&described) {
            let posted = method == "post";
            let reply =
                if posted { server.post(&format!("{path}?top=3&size=12&stride=4"), &png) } else { server.get(path) };
            assert_eq!(reply.status, 200, "{path}: {}", reply.head);
            let responses = &operation["responses"];
            let (kind, content) = responses["200"]["content"].as_object().unwrap().iter().next().unwrap();
            assert!(reply.head.contains(&format!("Content-Type: {kind}")), "{path}: {}", reply.head);
            if kind == "application/json" {
                check(&described, &content["schema"], &reply.json(), path);
            }
            for status in ["4XX", "500", "503", "504"] {
                let named = responses.get(status).is_some();
                assert_eq!(named, posted || status != "504", "{path}: {status}"); // the network takes time, counters don't
            }
            if posted {
                let answer = reply.json();
                assert_eq!(answer["top"].as_array().unwrap().len(), 3, "{path}");
                for said in ["class", "probability"] {
                    assert_eq!(answer[said], answer["top"][0][said], "{path}");
                }
                let refusal = server.post(path, b"");
                assert_eq!(refusal.status, 400, "{path}");
                let content = &resolved(&described, &responses["4XX"])["content"]["application/json"];
                check(&described, &content["schema"], &refusal.json(), path);
            }
        }
    }
}

#[test]
fn the_token_is_asked_for_where_the_description_says() {
    let server = Server::start(&["--token", "open sesame"]);
    let described = server.get("/openapi.json").json();
    assert_eq!(described["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    for (path, method, operation) in operations(&described) {
        let security = operation.get("security").unwrap_or(&described["security"]).as_array().unwrap();
        let head = format!("{} {path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n", method.to_uppercase());
        let refused = server.connect().ask(&head, &[]).status == 401;
        assert_eq!(refused, security.contains(&json!({ "token": [] })), "{path}");
    }
}
