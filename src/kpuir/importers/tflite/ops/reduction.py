"""Reductions, and the normalizations made of them."""

import math
from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import ActivationAttr, ActivationKind, BinaryKind, ReduceKind, UnaryKind
from kpuir.importers.emitter import MAX_COPIES
from kpuir.importers.tflite.codes import on_codes
from kpuir.importers.tflite.layer import Handler, Layer, Value, shape_of
from kpuir.importers.tflite.ops.common import fused_activation

_SMALLEST_NORM = 1e-6
"""L2_NORMALIZATION divides by at least this (TFLite's own constant)."""


_FAR = float(np.finfo(np.float32).max)
_WINDOWS = {1: ("add", 0.0), 2: ("mul", 1.0), 3: ("min", _FAR), 4: ("max", -_FAR), 5: ("min", 1.0), 6: ("max", 0.0)}
"""What REDUCE_WINDOW computes, by its number in the file, and what changes nothing."""


def reduction(kind: ReduceKind, fold: Callable[..., Any]) -> Handler:
    """The handler of a reduction over constant axes."""

    def handler(layer: Layer) -> Value:
        rank = len(layer.shape(0))
        axes = tuple(sorted({layer.axis(axis, rank) for axis in layer.integers(1, "its axes")}))
        keep_dims = bool(layer.option("KeepDims", False))
        constant = layer.known(0)
        if constant is not None:
            return np.asarray(fold(constant, axis=axes, keepdims=keep_dims), constant.dtype)
        if not axes:
            return layer.value(0)
        result = layer.reduce(kind, layer.value(0), axes, keep_dims)
        if kind is not ReduceKind.MEAN:
            return result
        if layer.is_whole():
            return layer.truncated(result)
        offset = _rounding_of_zero(layer) if keep_dims and axes == (1, 2) and rank == 4 else 0.0
        return layer.activation(result, "add", offset) if offset else result

    handler.__doc__ = f"`ktensor.reduce<{kind}>` over constant axes."
    return handler


def _rounding_of_zero(layer: Layer) -> float:
    """By what LiteRT's mean of a map of bytes is off: it rounds the input's zero point to the output's steps first."""
    source, target = (
        layer.scope.tensors[i].quantization for i in (layer.operator.inputs[0], layer.operator.outputs[0])
    )
    if source is None or target is None:
        return 0.0
    zero = float(source.zero_point[0] * source.scale[0] / target.scale[0])
    return (zero - math.copysign(math.floor(abs(zero) + 0.5), zero)) * float(target.scale[0])


def softmax(layer: Layer) -> SSAValue:
    """SOFTMAX over the last axis."""
    axis = layer.axis(-1, len(layer.shape(0)))
    return layer.put(ktensor.SoftmaxOp(layer.value(0), axis, float(layer.option("Beta", 1.0))))


def log_softmax(layer: Layer) -> SSAValue:
    """LOG_SOFTMAX: x - max - log(sum(exp(x - max))) over the last axis."""
    value = layer.value(0)
    highest = _over_last(layer, ReduceKind.MAX, value)
    shifted = layer.put(ktensor.BinaryOp(BinaryKind.SUB, value, highest))
    total = _over_last(layer, ReduceKind.SUM, layer.put(ktensor.UnaryOp(UnaryKind.EXP, shifted)))
    return layer.put(ktensor.BinaryOp(BinaryKind.SUB, shifted, layer.put(ktensor.UnaryOp(UnaryKind.LOG, total))))


def l2_normalization(layer: Layer) -> SSAValue:
    """L2_NORMALIZATION: x / max(sqrt(sum(x^2)), 1e-6) over the last axis."""
    value = layer.value(0)
    squares = _over_last(layer, ReduceKind.SUM, layer.put(ktensor.UnaryOp(UnaryKind.SQUARE, value)))
    norm = layer.put(ktensor.UnaryOp(UnaryKind.SQRT, squares))
    floor = ActivationAttr.of(ActivationKind.MAX, _SMALLEST_NORM)
    divisor = layer.put(ktensor.ActivationOp(norm, floor))
    return fused_activation(layer, layer.put(ktensor.BinaryOp(BinaryKind.DIV, value, divisor)))


