"""The networks people run on the chip, by their papers, of any size; their weights are drawn from a seed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from tests.zoo.builder import Builder


def _round(channels: float) -> int:
    """To a multiple of 8, as the MobileNets do."""
    return max(8, int(channels + 4) // 8 * 8)


def _stride2(x: Builder, name: str, kernel: int, same: bool) -> dict[str, Any]:
    """A stride of 2, padded as PyTorch does (evenly) or as TensorFlow's SAME (less at the start)."""
    if not same:
        return {"strides": [2, 2]}
    starts, ends = [], []
    for size in x.values[name][0].shape[2:]:
        total = max((-(-size // 2) - 1) * 2 + kernel - size, 0)
        starts.append(total // 2)
        ends.append(total - total // 2)
    return {"strides": [2, 2], "pads": starts + ends}


def _mobilenet_v1(net: Builder, width: float, same: bool) -> str:
    """Everything in front of the mean (arXiv:1704.04861)."""
    x = net.unit("image", _round(32 * width), **_stride2(net, "image", 3, same))
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for outputs, stride in blocks:
        x = net.depthwise(x, **_stride2(net, x, 3, same) if stride == 2 else {})
        x = net.unit(x, _round(outputs * width), 1)
    return x


def mobilenet_v1(size: int = 224, width: float = 1.0, classes: int = 1000, same: bool = False) -> onnx.ModelProto:
    net = Builder(1, 3, size, size)
    return net.model(net.classes(_mobilenet_v1(net, width, same), classes))


def yolo_mobilenet(height: int = 240, width: int = 320, channels: float = 0.5) -> onnx.ModelProto:
    """YOLOv2-tiny's head for 20 classes and 5 anchors on MobileNetV1."""
    net = Builder(1, 3, height, width)
    x = _mobilenet_v1(net, channels, same=False)
    return net.model(net.unit(x, 125, 1, act="none"))


def _inverted_residual(net: Builder, x: str, outputs: int, expansion: int, kernel: int, stride: int) -> str:
    """Wider by a 1x1, depthwise, narrow again without an activation (arXiv:1801.04381)."""
    inputs = net.channels(x)
    y = x if expansion == 1 else net.unit(x, inputs * expansion, 1)
    y = net.depthwise(y, kernel, **_stride2(net, y, kernel, same=False) if stride == 2 else {})
    y = net.unit(y, outputs, 1, act="none")
    return net.op("Add", x, y) if stride == 1 and inputs == outputs else y


def _inverted_residuals(net: Builder, x: str, stages: list[tuple[int, ...]], width: float = 1.0) -> str:
    for kernel, stride, expansion, channels, repeats in stages:
        for index in range(repeats):
            x = _inverted_residual(net, x, _round(channels * width), expansion, kernel, stride if index == 0 else 1)
    return x


MOBILENET_V2 = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (3, 2, 6, 32, 3),
    (3, 2, 6, 64, 4),
    (3, 1, 6, 96, 3),
    (3, 2, 6, 160, 3),
    (3, 1, 6, 320, 1),
]
EFFICIENTNET = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
]
"""Stages of inverted residuals: kernel, stride of the first, expansion, channels, repeats."""


def mobilenet_v2(size: int = 224, width: float = 0.5, last: int = 1280, classes: int = 1000) -> onnx.ModelProto:
    net = Builder(1, 3, size, size)
    x = net.unit("image", _round(32 * width), strides=[2, 2])
    x = net.unit(_inverted_residuals(net, x, MOBILENET_V2, width), last, 1)
    return net.model(net.classes(x, classes))


def efficientnet_lite0(size: int = 160, width: float = 1.0, last: int = 1280, classes: int = 1000) -> onnx.ModelProto:
    net = Builder(1, 3, size, size)
    x = net.unit("image", _round(32 * width), strides=[2, 2])
    x = net.unit(_inverted_residuals(net, x, EFFICIENTNET, width), last, 1)
    return net.model(net.classes(x, classes))


def squeezenet(size: int = 128, width: float = 1.0, classes: int = 1000) -> onnx.ModelProto:
    """Version 1.1, as torchvision exports it (arXiv:1602.07360)."""
    net = Builder(1, 3, size, size)
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}
    x = net.op("MaxPool", net.unit("image", _round(64 * width), act="relu", strides=[2, 2], pads=[0] * 4), **pool)
    for index, (squeezed, expanded) in enumerate([(16, 64), (32, 128), (48, 192), (64, 256)]):
        for _ in range(2):
            x = net.unit(x, _round(squeezed * width), 1, act="relu")
            sides = [net.unit(x, _round(expanded * width), kernel, act="relu") for kernel in (1, 3)]
            x = net.op("Concat", *sides, axis=1)
        x = net.op("MaxPool", x, **pool) if index < 2 else x
    x = net.op("GlobalAveragePool", net.unit(x, classes, 1, act="relu"))
    return net.model(net.op("Flatten", x))


def _shuffled(net: Builder, x: str) -> str:
    """Channels in two groups, taken from one and the other in turn."""
    _, channels, height, width = net.values[x][0].shape
    x = net.op("Reshape", x, net.constant([1, 2, channels // 2, height, width], np.int64))
    x = net.op("Transpose", x, perm=[0, 2, 1, 3, 4])
    return net.op("Reshape", x, net.constant([1, channels, height, width], np.int64))


def _shuffle_unit(net: Builder, x: str, outputs: int, stride: int) -> str:
    if stride == 1:
        kept, x = net.split(x)
    else:
        kept = net.unit(net.depthwise(x, act="none", strides=[2, 2]), outputs // 2, 1, act="relu")
    x = net.depthwise(net.unit(x, outputs // 2, 1, act="relu"), act="none", strides=[stride, stride])
    return _shuffled(net, net.op("Concat", kept, net.unit(x, outputs // 2, 1, act="relu"), axis=1))


def shufflenet_v2(
    size: int = 224, channels: tuple[int, ...] = (24, 48, 96, 192), last: int = 1024, classes: int = 1000
) -> onnx.ModelProto:
    """Of width 0.5 unless told (arXiv:1807.11164)."""
    net = Builder(1, 3, size, size)
    x = net.unit("image", channels[0], act="relu", strides=[2, 2])
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for outputs, repeats in zip(channels[1:], (4, 8, 4), strict=True):
        for index in range(repeats):
            x = _shuffle_unit(net, x, outputs, 2 if index == 0 else 1)
    return net.model(net.classes(net.unit(x, last, 1, act="relu"), classes))


def unet(size: int = 128, width: int = 16, depth: int = 3, classes: int = 2) -> onnx.ModelProto:
    """Down by pools, up by transposed convolutions, joined with what was there on the way down (arXiv:1505.04597)."""
    net = Builder(1, 3, size, size)
    x, kept = "image", list[str]()
    for level in range(depth):
        x = net.unit(net.unit(x, width << level, act="relu"), width << level, act="relu")
        kept.append(x)
        x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.unit(net.unit(x, width << depth, act="relu"), width << depth, act="relu")
    for level in reversed(range(depth)):
        x = net.op("Concat", kept[level], net.upsample(x, width << level, act="none"), axis=1)
        x = net.unit(net.unit(x, width << level, act="relu"), width << level, act="relu")
    return net.model(net.op("Sigmoid", net.unit(x, classes, 1, act="none")))


def tcn(length: int = 128, channels: int = 32, inputs: int = 16, classes: int = 12) -> onnx.ModelProto:
    """Residual blocks of dilated convolutions along one row (arXiv:1803.01271)."""
    net = Builder(1, inputs, 1, length)
    x = net.unit("image", channels, 1, act="relu")
    for dilation in (1, 2, 4, 8):
        y = net.unit(x, channels, (1, 3), act="relu", dilations=[1, dilation])
        y = net.unit(y, channels, (1, 3), act="relu", dilations=[1, dilation])
        x = net.op("Relu", net.op("Add", x, y))
    return net.model(net.classes(x, classes))


Model = Callable[..., onnx.ModelProto]

FULL: dict[str, tuple[Model, dict[str, Any]]] = {
    "MobileNetV1 0.25 @224": (mobilenet_v1, {"width": 0.25}),
    "MobileNetV1 0.75 @224": (mobilenet_v1, {"width": 0.75}),
    "MobileNetV1 1.0 @224": (mobilenet_v1, {}),
    "MobileNetV1 0.25 @224 SAME": (mobilenet_v1, {"width": 0.25, "same": True}),
    "MobileNetV2 0.5 @224": (mobilenet_v2, {}),
    "YOLOv2-tiny MobileNet 0.5 @320x240": (yolo_mobilenet, {}),
    "YOLOv2-tiny MobileNet 0.75 @320x240": (yolo_mobilenet, {"channels": 0.75}),
    "YOLOv2-tiny MobileNet 1.0 @320x240": (yolo_mobilenet, {"channels": 1.0}),
    "SqueezeNet 1.1 @128": (squeezenet, {}),
    "ShuffleNetV2 0.5 @224": (shufflenet_v2, {}),
    "U-Net @128": (unet, {}),
    "TCN 1x128": (tcn, {}),
    "EfficientNet-lite0 @160": (efficientnet_lite0, {}),
}
"""By name: what builds it, and with what."""

SMALL: dict[str, tuple[Model, dict[str, Any]]] = {
    "mobilenet-v1-0.25": (mobilenet_v1, {"size": 64, "width": 0.25, "classes": 10}),
    "mobilenet-v1-0.75": (mobilenet_v1, {"size": 64, "width": 0.75, "classes": 10}),
    "mobilenet-v1-1.0": (mobilenet_v1, {"size": 64, "classes": 10}),
    "mobilenet-v1-same": (mobilenet_v1, {"size": 64, "width": 0.25, "classes": 10, "same": True}),
    "mobilenet-v2": (mobilenet_v2, {"size": 96, "width": 0.25, "last": 64, "classes": 10}),
    "yolo-mobilenet": (yolo_mobilenet, {"height": 60, "width": 80, "channels": 0.25}),
    "squeezenet": (squeezenet, {"size": 64, "width": 0.25, "classes": 20}),
    "shufflenet-v2": (shufflenet_v2, {"size": 96, "channels": (8, 16, 32, 64), "last": 64, "classes": 10}),
    "unet": (unet, {"size": 32, "width": 8}),
    "tcn": (tcn, {"length": 64, "channels": 16}),
    "efficientnet-lite0": (efficientnet_lite0, {"size": 96, "width": 0.25, "last": 64, "classes": 10}),
}
"""The same in sizes for the test suite."""
