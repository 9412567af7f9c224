"""The zoo's networks as PyTorch modules: what `infer export --to pytorch` loads into with `load_state_dict(strict=True)`.

    net = reference.network("alexnet")
    net.load_state_dict(torch.load("alexnet.pth", weights_only=True))

A module's children bear the layers' names. Written by the papers, not by the Rust code, so that one checks the other.
`cargo xtask bench-peers` times them, so none copies what it need not. Needs torch and numpy.
"""

import math
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

ACTIVATIONS = {
    None: lambda x: x,
    "relu": torch.relu_,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "scaled-tanh": lambda x: 1.7159 * torch.tanh(2 / 3 * x),
}


class Conv(nn.Conv2d):
    """Convolution and activation; `end` rows and columns of zeros at the bottom and right."""

    def __init__(self, inputs, out, kernel, stride=1, padding=0, groups=1, end=0, activation="relu"):
        super().__init__(inputs, out, kernel, stride, padding, groups=groups)
        self.end, self.activation = end, ACTIVATIONS[activation]

    def forward(self, x):
        return self.activation(super().forward(F.pad(x, (0, self.end, 0, self.end)) if self.end else x))


# Table I of LeCun 1998: the maps of S2 that each map of C3 sees.
TABLE_I = "012 123 234 345 045 015 0123 1234 2345 0345 0145 0125 0134 1245 0235 012345".split()


class TableConv(Conv):
    """C3: a dense convolution whose weights are zero where table I has no connection."""

    def __init__(self, activation):
        super().__init__(6, 16, 5, activation=activation)
        table = torch.tensor([[float(str(i) in row) for i in range(6)] for row in TABLE_I])
        self.register_buffer("table", table[:, :, None, None], persistent=False)

    def forward(self, x):
        return self.activation(F.conv2d(x, self.weight * self.table, self.bias))


class Linear(nn.Linear):
    """Fully connected layer on flattened maps, and activation."""

    def __init__(self, inputs, out, activation="relu"):
        super().__init__(inputs, out)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x):
        return self.activation(super().forward(x.flatten(1)))


class Lrn(nn.Module):
    """Krizhevsky's normalisation: alpha multiplies the plain sum. `parts` blocks of maps don't see each other."""

    def __init__(self, k=2.0, alpha=1e-4, parts=1):
        super().__init__()
        self.k, self.alpha, self.parts = k, alpha, parts

    def forward(self, x):
        parts = [F.local_response_norm(p, 5, self.alpha * 5, 0.75, self.k) for p in x.chunk(self.parts, 1)]
        return torch.cat(parts, 1) if self.parts > 1 else parts[0]


class Subsample(nn.Module):
    """LeNet-5's S2 and S4: the sum over 2x2 windows, times a coefficient, plus a bias, for each map."""

    def __init__(self, maps, activation):
        super().__init__()
        self.coefficient = nn.Parameter(torch.full((maps,), 0.25))
        self.bias = nn.Parameter(torch.zeros(maps))
        self.activation = ACTIVATIONS[activation]

    def forward(self, x):
        total = 4 * F.avg_pool2d(x, 2)
        return self.activation(total * self.coefficient[:, None, None] + self.bias[:, None, None])


# The ten digits of figure 3 in LeCun 1998: 12 rows of 7 pixels, 84 bits, first pixel first.
DIGITS = """7c00e36c78f1e36c70000 1871e0c183060c18fc000 7c01f638618e30c1fc000 fe0c30c3c0c183c6f8000
7c0003367cf1e3cefc183 7c03fe0c0f0f03c6f8000 3cc3060fdcf1e3e6f8000 fe0c1861830c183060000
7d8f1e37d8f1e3c6f8000 7d9f1e3cefc1830cf0000""".split()


class Rbf(nn.Module):
    """Minus the squared distance to each digit's fixed code of -1 and 1."""

    def __init__(self):
        super().__init__()
        bits = [[2.0 * int(b) - 1 for b in f"{int(code, 16):084b}"] for code in DIGITS]
        self.register_buffer("codes", torch.tensor(bits), persistent=False)

    def forward(self, x):
        return -((x.flatten(1)[:, None] - self.codes) ** 2).sum(2)


class Activate(nn.Module):
    def __init__(self, activation="relu"):
        super().__init__()
        self.activation = ACTIVATIONS[activation]

    def forward(self, x):
        return self.activation(x)


class Net(nn.Module):
    """Named layers one after the other; logits [N, classes]."""

    def __init__(self, size, **layers):
        super().__init__()
        self.size = size  # [C, H, W]
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x.flatten(1)


