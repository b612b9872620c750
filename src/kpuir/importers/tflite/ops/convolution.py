"""Convolutions. TFLite's weights are [OC, KH, KW, IC/groups], depthwise [1, KH, KW, C * multiplier].

Those of volumes are [KD, KH, KW, IC, OC].
"""

from collections.abc import Mapping
from typing import cast

import numpy as np
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.tflite.layer import Handler, Layer, shape_of
from kpuir.importers.tflite.ops.common import (
    fused_activation,
    is_same,
    same_padding,
    to_nchw,
    to_nhwc,
    transpose,
    window_pads,
)
from kpuir.importers.tflite.ops.movement import spread

Pair = tuple[int, int]


def conv_2d(layer: Layer) -> SSAValue:
    """CONV_2D, grouped where the weights have fewer input channels than the map."""
    weight = _weight(layer, 1, (0, 3, 1, 2))
    channels = layer.rank4(0)[3]
    out_channels, per_group = shape_of(weight)[:2]
    groups = channels // per_group
    if groups * per_group != channels or groups == 0 or out_channels % groups:
        message = (
            f"{channels} input channels do not fit weights of {per_group} input and {out_channels} output channels"
        )
        raise InvalidInputError(message, location=layer.name)
    return _convolution(layer, weight, groups)


def depthwise_conv_2d(layer: Layer) -> SSAValue:
    """DEPTHWISE_CONV_2D: output channel c * multiplier + m is made of input channel c."""
    weight = _weight(layer, 1, (3, 0, 1, 2))
    channels = layer.rank4(0)[3]
    out_channels = shape_of(weight)[0]
    if shape_of(weight)[1] != 1 or out_channels % channels:
        message = f"{channels} input channels do not fit weights of shape {list(layer.shape(1))}"
        raise InvalidInputError(message, location=layer.name)
    return _convolution(layer, weight, channels)


def transpose_conv(layer: Layer) -> SSAValue:
    """TRANSPOSE_CONV(output shape, weights [OC, KH, KW, IC], input, bias): pads follow from the output's size."""
    out_size = layer.integers(0, "its output shape")
    weight = _weight(layer, 1, (3, 0, 1, 2))
    in_size = layer.rank4(2)[1:3]
    kernel = shape_of(weight)[2:]
    strides = cast("Pair", layer.positive("StrideH", "StrideW"))
    if len(out_size) != 4:
        raise InvalidInputError(f"its output shape is {list(out_size)}", location=layer.name)
    rows = _transposed_pads(layer, in_size[0], out_size[1], kernel[0], strides[0])
    columns = _transposed_pads(layer, in_size[1], out_size[2], kernel[1], strides[1])
    operation = ktensor.Conv2dTransposeOp(
        to_nchw(layer, layer.value(2)),
        weight,
        _bias(layer, 3),
        strides=strides,
        pads=(rows[0], columns[0], rows[1], columns[1]),
        output_padding=(rows[2], columns[2]),
    )
    return to_nhwc(layer, fused_activation(layer, layer.put(operation)))


def conv_3d(layer: Layer) -> SSAValue:
    """CONV_3D with constant weights: a sum of convolutions, one for each plane of the kernel."""
    weights, shape = layer.weights(1), layer.shape(0)
    if weights is None:
        layer.refuse("its weights are computed by the model", "constant ones")
    if len(shape) != 5 or weights.ndim != 5 or shape[4] != weights.shape[3]:
        raise layer.invalid(f"of {list(shape)} with weights of {list(weights.shape)}")
    strides, dilations, spans = _volume_window(layer, weights.shape)
    line, beside = ((1, shape[1]), (1, spans[0]), (1, strides[0])), (shape[2:4], (spans[1], spans[2]), strides[1:])
    (_, front, _, back), pads = (window_pads(layer, *cast("tuple[Pair, Pair, Pair]", one)) for one in (line, beside))
    value = layer.value(0)
    if front or back:
        value = layer.put(ktensor.PadOp(value, (0, front, 0, 0, 0), (0, back, 0, 0, 0), 0.0))
    count = (shape[1] + front + back - spans[0]) // strides[0] + 1
    total: SSAValue | None = None
    for plane, taps in enumerate(weights):
        start = plane * dilations[0]
        taken = layer.cut(value, 1, start, start + (count - 1) * strides[0] + 1, strides[0])
        operation = ktensor.Conv2dOp(
            to_nchw(layer, layer.reshape(taken, (shape[0] * count, *shape[2:]))),
            layer.put_constant(np.ascontiguousarray(taps.transpose(3, 2, 0, 1))),
            _bias(layer, 2) if plane == 0 else None,
            strides=strides[1:],
            pads=pads,
            dilations=dilations[1:],
        )
        part = layer.put(operation)
        total = part if total is None else layer.binary("add", total, part)
    maps = to_nhwc(layer, fused_activation(layer, cast("SSAValue", total)))
    return layer.reshape(maps, (shape[0], count, *shape_of(maps)[1:]))


