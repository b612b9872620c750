"""Reductions, and the normalizations made of them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import ActivationAttr, ActivationKind, BinaryKind, ReduceKind, UnaryKind
from kpuir.importers.tflite.layer import Handler, Layer, NotExpressibleError, Value, shape_of
from kpuir.importers.tflite.ops.common import fused_activation

_SMALLEST_NORM = 1e-6
"""L2_NORMALIZATION divides by at least this (TFLite's own constant)."""


def reduction(kind: ReduceKind | None, fold: Callable[..., Any]) -> Handler:
    """The handler of a reduction over constant axes; with no kind, of constants only."""

    def handler(layer: Layer) -> Value:
        rank = len(layer.shape(0))
        axes = tuple(sorted({layer.axis(axis, rank) for axis in layer.integers(1, "its axes")}))
        keep_dims = bool(layer.option("KeepDims", False))
        constant = layer.constant(0)
        if constant is not None:
            return np.asarray(fold(constant, axis=axes, keepdims=keep_dims), constant.dtype)
        if not axes:
            return layer.value(0)
        if kind is None:
            raise NotExpressibleError(f"{layer.operator.kind} is not supported, except of constants")
        return layer.put(ktensor.ReduceOp(kind, layer.value(0), axes, keep_dims=keep_dims))

    handler.__doc__ = f"`ktensor.reduce<{kind}>` over constant axes." if kind is not None else "Of constants only."
    return handler


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


def _over_last(layer: Layer, kind: ReduceKind, value: SSAValue) -> SSAValue:
    axis = layer.axis(-1, len(shape_of(value)))
    return layer.put(ktensor.ReduceOp(kind, value, (axis,)))


OPS: Mapping[str, Handler] = {
    "L2_NORMALIZATION": l2_normalization,
    "LOG_SOFTMAX": log_softmax,
    "MEAN": reduction(ReduceKind.MEAN, np.mean),
    "REDUCE_MAX": reduction(ReduceKind.MAX, np.max),
    "REDUCE_MIN": reduction(ReduceKind.MIN, np.min),
    "REDUCE_PROD": reduction(None, np.prod),
    "SOFTMAX": softmax,
    "SUM": reduction(ReduceKind.SUM, np.sum),
}
