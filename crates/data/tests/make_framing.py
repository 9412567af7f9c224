"""Makes tests/framing.bin: what torchvision's Resize and CenterCrop make of the images in tests/framing.rs.

    python make_framing.py        (pip install torch torchvision)

For each size of SIZES, height and width: a [3, height, width] image of sines, resized (bilinear, antialiased) to a shorter
side of 32 and cut to 28x28; as bytes, [size, channel, row, column].

    python make_framing.py target/debug/examples/frame PHOTO ...

prints how far our 256 and 224 are from torchvision's on each photo, and on the same at 3/2 its size.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.transforms import v2

SIZES = [(47, 61), (61, 47), (32, 32), (20, 25), (100, 151), (256, 90), (33, 35)]


def sines(height, width):
    c, y, x = np.meshgrid(np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    waves = np.sin(0.9 * x + 0.3 * y + c) + np.sin(0.11 * x - 0.17 * y + 2 * c)
    return np.floor(127.5 + 63 * waves).astype(np.uint8)


def frame(image, shorter, side):
    """[3, side, side] bytes of a PIL image."""
    transform = v2.Compose([v2.Resize(shorter, antialias=True), v2.CenterCrop(side)])
    return np.asarray(transform(image)).transpose(2, 0, 1)


def compare(program, paths):
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            photo = Image.open(path).convert("RGB")
            larger = Path(folder) / "larger.png"
            photo.resize((photo.width * 3 // 2, photo.height * 3 // 2), Image.Resampling.BICUBIC).save(larger)
            for file in (path, larger):
                out = subprocess.run([program, "256", "224", file], capture_output=True, check=True).stdout
                ours = np.frombuffer(out, np.uint8).reshape(3, 224, 224).astype(int)
                error = np.abs(ours - frame(Image.open(file).convert("RGB"), 256, 224).astype(int))
                size = "x".join(map(str, Image.open(file).size))
                print(f"{Path(path).stem} {size}: mean {error.mean():.4f} / 255, largest {error.max()}")


def main():
    if sys.argv[1:]:
        compare(sys.argv[1], sys.argv[2:])
        return
    images = [Image.fromarray(sines(*size).transpose(1, 2, 0)) for size in SIZES]
    made = np.stack([frame(image, 32, 28) for image in images])
    (Path(__file__).parent / "framing.bin").write_bytes(np.ascontiguousarray(made).tobytes())


if __name__ == "__main__":
    main()