def pool(kernel=3, stride=2, ceil=False):
    return nn.MaxPool2d(kernel, stride, ceil_mode=ceil)


def lenet5(kind):
    act = "scaled-tanh"
    down = (lambda maps: nn.AvgPool2d(2)) if kind == "dense" else (lambda maps: Subsample(maps, act))
    return Net(
        [1, 32, 32],
        C1=Conv(1, 6, 5, activation=act),
        S2=down(6),
        C3=Conv(6, 16, 5, activation=act) if kind == "dense" else TableConv(act),
        S4=down(16),
        C5=Conv(16, 120, 5, activation=act),
        F6=Linear(120, 84, act),
        OUTPUT=Rbf() if kind == "rbf" else Linear(84, 10, None),
    )


def alexnet(order="paper", side=224, k=2.0, alpha=1e-4, across=False, towers=2):
    def block(n, conv):
        norm, down = Lrn(k, alpha, 1 if across else towers), pool()
        if order == "chapter":
            return {f"conv{n}": conv, f"pool{n}": down, f"norm{n}": norm, f"relu{n}": Activate()}
        if order == "caffenet":
            return {f"conv{n}": conv, f"pool{n}": down, f"norm{n}": norm}
        return {f"conv{n}": conv, f"norm{n}": norm, f"pool{n}": down}

    act = None if order == "chapter" else "relu"
    return Net(
        [3, side, side],
        **block(1, Conv(3, 96, 11, 4, end=3 if side == 224 else 0, activation=act)),
        **block(2, Conv(96, 256, 5, 1, 2, towers, activation=act)),
        conv3=Conv(256, 384, 3, 1, 1),
        conv4=Conv(384, 384, 3, 1, 1, towers),
        conv5=Conv(384, 256, 3, 1, 1, towers),
        pool5=pool(),
        fc6=Linear(9216, 4096),
        fc7=Linear(4096, 4096),
        fc8=Linear(4096, 1000, None),
    )


class TorchvisionAlexNet(nn.Module):
    """torchvision.models.alexnet, key by key."""

    size = [3, 224, 224]

    def __init__(self):
        super().__init__()
        relu, conv = nn.ReLU, nn.Conv2d
        self.features = nn.Sequential(
            conv(3, 64, 11, 4, 2), relu(), pool(), conv(64, 192, 5, 1, 2), relu(), pool(),
            conv(192, 384, 3, 1, 1), relu(), conv(384, 256, 3, 1, 1), relu(), conv(256, 256, 3, 1, 1), relu(), pool(),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(9216, 4096), relu(), nn.Dropout(), nn.Linear(4096, 4096), relu(),
            nn.Linear(4096, 1000),
        )  # fmt: skip

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def zfnet(maps):
    return Net(
        [3, 224, 224],
        conv1=Conv(3, 96, 7, 2, 1),
        pool1=pool(ceil=True),
        norm1=Lrn(),
        conv2=Conv(96, 256, 5, 2),
        pool2=pool(ceil=True),
        norm2=Lrn(),
        conv3=Conv(256, maps[0], 3, 1, 1),
        conv4=Conv(maps[0], maps[1], 3, 1, 1),
        conv5=Conv(maps[1], maps[2], 3, 1, 1),
        pool5=pool(ceil=True),
        fc6=Linear(36 * maps[2], 4096),
        fc7=Linear(4096, 4096),
        fc8=Linear(4096, 1000, None),
    )


def zfnet512():
    return Net(
        [3, 224, 224],
        conv1=Conv(3, 96, 7, 2),
        norm1=Lrn(),
        pool1=pool(),
        conv2=Conv(96, 256, 5, 2),
        norm2=Lrn(),
        pool2=pool(),
        conv3=Conv(256, 512, 3, 1, 1),
        conv4=Conv(512, 512, 3, 1, 1),
        conv5=Conv(512, 512, 3, 1, 1),
        pool5=pool(2, 2),
        fc6=Linear(18432, 4096),
        fc7=Linear(4096, 1024),
        fc8=Linear(1024, 1000, None),
    )


CIFAR = [(5, 192, 160, 96), (5, 192, 192, 192), (3, 192, 192, 10)]


