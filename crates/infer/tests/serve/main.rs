//! `infer serve` from the outside: answers, limits, load, the end.

#![allow(clippy::unwrap_used)] // helpers of tests: the lint spares only the tests themselves

mod client;
mod described;
mod load;
mod runs;

use client::{Server, digit};
use image::ImageFormat;
use std::io::Cursor;
use std::process::Command;

#[test]
fn what_is_asked_is_answered() {
    let server = Server::start(&[]);
    let (png, label) = digit(0);
    let answer = server.post("/v1/classify?top=3", &png).json();
    assert_eq!((answer["class"].as_str(), answer["top"].as_array().unwrap().len()), (Some(label.as_str()), 3));
    assert_eq!(answer["probability"], answer["top"][0]["probability"]);

    let mut form = b"--B\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a\"\r\n\r\n".to_vec();
    form.extend_from_slice(&png);
    form.extend_from_slice(b"\r\n--B--\r\n");
    // On one connection, one after the other.
    let mut connection = server.connect();
    for _ in 0..3 {
        let reply = connection.post("/v1/classify", "multipart/form-data; boundary=B", &form);
        assert_eq!(reply.json()["class"].as_str(), Some(label.as_str()));
    }

    let layers = server.post("/v1/activations", &png).json();
    let names: Vec<_> = layers["layers"].as_array().unwrap().iter().map(|l| l["layer"].as_str().unwrap()).collect();
    assert_eq!(names, ["C1", "S2", "C3", "S4", "C5", "F6", "OUTPUT"]);
    assert_eq!(layers["layers"][2]["levels"].as_array().unwrap().len(), 1600);
    assert_eq!(layers["input"]["pixels"].as_array().unwrap().len(), 1024);

    let unit = server.post("/v1/deconvnet?layer=C3&map=5&y=4&x=3", &png).json();
    let field = serde_json::json!({ "top": 8, "left": 6, "height": 14, "width": 14 });
    assert_eq!(unit["receptive_field"], field);
    assert_eq!(unit["levels"].as_array().unwrap().len(), 1024);
    let strongest = server.post("/v1/deconvnet?layer=C3&map=5", &png).json();
    assert!(strongest["activation"].as_f64() >= unit["activation"].as_f64());

    // To cover all of it is to take the answer away.
    let covered = server.post("/v1/classify?cover=0,0,32,32", &png).json();
    assert!(covered["probability"].as_f64() < answer["probability"].as_f64());
    let heat = server.post("/v1/occlusion?size=12&stride=4", &png).json();
    assert_eq!(heat["heat"]["probability"].as_array().unwrap().len(), 1024);
    assert_eq!(heat["places"], serde_json::json!([6, 6]));
    // Another class can be watched than the answer.
    let other = if label == "4" { "5" } else { "4" };
    let watching = server.post(&format!("/v1/occlusion?size=12&stride=4&class={other}"), &png).json();
    assert_eq!((&watching["class"], &watching["watched"]["class"]), (&answer["class"], &other.into()));
    assert_eq!(heat["watched"]["class"], answer["class"]);

    let models = server.get("/v1/models").json();
    assert_eq!(models["models"][0]["connections"]["maps"][15], serde_json::json!([0, 1, 2, 3, 4, 5]));
    assert_eq!(server.get("/healthz").body, b"ok\n");
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(metrics.contains("infer_requests_total{route=\"/v1/classify\",status=\"200\"} 5"), "{metrics}");
    let page = server.get("/");
    assert!(page.head.contains("Content-Security-Policy: default-src 'none'"), "{}", page.head);
    // Nothing on the page comes from elsewhere.
    let text = String::from_utf8(page.body).unwrap();
    assert!(text.contains("'use strict'") && text.contains("--paper: #fff"), "script and looks are in it");
    assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("src=\"/"));
}

/// A PNG's head that claims a size, with nothing behind it.
fn claim(side: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend_from_slice(&side.to_be_bytes());
    png.extend_from_slice(&side.to_be_bytes());
    png.extend_from_slice(&[8, 0, 0, 0, 0]);
    let mut crc = crc32(&png[12..]);
    for byte in crc.to_be_bytes() {
        png.push(byte);
    }
    // An empty IDAT and the end, as far as 65 bytes go.
    png.extend_from_slice(b"\0\0\0\0IDAT");
    crc = crc32(b"IDAT");
    png.extend_from_slice(&crc.to_be_bytes());
    png.extend_from_slice(b"\0\0\0\0IEND");
    png.truncate(65);
    png
}

/// CRC-32 as PNG has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1)))
    })
}

