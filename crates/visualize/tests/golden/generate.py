#!/usr/bin/env python3
"""Writes what tests/projection.rs and tests/methods.rs hold the methods against.

    pip install torch numpy captum
    python crates/visualize/tests/golden/generate.py

Written with Python 3.11, torch 2.15.0 (CPU), captum 0.9.0.

The networks are those of crates/models/tests/golden/generate.py with formula weights. Captum's rules are for modules of
`nn.ReLU`, so the networks get one for each layer here, and LeNet-5 one instead of its squashing function; the true LeNet-5
is held against captum's plain gradient. Tensors are kept as sum, sum of absolute values and 64 of their elements.
"""

import importlib.util
import json
import pathlib

import captum.attr as captum
import torch
import torch.nn.functional as F
from torch import nn

HERE = pathlib.Path(__file__).parent
MODELS = HERE.parents[2] / "models/tests/golden/generate.py"
spec = importlib.util.spec_from_file_location("models_golden", MODELS)
models = importlib.util.module_from_spec(spec)
spec.loader.exec_module(models)

SAMPLES = 64


class LeNet5(models.LeNet5):
    """With a module for each squashing, so that captum finds it."""

    def __init__(self, squash):
        super().__init__()
        self.after = nn.ModuleDict({name: squash() for name in ["C1", "S2", "C3", "S4", "C5", "F6"]})

    def run(self, x):
        x = self.after["C1"](models.conv(self.C1, x))
        x = self.after["S2"](self.S2(x))
        x = self.after["C3"](self.C3(x))
        x = self.after["S4"](self.S4(x))
        x = self.after["C5"](models.conv(self.C5, x))
        x = self.after["F6"](models.linear(self.F6, x))
        return models.linear(self.OUTPUT, x)


class Squash(nn.Module):
    def forward(self, x):
        return 1.7159 * torch.tanh(2 / 3 * x)


class NIN(models.NIN):
    def __init__(self, input, steps):
        super().__init__(input, steps)
        self.after = nn.ModuleDict({step[0]: nn.ReLU() for step in steps if isinstance(step, tuple)})

    def run(self, x):
        for step in self.steps:
            if isinstance(step, tuple):
                name, _, _, stride, padding = step
                x = self.after[name](models.conv(getattr(self, name), x, stride=stride, padding=padding))
            else:
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        return x.mean((2, 3))


def nin():
    plain = models.VARIANTS["nin-cifar10"][0]()
    return NIN(plain.input, plain.steps)


NETWORKS = {"lenet5-relu": lambda: LeNet5(nn.ReLU), "lenet5": lambda: LeNet5(Squash), "nin-cifar10": nin}
METHODS = {"deconvnet": captum.NeuronDeconvolution, "guided": captum.NeuronGuidedBackprop, "gradient": captum.NeuronGradient}
# Network, methods, layers; each layer's strongest unit is sent back.
PROJECTIONS = [
    ("lenet5-relu", ["deconvnet", "guided"], ["C3", "S4", "C5", "F6"]),
    ("lenet5", ["gradient"], ["C3", "F6"]),
    ("nin-cifar10", ["deconvnet", "guided", "gradient"], ["cccp2", "conv2", "cccp4", "conv3"]),
]
# Network, side of the patch, step, fill, class. The last patches hang over the edge.
OCCLUSIONS = [("lenet5", 6, 4, -0.1, 3), ("nin-cifar10", 8, 5, 0.25, 7)]


def network(name):
    net = models.fill(NETWORKS[name]()).eval()
    size = torch.Size([1, *net.input])
    x = torch.from_numpy(models.sines(models.INPUT_SALT, size.numel(), 1.0).reshape(size))
    return net, x


def strongest(net, x, layer):
    seen = []
    hook = net.after[layer].register_forward_hook(lambda _, __, output: seen.append(output.detach()))
    net(x)
    hook.remove()
    maps = seen[0][0].reshape(*(seen[0].shape[1:] + (1, 1))[:3])
    unit = [int(i) for i in torch.unravel_index(maps.argmax(), maps.shape)]
    return unit, len(seen[0].shape)


def samples(x):
    flat = x.detach().flatten()
    return [models.short(flat[i * 2654435761 % len(flat)]) for i in range(SAMPLES)]


def projections():
    for name, methods, layers in PROJECTIONS:
        for method in methods:
            for layer in layers:
                net, x = network(name)
                unit, dims = strongest(net, x, layer)
                way = METHODS[method](net, net.after[layer])
                back = way.attribute(x.clone().requires_grad_(), neuron_selector=tuple(unit[: dims - 1]))
                total, size = back.sum().item(), back.abs().sum().item()
                print(f"{name:12} {method:10} {layer:6} {unit} {total:10.4f} {size:10.4f}")
                yield {
                    "network": name,
                    "method": method,
                    "layer": layer,
                    "unit": unit,
                    "sum": models.short(total),
                    "abs": models.short(size),
                    "values": samples(back),
                }


def occlusions():
    for name, size, stride, fill, target in OCCLUSIONS:
        net, x = network(name)
        channels, side = x.shape[1:3]
        way = captum.Occlusion(net)
        heat = way.attribute(x, (channels, size, size), (channels, stride, stride), baselines=fill, target=target)
        places = -(-(side - size) // stride) + 1
        print(f"{name:12} occlusion, {places}x{places} places, {heat.min():.4f} to {heat.max():.4f}")
        # All channels of a pixel have the same.
        values = samples(heat[0, 0])
        yield {
            "network": name,
            "size": size,
            "stride": stride,
            "fill": fill,
            "class": target,
            "places": [places, places],
            "values": values,
        }


def write(name, rows):
    text = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    (HERE / name).write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    write("projections.json", projections())
    write("occlusion.json", occlusions())
