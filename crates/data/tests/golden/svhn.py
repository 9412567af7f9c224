"""Writes svhn.mat and svhn-packed.mat, two images each: python svhn.py (SciPy 1.17, NumPy 2.4)."""
import numpy as np
from scipy.io import savemat

i, c, y, x = np.ogrid[:2, :3, :32, :32]
images = ((i * 80 + c * 40 + y + 5 * x) % 256).astype(np.uint8)
arrays = {"X": images.transpose(2, 3, 1, 0), "y": np.array([[7], [10]], np.uint8)}
savemat("svhn.mat", arrays)
savemat("svhn-packed.mat", arrays, do_compression=True)
