"""Holds `infer` against PyTorch, ONNX and onnxruntime: python check_peers.py PATH_TO_INFER [NETWORK ...] [files]

Every network, with formula weights, goes from PyTorch into our format and out again to PyTorch and ONNX; files of the
structure of torchvision's, the ONNX model zoo's and Caffe's go in. The attributes of every layer of alexnet-bvlc and
zfnet512 are held against the graphs that the onnx package carries. Logits are compared with those that torch and
onnxruntime compute: largest difference, over the largest logit where that is over 1. One line a check; exits with 1 if
any failed. Needs `pip install torch onnx onnxruntime`, downloads nothing, and takes about four minutes.
"""

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper

import reference

TOLERANCE = 1e-4
failed = []


def check(what, ok, figure=""):
    print(f"{'ok  ' if ok else 'FAIL'} {what}  {figure}", flush=True)
    if not ok:
        failed.append(what)


def near(what, got, expected):
    error = float(np.abs(got - expected).max() / max(1.0, np.abs(expected).max())) if got.shape == expected.shape else np.inf
    check(what, error <= TOLERANCE, f"{error:.1e} (largest logit {np.abs(expected).max():.2f})")


class Infer:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def __call__(self, *arguments, fails=False):
        run = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True, timeout=300)
        if (run.returncode != 0) != fails:
            raise RuntimeError(f"infer {' '.join(map(str, arguments))} ended with {run.returncode}: {run.stderr}")
        return run.stderr if fails else run.stdout

    def logits(self, weights, images):
        path = self.folder / "images.safetensors"
        path.write_bytes(safetensors({"images": images}))
        lines = self("logits", "--weights", weights, "--input", path).splitlines()
        return np.array([json.loads(line) for line in lines], np.float32)


def safetensors(arrays):
    """Named float32 arrays in the safetensors format."""
    header, data = {}, b""
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array, np.float32).tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def onnx_logits(model, *batches):
    """What onnxruntime computes for each batch."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [session.run(None, {session.get_inputs()[0].name: images})[0] for images in batches]


def images_for(net):
    # Pixel-sized numbers for the photo nets: with small ones LRN is next to nothing.
    return reference.sines(1000, [2, *net.size], 100.0 if net.size[1] > 100 else 1.0)


def round_trip(infer, name):
    """PyTorch -> ours -> PyTorch, ONNX -> ours."""
    pth, ours = infer.folder / "in.pth", infer.folder / "ours.safetensors"
    net = reference.set_formula_weights(reference.network(name))
    images = images_for(net)
    with torch.no_grad():
        expected = net(images).numpy()
    torch.save(net.state_dict(), pth)
    infer("convert", pth, "--model", name, "--out", ours)
    near(f"{name}: from PyTorch, logits", infer.logits(ours, images.numpy()), expected)

    infer("export", "--model", name, "--weights", ours, "--to", "pytorch", "--out", pth)
    state = torch.load(pth, weights_only=True)
    reference.network(name).load_state_dict(state, strict=True)
    equal = all(torch.equal(state[key], value) for key, value in net.state_dict().items())
    check(f"{name}: to PyTorch, strict, every weight equal", equal and list(state) == list(net.state_dict()))
    pth.unlink()

    exported, back = infer.folder / "out.onnx", infer.folder / "back.safetensors"
    infer("export", "--model", name, "--weights", ours, "--to", "onnx", "--out", exported)
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    nodes = [node.name for node in model.graph.node]
    del model
    layers = [layer for layer, _ in net.named_children() if layer not in ("features", "classifier")]
    check(f"{name}: ONNX, checked, a node for each layer", set(layers) <= set(nodes), f"{len(nodes)} nodes")
    two, one = onnx_logits(str(exported), images.numpy(), images[:1].numpy())
    near(f"{name}: ONNX in onnxruntime, batch 2", two, expected)
    near(f"{name}: ONNX in onnxruntime, batch 1", one, expected[:1])
    infer("convert", exported, "--out", back)
    check(f"{name}: ONNX back again, every byte equal", back.read_bytes() == ours.read_bytes())


def torchvision_files(infer):
    """torchvision's names in a .pth and in safetensors."""
    net = reference.set_formula_weights(reference.network("alexnet-torchvision"))
    arrays = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    path, ours = infer.folder / "torchvision.safetensors", infer.folder / "ours.safetensors"
    path.write_bytes(safetensors(arrays))
    infer("convert", path, "--model", "alexnet-torchvision", "--out", ours)
    images = images_for(net)
    with torch.no_grad():
        near("torchvision's alexnet as safetensors", infer.logits(ours, images.numpy()), net(images).numpy())
    try:
        from torchvision.models import alexnet
    except ImportError:
        print("     torchvision is not here: its own module was not tried")
        return
    state = alexnet().state_dict()
    check("torchvision's own module has the same keys and shapes",
          {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in net.state_dict().items()})


