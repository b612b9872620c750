"""Small ONNX models of every family people compile for the chip, and some that nobody should but somebody will."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
from onnx import TensorProto

Weights = dict[str, np.ndarray]


class Net:
    """Builds a model node by node; every method returns the name of its result."""

    def __init__(self, seed: int = 0, **inputs: Sequence[int]) -> None:
        self.rng = np.random.default_rng(seed)
        self.inputs = inputs
        self.nodes: list[onnx.NodeProto] = []
        self.weights: Weights = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(array, dtype)
        return name

    def weight(self, *shape: int) -> str:
        spread = 1 / max(1.0, float(np.sqrt(np.prod(shape[1:]))))
        return self.constant(self.rng.normal(0, spread, shape))

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, **attributes: Any) -> str:
        groups = attributes.get("group", 1)
        attributes.setdefault("pads", [kernel // 2] * 4)
        weight = self.weight(outputs, inputs // groups, kernel, kernel)
        bias = self.constant(self.rng.uniform(-0.2, 0.2, outputs))
        return self.op("Conv", x, weight, bias, strides=[stride, stride], **attributes)

    def batch_norm(self, x: str, channels: int) -> str:
        scale, bias, mean = (self.constant(self.rng.uniform(*r, channels)) for r in ((0.5, 1.5), (-0.2, 0.2), (-1, 1)))
        return self.op("BatchNormalization", x, scale, bias, mean, self.constant(self.rng.uniform(0.5, 2, channels)))

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        bias = self.constant(self.rng.uniform(-0.2, 0.2, outputs))
        return self.op("Gemm", x, self.weight(outputs, inputs), bias, transB=1)

    def model(self, *outputs: str) -> onnx.ModelProto:
        """The model, its outputs of shapes that inference finds."""
        kind = TensorProto.FLOAT
        graph = onnx.helper.make_graph(
            self.nodes,
            "net",
            [onnx.helper.make_tensor_value_info(name, kind, shape) for name, shape in self.inputs.items()],
            [onnx.helper.make_tensor_value_info(name, kind, None) for name in outputs],
            [onnx.numpy_helper.from_array(array, name) for name, array in self.weights.items()],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)])
        model.ir_version = 8
        return model


def mnist() -> onnx.ModelProto:
    """As in PyTorch's example: the pool stands before the activation."""
    net = Net(image=(1, 1, 28, 28))
    x = net.op("Relu", net.op("MaxPool", net.conv("image", 1, 8, pads=[0] * 4), kernel_shape=[2, 2], strides=[2, 2]))
    x = net.op("MaxPool", net.op("Relu", net.conv(x, 8, 12)), kernel_shape=[2, 2], strides=[2, 2])
    x = net.dense(net.op("Flatten", x), 12 * 36, 24)
    return net.model(net.op("Softmax", net.dense(net.op("Relu", x), 24, 10), axis=1))


def mobilenet() -> onnx.ModelProto:
    net = Net(image=(1, 3, 33, 33))
    zero, six = net.constant(0.0), net.constant(6.0)
    x, channels = net.op("Clip", net.batch_norm(net.conv("image", 3, 8, stride=2), 8), zero, six), 8
    for outputs, stride in ((12, 1), (16, 2), (16, 1), (24, 2)):
        x = net.conv(x, channels, channels, stride=stride, group=channels)
        x = net.op("Clip", net.batch_norm(x, channels), zero, six)
        x = net.op("Clip", net.batch_norm(net.conv(x, channels, outputs, 1), outputs), zero, six)
        channels = outputs
    return net.model(net.dense(net.op("Flatten", net.op("GlobalAveragePool", x)), channels, 5))


def mobilenet_v2() -> onnx.ModelProto:
    """Inverted residuals, TensorFlow's padding at stride 2, squeeze and excite, hard swish."""
    net = Net(image=(1, 3, 24, 24))
    x = net.op("HardSwish", net.conv("image", 3, 8, stride=2, pads=[0, 0, 1, 1]))
    expanded = net.op("HardSwish", net.conv(x, 8, 16, 1))
    deep = net.conv(expanded, 16, 16, group=16)
    gate = net.op("Relu", net.conv(net.op("GlobalAveragePool", deep), 16, 4, 1))
    deep = net.op("Mul", deep, net.op("HardSigmoid", net.conv(gate, 4, 16, 1), alpha=1 / 6, beta=0.5))
    x = net.op("Add", x, net.conv(deep, 16, 8, 1))
    deep = net.op("Relu", net.conv(net.conv(x, 8, 16, 1), 16, 16, stride=2, pads=[0, 0, 1, 1], group=16))
    return net.model(net.op("ReduceMean", net.conv(deep, 16, 6, 1), axes=[2, 3], keepdims=0))


