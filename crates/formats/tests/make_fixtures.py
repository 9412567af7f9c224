"""Makes tests/data: small files of the structure of the real ones, by the libraries that make those.

    python make_fixtures.py        (pip install torch onnx onnxruntime)

The network is that of `src/fixtures.rs`: 6 maps in two groups from [4, 9, 9], ReLU, LRN, max-pool 3/2, 5 units, 3 classes.
"""

import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

import reference

DATA = Path(__file__).parent / "data"
SHAPES = {
    "conv1.weight": [6, 2, 3, 3],
    "conv1.bias": [6],
    "fc2.weight": [5, 54],
    "fc2.bias": [5],
    "fc3.weight": [3, 5],
    "fc3.bias": [3],
}


def weights():
    def scale(shape):
        return 0.1 if len(shape) == 1 else math.sqrt(2 / math.prod(shape[1:]))

    return {name: reference.sines(i, shape, scale(shape)) for i, (name, shape) in enumerate(SHAPES.items())}


def chain(arrays, style):
    """The network as a graph of the zoo's style (Reshape, transB, Softmax, raw data, initialisers among the inputs) or of
    PyTorch's (Flatten, weights turned round, float data, a Constant)."""
    zoo = style == "zoo"
    turned = {name: a if zoo or a.ndim != 2 else np.ascontiguousarray(a.T) for name, a in arrays.items()}
    conv = dict(kernel_shape=[3, 3], strides=[1, 1], pads=[0, 0, 0, 0] if zoo else [0] * 4, group=2)
    pool = dict(kernel_shape=[3, 3], strides=[2, 2])
    nodes = [
        helper.make_node("Conv", ["data", "conv1.weight", "conv1.bias"], ["c"], **conv),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("LRN", ["r"], ["n"], size=5, alpha=5e-2, beta=0.75, bias=2.0),
        helper.make_node("MaxPool", ["n"], ["p"], **pool),
        helper.make_node("Reshape", ["p", "rows"], ["f"]) if zoo else helper.make_node("Flatten", ["p"], ["f"], axis=1),
        helper.make_node("Gemm", ["f", "fc2.weight", "fc2.bias"], ["g"], transB=int(zoo)),
        helper.make_node("Relu", ["g"], ["h"]),
        helper.make_node("Dropout", ["h"], ["d"]),
        helper.make_node("Gemm", ["d", "fc3.weight", "fc3.bias"], ["logits"], transB=int(zoo)),
    ]
    if zoo:
        nodes.append(helper.make_node("Softmax", ["logits"], ["prob"]))
        tensors = [numpy_helper.from_array(a, name) for name, a in turned.items()]
        tensors.append(numpy_helper.from_array(np.array([-1, 54]), "rows"))
    else:
        tensors = [helper.make_tensor(n, TensorProto.FLOAT, a.shape, a.flatten()) for n, a in turned.items()]
        bias = next(t for t in tensors if t.name == "fc3.bias")
        tensors.remove(bias)
        nodes.insert(0, helper.make_node("Constant", [], ["fc3.bias"], value=bias))
    inputs = [helper.make_tensor_value_info("data", TensorProto.FLOAT, [2, 4, 9, 9])]
    if zoo:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in (["prob"] if zoo else ["logits"])]
    graph = helper.make_graph(nodes, style, inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    DATA.mkdir(exist_ok=True)
    state = weights()
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    for style in ("zoo", "torch"):
        (DATA / f"{style}.onnx").write_bytes(chain(arrays, style).SerializeToString())
    session = onnxruntime.InferenceSession(chain(arrays, "torch").SerializeToString())
    logits = session.run(None, {"data": reference.sines(1000, [2, 4, 9, 9], 1.0).numpy()})[0]
    (DATA / "logits.txt").write_text("".join(f"{v:.9g}\n" for v in logits.flatten()))

    # A state_dict as a module gives it; one of Parameters, windows on one storage, and columns first; and the old format.
    module = torch.nn.Module()
    for layer in ("conv1", "fc2", "fc3"):
        module.add_module(layer, torch.nn.Module())
    for name, tensor in state.items():
        layer, kind = name.split(".")
        module.get_submodule(layer).register_parameter(kind, torch.nn.Parameter(tensor))
    torch.save(module.state_dict(), DATA / "module.pth")
    storage = torch.cat([tensor.flatten() for tensor in state.values()])
    views, start = {}, 0
    for name, tensor in state.items():
        views[name] = storage[start : start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
    views["fc2.weight"] = torch.nn.Parameter(state["fc2.weight"].T.contiguous().T)
    torch.save(views, DATA / "views.pth")
    torch.save(state, DATA / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"model": state, "epoch": 3}, DATA / "checkpoint.pth")
    torch.save({name: tensor.half() for name, tensor in state.items()}, DATA / "half.pth")


if __name__ == "__main__":
    main()
