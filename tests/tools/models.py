"""Small ONNX models, good and bad ones, written to files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Weights = dict[str, np.ndarray]


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str],
    weights: Weights | None = None,
    output: str = "y",
) -> Path:
    """A model of `nodes` from `x` of `shape` to `output`, whose shape is left to inference."""
    constants = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
    y = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    graph = helper.make_graph(list(nodes), "small", [x], [y], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
    """A node called after its output."""
    return helper.make_node(kind, list(inputs), [output], name=f"{output}_node", **attributes)


def conv(path: Path, *, channels: int = 4, size: int = 8, out: int = 4, weight: float = 0.1) -> Path:
    """One 3x3 convolution with ReLU on `channels` x `size` x `size`."""
    kernel = np.random.default_rng(5).normal(0, weight, (out, channels, 3, 3)).astype(np.float32)
    nodes = [node("Conv", ["x", "w"], "c", pads=[1, 1, 1, 1]), node("Relu", ["c"], "y")]
    return save(path, nodes, (1, channels, size, size), {"w": kernel})


def computed(path: Path) -> Path:
    """Two products of maps that the model computes itself, which no layer of the KPU does."""
    nodes = [node("MatMul", ["x", "x"], "a"), node("Relu", ["a"], "b"), node("MatMul", ["b", "a"], "y")]
    return save(path, nodes, (1, 4, 8, 8))