# Attributes that a node has without saying so.
DEFAULTS = {
    "Conv": {"group": 1, "pads": [0] * 4, "dilations": [1, 1], "auto_pad": b"NOTSET"},
    "MaxPool": {"ceil_mode": 0, "pads": [0] * 4, "dilations": [1, 1], "auto_pad": b"NOTSET", "storage_order": 0},
    "Gemm": {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0},
}
# Where ours may differ from the zoo's graph: network, place, attribute: theirs, ours. The zoo's alexnet takes images of
# 224 pixels though its weights were trained on 227 (BVLC's deploy.prototxt). Its maps are therefore a pixel smaller from
# conv1 on, and its pool5 pads to get fc6's 6x6 all the same; from 227 on it needs no padding.
DIFFERENT = {
    ("alexnet-bvlc", "input", "shape"): ([3, 224, 224], [3, 227, 227]),
    ("alexnet-bvlc", "MaxPool 3", "pads"): ([0, 0, 1, 1], [0, 0, 0, 0]),
}


def light_graph(light):
    """A weightless graph of the onnx package, and its weights' shapes by name."""
    graph = onnx.load(Path(onnx.__file__).parent / "backend/test/data/light" / light).graph
    arrays = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    shapes = {n.output[0]: arrays[n.input[0]].tolist() for n in graph.node if n.op_type == "ConstantOfShape"}
    return graph, shapes


def layers(graph, shapes):
    """(place, attributes) of every node that computes, with the shapes of its weights: `Conv 2` is the second Conv.

    Left out is what has no part in the logits: Dropout, which does nothing at test time, and the Softmax at the end.
    Reshape and Flatten do the same: the flat length is fc6's.
    """
    image = next(i for i in graph.input if len(i.type.tensor_type.shape.dim) == 4)
    found = [("input", {"shape": [d.dim_value for d in image.type.tensor_type.shape.dim][1:]})]
    counts = {}
    for node in graph.node:
        if node.op_type in ("ConstantOfShape", "Dropout", "Softmax"):
            continue
        kind = node.op_type
        if kind in ("Reshape", "Flatten"):
            found.append(("Flatten 1", {}))
            continue
        counts[kind] = counts.get(kind, 0) + 1
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        weights = {f"input {i}": shapes[name] for i, name in enumerate(node.input) if name in shapes}
        found.append((f"{kind} {counts[kind]}", DEFAULTS.get(kind, {}) | attributes | weights))
    return found


def same(a, b):
    return abs(a - b) <= 1e-6 * abs(a) if isinstance(a, float) and isinstance(b, float) else a == b