def local_response_normalization(layer: Layer) -> SSAValue:
    """LOCAL_RESPONSE_NORMALIZATION: x / (bias + alpha * sum of the neighbours' squares) ** beta along the last axis."""
    shape = layer.shape(0)
    radius, bias, alpha, beta = (layer.option(name) for name in ("Radius", "Bias", "Alpha", "Beta"))
    channels = np.arange(shape[-1])
    band = (np.abs(channels[:, None] - channels) <= radius).astype(np.float32)
    value = layer.value(0)
    squares = layer.reshape(layer.unary("square", value), (-(-math.prod(shape) // shape[-1]), shape[-1]))
    sums = layer.put(ktensor.MatmulOp(squares, layer.constant(band * np.float32(alpha))))
    logarithm = layer.unary("log", layer.binary("add", layer.reshape(sums, shape), bias))
    return layer.binary("mul", value, layer.unary("exp", layer.binary("mul", logarithm, -beta)))


def reduce_window(layer: Layer) -> SSAValue:
    """REDUCE_WINDOW: along one axis after the other, the elements of a window are taken together."""
    function = int(layer.option("ReduceFunction"))
    if function not in _WINDOWS or (function > 4) != (layer.dtype(0) == "BOOL"):
        layer.refuse(
            f"function {function} of {layer.dtype(0).lower()}", "sums, products, extremes; all and any of bools"
        )
    tensor, (kind, neutral) = layer.tensor(0), _WINDOWS[function]
    if kind == "mul" and tensor is not None and tensor.is_coded:
        layer.refuse("runtimes multiply codes, whatever their scale", "products of floats")
    start = float(layer.array(1, "its start").reshape(-1)[0])
    windows, shape, value = [layer.integers(i, "its window") for i in (2, 3, 4)], layer.shape(0), layer.value(0)
    if any(len(window) != len(shape) or min(window) < 1 for window in windows):
        raise layer.invalid(f"of {list(shape)} by windows, strides and dilations {windows}")
    for axis, (size, stride, dilation) in enumerate(zip(*windows, strict=True)):
        count = (shape[axis] - (size - 1) * dilation - 1) // stride + 1
        if count < 1 or size > MAX_COPIES:
            raise layer.invalid(f"has windows of {size} elements on an axis of {shape[axis]}")
        starts = range(0, size * dilation, dilation)
        parts = [layer.cut(value, axis, first, first + (count - 1) * stride + 1, stride) for first in starts]
        value = reduce(partial(layer.binary, kind), parts)
    return value if abs(start - neutral) < _SMALLEST_NORM else layer.binary(kind, value, start)


def _over_last(layer: Layer, kind: ReduceKind, value: SSAValue) -> SSAValue:
    axis = layer.axis(-1, len(shape_of(value)))
    return layer.put(ktensor.ReduceOp(kind, value, (axis,)))


OPS: Mapping[str, Handler] = {
    "L2_NORMALIZATION": l2_normalization,
    "LOCAL_RESPONSE_NORMALIZATION": local_response_normalization,
    "LOG_SOFTMAX": log_softmax,
    "MEAN": reduction(ReduceKind.MEAN, np.mean),
    "REDUCE_MAX": reduction(ReduceKind.MAX, np.max),
    "REDUCE_MIN": reduction(ReduceKind.MIN, np.min),
    "REDUCE_ALL": reduction(ReduceKind.MIN, np.all),
    "REDUCE_ANY": reduction(ReduceKind.MAX, np.any),
    "REDUCE_PROD": reduction(ReduceKind.PROD, np.prod),
    "REDUCE_WINDOW": on_codes(reduce_window, overflows=True),
    "SOFTMAX": softmax,
    "SUM": reduction(ReduceKind.SUM, np.sum),
}