def nin(size, blocks, pool2=None):
    """Blocks of (kernel, maps, maps, maps): mlpconv layers; ReLU follows the last one, too."""
    layers, inputs = OrderedDict(), size[0]
    for i, (kernel, a, b, c) in enumerate(blocks):
        layers[f"conv{i + 1}"] = Conv(inputs, a, kernel, 1, kernel // 2)
        layers[f"cccp{2 * i + 1}"] = Conv(a, b, 1)
        layers[f"cccp{2 * i + 2}"] = Conv(b, c, 1)
        if i < 2:
            layers[f"pool{i + 1}"] = pool2 if i and pool2 else pool(ceil=True)
        inputs = c
    return Net(size, **layers, gap=nn.AdaptiveAvgPool2d(1))


def nin_imagenet():
    return Net(
        [3, 224, 224],
        conv1=Conv(3, 96, 11, 4),
        cccp1=Conv(96, 96, 1),
        cccp2=Conv(96, 96, 1),
        pool0=pool(ceil=True),
        conv2=Conv(96, 256, 5, 1, 2),
        cccp3=Conv(256, 256, 1),
        cccp4=Conv(256, 256, 1),
        pool2=pool(ceil=True),
        conv3=Conv(256, 384, 3, 1, 1),
        cccp5=Conv(384, 384, 1),
        cccp6=Conv(384, 384, 1),
        pool3=pool(ceil=True),
        conv4=Conv(384, 1024, 3, 1, 1),
        cccp7=Conv(1024, 1024, 1),
        cccp8=Conv(1024, 1000, 1),
        gap=nn.AdaptiveAvgPool2d(1),
    )


def nin_chapter():
    layers, inputs = OrderedDict(), 3
    for i, maps in enumerate((16, 64, 100), 1):
        layers[f"L{i}1"], layers[f"L{i}2"], inputs = Conv(inputs, maps, 3), Conv(maps, maps, 1), maps
    return Net([3, 32, 32], **layers, gap=nn.AdaptiveAvgPool2d(1))


CAFFE = dict(side=227, k=1.0, alpha=2e-5, across=True)
NETWORKS = {
    "lenet5": lambda: lenet5("linear"),
    "lenet5-rbf": lambda: lenet5("rbf"),
    "lenet5-dense": lambda: lenet5("dense"),
    "alexnet": alexnet,
    "alexnet-caffenet": lambda: alexnet("caffenet", **CAFFE),
    "alexnet-bvlc": lambda: alexnet(**CAFFE),
    "alexnet-chapter": lambda: alexnet("chapter"),
    "alexnet-single": lambda: alexnet(towers=1),
    "alexnet-torchvision": TorchvisionAlexNet,
    "zfnet": lambda: zfnet((384, 384, 256)),
    "zfnet-b": lambda: zfnet((512, 1024, 512)),
    "zfnet512": zfnet512,
    "nin-cifar10": lambda: nin([3, 32, 32], CIFAR),
    "nin-cifar100": lambda: nin([3, 32, 32], [*CIFAR[:2], (3, 192, 192, 100)]),
    "nin-svhn": lambda: nin([3, 32, 32], [(5, 128, 96, 64), (5, 320, 256, 128), (5, 384, 256, 10)]),
    "nin-mnist": lambda: nin([1, 28, 28], [(5, 96, 64, 48), (5, 128, 96, 48), (5, 128, 96, 10)]),
    "nin-imagenet": nin_imagenet,
    "nin-cifar10-caffe": lambda: nin([3, 32, 32], CIFAR, nn.AvgPool2d(3, 2, ceil_mode=True)),
    "nin-chapter": nin_chapter,
}


def network(name):
    """The zoo's network `name` in evaluation mode, its weights PyTorch's own start."""
    return NETWORKS[name]().eval()


def sines(salt, shape, scale):
    """`models::reference::sines`: a table of 4096 sines, picked by a hash of (salt, index)."""
    table = np.sin((np.arange(4096) + 0.5) * (2 * math.pi / 4096)).astype(np.float32) * np.float32(scale)
    h = np.arange(math.prod(shape), dtype=np.uint32) * np.uint32(2654435761)
    h += np.uint32((salt * 2246822519 + 3266489917) % 2**32)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(2246822519)
    return torch.from_numpy(table[h >> np.uint32(20)].reshape(shape))


def set_formula_weights(net):
    """Weights of the size that keeps the signal's: sqrt(2 / fan-in) for weights, 0.1 for vectors."""
    with torch.no_grad():
        for salt, parameter in enumerate(net.parameters()):
            fan_in = math.prod(parameter.shape[1:])
            parameter.copy_(sines(salt, parameter.shape, 0.1 if parameter.dim() == 1 else math.sqrt(2 / fan_in)))
        for layer in net.modules():
            if isinstance(layer, TableConv):
                layer.weight *= layer.table
    return net