def resnet() -> onnx.ModelProto:
    net = Net(image=(1, 3, 20, 20))
    x = net.op("Relu", net.batch_norm(net.conv("image", 3, 8), 8))
    branch = net.op("Relu", net.batch_norm(net.conv(x, 8, 8), 8))
    x = net.op("Relu", net.op("Add", net.batch_norm(net.conv(branch, 8, 8), 8), x))
    branch = net.conv(net.op("Relu", net.conv(x, 8, 16, stride=2)), 16, 16)
    x = net.op("Relu", net.op("Add", branch, net.conv(x, 8, 16, 1, stride=2)))
    x = net.op("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return net.model(net.dense(net.op("Flatten", net.op("GlobalAveragePool", x)), 16, 4))


def yolo() -> onnx.ModelProto:
    """Two heads; features of the first are resized and joined by earlier ones; pixels moved into channels."""
    net = Net(image=(1, 3, 32, 48))
    early = net.op("LeakyRelu", net.conv("image", 3, 8, stride=2), alpha=0.1)
    x = net.op("MaxPool", net.op("LeakyRelu", net.conv(early, 8, 12), alpha=0.1), kernel_shape=[2, 2], strides=[2, 2])
    x = net.op("LeakyRelu", net.conv(x, 12, 12), alpha=0.1)
    scales = net.constant([1.0, 1.0, 2.0, 2.0])
    mode = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    up = net.op("Resize", net.conv(x, 12, 8, 1), "", scales, **mode)
    joined = net.op("Concat", up, early, axis=1)
    fine = net.op("LeakyRelu", net.conv(joined, 16, 12), alpha=0.1)
    pool = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    coarse = net.conv(net.op("Concat", pool, net.op("SpaceToDepth", fine, blocksize=2), axis=1), 60, 9, 1)
    rows = net.op("Transpose", net.op("Reshape", coarse, net.constant([3, 3, 96], np.int64)), perm=[0, 2, 1])
    return net.model(net.op("Sigmoid", net.conv(fine, 12, 6, 1)), rows)


def yolo_tiny(residuals: bool = False) -> onnx.ModelProto:
    """YOLOv2-tiny: six stages, the last of five pools at stride 1, and a linear head; stages may have a residual."""
    net, x, channels = Net(image=(1, 3, 64, 96)), "image", 3
    for stage, outputs in enumerate((8, 16, 24, 32, 32, 48)):
        x = net.op("LeakyRelu", net.batch_norm(net.conv(x, channels, outputs), outputs), alpha=0.1)
        if residuals:
            branch = net.batch_norm(net.conv(x, outputs, outputs), outputs)
            x = net.op("Add", x, net.op("LeakyRelu", branch, alpha=0.1))
        if stage < 5:
            x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[1 + (stage < 4)] * 2, auto_pad="SAME_UPPER")
        channels = outputs
    return net.model(net.conv(x, channels, 30, 1))


def yolo_decoded() -> onnx.ModelProto:
    """A head that decodes its boxes in the model, anchors and grid as constants of five dimensions."""
    net = Net(image=(1, 3, 24, 32))
    x = net.conv(net.op("Mul", *[net.conv("image", 3, 8, stride=2)] * 2), 8, 14, stride=2)
    x = net.op("Reshape", x, net.constant([1, 2, 7, 6, 8], np.int64))
    x = net.op("Sigmoid", net.op("Transpose", x, perm=[0, 1, 3, 4, 2]))
    parts = [
        net.op("Slice", x, net.constant([low], np.int64), net.constant([high], np.int64), net.constant([4], np.int64))
        for low, high in ((0, 2), (2, 4), (4, 7))
    ]
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(6)), -1).reshape(1, 1, 6, 8, 2)
    centers = net.op("Mul", net.op("Add", parts[0], net.constant(grid)), net.constant(4.0))
    sizes = net.op(
        "Mul", net.op("Mul", parts[1], parts[1]), net.constant(np.array([[8, 9], [20, 18]]).reshape(2, 1, 1, 2))
    )
    return net.model(
        net.op("Reshape", net.op("Concat", centers, sizes, parts[2], axis=4), net.constant([1, -1, 7], np.int64))
    )


