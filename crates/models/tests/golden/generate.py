#!/usr/bin/env python3
"""Writes the files that tests/golden.rs holds the networks against.

    pip install torch numpy            (torchvision, if there, is held against alexnet-torchvision)
    python crates/models/tests/golden/generate.py [VARIANT ...]

Written with Python 3.11, torch 2.15.0 (CPU), torchvision 0.29.2, numpy 2.4.6.

Every network is written here a second time, in plain PyTorch, from the papers and the authors' configuration files, so
that a mistake in one of the two shows. Weights and inputs come from a formula (`sines`), so the files hold results only:
for a batch of two, the logits, the loss, every named activation, every parameter's gradient, the losses of a few steps
of gradient descent with momentum, and the weights after them. A tensor of more than 64 elements is kept as its sum, the
sum and the greatest of its absolute values, and 32 of its elements (`sampled`). Dropout is off throughout.
"""

import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

HERE = pathlib.Path(__file__).parent
BATCH = 2
INPUT_SALT = 1000
MOMENTUM = 0.9
FULL = 64
SAMPLES = 32

# ---------------------------------------------------------------------------------------------------- formula numbers

TABLE = np.sin(2 * np.pi * (np.arange(4096) + 0.5) / 4096).astype(np.float32)


def sines(salt, size, scale):
    """`models::reference::sines`, bit for bit."""
    start = (salt * 2246822519 + 3266489917) % 2**32
    h = np.arange(size, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(start)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(2246822519)
    return TABLE[h >> np.uint32(20)] * np.float32(scale)


def fill(net):
    """Formula weights: the p-th parameter is `sines(p, ...)`."""
    for p, parameter in enumerate(net.parameters()):
        shape = parameter.shape
        scale = 0.1 if len(shape) == 1 else np.sqrt(2.0 / (parameter.numel() // shape[0]))
        values = sines(p, parameter.numel(), scale).reshape(shape)
        parameter.data = torch.from_numpy(values.copy())
    return net


# ------------------------------------------------------------------------------------------------------------- layers


class Part(nn.Module):
    """Weight and bias of a layer, or of one tower's part of it."""

    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(*shape))
        self.bias = nn.Parameter(torch.empty(shape[0]))


def parts(towers, out, *rest):
    """A layer with `out` outputs, shared out to towers a and b if there are two."""
    if towers == 1:
        return Part(out, *rest)
    return nn.ModuleDict({name: Part(out // towers, *rest) for name in "ab"[:towers]})


def whole(layer):
    """Weight and bias of all towers, one behind the other."""
    towers = [layer] if isinstance(layer, Part) else list(layer.values())
    return torch.cat([t.weight for t in towers]), torch.cat([t.bias for t in towers])


def conv(layer, x, **options):
    return F.conv2d(x, *whole(layer), **options)


def linear(layer, x):
    return F.linear(x.flatten(1), *whole(layer))


def lrn(x, towers, k, alpha):
    """Across 5 maps of one tower. PyTorch divides alpha by 5."""
    return torch.cat([F.local_response_norm(m, 5, alpha, 0.75, k) for m in x.chunk(towers, 1)], 1)


class Net(nn.Module):
    def keep(self, name, x):
        self.trace.append((name, x))
        return x

    def forward(self, x):
        self.trace = []
        return self.run(x).flatten(1)


# ------------------------------------------------------------------------------------------ LeNet-5 (LeCun 1998, II-B)

SQUASH = {
    "scaled-tanh": lambda x: 1.7159 * torch.tanh(2 / 3 * x),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}

# Table I as printed: a line for each map of S2, a column for each map of C3.
TABLE_I = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
""".split()

# Figure 3, the digits: X for +1, . for -1.
CODES = """
.XXXXX.  ...XX..  .XXXXX.  XXXXXXX  .XXXXX.  .XXXXX.  ..XXXX.  XXXXXXX  .XXXXX.  .XXXXX.
.......  ..XXX..  .......  .....XX  .......  .......  .XX....  .....XX  XX...XX  XX..XXX
..XXX..  .XXXX..  .XXXXX.  ....XX.  .......  XXXXXXX  XX.....  .....XX  XX...XX  XX...XX
.XX.XX.  ...XX..  XX...XX  ...XX..  .XX..XX  XX.....  XX.....  ....XX.  XX...XX  XX...XX
XX...XX  ...XX..  X....XX  ..XXXX.  .XX..XX  XX.....  XXXXXX.  ...XX..  .XXXXX.  XX..XXX
XX...XX  ...XX..  ....XX.  .....XX  XXX..XX  .XXXX..  XXX..XX  ...XX..  XX...XX  .XXXXXX
XX...XX  ...XX..  ..XXX..  .....XX  XX...XX  ..XXXX.  XX...XX  ..XX...  XX...XX  .....XX
XX...XX  ...XX..  .XX....  .....XX  XX...XX  .....XX  XX...XX  ..XX...  XX...XX  .....XX
.XX.XX.  ...XX..  XX.....  XX...XX  XX..XXX  XX...XX  XXX..XX  ..XX...  XX...XX  ....XX.
..XXX..  .XXXXXX  XXXXXXX  .XXXXX.  .XXXXXX  .XXXXX.  .XXXXX.  ..XX...  .XXXXX.  .XXXX..
.......  .......  .......  .......  .....XX  .......  .......  .......  .......  .......
.......  .......  .......  .......  .....XX  .......  .......  .......  .......  .......
""".split()


class Subsample(nn.Module):
    def __init__(self, maps):
        super().__init__()
        self.coefficient = nn.Parameter(torch.empty(maps))
        self.bias = nn.Parameter(torch.empty(maps))

    def forward(self, x):
        total = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
        return total * self.coefficient[:, None, None] + self.bias[:, None, None]


class TableConv(nn.Module):
    """C3: a map at a time, each from the maps that it sees."""

    def __init__(self):
        super().__init__()
        self.kernels = nn.Parameter(torch.empty(60, 5, 5))
        self.bias = nn.Parameter(torch.empty(16))

    def forward(self, x):
        out, first = [], 0
        for column in range(16):
            seen = [row for row in range(6) if TABLE_I[row][column] == "X"]
            kernel = self.kernels[first : first + len(seen)][None]
            out.append(F.conv2d(x[:, seen], kernel, self.bias[column : column + 1]))
            first += len(seen)
        return torch.cat(out, 1)


class LeNet5(Net):
    input = [1, 32, 32]

    def __init__(self, squash="scaled-tanh", rbf=False):
        super().__init__()
        self.squash, self.rbf = SQUASH[squash], rbf
        self.C1 = Part(6, 1, 5, 5)
        self.S2 = Subsample(6)
        self.C3 = TableConv()
        self.S4 = Subsample(16)
        self.C5 = Part(120, 16, 5, 5)
        self.F6 = Part(84, 120)
        if not rbf:
            self.OUTPUT = Part(10, 84)

    def run(self, x):
        x = self.keep("C1", self.squash(conv(self.C1, x)))
        x = self.keep("S2", self.squash(self.S2(x)))
        x = self.keep("C3", self.squash(self.C3(x)))
        x = self.keep("S4", self.squash(self.S4(x)))
        x = self.keep("C5", self.squash(conv(self.C5, x)))
        x = self.keep("F6", self.squash(linear(self.F6, x)))
        if not self.rbf:
            return self.keep("OUTPUT", linear(self.OUTPUT, x))
        codes = [[1.0 if c == "X" else -1.0 for row in CODES[digit::10] for c in row] for digit in range(10)]
        return self.keep("OUTPUT", -((x[:, None] - torch.tensor(codes)) ** 2).sum(2))


class LeNet5Dense(Net):
    input = [1, 32, 32]

    def __init__(self):
        super().__init__()
        self.C1 = Part(6, 1, 5, 5)
        self.C3 = Part(16, 6, 5, 5)
        self.C5 = Part(120, 16, 5, 5)
        self.F6 = Part(84, 120)
        self.OUTPUT = Part(10, 84)

    def run(self, x):
        squash = SQUASH["scaled-tanh"]
        x = self.keep("C1", squash(conv(self.C1, x)))
        x = self.keep("S2", F.avg_pool2d(x, 2))
        x = self.keep("C3", squash(conv(self.C3, x)))
        x = self.keep("S4", F.avg_pool2d(x, 2))
        x = self.keep("C5", squash(conv(self.C5, x)))
        x = self.keep("F6", squash(linear(self.F6, x)))
        return self.keep("OUTPUT", linear(self.OUTPUT, x))


# -------------------------------------------------------------------------------- AlexNet (Krizhevsky 2012, 3.3 to 3.5)


class AlexNet(Net):
    """`order` says what follows the first two convolutions: r for ReLU, n for LRN, p for pooling."""

    def __init__(self, order="rnp", towers=2, k=2.0, alpha=5e-4, norm_towers=None, caffe=False):
        super().__init__()
        self.order, self.groups, self.fringe = order, towers, 0 if caffe else 3
        self.norm = dict(towers=norm_towers or towers, k=k, alpha=alpha)
        self.input = [3, 227, 227] if caffe else [3, 224, 224]
        g = towers
        self.conv1 = parts(towers, 96, 3, 11, 11)
        self.conv2 = parts(towers, 256, 96 // g, 5, 5)
        self.conv3 = parts(towers, 384, 256, 3, 3)
        self.conv4 = parts(towers, 384, 384 // g, 3, 3)
        self.conv5 = parts(towers, 256, 384 // g, 3, 3)
        self.fc6 = parts(towers, 4096, 9216)
        self.fc7 = parts(towers, 4096, 4096)
        self.fc8 = Part(1000, 4096)

    def block(self, n, x):
        # The ReLU right behind the convolution belongs to it; elsewhere it is a layer of its own.
        if self.order[0] == "r":
            x = F.relu(x)
        self.keep(f"conv{n}", x)
        for step in self.order.lstrip("r"):
            if step == "n":
                x = self.keep(f"norm{n}", lrn(x, **self.norm))
            elif step == "p":
                x = self.keep(f"pool{n}", F.max_pool2d(x, 3, 2))
            else:
                x = self.keep(f"relu{n}", F.relu(x))
        return x

    def run(self, x):
        x = F.pad(x, (0, self.fringe, 0, self.fringe))  # cuda-convnet rounds up: zeros at the right and the bottom
        x = self.block(1, conv(self.conv1, x, stride=4))
        x = self.block(2, conv(self.conv2, x, padding=2, groups=self.groups))
        x = self.keep("conv3", F.relu(conv(self.conv3, x, padding=1)))
        x = self.keep("conv4", F.relu(conv(self.conv4, x, padding=1, groups=self.groups)))
        x = self.keep("conv5", F.relu(conv(self.conv5, x, padding=1, groups=self.groups)))
        x = self.keep("pool5", F.max_pool2d(x, 3, 2))
        x = self.keep("fc6", F.relu(linear(self.fc6, x)))
        x = self.keep("fc7", F.relu(linear(self.fc7, x)))
        return self.keep("fc8", linear(self.fc8, x))


class AlexNetTorchvision(Net):
    input = [3, 224, 224]

    def __init__(self):
        super().__init__()
        self.conv1 = Part(64, 3, 11, 11)
        self.conv2 = Part(192, 64, 5, 5)
        self.conv3 = Part(384, 192, 3, 3)
        self.conv4 = Part(256, 384, 3, 3)
        self.conv5 = Part(256, 256, 3, 3)
        self.fc6 = Part(4096, 9216)
        self.fc7 = Part(4096, 4096)
        self.fc8 = Part(1000, 4096)

    def run(self, x):
        x = self.keep("conv1", F.relu(conv(self.conv1, x, stride=4, padding=2)))
        x = self.keep("pool1", F.max_pool2d(x, 3, 2))
        x = self.keep("conv2", F.relu(conv(self.conv2, x, padding=2)))
        x = self.keep("pool2", F.max_pool2d(x, 3, 2))
        x = self.keep("conv3", F.relu(conv(self.conv3, x, padding=1)))
        x = self.keep("conv4", F.relu(conv(self.conv4, x, padding=1)))
        x = self.keep("conv5", F.relu(conv(self.conv5, x, padding=1)))
        x = self.keep("pool5", F.max_pool2d(x, 3, 2))
        x = self.keep("fc6", F.relu(linear(self.fc6, x)))
        x = self.keep("fc7", F.relu(linear(self.fc7, x)))
        return self.keep("fc8", linear(self.fc8, x))

    def check(self, x, logits):
        """The real torchvision's logits for the same weights."""
        try:
            from torchvision.models import alexnet
        except ImportError:
            print("  torchvision is not installed: not compared", file=sys.stderr)
            return
        other = alexnet(weights=None).eval()
        other.load_state_dict(dict(zip(other.state_dict(), self.state_dict().values(), strict=True)))
        torch.testing.assert_close(other(x), logits, rtol=1e-5, atol=1e-5)


# --------------------------------------------------------------------------- ZFNet (Zeiler 2013, fig. 3; ONNX model zoo)


class ZFNet(Net):
    input = [3, 224, 224]

    def __init__(self, conv3=384, conv4=384, conv5=256):
        super().__init__()
        self.conv1 = Part(96, 3, 7, 7)
        self.conv2 = Part(256, 96, 5, 5)
        self.conv3 = Part(conv3, 256, 3, 3)
        self.conv4 = Part(conv4, conv3, 3, 3)
        self.conv5 = Part(conv5, conv4, 3, 3)
        self.fc6 = Part(4096, 36 * conv5)
        self.fc7 = Part(4096, 4096)
        self.fc8 = Part(1000, 4096)

    def run(self, x):
        x = self.keep("conv1", F.relu(conv(self.conv1, x, stride=2, padding=1)))
        x = self.keep("pool1", F.max_pool2d(x, 3, 2, ceil_mode=True))
        x = self.keep("norm1", lrn(x, 1, 2.0, 5e-4))
        x = self.keep("conv2", F.relu(conv(self.conv2, x, stride=2)))
        x = self.keep("pool2", F.max_pool2d(x, 3, 2, ceil_mode=True))
        x = self.keep("norm2", lrn(x, 1, 2.0, 5e-4))
        x = self.keep("conv3", F.relu(conv(self.conv3, x, padding=1)))
        x = self.keep("conv4", F.relu(conv(self.conv4, x, padding=1)))
        x = self.keep("conv5", F.relu(conv(self.conv5, x, padding=1)))
        x = self.keep("pool5", F.max_pool2d(x, 3, 2, ceil_mode=True))
        x = self.keep("fc6", F.relu(linear(self.fc6, x)))
        x = self.keep("fc7", F.relu(linear(self.fc7, x)))
        return self.keep("fc8", linear(self.fc8, x))


class ZFNet512(Net):
    """Constants as in the onnx package's light_zfnet512.onnx."""

    input = [3, 224, 224]

    def __init__(self):
        super().__init__()
        self.conv1 = Part(96, 3, 7, 7)
        self.conv2 = Part(256, 96, 5, 5)
        self.conv3 = Part(512, 256, 3, 3)
        self.conv4 = Part(512, 512, 3, 3)
        self.conv5 = Part(512, 512, 3, 3)
        self.fc6 = Part(4096, 18432)
        self.fc7 = Part(1024, 4096)
        self.fc8 = Part(1000, 1024)

    def run(self, x):
        x = self.keep("conv1", F.relu(conv(self.conv1, x, stride=2)))
        x = self.keep("norm1", lrn(x, 1, 2.0, 5e-4))
        x = self.keep("pool1", F.max_pool2d(x, 3, 2))
        x = self.keep("conv2", F.relu(conv(self.conv2, x, stride=2)))
        x = self.keep("norm2", lrn(x, 1, 2.0, 5e-4))
        x = self.keep("pool2", F.max_pool2d(x, 3, 2))
        x = self.keep("conv3", F.relu(conv(self.conv3, x, padding=1)))
        x = self.keep("conv4", F.relu(conv(self.conv4, x, padding=1)))
        x = self.keep("conv5", F.relu(conv(self.conv5, x, padding=1)))
        x = self.keep("pool5", F.max_pool2d(x, 2, 2))
        x = self.keep("fc6", F.relu(linear(self.fc6, x)))
        x = self.keep("fc7", F.relu(linear(self.fc7, x)))
        return self.keep("fc8", linear(self.fc8, x))


# --------------------------------------------------------------------------------- Network in Network (Lin 2013; authors)


class NIN(Net):
    """Steps in order: (name, maps, kernel, stride, padding) for a convolution with ReLU, or a pool's name; `pools` are the
    pools that don't take maxima."""

    def __init__(self, input, steps, pools={}):
        super().__init__()
        self.input, self.steps, self.pools, maps = input, steps, pools, input[0]
        for step in steps:
            if isinstance(step, tuple):
                name, out, kernel, *_ = step
                self.add_module(name, Part(out, maps, kernel, kernel))
                maps = out

    def run(self, x):
        for step in self.steps:
            if isinstance(step, tuple):
                name, _, _, stride, padding = step
                x = self.keep(name, F.relu(conv(getattr(self, name), x, stride=stride, padding=padding)))
            else:
                x = self.keep(step, self.pools.get(step, caffe_maximum)(x))
        return self.keep("gap", x.mean((2, 3)))


def caffe_maximum(x):
    return F.max_pool2d(x, 3, 2, ceil_mode=True)


def caffe_average(x):
    """3x3 windows, 2 apart; one that hangs over the edge is the mean of what it covers."""
    return F.avg_pool2d(x, 3, 2, ceil_mode=True, count_include_pad=False)


CIFAR = [(5, 192, 160, 96), (5, 192, 192, 192), (3, 192, 192, 10)]


def nin_small(input, blocks, **pools):
    steps = []
    for b, (kernel, first, second, third) in enumerate(blocks, 1):
        steps.append((f"conv{b}", first, kernel, 1, kernel // 2))
        steps.append((f"cccp{2 * b - 1}", second, 1, 1, 0))
        steps.append((f"cccp{2 * b}", third, 1, 1, 0))
        if b < 3:
            steps.append(f"pool{b}")
    return NIN(input, steps, pools)


def nin_imagenet():
    return NIN(
        [3, 224, 224],
        [("conv1", 96, 11, 4, 0), ("cccp1", 96, 1, 1, 0), ("cccp2", 96, 1, 1, 0), "pool0"]
        + [("conv2", 256, 5, 1, 2), ("cccp3", 256, 1, 1, 0), ("cccp4", 256, 1, 1, 0), "pool2"]
        + [("conv3", 384, 3, 1, 1), ("cccp5", 384, 1, 1, 0), ("cccp6", 384, 1, 1, 0), "pool3"]
        + [("conv4", 1024, 3, 1, 1), ("cccp7", 1024, 1, 1, 0), ("cccp8", 1000, 1, 1, 0)],
    )


def nin_chapter():
    steps = [("L11", 16, 3, 1, 0), ("L12", 16, 1, 1, 0), ("L21", 64, 3, 1, 0)]
    return NIN([3, 32, 32], steps + [("L22", 64, 1, 1, 0), ("L31", 100, 3, 1, 0), ("L32", 100, 1, 1, 0)])


# ------------------------------------------------------------------------------- layer by layer, and at reduced width


class Small(Net):
    """Layers in order: (name, module with weights or None, function of the module and the maps)."""

    def __init__(self, input, *layers):
        super().__init__()
        self.input, self.layers = input, [(name, function) for name, _, function in layers]
        for name, module, _ in layers:
            if module is not None:
                self.add_module(name, module)

    def run(self, x):
        for name, function in self.layers:
            x = self.keep(name, function(getattr(self, name, None), x))
        return x


def convolution(name, part, squash=lambda x: x, pad=(0, 0, 0, 0), **options):
    """`pad`: left, right, top, bottom."""
    return name, part, lambda part, x: squash(conv(part, F.pad(x, pad), **options))


def full(name, part, squash=lambda x: x):
    return name, part, lambda part, x: squash(linear(part, x))[:, :, None, None]


def function(name, f):
    return name, None, lambda _, x: f(x)


class Coefficient(nn.Module):
    def __init__(self, maps):
        super().__init__()
        self.coefficient = nn.Parameter(torch.empty(maps))
        self.bias = nn.Parameter(torch.empty(maps))


def subsampling(name, maps, side, squash):
    def f(part, x):
        total = F.avg_pool2d(x, side) * side * side
        return squash(total * part.coefficient[:, None, None] + part.bias[:, None, None])

    return name, Coefficient(maps), f


class Kernels(nn.Module):
    def __init__(self, connections, side, maps):
        super().__init__()
        self.kernels = nn.Parameter(torch.empty(connections, side, side))
        self.bias = nn.Parameter(torch.empty(maps))


def table(name, seen, side, squash):
    def f(part, x):
        out, first = [], 0
        for m, maps in enumerate(seen):
            out.append(F.conv2d(x[:, maps], part.kernels[None, first : first + len(maps)], part.bias[m : m + 1]))
            first += len(maps)
        return squash(torch.cat(out, 1))

    return name, Kernels(sum(map(len, seen)), side, len(seen)), f


def norm(x, size, k, alpha, beta, towers=1):
    return torch.cat([F.local_response_norm(m, size, alpha * size, beta, k) for m in x.chunk(towers, 1)], 1)


def codes(x):
    side = [[1.0 if c == "X" else -1.0 for row in CODES[digit::10] for c in row] for digit in range(10)]
    return -((x.flatten(1)[:, None] - torch.tensor(side)) ** 2).sum(2)[:, :, None, None]


class AlexNetNarrow(AlexNet):
    def __init__(self):
        super().__init__()
        self.fringe, self.input = 0, [3, 67, 67]
        self.conv1 = parts(2, 12, 3, 11, 11)
        self.conv2 = parts(2, 32, 6, 5, 5)
        self.conv3 = parts(2, 48, 32, 3, 3)
        self.conv4 = parts(2, 48, 24, 3, 3)
        self.conv5 = parts(2, 32, 24, 3, 3)
        self.fc6 = parts(2, 64, 32)
        self.fc7 = parts(2, 64, 64)
        self.fc8 = Part(10, 64)


class ZFNetNarrow(ZFNet):
    input = [3, 64, 64]

    def __init__(self):
        super().__init__()
        self.conv1 = Part(12, 3, 7, 7)
        self.conv2 = Part(32, 12, 5, 5)
        self.conv3 = Part(48, 32, 3, 3)
        self.conv4 = Part(48, 48, 3, 3)
        self.conv5 = Part(32, 48, 3, 3)
        self.fc6 = Part(64, 32)
        self.fc7 = Part(64, 64)
        self.fc8 = Part(10, 64)


def nin_narrow():
    return NIN(
        [3, 67, 67],
        [("conv1", 12, 11, 4, 0), ("cccp1", 12, 1, 1, 0), ("cccp2", 12, 1, 1, 0), "pool0"]
        + [("conv2", 32, 5, 1, 2), ("cccp3", 32, 1, 1, 0), ("cccp4", 32, 1, 1, 0), "pool2"]
        + [("conv3", 48, 3, 1, 1), ("cccp5", 48, 1, 1, 0), ("cccp6", 48, 1, 1, 0), "pool3"]
        + [("conv4", 64, 3, 1, 1), ("cccp7", 64, 1, 1, 0), ("cccp8", 10, 1, 1, 0)],
    )


def layer(name):
    tanh = SQUASH["scaled-tanh"]
    three = convolution("C", Part(3, 1, 3, 3))
    eight = convolution("C", Part(8, 2, 3, 3))
    two = lambda *shape: parts(2, *shape)
    return {
        "conv": lambda: Small([3, 8, 7], convolution("C", Part(4, 3, 3, 3), F.relu, (0, 3, 1, 2), stride=2)),
        "conv-large": lambda: Small([3, 31, 31], convolution("C", Part(16, 3, 11, 11), F.relu, stride=4)),
        "conv-deep": lambda: Small([16, 13, 13], convolution("C", Part(24, 16, 3, 3), F.relu, padding=1)),
        "conv-1x1": lambda: Small([5, 6, 6], convolution("C", Part(7, 5, 1, 1), F.relu)),
        "towers": lambda: Small(
            [2, 9, 9],
            convolution("C", two(8, 2, 3, 3), F.relu),
            convolution("D", two(8, 4, 3, 3), F.relu, padding=1, groups=2),
            convolution("E", two(4, 8, 3, 3), F.relu),
            full("F", two(6, 100), F.relu),
            full("O", Part(4, 6)),
        ),
        "table-conv": lambda: Small([1, 10, 10], three, table("T", [[0, 2], [1], [0, 1, 2]], 3, tanh)),
        "subsample": lambda: Small([1, 14, 14], three, subsampling("S", 3, 2, torch.sigmoid), subsampling("T", 3, 3, tanh)),
        "avg-pool": lambda: Small([1, 10, 10], three, function("A", lambda x: F.avg_pool2d(x, 2))),
        "global-avg-pool": lambda: Small([1, 9, 9], three, function("A", lambda x: x.mean((2, 3), keepdim=True))),
        "overlap-avg-pool": lambda: Small([1, 10, 9], three, function("A", caffe_average)),
        "max-pool": lambda: Small([1, 11, 9], three, function("P", lambda x: F.max_pool2d(x, 3, 2))),
        "max-pool-ceil": lambda: Small([1, 10, 12], three, function("P", lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True))),
        "lrn": lambda: Small([2, 6, 7], eight, function("N", lambda x: norm(x, 5, 1.5, 0.3, 0.75))),
        "lrn-power": lambda: Small([2, 6, 7], eight, function("N", lambda x: norm(x, 3, 2.0, 0.5, 0.6))),
        "lrn-towers": lambda: Small(
            [2, 7, 7],
            convolution("C", two(8, 2, 3, 3)),
            function("N", lambda x: norm(x, 5, 1.5, 0.3, 0.75, towers=2)),
            convolution("D", two(8, 4, 3, 3), groups=2),
            function("M", lambda x: norm(x, 5, 1.5, 0.3, 0.75)),
        ),
        "linear": lambda: Small([3, 4, 5], full("F", Part(32, 60), torch.tanh), full("O", Part(10, 32))),
        "rbf": lambda: Small([1, 6, 6], full("F", Part(84, 36), tanh), function("R", codes)),
        "activations": lambda: Small(
            [2, 6, 6],
            convolution("C", Part(4, 2, 1, 1), tanh),
            convolution("D", Part(4, 4, 1, 1), torch.tanh),
            convolution("E", Part(4, 4, 1, 1), torch.sigmoid),
            convolution("F", Part(4, 4, 1, 1)),
            function("G", F.relu),
        ),
    }[name]


LAYERS = (
    "conv conv-large conv-deep conv-1x1 towers table-conv subsample avg-pool global-avg-pool overlap-avg-pool max-pool "
    "max-pool-ceil lrn lrn-power lrn-towers linear rbf activations"
).split()


def backwards(function, undo):
    """`function`, but what comes back through it is `undo` of the signal."""

    class Backwards(torch.autograd.Function):
        @staticmethod
        def forward(_, x, *options):
            return function(x, *options)

        @staticmethod
        def backward(ctx, signal):
            return undo(signal), *[None] * (len(ctx.needs_input_grad) - 1)

    return Backwards.apply


def deconvnet(net, x, layer):
    """Formula numbers at the output of `layer`, back to the image (Zeiler 2013, 2.1): a ReLU rectifies the signal itself, a
    scaled tanh holds it within its own range, local response normalisation lets it pass."""
    relu, norm = F.relu, F.local_response_norm
    F.relu = backwards(relu, relu)
    F.local_response_norm = backwards(norm, lambda signal: signal)
    if hasattr(net, "squash"):
        squash, net.squash = net.squash, backwards(net.squash, lambda signal: signal.clamp(-1.7159, 1.7159))
    x = x.clone().requires_grad_()
    net(x)
    F.relu, F.local_response_norm = relu, norm
    if hasattr(net, "squash"):
        net.squash = squash
    output = dict(net.trace)[layer]
    signal = torch.from_numpy(sines(INPUT_SALT + 1, output.numel(), 1.0).reshape(output.shape))
    (image,) = torch.autograd.grad(output, x, signal)
    return {"layer": layer, "image": sampled("image", image)}


# ---------------------------------------------------------------------------------------------------------- the variants

# name: (network, scale of the input, learning rate, steps). Caffe's LRN runs across all maps, whatever the groups. Where
# there is LRN, the input is as large as pixels with the mean taken off: among small numbers LRN hardly does anything.
PIXELS = 128.0
CAFFE = dict(k=1.0, alpha=1e-4, norm_towers=1, caffe=True)
VARIANTS = {
    "lenet5": (LeNet5, 1.0, 0.01, 5),
    "lenet5-rbf": (lambda: LeNet5(rbf=True), 1.0, 0.001, 5),
    "lenet5-dense": (LeNet5Dense, 1.0, 0.01, 5),
    "alexnet": (AlexNet, PIXELS, 1e-5, 5),
    "alexnet-caffenet": (lambda: AlexNet("rpn", **CAFFE), PIXELS, 3e-6, 5),
    "alexnet-bvlc": (lambda: AlexNet("rnp", **CAFFE), PIXELS, 3e-6, 5),
    "alexnet-chapter": (lambda: AlexNet("pnr"), PIXELS, 1e-5, 5),
    "alexnet-single": (lambda: AlexNet(towers=1), PIXELS, 1e-5, 5),
    "alexnet-torchvision": (AlexNetTorchvision, 1.0, 0.0005, 5),
    "zfnet": (ZFNet, PIXELS, 1e-5, 5),
    "zfnet-b": (lambda: ZFNet(512, 1024, 512), PIXELS, 1e-5, 2),
    "zfnet512": (ZFNet512, PIXELS, 1e-5, 5),
    "nin-cifar10": (lambda: nin_small([3, 32, 32], CIFAR), 1.0, 0.01, 5),
    "nin-cifar10-caffe": (lambda: nin_small([3, 32, 32], CIFAR, pool2=caffe_average), 1.0, 0.01, 5),
    "nin-cifar100": (lambda: nin_small([3, 32, 32], CIFAR[:2] + [(3, 192, 192, 100)]), 1.0, 0.01, 5),
    "nin-svhn": (lambda: nin_small([3, 32, 32], [(5, 128, 96, 64), (5, 320, 256, 128), (5, 384, 256, 10)]), 1.0, 0.01, 5),
    "nin-mnist": (lambda: nin_small([1, 28, 28], [(5, 96, 64, 48), (5, 128, 96, 48), (5, 128, 96, 10)]), 1.0, 0.01, 5),
    "nin-imagenet": (nin_imagenet, 1.0, 0.01, 5),
    "nin-chapter": (nin_chapter, 1.0, 0.01, 5),
    "alexnet-narrow": (AlexNetNarrow, PIXELS, 1e-5, 5),
    "zfnet-narrow": (ZFNetNarrow, PIXELS, 1e-5, 5),
    "nin-narrow": (nin_narrow, 1.0, 0.01, 5),
} | {f"layer-{name}": (layer(name), 1.0, 0.01, 3) for name in LAYERS}
# From which layer of theirs signals are sent back, too: through C3's table and squashing functions; linear layers, towers,
# LRN and overlapping pools; means that overlap.
DECONVNET = {
    "lenet5": "OUTPUT",
    "alexnet-narrow": "fc8",
    "zfnet-narrow": "fc8",
    "nin-narrow": "cccp6",
    "layer-overlap-avg-pool": "A",
}
# LeNet-5's other squashing functions: logits only.
SQUASHES = ["tanh", "sigmoid"]


# ------------------------------------------------------------------------------------------------------------- writing


def short(x):
    return float(f"{x:.7g}")


def sampled(name, tensor):
    """The tensor as the files keep it."""
    flat = tensor.detach().flatten().numpy()
    at = np.arange(flat.size) if flat.size <= FULL else np.arange(SAMPLES) * 2654435761 % 2**32 % flat.size
    wide = flat.astype(np.float64)
    return {
        "name": name,
        "size": flat.size,
        "sum": short(wide.sum()),
        "abs": short(np.abs(wide).sum()),
        "max": short(np.abs(wide).max()),
        "values": [short(v) for v in flat[at]],
    }


def write(path, golden):
    lines = []
    for key, value in golden.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n".join("  " + json.dumps(row, separators=(",", ":")) for row in value)
            lines.append(f'"{key}": [\n{rows}\n]')
        else:
            lines.append(f'"{key}": {json.dumps(value, separators=(",", ":"))}')
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def images(net, scale=1.0):
    size = BATCH * int(np.prod(net.input))
    return torch.from_numpy(sines(INPUT_SALT, size, scale).reshape(BATCH, *net.input))


def generate(name):
    make, scale, rate, steps = VARIANTS[name]
    net = fill(make())
    x = images(net, scale)
    logits = net(x)
    if hasattr(net, "check"):
        net.check(x, logits)
    labels = torch.tensor([3, 7]) % logits.shape[1]
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    golden = {"model": name, "scale": scale, "logits": [short(v) for v in logits.flatten().tolist()], "loss": short(loss.item())}
    if name == "lenet5-rbf":  # equation 9 with j = 1; the logits are the penalties, negated
        penalties = -logits
        rubbish = torch.log(np.exp(-1.0) + torch.exp(-penalties).sum(1))
        golden["map_loss"] = short((penalties[range(BATCH), labels] + rubbish).mean().item())
    if name in DECONVNET:
        golden["deconvnet"] = deconvnet(net, x, DECONVNET[name])
    golden["activations"] = [sampled(n, t) for n, t in net.trace]
    golden["gradients"] = [sampled(n, p.grad) for n, p in net.named_parameters()]

    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=MOMENTUM)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(short(loss.item()))
    losses.append(short(F.cross_entropy(net(x), labels).item()))
    golden |= {"rate": rate, "momentum": MOMENTUM, "losses": losses}
    golden["weights"] = [sampled(n, p) for n, p in net.named_parameters()]
    write(HERE / f"{name}.json", golden)
    spread = logits.std().item()
    print(f"{name:20} logits' deviation {spread:.3g}, losses {losses}")


def main():
    torch.manual_seed(0)
    for name in sys.argv[1:] or VARIANTS:
        generate(name)
    squashed = {s: LeNet5(s) for s in SQUASHES}
    write(HERE / "lenet5-squash.json", {s: [short(v) for v in fill(n)(images(n)).flatten().tolist()] for s, n in squashed.items()})
    # FNV-1a over little-endian f32: the whole table is met many times over in 2^16 numbers.
    numbers = sines(INPUT_SALT, 2**16, 0.1)
    h = 0xCBF29CE484222325
    for byte in numbers.astype("<f4").tobytes():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    write(HERE / "sines.json", {"fnv1a": f"{h:016x}", "first": [float(v) for v in numbers[:8]]})


if __name__ == "__main__":
    main()
