//! The field `image` out of a form.

/// The bytes of the field `name` in a `multipart/form-data` body (RFC 7578). `None` if it isn't there.
pub fn field<'a>(content_type: &str, body: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let boundary = content_type.split(';').find_map(|part| {
        let (key, value) = part.trim().split_once('=')?;
        key.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"'))
    })?;
    let mark = [b"--", boundary.as_bytes()].concat();
    let mut rest = &body[find(body, &mark)? + mark.len()..];
    loop {
        rest = rest.strip_prefix(b"\r\n")?; // the last mark is followed by "--"
        let head = find(rest, b"\r\n\r\n")?;
        let (head, content) = (std::str::from_utf8(&rest[..head]).ok()?, &rest[head + 4..]);
        let end = find(content, &[b"\r\n", &mark[..]].concat())?;
        let disposition = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
        let named = disposition.split(';').any(|part| {
            part.trim().split_once('=').is_some_and(|(key, value)| key == "name" && value.trim_matches('"') == name)
        });
        if named {
            return Some(&content[..end]);
        }
        rest = &content[end + 2 + mark.len()..];
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_field_is_found() {
        let body = b"preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--XX\r\n\
            Content-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\
            \x89PNG\r\n--X\r\n\r\n--XX--\r\n";
        let field = |name| field("multipart/form-data; boundary=\"XX\"", body, name);
        assert_eq!(field("note"), Some(&b"hello"[..]));
        assert_eq!(field("image"), Some(&b"\x89PNG\r\n--X\r\n"[..]));
        assert_eq!(field("name"), None);
    }

    #[test]
    fn forms_that_are_none_hold_nothing() {
        assert_eq!(field("multipart/form-data", b"--XX", "image"), None);
        assert_eq!(field("multipart/form-data; boundary=XX", b"--XX\r\nno end", "image"), None);
        assert_eq!(field("multipart/form-data; boundary=XX", b"", "image"), None);
    }
}