def segmentation() -> onnx.ModelProto:
    """Down, up again by transposed convolutions, bilinear at the end."""
    net = Net(image=(1, 2, 16, 16))
    x = net.op("Relu", net.conv("image", 2, 8, stride=2))
    up = net.op("ConvTranspose", x, net.weight(8, 6, 2, 2), net.constant(np.ones(6)), strides=[2, 2])
    up = net.op("ConvTranspose", net.op("Relu", up), net.weight(6, 2, 3, 3), strides=[1, 1], pads=[1] * 4, group=2)
    scales = net.constant([1.0, 1.0, 2.0, 2.0])
    return net.model(
        net.op("Resize", up, "", scales, mode="linear", coordinate_transformation_mode="pytorch_half_pixel")
    )


def mlp() -> onnx.ModelProto:
    net = Net(features=(1, 40))
    x = net.op("Relu", net.dense("features", 40, 32))
    x = net.op("Tanh", net.dense(x, 32, 8))
    return net.model(net.dense(net.op("Relu", net.dense(x, 8, 32)), 32, 40))


def rows() -> onnx.ModelProto:
    """Matrix products of several rows, and of what the model computes itself: attention."""
    net = Net(tokens=(1, 6, 16))
    query, key, value = (net.op("MatMul", "tokens", net.weight(16, 16)) for _ in range(3))
    scores = net.op("MatMul", query, net.op("Transpose", key, perm=[0, 2, 1]))
    mixed = net.op("MatMul", net.op("Softmax", net.op("Mul", scores, net.constant(0.25)), axis=2), value)
    return net.model(net.op("Add", "tokens", net.op("MatMul", mixed, net.weight(16, 16))))


