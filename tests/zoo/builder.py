"""Builds networks whose activations keep their size: each convolution is normalized on samples, as training would.

Random weights alone let the signal drown: after some layers every input gives nearly the same output, and a cosine
says nothing. So each node runs on a few samples as it is added, and the weights and bias of a convolution are chosen
such that every channel of its result has a spread of about 1, as behind a folded batch normalization.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx.helper
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto

from tests.networks import Net

Array = NDArray[Any]
SAMPLES = 8
"""So many samples normalize a network."""


def smooth(shape: Sequence[int], seed: int) -> Array:
    """An image of pixels k/255 in 0..1, 1xCxHxW: waves of a few lengths and directions, and some noise.

    Images are bright or dark, of high contrast or low.
    """
    rng = np.random.default_rng(seed)
    _, channels, height, width = shape
    rows, columns = np.arange(height)[:, None] / max(shape), np.arange(width)[None, :] / max(shape)
    image = rng.normal(0, 0.15, (channels, height, width))
    for length in (0.7, 1.5, 3, 6, 12):
        angle, phase = rng.uniform(0, 2 * np.pi, (2, channels, 1, 1))
        way = rows * np.sin(angle) + columns * np.cos(angle)
        image += rng.uniform(0.2, 1, (channels, 1, 1)) * np.sin(2 * np.pi * length * way + phase)
    contrast = rng.uniform(0.3, 1)
    image = (image - image.min()) / np.ptp(image) * contrast + rng.uniform(0, 1 - contrast)
    return (np.round(image * 255) / 255).astype(np.float32)[None]


class Builder(Net):
    """A network of one image, which runs on samples while it grows."""

    def __init__(self, *shape: int, seed: int = 0) -> None:
        super().__init__(seed, image=shape)
        self.values = {"image": [smooth(shape, 1000 + one) for one in range(SAMPLES)]}

    def channels(self, x: str) -> int:
        """How many channels a value has."""
        return self.values[x][0].shape[1]

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self._added(onnx.helper.make_node(kind, inputs, [f"{kind.lower()}{len(self.nodes)}"], **attributes))[0]

    def split(self, x: str) -> list[str]:
        """Both halves of the channels."""
        name = f"split{len(self.nodes)}"
        return self._added(onnx.helper.make_node("Split", [x], [f"{name}_a", f"{name}_b"], axis=1))

    def unit(self, x: str, outputs: int, kernel: int | Sequence[int] = 3, act: str = "relu6", **attributes: Any) -> str:
        """A convolution, its result normalized, and its activation; padded by half a kernel unless told."""
        sides = [kernel, kernel] if isinstance(kernel, int) else list(kernel)
        dilations = attributes.get("dilations", [1, 1])
        around = [side // 2 * dilation for side, dilation in zip(sides, dilations, strict=True)]
        attributes.setdefault("pads", around * 2)
        shape = (outputs, self.channels(x) // attributes.get("group", 1), *sides)
        return self._normalized("Conv", x, shape, act, attributes)

    def depthwise(self, x: str, kernel: int = 3, act: str = "relu6", **attributes: Any) -> str:
        """A depthwise unit."""
        return self.unit(x, self.channels(x), kernel, act, group=self.channels(x), **attributes)

    def upsample(self, x: str, outputs: int, act: str = "relu") -> str:
        """A transposed convolution that doubles the size."""
        return self._normalized("ConvTranspose", x, (self.channels(x), outputs, 2, 2), act, {"strides": [2, 2]})

    def activation(self, x: str, act: str) -> str:
        """One by its name: relu, relu6, leaky; or none."""
        if act == "relu6":
            return self.op("Clip", x, self.constant(0.0), self.constant(6.0))
        if act == "leaky":
            return self.op("LeakyRelu", x, alpha=0.1)
        return self.op("Relu", x) if act == "relu" else x

    def classes(self, x: str, count: int) -> str:
        """The mean of each channel, and a matrix product; the bias takes most of what all samples have in common."""
        flat = self.op("Flatten", self.op("GlobalAveragePool", x))
        weight = self.weight(count, self.channels(x))
        bias = -0.75 * np.mean([self.weights[weight] @ value[0] for value in self.values[flat]], axis=0)
        return self.op("Gemm", flat, weight, self.constant(bias), transB=1)

    def _normalized(self, kind: str, x: str, shape: tuple[int, ...], act: str, attributes: dict[str, Any]) -> str:
        weight = self.rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
        trial = onnx.helper.make_node(kind, [x, "weight"], ["y"], **attributes)
        found = np.concatenate(_run(trial, {x: self.values[x]}, {"weight": weight.astype(np.float32)})[0])
        outputs = found.shape[1]
        scale = self.rng.uniform(0.7, 1.3, outputs) / np.maximum(found.std(axis=(0, 2, 3)), 1e-3)
        bias = self.rng.normal(1.0, 0.4, outputs) - found.mean(axis=(0, 2, 3)) * scale
        along = (-1, 1, 1, 1) if kind == "Conv" else (1, -1, 1, 1)
        scaled = self.constant(weight * scale.reshape(along))
        return self.activation(self.op(kind, x, scaled, self.constant(bias), **attributes), act)

    def _added(self, node: onnx.NodeProto) -> list[str]:
        node.name = f"{node.op_type.lower()}{len(self.nodes)}"
        self.nodes.append(node)
        inputs = {name: self.values[name] for name in node.input if name in self.values}
        constants = {name: self.weights[name] for name in node.input if name in self.weights}
        self.values.update(zip(node.output, _run(node, inputs, constants), strict=True))
        return list(node.output)


def _run(node: onnx.NodeProto, inputs: dict[str, list[Array]], constants: dict[str, Array]) -> list[list[Array]]:
    """The results of one node for every sample, by ONNX Runtime."""
    described = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in [*((name, arrays[0]) for name, arrays in inputs.items()), *constants.items()]
    ]
    results = [onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.output]
    graph = onnx.helper.make_graph([node], "node", described, results)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    samples = [dict(zip(inputs, arrays, strict=True)) for arrays in zip(*inputs.values(), strict=True)]
    found = [session.run(None, {**sample, **constants}) for sample in samples]
    return [[np.asarray(one[index]) for one in found] for index in range(len(node.output))]
