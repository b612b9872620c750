"""Small ONNX models: one for each thing compilers do, and random ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Shape = tuple[int, ...]


class Graph:
    """An ONNX model that grows node by node from its only input `x`.

    Results are the last one, and each that `output` was called behind. Layers in `in_float` are kept on the CPU.
    """

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.input = shape
        self.shape = shape
        self.last = "x"
        self.in_float: list[str] = []
        self._outputs: list[tuple[str, Shape]] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, Array] = {}

    def constant(self, array: Array) -> str:
        """A constant."""
        name = f"c{len(self._constants)}"
        self._constants[name] = array
        return name

    def weights(self, *shape: int) -> str:
        """Random weights that keep the size of what they are multiplied with."""
        fan = int(np.prod(shape[1:])) or 1
        return self.constant((self.rng.normal(size=shape) / np.sqrt(fan)).astype(np.float32))

    def add(self, op: str, *inputs: str, shape: Shape | None = None, **attributes: Any) -> "Graph":
        """A node on the last result and other inputs."""
        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, [self.last, *inputs], [name], name=name, **attributes))
        self.last, self.shape = name, self.shape if shape is None else shape
        return self

    def output(self, in_float: bool = False) -> "Graph":
        """Let the last result be one of the model's, and go on at the input."""
        self.in_float += [self.last] if in_float else []
        self._outputs.append((self.last, self.shape))
        self.last, self.shape = "x", self.input
        return self

    def conv(self, channels: int, kernel: int, stride: int = 1, group: int = 1, bias: bool = True) -> "Graph":
        """A convolution with half a kernel of padding."""
        batch, old, height, width = self.shape
        size = (-(-height // stride), -(-width // stride)) if kernel % 2 else (height // stride, width // stride)
        others = [self.weights(channels, old // group, kernel, kernel)]
        others += [self.constant(self.rng.normal(size=channels).astype(np.float32) * np.float32(0.3))] if bias else []
        pads = [kernel // 2] * 4 if kernel % 2 else [0] * 4
        return self.add("Conv", *others, shape=(batch, channels, *size), pads=pads, strides=[stride] * 2, group=group)

    def dense(self, columns: int) -> "Graph":
        """A fully connected layer."""
        rows = self.shape[1]
        weight = self.constant((self.rng.normal(size=(rows, columns)) / np.sqrt(rows)).astype(np.float32))
        bias = self.constant(self.rng.normal(size=columns).astype(np.float32) * np.float32(0.2))
        return self.add("Gemm", weight, bias, shape=(1, columns))

    def pooled(self) -> "Graph":
        """The mean of each channel, flat."""
        return self.add("GlobalAveragePool", shape=(*self.shape[:2], 1, 1)).add("Flatten", shape=self.shape[:2])

    def model(self) -> onnx.ModelProto:
        """The model."""
        source = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.input)
        outputs = [*self._outputs, (self.last, self.shape)] if self.last != "x" else self._outputs
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs]
        constants = [numpy_helper.from_array(value, name) for name, value in self._constants.items()]
        graph = helper.make_graph(self._nodes, "graph", [source], results, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
        return onnx.shape_inference.infer_shapes(model)  # nncase asks for the shape of every value

    def samples(self, count: int) -> Array:
        """Random samples, on the first axis."""
        return self.rng.normal(size=(count, *self.input)).astype(np.float32)


def fixed() -> dict[str, Graph]:
    """One for each kind of work that nncase's compiler gives to the KPU or to a tensor function."""
    image = (1, 3, 16, 16)
    small = (1, 4, 5, 6)

    def ints(*values: int) -> Array:
        return np.array(values, np.int64)

    graphs = {
        "conv": Graph(image).conv(8, 3),
        "relu_pool": Graph(image)
        .conv(8, 3)
        .add("Relu")
        .add("MaxPool", shape=(1, 8, 8, 8), kernel_shape=[2, 2], strides=[2, 2]),
        "depthwise": Graph(image).conv(8, 1).add("LeakyRelu").conv(8, 3, group=8).add("Sigmoid"),
        "wide": Graph((1, 2, 4, 70)).conv(3, 3).add("Relu"),
        "network": Graph((1, 3, 32, 32)).conv(8, 7, stride=2).add("Relu").conv(8, 3, group=8).pooled().dense(5),
        "tanh": Graph((1, 7)).add("Tanh"),
        "softmax": Graph((1, 7)).add("Sigmoid").add("Softmax", axis=1),
        "dense": Graph((1, 7)).dense(5).add("Relu"),
        "pools": Graph((1, 4, 9, 9))
        .add("AveragePool", shape=(1, 4, 5, 5), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        .add("GlobalAveragePool", shape=(1, 4, 1, 1)),
        "maximum": Graph(small).add("ReduceMax", shape=(1, 4, 1, 6), axes=[2]).add("LeakyRelu").add("HardSigmoid"),
    }
    graph = Graph(small)
    graphs["arithmetic"] = graph.add("Mul", graph.weights(1, 4, 1, 1)).add("Sub", "x").add("Exp").add("Sqrt")
    graph = Graph(small).add("Transpose", shape=(1, 5, 6, 4), perm=[0, 2, 3, 1])
    graph.add("Concat", graph.last, shape=(1, 10, 6, 4), axis=1)
    graph.add("Slice", graph.constant(ints(0, 1, 0, 0)), graph.constant(ints(1, 8, 6, 4)), shape=(1, 7, 6, 4))
    graphs["moves"] = graph.add("Pad", graph.constant(ints(0, 1, 1, 0, 0, 1, 1, 0)), shape=(1, 9, 8, 4))
    graph = Graph(small)
    graphs["resize"] = graph.add(
        "Resize",
        graph.constant(np.zeros(0, np.float32)),
        graph.constant(np.array([1, 1, 2, 2], np.float32)),
        shape=(1, 4, 10, 12),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return graphs


def of_kinds() -> dict[str, Graph]:
    """What kmodels have and `fixed` leaves out, as outputs of a few graphs: functions, reductions, pools, PRelu."""
    small = (1, 4, 5, 6)
    functions = Graph(small)
    for op in ("Abs", "Ceil", "Cos", "Floor", "Log", "Neg", "Sin"):
        functions.add("Sigmoid").add(op).output()
    functions.add("Min", functions.weights(1, 4, 1, 1)).output().add("Max", functions.weights(1, 4, 1, 1)).output()
    functions.add("Div", functions.constant(np.full((1, 4, 1, 1), 3, np.float32)))
    reductions = Graph(small)
    for op in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare"):
        reductions.add(op, shape=(1, 4, 5, 1), axes=[3]).output()
    prelu = Graph((1, 3, 16, 16)).conv(8, 3)
    prelu.add("PRelu", prelu.constant(prelu.rng.random((8, 1, 1), np.float32)))
    floats = Graph(small).conv(3, 3, stride=2).output(in_float=True).conv(6, 3, group=2).output(in_float=True)
    upwards = {"strides": [2, 3], "pads": [1, 0, 0, 1]}
    floats.add("ConvTranspose", floats.weights(4, 3, 3, 3), shape=(1, 3, 10, 17), **upwards).output(in_float=True)
    return {
        "functions": functions,
        "reductions": reductions,
        "convolutions": floats,
        "product": Graph((1, 7)).dense(5).output(in_float=True).dense(3),
        "resizes": _resizes(),
        "pools": _pools(),
        "prelu": prelu,
    }


def _resizes() -> Graph:
    graph = Graph((1, 4, 5, 6))
    for mode, place in (("linear", "asymmetric"), ("linear", "align_corners"), ("nearest", "asymmetric")):
        scales = (graph.constant(np.zeros(0, np.float32)), graph.constant(np.array([1, 1, 3, 2], np.float32)))
        ways = {"mode": mode, "coordinate_transformation_mode": place, "nearest_mode": "floor"}
        graph.add("Resize", *scales, shape=(1, 4, 15, 12), **ways).output()
    return graph


def _pools() -> Graph:
    """Behind convolutions of 16 x 16 pixels: windows, with padding at the end where they overlap, and strides."""
    graph = Graph((1, 3, 16, 16))
    for size, stride in ((2, 2), (4, 4), (2, 1)):
        for kind in ("MaxPool", "AveragePool"):
            pads = [0, 0, stride % 2, stride % 2]
            window = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": pads}
            graph.conv(8, 3).add("Relu").add(kind, shape=(1, 8, 16 // stride, 16 // stride), **window).output()
    for stride, pads in ((2, [1, 1, 0, 0]), (2, [1, 0, 0, 1]), (4, [1, 1, 0, 0])):
        weights = graph.weights(8, 3, 3, 3)
        graph.add("Conv", weights, shape=(1, 8, 16 // stride, 16 // stride), pads=pads, strides=[stride] * 2).output()
    return graph


_ACTIVATIONS = ("", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Elu")
_FUNCTIONS = ("Exp", "Abs", "Neg", "Floor", "Sqrt", "Cos")


def random_graph(seed: int) -> Graph:
    """Two to six random steps on a small image."""
    dice = np.random.default_rng(seed)
    graph = Graph((1, int(dice.integers(1, 9)), int(dice.integers(4, 20)), int(dice.integers(4, 20))), seed)
    for _ in range(int(dice.integers(2, 7))):
        _step(graph, dice)
    return graph.add("Relu") if graph.last == "x" else graph


def _choice(dice: np.random.Generator, names: Sequence[str]) -> str:
    return names[int(dice.integers(len(names)))]


def _step(graph: Graph, dice: np.random.Generator) -> None:
    if len(graph.shape) == 2:
        match int(dice.integers(3)):
            case 0:
                graph.dense(int(dice.integers(2, 12)))
            case 1:
                graph.add("Softmax", axis=1)
            case _:
                graph.add(_choice(dice, ("Relu", "Sigmoid", "Tanh")))
        return
    _, channels, height, width = graph.shape
    match int(dice.integers(10)):
        case 0 | 1:
            graph.conv(int(dice.integers(1, 17)), int(dice.choice([1, 3])))
            activation = _choice(dice, _ACTIVATIONS)
            _ = graph.add(activation) if activation else graph
        case 2:
            graph.conv(channels, 3, group=channels, bias=False)
        case 3 if min(height, width) > 7:
            graph.conv(int(dice.integers(1, 5)), 5, stride=2, bias=False)
        case 4 if min(height, width) >= 8:
            kernel = int(dice.choice([2, 3]))
            size = ((height - kernel) // 2 + 1, (width - kernel) // 2 + 1)
            kind = _choice(dice, ("MaxPool", "AveragePool"))
            graph.add(kind, shape=(1, channels, *size), kernel_shape=[kernel] * 2, strides=[2, 2])
        case 5:
            other = graph.last if dice.integers(2) else graph.weights(1, channels, 1, 1)
            graph.add(_choice(dice, ("Add", "Mul", "Sub")), other)
        case 6:
            graph.add("Sigmoid").add(_choice(dice, _FUNCTIONS))
        case 7:
            graph.add("Transpose", shape=(1, channels, width, height), perm=[0, 1, 3, 2])
        case 8:
            pads = graph.constant(np.array([0, 0, 1, 2, 0, 0, 0, 1], np.int64))
            graph.add("Pad", pads, shape=(1, channels, height + 1, width + 3))
        case 9:
            graph.pooled()
        case _:
            graph.add("Concat", graph.last, shape=(1, 2 * channels, height, width), axis=1)