def several() -> onnx.ModelProto:
    """Three inputs, one of them for the CPU, and three outputs, one of them used further."""
    net = Net(left=(1, 2, 9, 9), right=(1, 3, 9, 9), factors=(1, 4, 1, 1))
    x = net.op("Add", net.conv("left", 2, 4), net.conv("right", 3, 4))
    padded = net.op("Pad", x, net.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    y = net.op("Relu", net.conv(padded, 4, 4, stride=2, group=2, pads=[0] * 4))
    return net.model(x, net.op("Mul", y, "factors"), net.op("Exp", net.op("Neg", "factors")))


def signals() -> onnx.ModelProto:
    """One-dimensional convolutions."""
    net = Net(wave=(1, 4, 64))
    x = net.op("Relu", net.op("Conv", "wave", net.weight(8, 4, 3), pads=[1, 1], strides=[2]))
    x = net.op("Relu", net.op("Conv", x, net.weight(8, 1, 3), pads=[1, 1], group=8))
    x = net.op("MaxPool", net.op("Conv", x, net.weight(12, 8, 1)), kernel_shape=[2], strides=[2])
    return net.model(net.dense(net.op("Flatten", x), 12 * 16, 3))


def tiny() -> onnx.ModelProto:
    """Maps below the chip's 4x4, stride 2 on odd sizes, kernels the chip lacks."""
    net = Net(image=(1, 3, 5, 3))
    x = net.op("Relu", net.conv("image", 3, 6, stride=2))
    x = net.op("Sigmoid", net.op("Conv", x, net.weight(6, 6, 1, 3), pads=[0, 1, 0, 1]))
    x = net.op("Relu", net.op("Conv", x, net.weight(4, 3, 2, 2), pads=[1, 0, 0, 1], group=2))
    return net.model(net.op("Conv", x, net.weight(5, 4, 3, 2)))


def wide_kernels() -> onnx.ModelProto:
    """What stays on the CPU between layers that do not: 5x5, dilated, stride 3."""
    net = Net(image=(1, 2, 14, 14))
    x = net.op("Relu", net.conv("image", 2, 4))
    x = net.op("Relu", net.conv(x, 4, 4, 5))
    x = net.op("Relu", net.conv(x, 4, 6, dilations=[2, 2], pads=[2, 2, 2, 2]))
    return net.model(net.conv(net.op("PRelu", x, net.constant(np.full((6, 1, 1), 0.2))), 6, 4, stride=3))


def input_is_output() -> onnx.ModelProto:
    net = Net(image=(1, 3, 8, 8))
    net.conv("image", 3, 4)
    return net.model("image", net.nodes[-1].output[0])


QUANTIZED: dict[str, Callable[[], onnx.ModelProto]] = {
    function.__name__: function
    for function in (
        mnist,
        mobilenet,
        mobilenet_v2,
        resnet,
        yolo,
        yolo_decoded,
        segmentation,
        mlp,
        rows,
        several,
        signals,
        tiny,
        wide_kernels,
        input_is_output,
    )
}


def functions() -> onnx.ModelProto:
    """Everything element by element, nothing for the KPU."""
    net = Net(x=(1, 3, 4, 5))
    y = net.op("Sin", net.op("Abs", "x"))
    y = net.op("Add", net.op("Cos", y), net.op("Sqrt", net.op("Exp", net.op("Floor", y))))
    y = net.op("Softplus", net.op("Elu", net.op("Mul", net.op("Tanh", y), "x"), alpha=0.7))
    return net.model(net.op("Softmax", y, axis=1), net.op("Round", net.op("Mul", "x", net.constant(10.0))))


def reductions() -> onnx.ModelProto:
    net = Net(x=(2, 3, 4, 5))
    mean = net.op("ReduceMean", "x", axes=[1, 3], keepdims=0)
    return net.model(
        net.op("ReduceMax", "x", axes=[2], keepdims=1),
        net.op("ReduceSum", mean, net.constant([0], np.int64), keepdims=0),
        net.op("ReduceMin", "x", axes=[0, 1, 2, 3], keepdims=1),
    )


def moves() -> onnx.ModelProto:
    net = Net(x=(1, 8, 4, 6))
    y = net.op("DepthToSpace", "x", blocksize=2, mode="CRD")
    y = net.op("Pad", y, net.constant([0, 0, 1, 0, 0, 0, 0, 2], np.int64), net.constant(-1.5))
    ends = [net.constant(v, np.int64) for v in ([8, 0], [0, -20], [2, 3], [-1, -2])]
    y = net.op("Slice", y, *ends)
    return net.model(net.op("Concat", y, y, axis=1), net.op("Transpose", "x", perm=[3, 0, 2, 1]))


def many_dimensions() -> onnx.ModelProto:
    """A channel shuffle over five dimensions."""
    net = Net(x=(1, 6, 4, 4))
    y = net.op("Reshape", "x", net.constant([1, 2, 3, 4, 4], np.int64))
    y = net.op("Transpose", y, perm=[0, 2, 1, 3, 4])
    return net.model(net.op("Reshape", y, net.constant([1, 6, 4, 4], np.int64)))


def five_dimensions() -> onnx.ModelProto:
    """Slices, pads, reductions and broadcasts of more dimensions than a kmodel has, at its borders too."""
    net = Net(x=(1, 2, 3, 4, 5), bias=(2, 1, 4, 5))
    y = net.op("Add", "x", "bias")
    ends = [net.constant(v, np.int64) for v in ([1, 4], [3, -6], [2, 4], [1, -2])]
    y = net.op("Pad", net.op("Slice", y, *ends), net.constant([0, 1, 0, 0, 2, 0, 0, 0, 1, 0], np.int64))
    return net.model(net.op("Sigmoid", y), net.op("ReduceMean", y, axes=[1, 3, 4], keepdims=0))


def reshapes() -> onnx.ModelProto:
    net = Net(x=(1, 3, 4, 5))
    y = net.op("Reshape", "x", net.constant([3, 20], np.int64))
    return net.model(net.op("Flatten", "x"), y)


def nothing() -> onnx.ModelProto:
    net = Net(x=(1, 3, 4, 5))
    return net.model(net.op("Identity", "x"))


def constants() -> onnx.ModelProto:
    net = Net(x=(1, 5))
    halves = net.op("Mul", net.constant(np.arange(6).reshape(1, 6)), net.constant(0.5))
    return net.model(halves, net.op("Relu", "x"))


def unused_input() -> onnx.ModelProto:
    net = Net(x=(1, 5), y=(1, 3))
    return net.model(net.op("Relu", "x"))


def products() -> onnx.ModelProto:
    """Matrices of the model's own, in batches."""
    net = Net(a=(2, 3, 4, 5), b=(2, 3, 5, 6))
    return net.model(net.op("MatMul", "a", "b"), net.op("Div", "a", net.op("ReduceMax", "a", axes=[3])))


FLOATS: dict[str, Callable[[], onnx.ModelProto]] = {
    function.__name__: function
    for function in (
        functions,
        reductions,
        moves,
        many_dimensions,
        five_dimensions,
        reshapes,
        nothing,
        constants,
        unused_input,
        products,
    )
}
