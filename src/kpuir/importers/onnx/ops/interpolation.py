"""Resizes that are linear in the pixels: for each axis a constant matrix of what every pixel gives to every new one."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.importers.onnx.node import Node
from kpuir.interpreters.kernels.floating import coordinates, nearest

_Reals = NDArray[np.float64]


def by_matrices(node: Node, scales: list[float], sizes: list[int]) -> SSAValue:
    """ONNX Resize of any mode: a product along each axis that changes."""
    shape = node.shape(0)
    rank = len(shape)
    value, inside = node.value(0), np.ones((1,) * rank, np.float32)
    for axis, (size, scale) in enumerate(zip(sizes, scales, strict=True)):
        at = _coordinates(node, axis, size, scale)
        if at is None:
            continue
        weights, covered = _weights(node, at, shape[axis], scale)
        value = along(node, value, axis, weights)
        inside = inside * covered.reshape(-1, *[1] * (rank - axis - 1))
    if inside.all():
        return value
    value = node.binary("mul", value, inside)
    beyond = node.real("extrapolation_value", 0.0)
    return node.binary("add", value, (1 - inside) * beyond) if beyond else value


def along(node: Node, value: SSAValue, axis: int, weights: "NDArray[Any]") -> SSAValue:
    """The product of a matrix [out, in] with an axis."""
    rank = len(ktensor.shape_of(value))
    order = [*(one for one in range(rank) if one != axis), axis]
    columns = node.constant(np.ascontiguousarray(weights.T.astype(np.float32)))
    product = node.emit(ktensor.MatmulOp(node.transpose(value, order), columns))
    return node.transpose(product, [order.index(one) for one in range(rank)])


def _coordinates(node: Node, axis: int, out: int, scale: float) -> "_Reals | None":
    """Where in an axis each new pixel lies; None where the axis stays as it is."""
    size = node.shape(0)[axis]
    mode = node.text("coordinate_transformation_mode", "half_pixel")
    if mode != "tf_crop_and_resize":
        return None if scale == 1 and out == size else coordinates(out, size, scale, mode).astype(np.float64)
    rank = len(node.shape(0))
    axes = [node.axis(one, rank) for one in node.integers("axes", list(range(rank)))]
    if axis not in axes:
        return None
    roi = node.array(1, "the region").astype(np.float64)
    start, end = roi[axes.index(axis)], roi[axes.index(axis) + len(axes)]
    if out == 1:
        return np.array([0.5 * (start + end) * (size - 1)])
    at = start * (size - 1) + np.arange(out) * (end - start) * (size - 1) / (out - 1)
    return None if out == size and np.array_equal(at, np.arange(size)) else at


def _weights(node: Node, at: "_Reals", size: int, scale: float) -> tuple["_Reals", "_Reals"]:
    """The matrix [out, in], and 1 for each new pixel that lies inside of the axis."""
    cropping = node.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    covered = ((at >= 0) & (at <= size - 1)).astype(np.float64) if cropping else np.ones(len(at))
    mode = node.text("mode", "nearest")
    if mode == "nearest":
        taken = nearest(at.astype(np.float32), size, node.text("nearest_mode", "round_prefer_floor"))
        return np.eye(size)[taken], covered
    shrink = min(scale, 1.0) if node.integer("antialias", 0) else 1.0
    reach = (2 if mode == "cubic" else 1) / shrink
    low = np.floor(at).astype(np.int64)
    taps = low[:, None] + np.arange(math.floor(-reach) + 1, math.ceil(reach) + 1)[None]
    distance = np.abs(taps - at[:, None]) * shrink
    share = _cubic(distance, node.real("cubic_coeff_a", -0.75)) if mode == "cubic" else np.maximum(1 - distance, 0)
    if node.integer("exclude_outside", 0):
        share = share * ((taps >= 0) & (taps < size))
    share = share / share.sum(axis=1, keepdims=True)
    weights = np.zeros((len(at), size))
    np.add.at(weights, (np.arange(len(at))[:, None], np.clip(taps, 0, size - 1)), share)
    return weights, covered


def _cubic(distance: "_Reals", a: float) -> "_Reals":
    """Keys' kernel: what a pixel this far away gives."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