def conv_3d_transpose(layer: Layer) -> SSAValue:
    """CONV_3D_TRANSPOSE(output shape, weights [KD, KH, KW, OC, IC], input, bias) with constant weights.

    Each plane of the kernel is a transposed convolution, of which the maps are spread by the stride and added.
    """
    out_size, weights, shape = layer.integers(0, "its output shape"), layer.weights(1), layer.shape(2)
    if weights is None:
        layer.refuse("its weights are computed by the model", "constant ones")
    if not len(out_size) == len(shape) == weights.ndim == 5 or shape[4] != weights.shape[4]:
        raise layer.invalid(f"of {list(shape)} with weights of {list(weights.shape)} into {list(out_size)}")
    strides, dilations, spans = _volume_window(layer, weights.shape)
    axes = zip(shape[1:4], out_size[1:4], spans, strides, strict=True)
    (front, back, deeper), rows, columns = (_transposed_pads(layer, *axis) for axis in axes)
    maps = to_nchw(layer, layer.reshape(layer.value(2), (shape[0] * shape[1], *shape[2:])))
    depth = (shape[1] - 1) * strides[0] + spans[0] + deeper
    total: SSAValue | None = None
    for plane, taps in enumerate(weights):
        operation = ktensor.Conv2dTransposeOp(
            maps,
            layer.put_constant(np.ascontiguousarray(taps.transpose(3, 2, 0, 1))),
            strides=strides[1:],
            pads=(rows[0], columns[0], rows[1], columns[1]),
            dilations=dilations[1:],
            output_padding=(rows[2], columns[2]),
        )
        part = to_nhwc(layer, layer.put(operation))
        volume = layer.reshape(part, (*shape[:2], *shape_of(part)[1:]))
        if strides[0] > 1:
            volume = spread(layer, volume, 1, strides[0])
        before = plane * dilations[0]
        after = depth - before - shape_of(volume)[1]
        if before or after:
            volume = layer.put(ktensor.PadOp(volume, (0, before, 0, 0, 0), (0, after, 0, 0, 0), 0.0))
        total = volume if total is None else layer.binary("add", total, volume)
    value = layer.cut(cast("SSAValue", total), 1, front, depth - back)
    return fused_activation(layer, layer.binary("add", value, layer.value(3)) if layer.has(3) else value)


def _volume_window(layer: Layer, kernel: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], list[int]]:
    """Strides and dilations of a convolution of volumes, and the sizes of its dilated kernel."""
    strides, dilations = (
        layer.positive(*(f"{what}{axis}{more}" for axis in "DHW"))
        for what, more in (("Stride", ""), ("Dilation", "Factor"))
    )
    return strides, dilations, [(taps - 1) * rate + 1 for taps, rate in zip(kernel, dilations, strict=False)]


def convolution_2d_transpose_bias(layer: Layer) -> SSAValue:
    """MediaPipe's transposed convolution(input, weights [OC, KH, KW, IC], bias): its result is what padding leaves."""
    padding, stride_width, stride_height = layer.custom_options(3)
    if padding not in (1, 2) or min(stride_width, stride_height) < 1:
        raise layer.invalid(f"has padding scheme {padding} and strides {stride_height}x{stride_width}")
    weight = _weight(layer, 1, (3, 0, 1, 2))
    strides = (stride_height, stride_width)
    axes = list(zip(layer.rank4(0)[1:3], shape_of(weight)[2:], strides, strict=True))
    if padding == 1 and any(size % stride for size, _, stride in axes):
        layer.refuse("runtimes differ in the size of its result", "a size that is a multiple of the stride")
    totals = [max(kernel - stride, 0) if padding == 1 else 0 for _, kernel, stride in axes]
    top, left = (total // 2 for total in totals)
    operation = ktensor.Conv2dTransposeOp(
        to_nchw(layer, layer.value(0)),
        weight,
        _bias(layer, 2),
        strides=strides,
        pads=(top, left, totals[0] - top, totals[1] - left),
    )
    return to_nhwc(layer, layer.put(operation))


def _convolution(layer: Layer, weight: SSAValue, groups: int) -> SSAValue:
    size = layer.rank4(0)[1:3]
    kernel = cast("Pair", shape_of(weight)[2:])
    strides = cast("Pair", layer.positive("StrideH", "StrideW"))
    dilations = cast("Pair", layer.positive("DilationHFactor", "DilationWFactor"))
    span = ((kernel[0] - 1) * dilations[0] + 1, (kernel[1] - 1) * dilations[1] + 1)
    operation = ktensor.Conv2dOp(
        to_nchw(layer, layer.value(0)),
        weight,
        _bias(layer, 2),
        strides=strides,
        pads=window_pads(layer, size, span, strides),
        dilations=dilations,
        groups=groups,
    )
    return to_nhwc(layer, fused_activation(layer, layer.put(operation)))


def _transposed_pads(layer: Layer, size: int, out_size: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """(before, after, output padding) along one axis, so that `size` inputs give `out_size` outputs."""
    before = same_padding(out_size, kernel, stride)[0] if is_same(layer) else 0
    full = (size - 1) * stride + kernel
    after = full - before - out_size
    if out_size < 1 or -after >= max(stride, 2):
        message = f"{size} inputs with stride {stride} and kernel {kernel} cannot give {out_size} outputs"
        raise InvalidInputError(message, location=layer.name)
    return before, max(after, 0), max(-after, 0)


def _weight(layer: Layer, position: int, permutation: tuple[int, int, int, int]) -> SSAValue:
    layer.rank4(position)
    weights = layer.weights(position)
    if weights is None:
        return transpose(layer, layer.value(position), permutation)
    return layer.put_constant(np.ascontiguousarray(weights.transpose(permutation)))


def _bias(layer: Layer, position: int) -> SSAValue | None:
    if not layer.has(position):
        return None
    layer.weights(position)  # refuses infinite values
    return layer.value(position)


OPS: Mapping[str, Handler] = {
    "CONV_2D": conv_2d,
    "CONV_3D": conv_3d,
    "CONV_3D_TRANSPOSE": conv_3d_transpose,
    "CUSTOM Convolution2DTransposeBias": convolution_2d_transpose_bias,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "TRANSPOSE_CONV": transpose_conv,
}
