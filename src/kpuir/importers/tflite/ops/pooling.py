"""Pooling windows. TensorFlow's padding never counts as elements."""

from collections.abc import Mapping
from typing import cast

from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import UnaryKind
from kpuir.importers.tflite.layer import Handler, Layer
from kpuir.importers.tflite.ops.common import Pads, fused_activation, to_nchw, to_nhwc, window_pads

Pair = tuple[int, int]


def average_pool_2d(layer: Layer) -> SSAValue:
    """AVERAGE_POOL_2D."""
    kernel, strides, pads = _window(layer)
    pooled = ktensor.AveragePool2dOp(to_nchw(layer, layer.value(0)), kernel, strides=strides, pads=pads)
    return to_nhwc(layer, fused_activation(layer, layer.put(pooled)))


def max_pool_2d(layer: Layer) -> SSAValue:
    """MAX_POOL_2D."""
    kernel, strides, pads = _window(layer)
    pooled = ktensor.MaxPool2dOp(to_nchw(layer, layer.value(0)), kernel, strides=strides, pads=pads)
    return to_nhwc(layer, fused_activation(layer, layer.put(pooled)))


def l2_pool_2d(layer: Layer) -> SSAValue:
    """L2_POOL_2D: the root of the mean of the squares."""
    kernel, strides, pads = _window(layer)
    squares = layer.put(ktensor.UnaryOp(UnaryKind.SQUARE, to_nchw(layer, layer.value(0))))
    means = layer.put(ktensor.AveragePool2dOp(squares, kernel, strides=strides, pads=pads))
    return to_nhwc(layer, fused_activation(layer, layer.put(ktensor.UnaryOp(UnaryKind.SQRT, means))))


def _window(layer: Layer) -> tuple[Pair, Pair, Pads]:
    """Kernel, strides and pads of a pooling layer."""
    kernel = cast("Pair", layer.positive("FilterHeight", "FilterWidth"))
    strides = cast("Pair", layer.positive("StrideH", "StrideW"))
    return kernel, strides, window_pads(layer, layer.rank4(0)[1:3], kernel, strides)


OPS: Mapping[str, Handler] = {
    "AVERAGE_POOL_2D": average_pool_2d,
    "L2_POOL_2D": l2_pool_2d,
    "MAX_POOL_2D": max_pool_2d,
}
