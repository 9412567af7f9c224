//! Frames a photo as a network's input and writes its bytes, `[3, side, side]`, to the standard output:
//! `frame SHORTER SIDE PHOTO`. For holding the framing against torchvision's (`tests/make_framing.py`).

use data::{planes, prepare_into, read_image};
use models::{Framing, InputSpec, Normalise};
use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [shorter, side, path] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("usage: frame SHORTER SIDE PHOTO".into());
    };
    let (shorter, side) = (shorter.parse()?, side.parse()?);
    let normalise = Normalise::Range { background: 0.0, ink: 255.0 };
    let framing = Framing::ResizeCrop { shorter };
    let spec = InputSpec { channels: 3, height: side, width: side, framing, normalise, whitening: None };
    let image = planes(read_image(path.as_ref())?);
    let mut numbers = vec![0.0; 3 * side * side];
    prepare_into(&spec, image.view(), &mut numbers)?;
    let bytes: Vec<u8> = numbers.iter().map(|v| v.round() as u8).collect();
    std::io::stdout().write_all(&bytes)?;
    Ok(())
}