#[test]
fn what_cannot_be_used_is_refused_and_said() {
    let server = Server::start(&[]);
    let (png, _) = digit(1);
    let mut jpeg = Vec::new();
    let photo = image::DynamicImage::new_rgb8(300, 200);
    photo.write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg).unwrap();
    let blank = {
        let mut blank = Vec::new();
        photo.write_to(&mut Cursor::new(&mut blank), ImageFormat::Png).unwrap();
        blank
    };
    let before = server.memory();
    for (path, body, status, says) in [
        ("/v1/classify", &claim(60_000)[..], 413, "60000 x 60000 pixels"),
        ("/v1/classify", &jpeg[..jpeg.len() / 2], 422, "cut short"),
        ("/v1/classify", &png[..png.len() / 2], 422, "decoded"),
        ("/v1/classify", &blank, 422, "one shade"),
        ("/v1/classify", b"GIF89a and no more", 415, "neither PNG nor JPEG"),
        ("/v1/classify", b"", 400, "there is no image"),
        ("/v1/classify?top=many", &png, 400, "'many'"),
        ("/v1/classify?epoch=3", &png, 400, "there are none"),
        ("/v1/classify?cover=1,2,3", &png, 400, "top,left,height,width"),
        ("/v1/classify?cover=0,0,x,8,8", &png, 400, "'0,0,x,8,8' isn't top,left,height,width"),
        ("/v1/classify?cover=40,0,1,1", &png, 400, "32 x 32"),
        ("/v1/activations?layer=C4", &png, 400, "there are C1, S2, C3"),
        ("/v1/deconvnet?layer=C3&map=16", &png, 400, "16 maps of 10 x 10"),
        ("/v1/deconvnet?method=magic", &png, 400, "no method is called 'magic'"),
        ("/v1/occlusion?stride=0", &png, 400, "steps of 0"),
        ("/v1/occlusion?stride=100", &png, 400, "steps of 100"),
        ("/v1/occlusion?size=99", &png, 400, "99 pixels"),
        ("/v1/occlusion?class=cat", &png, 400, "'cat'"),
        ("/../../etc/passwd", &png, 404, "no such page"),
        ("/%2e%2e/etc/passwd", &png, 404, "no such page"),
    ] {
        let reply = server.post(path, body);
        assert_eq!(reply.status, status, "{path}: {reply:?}");
        assert!(reply.error().contains(says), "{path}: {}", reply.error());
    }
    let form = server.connect().post("/v1/classify", "multipart/form-data; boundary=B", b"--B--\r\n");
    assert_eq!((form.status, form.error().contains("no field 'image'")), (400, true));

    // 100 MB: refused by what it says of itself, and though all of it is sent, the answer arrives.
    let reply = server.post("/v1/classify", &vec![7; 100 << 20]);
    assert_eq!(reply.status, 413, "{reply:?}");
    let chunked = "POST /v1/classify HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(server.connect().ask(chunked, b"5\r\nhello\r\n0\r\n\r\n").status, 411);
    assert_eq!(server.connect().ask("no request at all\r\n\r\n", &[]).status, 400);
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(20_000));
    assert_eq!(server.connect().ask(&long, &[]).status, 431);
    // Whoever asks for leave to send too much doesn't get it.
    let expecting =
        format!("POST /v1/classify HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n", 50 << 20);
    assert_eq!(server.connect().ask(&expecting, &[]).status, 413);
    assert!(server.memory() < before + (64 << 10), "{before} kB before, {} kB after", server.memory());
    assert_eq!(server.post("/v1/classify", &png).status, 200, "and the server goes on");
}

#[test]
fn strangers_need_the_token() {
    let server = Server::start(&["--token", "open sesame"]);
    let (png, label) = digit(3);
    assert_eq!(server.get("/").status, 200);
    for given in [
        "",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Bearer open sesam\r\n",
        "Authorization: open sesame\r\n",
    ] {
        let reply = server.connect().ask(&format!("GET /v1/models HTTP/1.1\r\n{given}\r\n"), &[]);
        assert_eq!(reply.status, 401, "{given}");
        assert!(reply.head.contains("WWW-Authenticate: Bearer"));
    }
    let head = format!(
        "POST /v1/classify HTTP/1.1\r\nAuthorization: Bearer open sesame\r\nContent-Length: {}\r\n\r\n",
        png.len()
    );
    assert_eq!(server.connect().ask(&head, &png).json()["class"].as_str(), Some(label.as_str()));
    let open = Command::new(env!("CARGO_BIN_EXE_infer")).args(["serve", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(open.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&open.stderr).contains("--no-auth"));
}