def attributes(infer):
    """Ours, exported, against the onnx package's own graphs, attribute by attribute."""
    for name, light in [("alexnet-bvlc", "light_bvlc_alexnet.onnx"), ("zfnet512", "light_zfnet512.onnx")]:
        exported = infer.folder / "attributes.onnx"
        infer("export", "--model", name, "--to", "onnx", "--out", exported)
        graph = onnx.load(exported).graph
        ours = layers(graph, {i.name: list(i.dims) for i in graph.initializer})
        theirs = layers(*light_graph(light))
        check(f"{name}: the zoo's graph, layers in order", [p for p, _ in ours] == [p for p, _ in theirs], f"{len(ours)}")
        compared, differ = 0, {}
        for (place, a), (_, b) in zip(theirs, ours):
            for key in sorted(a.keys() | b.keys()):
                compared += 1
                if not same(a.get(key), b.get(key)):
                    differ[name, place, key] = (a.get(key), b.get(key))
        expected = {key: pair for key, pair in DIFFERENT.items() if key[0] == name}
        check(f"{name}: the zoo's graph, every attribute", differ == expected,
              f"{compared} compared, {len(expected)} differ as listed" if differ == expected else f"theirs, ours: {differ}")
        exported.unlink()


def zoo_model(light, side, caffenet=False):
    """A model of the ONNX zoo, rebuilt from the weightless graph that the onnx package carries, with formula weights."""
    folder = Path(onnx.__file__).parent / "backend/test/data/light"
    model = onnx.load(folder / light)
    graph = model.graph
    weights = [node.output[0] for node in graph.node if node.op_type == "ConstantOfShape"]
    sizes = {i.name.removesuffix("__SHAPE"): numpy_helper.to_array(i) for i in graph.initializer if "__SHAPE" in i.name}
    keep = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    if caffenet:  # pool before LRN
        for i in [i for i, node in enumerate(keep) if node.op_type == "LRN"]:
            norm, pool, after = keep[i : i + 3]
            pool.input[0], norm.input[0], after.input[0] = norm.input[0], pool.output[0], norm.output[0]
            keep[i], keep[i + 1] = pool, norm
    del graph.node[:]
    graph.node.extend(keep)
    rest = [i for i in graph.initializer if "__SHAPE" not in i.name]
    inputs = [i for i in graph.input if "__SHAPE" not in i.name]
    del graph.initializer[:], graph.input[:]
    graph.initializer.extend(rest)
    graph.input.extend(inputs)
    for salt, name in enumerate(weights):
        shape = [int(n) for n in sizes[name]]
        scale = 0.1 if len(shape) == 1 else float(np.sqrt(2 / np.prod(shape[1:])))
        graph.initializer.append(numpy_helper.from_array(reference.sines(salt, shape, scale).numpy(), name))
    zoo = model.SerializeToString()
    # For the comparison: logits instead of probabilities, images of the size that the weights were trained at, 2 of them.
    logits = graph.node[-1].input[0]
    del graph.node[-1], graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(logits, onnx.TensorProto.FLOAT, None))
    for dim, length in zip(graph.input[0].type.tensor_type.shape.dim, [2, 3, side, side]):
        dim.dim_value = length
    for i in graph.initializer:
        if i.name == "OC2_DUMMY_1":
            shape = numpy_helper.to_array(i).copy()
            shape[0] = 2
            i.CopyFrom(numpy_helper.from_array(shape, i.name))
    return zoo, model.SerializeToString()


