"""Trains LeNet-5 by a recipe of ours in PyTorch: lenet.py RECIPE.toml MNIST_DIR THREADS

Same network, data, distribution of the first weights, loss, optimiser and schedule as `cargo run -p train`. A line of for each epoch: `seconds` since training began, validation counted in and the test set not, and the `test_error` then.
"""

import gzip
import json
import math
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "crates/formats/tests"))
import reference

BACKGROUND, INK = -0.1, 1.175  # LeCun 1998, II-B


def idx(path, header):
    return np.frombuffer(gzip.open(path).read(), np.uint8, offset=header)


def images(path):
    digits = torch.from_numpy(idx(path, 16).reshape(-1, 1, 28, 28).astype(np.float32))
    return F.pad(digits, (2, 2, 2, 2)) * ((INK - BACKGROUND) / 255) + BACKGROUND


def labels(path):
    return torch.from_numpy(idx(path, 8).astype(np.int64))


def initial(net):
    """Weights even over 2.4 / fan-in, on either side (LeCun 1998, appendix A); biases 0."""
    for layer in net.modules():
        if isinstance(layer, reference.TableConv):
            fan_in = 25 * layer.table.sum((1, 2, 3))[:, None, None, None]
            layer.weight.data = (torch.rand_like(layer.weight) * 2 - 1) * 2.4 / fan_in * layer.table
        elif isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            bound = 2.4 / layer.weight[0].numel()
            torch.nn.init.uniform_(layer.weight, -bound, bound)
        elif isinstance(layer, reference.Subsample):
            torch.nn.init.constant_(layer.coefficient, 0.5)
        else:
            continue
        torch.nn.init.zeros_(layer.bias)


def error(net, x, y):
    with torch.inference_mode():
        right = sum((net(x[i : i + 500]).argmax(1) == y[i : i + 500]).sum().item() for i in range(0, len(y), 500))
    return 1 - right / len(y)


def rate(schedule, at, epochs):
    if at < schedule["warmup"]:
        return schedule["rate"] * at / schedule["warmup"]
    done = (at - schedule["warmup"]) / (epochs - schedule["warmup"])
    return schedule["rate"] * 0.5 * (1 + math.cos(math.pi * done))


def main():
    recipe, data = tomllib.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    torch.set_num_threads(int(sys.argv[3]))
    torch.manual_seed(recipe["seed"])
    x, y = images(data / "train-images-idx3-ubyte.gz"), labels(data / "train-labels-idx1-ubyte.gz")
    test_x, test_y = images(data / "t10k-images-idx3-ubyte.gz"), labels(data / "t10k-labels-idx1-ubyte.gz")
    kept = len(y) - recipe["data"]["validation"]
    (x, valid_x), (y, valid_y) = (x[:kept], x[kept:]), (y[:kept], y[kept:])
    net = reference.network(recipe["model"]["name"])
    initial(net)
    smoothing = recipe["training"]["loss"]["cross-entropy"]["smoothing"]
    optimizer, epochs, size = recipe["optimizer"], recipe["training"]["epochs"], recipe["data"]["batch_size"]
    groups = [
        {"params": [p for p in net.parameters() if p.dim() > 1], "weight_decay": optimizer["weight_decay"]},
        {"params": [p for p in net.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    sgd = torch.optim.SGD(groups, lr=0.0, momentum=optimizer["momentum"], fused=True)
    steps, seconds = math.ceil(kept / size), 0.0
    for epoch in range(epochs):
        start = time.perf_counter()
        net.train()
        for step, batch in enumerate(torch.randperm(kept).split(size)):
            for group in sgd.param_groups:
                group["lr"] = rate(recipe["schedule"], epoch + (step + 0.5) / steps, epochs)
            sgd.zero_grad(set_to_none=True)
            F.cross_entropy(net(x[batch]), y[batch], label_smoothing=smoothing).backward()
            sgd.step()
        net.eval()
        validation = error(net, valid_x, valid_y)
        seconds += time.perf_counter() - start
        test = error(net, test_x, test_y)
        line = {"epoch": epoch + 1, "seconds": seconds, "validation_error": validation, "test_error": test}
        print(json.dumps(line | {"version": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()
