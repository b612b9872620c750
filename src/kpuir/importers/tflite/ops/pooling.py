"""Pooling windows. TensorFlow's padding never counts as elements."""

import math
from collections.abc import Mapping
from typing import cast

from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import UnaryKind
from kpuir.importers.tflite.layer import ZERO_POINTS, Handler, Layer
from kpuir.importers.tflite.ops.common import Pads, fused_activation, to_nchw, to_nhwc, window_pads

Pair = tuple[int, int]


_LARGEST_LAYER = 4
"""Windows that the KPU averages are up to 4x4, but for those of whole maps."""


def average_pool_2d(layer: Layer) -> SSAValue:
    """AVERAGE_POOL_2D; means of codes are not halfway between two where the CPU rounds them."""
    kernel, strides, pads = _window(layer)
    means = layer.put(ktensor.AveragePool2dOp(to_nchw(layer, layer.value(0)), kernel, strides=strides, pads=pads))
    if offset := _beside_halves(layer, kernel):
        means = layer.activation(means, "add", offset)
    return to_nhwc(layer, fused_activation(layer, means))


def _beside_halves(layer: Layer, kernel: Pair) -> float:
    """What moves means by half of what two of them differ by at least, to the side that LiteRT rounds halves to.

    That is away from code 0, so down or up: most means lie on the same side of that code as the zero point does.
    Runtimes round halves each in their own way (`kmodel-v4.md` 12, `kmodel-v5.md` 8), and so would layers of the KPU.
    """
    tensor, count = layer.tensor(0), math.prod(kernel)
    if tensor is None or tensor.dtype not in ZERO_POINTS or tensor.quantization is None or count % 2:
        return 0.0
    if max(kernel) <= _LARGEST_LAYER and kernel != layer.rank4(0)[1:3]:
        return 0.0
    half = float(tensor.quantization.scale[0]) / (2 * count)
    return -half if tensor.quantization.zero_point[0] < 0 else half


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