def onnx_zoo(infer):
    for light, name, side in [
        ("light_bvlc_alexnet.onnx", "alexnet-bvlc", 227),
        ("light_bvlc_alexnet.onnx", "alexnet-caffenet", 227),
        ("light_zfnet512.onnx", "zfnet512", 224),
    ]:
        zoo, runnable = zoo_model(light, side, name == "alexnet-caffenet")
        path, ours = infer.folder / "zoo.onnx", infer.folder / "ours.safetensors"
        path.write_bytes(zoo)
        infer("convert", path, "--model", name, "--out", ours)
        images = reference.sines(1000, [2, 3, side, side], 100.0).numpy()
        # Theirs read blue, green, red; ours red, green, blue.
        [expected] = onnx_logits(runnable, np.ascontiguousarray(images[:, ::-1]))
        near(f"{name}: the ONNX zoo's graph, logits", infer.logits(ours, images), expected)
        if name == "alexnet-bvlc":
            error = infer("convert", path, "--model", "alexnet-caffenet", "--out", ours, fails=True)
            check("alexnet-bvlc's graph is not caffenet's", "expected MaxPool" in error, error.strip()[-120:])


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def caffemodel(net, old, rename=lambda name: name, reverse=True):
    """A NetParameter with `net`'s layers: `layer`s with shapes, or of the `old` kind, `layers` with four dimensions."""
    out = field(1, b"formula")
    for name, layer in net.named_children():
        body = b""
        for parameter in layer.parameters():
            array = parameter.detach().numpy()
            if reverse and array.ndim == 4 and array.shape[1] == 3:
                array = array[:, ::-1]
            if old:
                dims = (1,) * (4 - array.ndim) + array.shape
                blob = b"".join(field(i + 1, n) for i, n in enumerate(dims))
            else:
                blob = field(7, field(1, b"".join(map(varint, array.shape))))
            blob += field(5, np.ascontiguousarray(array).tobytes())
            body += field(6 if old else 7, blob)
        if isinstance(layer, reference.Conv):
            settings = {1: layer.out_channels, 3: layer.padding[0], 4: layer.kernel_size[0], 5: layer.groups, 6: layer.stride[0]}
            body += field(10 if old else 106, b"".join(field(k, v) for k, v in settings.items()))
        if isinstance(layer, reference.Lrn):
            body += field(18 if old else 118, field(1, 5) + field(2, layer.alpha * 5) + field(3, 0.75))
        if isinstance(layer, torch.nn.MaxPool2d):
            body += field(19 if old else 121, field(2, layer.kernel_size) + field(3, layer.stride))
        if isinstance(layer, torch.nn.AvgPool2d):
            body += field(19 if old else 121, field(1, 1) + field(2, layer.kernel_size) + field(3, layer.stride))
        text = rename(name).encode()
        out += field(2, field(4, text) + body) if old else field(100, field(1, text) + body)
    return out


def caffe(infer):
    suffixed = {"conv4": "conv4-1024", "cccp7": "cccp7-1024", "cccp8": "cccp8-1024"}
    for name, old, rename in [
        ("alexnet-bvlc", True, lambda n: n),
        ("alexnet-caffenet", False, lambda n: n),
        ("nin-imagenet", True, lambda n: suffixed.get(n, n)),
        ("nin-imagenet", False, lambda n: n),
        ("nin-cifar10-caffe", True, lambda n: n),
        ("nin-cifar10", False, lambda n: n),
    ]:
        net = reference.set_formula_weights(reference.network(name))
        path, ours = infer.folder / "caffe.caffemodel", infer.folder / "ours.safetensors"
        path.write_bytes(caffemodel(net, old, rename, reverse="cifar" not in name))
        infer("convert", path, "--model", name, "--out", ours)
        images = images_for(net)
        with torch.no_grad():
            expected = net(images).numpy()
        near(f"{name}: caffemodel, {'layers' if old else 'layer'}", infer.logits(ours, images.numpy()), expected)
        if name == "nin-cifar10-caffe":
            error = infer("convert", path, "--model", "nin-cifar10", "--out", ours, fails=True)
            check("means are not taken for maxima", "pool2: pool (0 is MAX, 1 is AVE) is 1" in error, error.strip()[-120:])
    wrong = infer("convert", path, "--model", "alexnet-bvlc", "--out", ours, fails=True)
    check("a caffemodel of another network is named", "alexnet-bvlc" in wrong, wrong.strip()[-120:])


def main():
    infer, start = sys.argv[1], time.time()
    wanted = sys.argv[2:] or [*reference.NETWORKS, "files"]
    listed = [v["model"] for v in json.loads(subprocess.run([infer, "list", "--json"], capture_output=True).stdout)]
    check("every network of the zoo is here", listed == list(reference.NETWORKS), f"{len(listed)} networks")
    with tempfile.TemporaryDirectory() as folder:
        infer = Infer(os.path.abspath(infer), Path(folder))
        for name in wanted:
            if name != "files":
                round_trip(infer, name)
        if "files" in wanted:
            torchvision_files(infer)
            attributes(infer)
            onnx_zoo(infer)
            caffe(infer)
    print(f"{len(failed)} failed, {time.time() - start:.0f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
