"""The networks people bring to the chip, with seeded weights: whole families at the sizes of their papers, or smaller.

Weights keep the size of activations through the depth, so that outputs depend on the image and comparing them means
something. `ZOO` has the full sizes, `SMALL` ones that compile in a moment.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tests.networks import Net


class DeepNet(Net):
    """Layers whose results are as large as their inputs, and the blocks that families share."""

    def weight(self, *shape: int) -> str:
        return self.constant(self.rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape))

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, **attributes: Any) -> str:
        groups = attributes.get("group", 1)
        attributes.setdefault("pads", [kernel // 2] * 4)
        bias = self.constant(self.rng.normal(0, 0.1, outputs))
        weight = self.weight(outputs, inputs // groups, kernel, kernel)
        return self.op("Conv", x, weight, bias, strides=[stride, stride], **attributes)

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        bias = self.constant(self.rng.normal(0, 0.1, outputs))
        weight = self.constant(self.rng.normal(0, 1 / np.sqrt(inputs), (outputs, inputs)))
        return self.op("Gemm", x, weight, bias, transB=1)

    def relu(self, x: str) -> str:
        return self.op("Relu", x)

    def relu6(self, x: str) -> str:
        zero, six = self.constant(0.0), self.constant(6.0)
        return self.op("Clip", x, zero, six)

    def depthwise(self, x: str, channels: int, kernel: int = 3, stride: int = 1, same: bool = False) -> str:
        """A depthwise convolution; `same` pads stride 2 as TensorFlow does on even sizes."""
        low, high = ((kernel - stride) // 2, (kernel - stride + 1) // 2) if same else (kernel // 2, kernel // 2)
        return self.conv(x, channels, channels, kernel, stride, group=channels, pads=[low, low, high, high])

    def separable(self, x: str, inputs: int, outputs: int, stride: int, same: bool = False) -> str:
        """MobileNet's block."""
        x = self.relu(self.depthwise(x, inputs, 3, stride, same))
        return self.relu(self.conv(x, inputs, outputs, 1))

    def inverted(self, x: str, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> str:
        """The inverted residual block of MobileNetV2 and EfficientNet-lite."""
        hidden = inputs * expansion
        deep = self.relu6(self.conv(x, inputs, hidden, 1)) if expansion > 1 else x
        deep = self.conv(self.relu6(self.depthwise(deep, hidden, kernel, stride)), hidden, outputs, 1)
        return self.op("Add", x, deep) if stride == 1 and inputs == outputs else deep

    def classifier(self, x: str, channels: int, classes: int) -> str:
        return self.dense(self.op("Flatten", self.op("GlobalAveragePool", x)), channels, classes)


def _width(channels: int, alpha: float) -> int:
    """Channels times the multiplier, a multiple of 8 as in the papers' code."""
    return max(8, int(channels * alpha + 4) // 8 * 8)


_MOBILENET = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


def mobilenet_v1(alpha: float, size: int = 224, classes: int = 1000, same: bool = False) -> onnx.ModelProto:
    net = DeepNet(1, image=(1, 3, size, size))
    pads = [0, 0, 1, 1] if same else [1, 1, 1, 1]
    channels = _width(32, alpha)
    x = net.relu(net.conv("image", 3, channels, 3, 2, pads=pads))
    for outputs, stride in _MOBILENET:
        x = net.separable(x, channels, _width(outputs, alpha), stride, same and stride == 2)
        channels = _width(outputs, alpha)
    return net.model(net.classifier(x, channels, classes))


_MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(alpha: float = 0.5, size: int = 224, classes: int = 1000) -> onnx.ModelProto:
    net = DeepNet(2, image=(1, 3, size, size))
    channels = _width(32, alpha)
    x = net.relu6(net.conv("image", 3, channels, 3, 2))
    for expansion, outputs, count, stride in _MOBILENET_V2:
        for index in range(count):
            x = net.inverted(x, channels, _width(outputs, alpha), 3, stride if index == 0 else 1, expansion)
            channels = _width(outputs, alpha)
    x = net.relu6(net.conv(x, channels, 1280 if classes > 100 else 64, 1))
    return net.model(net.classifier(x, 1280 if classes > 100 else 64, classes))


def yolo_v2(alpha: float = 0.75, height: int = 240, width: int = 320) -> onnx.ModelProto:
    """YOLOv2's head of 5 anchors and 20 classes on a MobileNet."""
    net = DeepNet(3, image=(1, 3, height, width))
    channels = _width(32, alpha)
    x = net.op("LeakyRelu", net.conv("image", 3, channels, 3, 2), alpha=0.1)
    for outputs, stride in _MOBILENET:
        x = net.separable(x, channels, _width(outputs, alpha), stride)
        channels = _width(outputs, alpha)
    x = net.op("LeakyRelu", net.depthwise(x, channels), alpha=0.1)
    x = net.op("LeakyRelu", net.conv(x, channels, channels // 2, 1), alpha=0.1)
    return net.model(net.conv(x, channels // 2, 125, 1))


def squeezenet(size: int = 128, classes: int = 1000) -> onnx.ModelProto:
    """SqueezeNet 1.1."""
    net = DeepNet(4, image=(1, 3, size, size))
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}
    x, channels = net.op("MaxPool", net.relu(net.conv("image", 3, 64, 3, 2, pads=[0] * 4)), **pool), 64
    for squeeze, expand, pooled in (
        *((16, 64, False), (16, 64, True), (32, 128, False), (32, 128, True)),
        *((48, 192, False), (48, 192, False), (64, 256, False), (64, 256, False)),
    ):
        x = net.relu(net.conv(x, channels, squeeze, 1))
        parts = [net.relu(net.conv(x, squeeze, expand, kernel)) for kernel in (1, 3)]
        x, channels = net.op("Concat", *parts, axis=1), 2 * expand
        x = net.op("MaxPool", x, **pool) if pooled else x
    x = net.op("GlobalAveragePool", net.relu(net.conv(x, channels, classes, 1)))
    return net.model(net.op("Flatten", x))


def shufflenet_v2(
    size: int = 224, classes: int = 1000, channels: Sequence[int] = (48, 96, 192, 1024)
) -> onnx.ModelProto:
    """ShuffleNetV2 0.5."""
    net = DeepNet(5, image=(1, 3, size, size))
    x = net.relu(net.conv("image", 3, 24, 3, 2))
    x, inputs, side = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), 24, -(-size // 4)

    def shuffled(parts: Sequence[str], outputs: int, side: int) -> str:
        x = net.op("Concat", *parts, axis=1)
        x = net.op("Reshape", x, net.constant([1, 2, outputs // 2, side, side], np.int64))
        x = net.op("Transpose", x, perm=[0, 2, 1, 3, 4])
        return net.op("Reshape", x, net.constant([1, outputs, side, side], np.int64))

    def branch(x: str, inputs: int, half: int, stride: int) -> str:
        x = net.relu(net.conv(x, inputs, half, 1))
        return net.relu(net.conv(net.depthwise(x, half, 3, stride), half, half, 1))

    for outputs, count in zip(channels[:3], (4, 8, 4), strict=True):
        half, side = outputs // 2, -(-side // 2)
        left = net.relu(net.conv(net.depthwise(x, inputs, 3, 2), inputs, half, 1))
        x = shuffled([left, branch(x, inputs, half, 2)], outputs, side)
        for _ in range(count - 1):
            ends = [net.constant([end], np.int64) for end in (0, half, outputs, 1)]
            left, right = (net.op("Slice", x, ends[i], ends[i + 1], ends[3]) for i in (0, 1))
            x = shuffled([left, branch(right, half, half, 1)], outputs, side)
        inputs = outputs
    x = net.relu(net.conv(x, inputs, channels[3], 1))
    return net.model(net.classifier(x, channels[3], classes))


def unet(size: int = 128, base: int = 8, levels: int = 3) -> onnx.ModelProto:
    net = DeepNet(6, image=(1, 3, size, size))

    def twice(x: str, inputs: int, outputs: int) -> str:
        return net.relu(net.conv(net.relu(net.conv(x, inputs, outputs)), outputs, outputs))

    x, channels, skips = twice("image", 3, base), base, list[str]()
    for _ in range(levels):
        skips.append(x)
        x = twice(net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), channels, channels * 2)
        channels *= 2
    for skip in reversed(skips):
        weight = net.constant(net.rng.normal(0, np.sqrt(1 / channels), (channels, channels // 2, 2, 2)))
        up = net.op("ConvTranspose", x, weight, kernel_shape=[2, 2], strides=[2, 2])
        x = twice(net.op("Concat", up, skip, axis=1), channels, channels // 2)
        channels //= 2
    return net.model(net.op("Sigmoid", net.conv(x, channels, 1, 1)))


def tcn(length: int = 128, channels: int = 32, classes: int = 12) -> onnx.ModelProto:
    """Causal dilated convolutions over time as 1x3, residual blocks, the mean over time."""
    net = DeepNet(7, image=(1, 16, 1, length))

    def causal(x: str, inputs: int, dilation: int) -> str:
        weight = net.weight(channels, inputs, 1, 3)
        bias = net.constant(net.rng.normal(0, 0.1, channels))
        return net.op("Conv", x, weight, bias, dilations=[1, dilation], pads=[0, 2 * dilation, 0, 0])

    x = net.conv("image", 16, channels, 1)
    for dilation in (1, 2, 4, 8):
        deep = net.relu(causal(net.relu(causal(x, channels, dilation)), channels, dilation))
        x = net.relu(net.op("Add", x, deep))
    return net.model(net.classifier(x, channels, classes))


_LITE = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


def efficientnet_lite(size: int = 160, classes: int = 1000, width: float = 1.0, head: int = 1280) -> onnx.ModelProto:
    net = DeepNet(8, image=(1, 3, size, size))
    channels = _width(32, width)
    x = net.relu6(net.conv("image", 3, channels, 3, 2))
    for expansion, outputs, count, stride, kernel in _LITE:
        for index in range(count):
            x = net.inverted(x, channels, _width(outputs, width), kernel, stride if index == 0 else 1, expansion)
            channels = _width(outputs, width)
    x = net.relu6(net.conv(x, channels, head, 1))
    return net.model(net.classifier(x, head, classes))


ZOO: dict[str, Callable[[], onnx.ModelProto]] = {
    "MobileNetV1 0.25 @224": lambda: mobilenet_v1(0.25),
    "MobileNetV1 0.75 @224": lambda: mobilenet_v1(0.75),
    "MobileNetV1 1.0 @224": lambda: mobilenet_v1(1.0),
    "MobileNetV1 0.5 @224, TensorFlow's padding": lambda: mobilenet_v1(0.5, same=True),
    "MobileNetV2 0.5 @224": mobilenet_v2,
    "YOLOv2-tiny MobileNet 0.75 @320x240": yolo_v2,
    "SqueezeNet 1.1 @128": squeezenet,
    "ShuffleNetV2 0.5 @224": shufflenet_v2,
    "U-Net @128": unet,
    "TCN 128": tcn,
    "EfficientNet-lite0 @160": efficientnet_lite,
}

SMALL: dict[str, Callable[[], onnx.ModelProto]] = {
    "mobilenet_v1": lambda: mobilenet_v1(0.25, 64, 20),
    "mobilenet_v1_same": lambda: mobilenet_v1(0.25, 64, 20, same=True),
    "mobilenet_v2": lambda: mobilenet_v2(0.25, 64, 20),
    "yolo_v2": lambda: yolo_v2(0.25, 120, 160),
    "squeezenet": lambda: squeezenet(64, 20),
    "shufflenet_v2": lambda: shufflenet_v2(64, 20, (16, 32, 64, 128)),
    "unet": lambda: unet(32, 8, 2),
    "tcn": lambda: tcn(32, 16),
    "efficientnet_lite": lambda: efficientnet_lite(64, 20, 0.25, 128),
}


def images(model: onnx.ModelProto, count: int, seed: int = 0) -> list[dict[str, NDArray[np.float32]]]:
    """Smooth random inputs of a model, 0 to 1, of some detail."""
    rng = np.random.default_rng(seed)
    shape = [dimension.dim_value for dimension in model.graph.input[0].type.tensor_type.shape.dim]
    return [{"image": _smooth(rng, shape)} for _ in range(count)]


def _smooth(rng: np.random.Generator, shape: Sequence[int]) -> NDArray[np.float32]:
    total = np.zeros(shape)
    for cells, weight in ((2, 1.0), (5, 0.7), (11, 0.5), (29, 0.3)):
        coarse = rng.random((*shape[:2], min(cells, shape[2]) + 1, min(cells, shape[3]) + 1))
        for axis in (2, 3):
            at = np.linspace(0, coarse.shape[axis] - 1, shape[axis])
            low = np.minimum(at.astype(int), coarse.shape[axis] - 2)
            part = (at - low).reshape([-1 if index == axis else 1 for index in range(4)])
            coarse = coarse.take(low, axis) * (1 - part) + coarse.take(low + 1, axis) * part
        total += weight * coarse
    total -= total.min()
    return np.round(total / total.max() * 255).astype(np.float32) / 255
