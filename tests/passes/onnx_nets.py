"""Small ONNX models for numeric tests of legalization, and their comparison with ONNX Runtime after some passes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from xdsl.dialects.builtin import ModuleOp

from kpuir import pipelines
from kpuir.dialects import kpu, ktensor
from kpuir.importers.onnx import import_onnx
from kpuir.named_pipelines import PIPELINES
from tests.importers.nets import feeds, interpret, runtime

TO_KPU = ("ktensor-simplify", "kpu-legalize{until=kpu-fuse-activations}")
CONTEXT = pipelines.make_context()


class Net:
    """A model that grows node by node; every function returns the name of a value."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.extra: list[str] = []

    def input(self, *shape: int) -> str:
        """A float input."""
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def constant(self, array: Any) -> str:
        """A constant of the array's own type; numbers are float."""
        values = np.asarray(array)
        name = f"c{len(self.constants)}"
        values = values.astype(np.float32) if values.dtype == np.float64 else values
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def random(self, *shape: int, low: float = -1, high: float = 1) -> str:
        """A constant of random floats."""
        return self.constant(self.rng.uniform(low, high, shape))

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """A node; its last output's name, those of the others end in the number of the output."""
        name = f"{kind.lower()}{len(self.nodes)}"
        names = [f"{name}_{index}" for index in range(outputs)] if outputs > 1 else [name]
        self.nodes.append(helper.make_node(kind, inputs, names, name=name, **attributes))
        return name if outputs == 1 else names[-1]

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 1, depthwise: bool = False) -> str:
        """A convolution of stride 1 that keeps the size, with bias."""
        per_group = 1 if depthwise else inputs
        spread = 1 / np.sqrt(per_group * kernel * kernel)
        weight = self.random(outputs, per_group, kernel, kernel, low=-2 * spread, high=2 * spread)
        groups = inputs if depthwise else 1
        return self.op("Conv", x, weight, self.random(outputs), pads=[kernel // 2] * 4, group=groups)

    def model(self, *outputs: str) -> onnx.ModelProto:
        """The model with these results, each once."""
        results = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in dict.fromkeys(outputs)]
        graph = helper.make_graph(self.nodes, "net", self.inputs, results, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        return onnx.shape_inference.infer_shapes(model)


def check(model: onnx.ModelProto, *passes: str, to_kpu: Sequence[str] = TO_KPU) -> ModuleOp:
    """Apply passes to a model at the float kpu level; it must compute what ONNX Runtime does. Returns the module."""
    inputs = feeds(model, 1)
    module = import_onnx(model.SerializeToString())
    for name in (*to_kpu, *passes, "canonicalize", "cse"):
        for one in pipelines.parse_passes(name, lambda: PIPELINES):
            one.apply(CONTEXT, module)
        module.verify()
    for ours, theirs in zip(interpret(module, list(inputs.values())), runtime(model, inputs), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * max(1.0, float(np.abs(theirs).max())))
    return module


def names(module: ModuleOp) -> list[str]:
    """The operations of @main, constants left out; depthwise layers are `depthwise`, layers that move `move`."""
    found: list[str] = []
    for op in module.walk():
        if isinstance(op, kpu.Conv2dOp):
            found.append("move" if kpu.MOVES in op.attributes else "depthwise" if op.is_depthwise else "conv2d")
        elif op.name.split(".")[0] in ("kpu", "ktensor") and not isinstance(op, ktensor.ConstantOp):
            found.append(op.name.split(".")[1])
    return found


def reasons(module: ModuleOp) -> Sequence[str]:
    """Why operations stay on the CPU."""
    return [str(op.attributes[kpu.REASON]).strip('"') for op in module.walk() if kpu.REASON in op.attributes]
