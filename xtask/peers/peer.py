"""PyTorch's or ONNX Runtime's side of `cargo xtask bench-peers`: one network in a process of its own, timed on request.

    peer.py pytorch|onnxruntime --mode infer|train --model NAME --batch N --threads N --files DIR [--dropout LAYER,..]

DIR holds model.pth and model.onnx, as `bench --export` writes them. The first line out is the framework's version and the
first image's logits; then each line in is a number of seconds to make calls for, and each line out the calls' times: none
for the first, which warms up. With `--memory`: one call, and the most memory that the process ever held.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "crates/formats/tests"))

INPUTS = 4  # batches that take turns, so that no call finds its own input in the cache
MOMENTUM, DECAY, RATE = 0.9, 5e-4, 1e-4  # as in crates/train/src/bin/bench/subject.rs


def say(**answer):
    print(json.dumps(answer), flush=True)


def sines(salt, shape):
    """`models::reference::sines`, without torch."""
    table = np.sin((np.arange(4096) + 0.5) * (2 * np.pi / 4096)).astype(np.float32)
    h = np.arange(np.prod(shape), dtype=np.uint32) * np.uint32(2654435761)
    h += np.uint32((salt * 2246822519 + 3266489917) % 2**32)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(2246822519)
    return table[h >> np.uint32(20)].reshape(shape)


class OnnxRuntime:
    """An inference session with all optimisations, calls in sequence."""

    def __init__(self, args):
        import onnxruntime

        self.version = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        model = str(args.files / "model.onnx")
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0]
        size = self.input.shape[1:]
        self.batches = [sines(i, (args.batch, *size)) for i in range(INPUTS)]
        self.how = None

    def logits(self):
        return self.session.run(None, {self.input.name: self.batches[0][:1]})[0]

    def call(self, i):
        self.session.run(None, {self.input.name: self.batches[i % INPUTS]})

    def choose(self, seconds):
        repeat(self, seconds)


class PyTorch:
    """The reference module in eager mode, its tensors laid out as runs faster here."""

    def __init__(self, args):
        import reference
        import torch

        self.torch, self.version, self.train = torch, torch.__version__, args.mode == "train"
        torch.set_num_threads(args.threads)
        torch.manual_seed(0)
        net = reference.network(args.model)
        net.load_state_dict(torch.load(args.files / "model.pth", weights_only=True), strict=True)
        for layer in net.modules():
            # The mask has done its work on the weights; only training could undo it.
            if isinstance(layer, reference.TableConv) and not self.train:
                layer.__class__ = reference.Conv
        for name in filter(None, args.dropout.split(",")):
            drop = torch.nn.functional.dropout
            # torchvision's module, whose layers bear other names, has dropout of its own.
            if layer := dict(net.named_children()).get(name):
                layer.register_forward_hook(lambda layer, _, y: drop(y, 0.5, True) if layer.training else None)
        self.net = net
        inputs = 1 if args.memory else INPUTS
        self.batches = [torch.from_numpy(sines(i, (args.batch, *net.size))) for i in range(inputs)]
        classes = self.logits().shape[1]
        self.labels = torch.arange(args.batch) % classes
        decaying = [p for p in net.parameters() if p.dim() > 1]
        others = [p for p in net.parameters() if p.dim() <= 1]
        groups = [{"params": decaying, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.SGD(groups, lr=RATE, momentum=MOMENTUM, fused=True)
        self.how = "contiguous"

    def logits(self):
        with self.torch.inference_mode():
            return self.net.eval()(self.batches[0][:1]).numpy()

    def lay_out(self, how):
        layout = self.torch.channels_last if how == "channels_last" else self.torch.contiguous_format
        self.net = self.net.to(memory_format=layout)
        self.batches = [b.contiguous(memory_format=layout) for b in self.batches]
        self.how = how

    def call(self, i):
        images = self.batches[i % len(self.batches)]
        if not self.train:
            with self.torch.inference_mode():
                self.net(images)
            return
        self.net.train()
        self.optimizer.zero_grad(set_to_none=True)
        self.torch.nn.functional.cross_entropy(self.net(images), self.labels).backward()
        self.optimizer.step()

    def choose(self, seconds):
        """Warms up both layouts and keeps the faster one."""
        times = {}
        for how in ("channels_last", "contiguous"):
            self.lay_out(how)
            self.optimizer.state.clear()
            repeat(self, seconds / 4)
            times[how] = np.median(repeat(self, seconds / 4))
        best = min(times, key=times.get)
        if best != self.how:
            self.lay_out(best)
            self.optimizer.state.clear()


def repeat(subject, seconds):
    """Calls for so long, once at least; each call's milliseconds."""
    samples, begin = [], time.perf_counter()
    while not samples or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        subject.call(len(samples))
        samples.append(1000 * (time.perf_counter() - start))
    return samples


def peak_mib():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("framework", choices=["pytorch", "onnxruntime"])
    parser.add_argument("--mode", choices=["infer", "train"], required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--dropout", default="")
    parser.add_argument("--memory", action="store_true")
    args = parser.parse_args()
    subject = (PyTorch if args.framework == "pytorch" else OnnxRuntime)(args)
    if args.memory:
        start = time.perf_counter()
        subject.call(0)
        ms = 1000 * (time.perf_counter() - start)
        say(version=subject.version, peak_mib=peak_mib(), first_ms=ms)
        return
    say(version=subject.version, logits=subject.logits()[0].tolist())
    for turn, line in enumerate(sys.stdin):
        if turn == 0:
            subject.choose(float(line))
        say(samples_ms=repeat(subject, float(line)) if turn else [], how=subject.how)


if __name__ == "__main__":
    main()
