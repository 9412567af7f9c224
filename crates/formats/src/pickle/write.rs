//! Writing a `state_dict`.

/// A `state_dict` that [`super::read`] and `torch.load(weights_only=True)` read: tensor i is the whole of storage i.
pub(crate) fn write<'a>(tensors: impl Iterator<Item = (&'a str, &'a [usize])>) -> Vec<u8> {
    let mut code = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    for (i, (name, shape)) in tensors.enumerate() {
        text(&mut code, name);
        code.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut code, "storage");
        code.extend(b"ctorch\nFloatStorage\n");
        text(&mut code, &i.to_string());
        text(&mut code, "cpu");
        int(&mut code, shape.iter().product());
        code.extend(b"tQK\x00");
        let strides = (0..shape.len()).map(|d| shape[d + 1..].iter().product());
        for lengths in [shape.to_vec(), strides.collect()] {
            code.push(b'(');
            lengths.into_iter().for_each(|n| int(&mut code, n));
            code.push(b't');
        }
        code.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    code.extend(b"u.");
    code
}

fn text(code: &mut Vec<u8>, text: &str) {
    code.push(b'X');
    code.extend((text.len() as u32).to_le_bytes());
    code.extend(text.as_bytes());
}

fn int(code: &mut Vec<u8>, n: usize) {
    code.extend([0x8a, 8]);
    code.extend((n as i64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::{View, read};
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let code = write([("fc.weight", &[2, 3][..]), ("fc.bias", &[2])].into_iter());
        let view = |storage: &str, shape: &[usize], strides: &[usize]| View {
            storage: storage.into(),
            offset: 0,
            shape: shape.into(),
            strides: strides.into(),
        };
        let expected = [("fc.weight", view("0", &[2, 3], &[3, 1])), ("fc.bias", view("1", &[2], &[1]))];
        assert_eq!(read(&code).unwrap(), expected.map(|(n, v)| (n.to_string(), v)));
        for len in 0..code.len() {
            assert!(read(&code[..len]).is_err(), "{len}");
        }
    }
}
