"""Ops that move elements: reshapes, transposes, slices, concatenations, paddings."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.emitter import MAX_COPIES
from kpuir.importers.onnx.node import Node, Table


def identity(node: Node) -> SSAValue:
    """Identity."""
    return node.value(0)


def dropout(node: Node) -> "Sequence[SSAValue | NDArray[Any]]":
    """Dropout in inference: the input itself, and a mask that drops nothing."""
    if node.has(2) and bool(node.array(2, "training_mode").any()):
        dropped = node.scalar(1, "ratio") if node.has(1) else 0.5
        if dropped:
            node.refuse("training_mode = 1", "a model exported for inference")
    mask = np.ones(node.shape(0), np.bool_ if node.opset >= 10 else np.float32)
    return [node.value(0), mask] if any(node.output_names[1:]) else [node.value(0)]


def reshape(node: Node) -> SSAValue:
    """Reshape to a constant shape; 0 keeps an axis (unless allowzero), -1 is what is left."""
    old = node.shape(0)
    wanted = node.int_list(1, "shape")
    keep = not node.integer("allowzero", 0)
    shape = [old[axis] if size == 0 and keep and axis < len(old) else size for axis, size in enumerate(wanted)]
    if shape.count(-1) == 1:
        rest = -math.prod(shape)
        shape[shape.index(-1)] = math.prod(old) // rest if rest > 0 else 0
    if min(shape, default=1) < 1:
        raise InvalidInputError(f"Reshape of {list(old)} to {wanted} is not possible", location=node.layer)
    return node.reshape(node.value(0), shape)


def flatten(node: Node) -> SSAValue:
    """Flatten to a matrix."""
    shape = node.shape(0)
    axis = node.integer("axis", 1)
    axis = axis if axis == len(shape) else node.axis(axis, max(len(shape), 1))
    return node.reshape(node.value(0), (math.prod(shape[:axis]), math.prod(shape[axis:])))


def squeeze(node: Node) -> SSAValue:
    """Squeeze: axes of size 1 taken out, all of them by default."""
    shape = node.shape(0)
    axes = node.optional_ints(1, "axes")
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    gone = ones if axes is None else node.axes(axes, len(shape))
    if not set(gone) <= set(ones):
        raise InvalidInputError(f"Squeeze of axes {gone} of {list(shape)}, not all of size 1", location=node.layer)
    return node.reshape(node.value(0), [size for axis, size in enumerate(shape) if axis not in gone])


def unsqueeze(node: Node) -> SSAValue:
    """Unsqueeze: axes of size 1 put in."""
    shape = list(node.shape(0))
    axes = node.optional_ints(1, "axes") or []
    for axis in node.axes(axes, len(shape) + len(axes)):
        shape.insert(axis, 1)
    return node.reshape(node.value(0), shape)


def transpose(node: Node) -> SSAValue:
    """Transpose; without `perm` the axes are reversed."""
    rank = len(node.shape(0))
    permutation = node.integers("perm", list(range(rank))[::-1])
    if sorted(permutation) != list(range(rank)):
        raise InvalidInputError(f"Transpose perm = {permutation} of {rank} axes", location=node.layer)
    return node.transpose(node.value(0), permutation)


def concat(node: Node) -> SSAValue:
    """Concat."""
    operands = [index for index in range(len(node.operands)) if math.prod(node.shape(index)) > 0]
    if not operands:
        raise InvalidInputError("Concat of nothing", location=node.layer)
    axis = node.axis(node.integer("axis"), len(node.shape(operands[0])))
    return node.concat([node.value(index) for index in operands], axis)


def slice_(node: Node) -> SSAValue:
    """Slice with constant bounds: attributes before opset 10, inputs since."""
    shape = node.shape(0)
    if node.opset < 10:
        starts, ends = node.integers("starts"), node.integers("ends")
        axes, steps = node.integers("axes", list(range(len(starts)))), [1] * len(starts)
    else:
        starts, ends = node.int_list(1, "starts"), node.int_list(2, "ends")
        axes = node.int_list(3, "axes") if node.has(3) else list(range(len(starts)))
        steps = node.int_list(4, "steps") if node.has(4) else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise InvalidInputError("Slice starts, ends, axes and steps differ in length", location=node.layer)
    node.axes(axes, len(shape))
    begin, stop, step = [0] * len(shape), list(shape), [1] * len(shape)
    for axis, start, end, stride in zip(axes, starts, ends, steps, strict=True):
        index = axis % len(shape)
        begin[index], stop[index] = _bounds(node, start, end, stride, shape[index])
        step[index] = stride
    if begin == [0] * len(shape) and stop == list(shape) and step == [1] * len(shape):
        return node.value(0)
    return node.emit(ktensor.SliceOp(node.value(0), begin, stop, step))


def _bounds(node: Node, start: int, end: int, step: int, size: int) -> tuple[int, int]:
    """Start and end of a slice within an axis, by ONNX's clamping. Raises InvalidInputError where nothing is left."""
    if step == 0:
        raise InvalidInputError("Slice has a step of 0", location=node.layer)
    low, high = (0, size) if step > 0 else (-1, size - 1)
    first = min(max(start + size if start < 0 else start, max(low, 0)), high)
    last = min(max(end + size if end < 0 else end, low), high)
    if not len(range(first, last, step)):
        raise InvalidInputError(f"Slice {start}:{end}:{step} of {size} elements is empty", location=node.layer)
    return first, last


def split(node: Node) -> "Sequence[SSAValue | NDArray[Any]]":
    """Split into constant sizes, by default equal ones (the last may be smaller)."""
    shape = node.shape(0)
    axis = node.axis(node.integer("axis", 0), len(shape))
    sizes = node.optional_ints(1, "split")
    if sizes is None:
        count = node.output_count
        if node.integer("num_outputs", count) != count:
            raise InvalidInputError(
                f"Split num_outputs = {node.integer('num_outputs')}, but it has {count} outputs", location=node.layer
            )
        size = -(-shape[axis] // count)
        sizes = [min(size, shape[axis] - index * size) for index in range(count)]
    if sum(sizes) != shape[axis] or min(sizes, default=0) < 0:
        raise InvalidInputError(f"Split of {shape[axis]} elements into {sizes}", location=node.layer)
    bounds = np.cumsum([0, *sizes]).tolist()
    empty = np.zeros((*shape[:axis], 0, *shape[axis + 1 :]), np.float32)
    return [node.cut(node.value(0), axis, *part) if part[0] < part[1] else empty for part in pairwise(bounds)]


def expand(node: Node) -> SSAValue:
    """Expand to a constant shape: copies along the axes of size 1."""
    wanted = node.int_list(1, "shape")
    shape = np.broadcast_shapes(node.shape(0), tuple(wanted))
    value = node.reshape(node.value(0), (*[1] * (len(shape) - len(node.shape(0))), *node.shape(0)))
    for axis, size in enumerate(shape):
        if ktensor.shape_of(value)[axis] != size:
            value = node.repeat(value, axis, size)
    return value


def tile(node: Node) -> SSAValue:
    """Tile by constant counts: copies along each axis."""
    value, repeats = node.value(0), node.int_list(1, "repeats")
    if len(repeats) != len(node.shape(0)) or min(repeats, default=1) < 1:
        raise InvalidInputError(f"Tile of {list(node.shape(0))} by {repeats}", location=node.layer)
    for axis, count in enumerate(repeats):
        value = node.repeat(value, axis, count)
    return value


def pad(node: Node) -> SSAValue:
    """Pad in every mode; negative amounts cut off. Edge, reflect and wrap are slices put together."""
    shape = node.shape(0)
    low, high, value = _pad_amounts(node, len(shape))
    mode = node.text("mode", "constant")
    result = node.value(0)
    for axis, size in enumerate(shape):
        start, end = max(-low[axis], 0), size - max(-high[axis], 0)
        if start >= end:
            raise InvalidInputError(f"Pad cuts off all {size} elements of axis {axis}", location=node.layer)
        result = node.cut(result, axis, start, end)
    low, high = [max(amount, 0) for amount in low], [max(amount, 0) for amount in high]
    if not any(low) and not any(high):
        return result
    if mode == "constant":
        return node.emit(ktensor.PadOp(result, low, high, value))
    if mode not in ("edge", "reflect", "wrap"):
        node.refuse(f"mode = {mode}", "mode = constant, edge, reflect or wrap")
    for axis in range(len(shape)):
        result = _extend(node, result, axis, low[axis], high[axis], mode)
    return result


def _pad_amounts(node: Node, rank: int) -> tuple[list[int], list[int], float]:
    if node.opset < 11:
        pads, value, axes = node.integers("pads"), node.real("value", 0.0), list(range(rank))
    else:
        pads = node.int_list(1, "pads")
        value = node.scalar(2, "constant_value") if node.has(2) else 0.0
        axes = [node.axis(axis, rank) for axis in node.int_list(3, "axes")] if node.has(3) else list(range(rank))
    if len(pads) != 2 * len(axes):
        raise InvalidInputError(f"Pad has {len(pads)} pads for {len(axes)} axes", location=node.layer)
    if not math.isfinite(value):
        node.refuse(f"value = {value}", "a finite value, or the padding of the pool behind it")
    low, high = [0] * rank, [0] * rank
    for position, axis in enumerate(axes):
        low[axis], high[axis] = pads[position], pads[position + len(axes)]
    return low, high, value


def _extend(node: Node, value: SSAValue, axis: int, low: int, high: int, mode: str) -> SSAValue:
    """The value with `low` elements of its own before and `high` after along one axis."""
    size = ktensor.shape_of(value)[axis]
    if not low and not high:
        return value
    if mode == "edge":
        if max(low, high) > MAX_COPIES:
            node.refuse(f"mode = edge by {max(low, high)} elements", f"up to {MAX_COPIES}")
        first, last = ([node.cut(value, axis, index, index + 1)] for index in (0, size - 1))
        return node.concat([*first * low, value, *last * high], axis)
    limit = size - 1 if mode == "reflect" else size
    if max(low, high) > limit:
        node.refuse(f"mode = {mode} by {max(low, high)} of {size} elements", f"up to {limit}")
    parts = [value]
    if low:
        before = (low, 0, -1) if mode == "reflect" else (size - low, size, 1)
        parts.insert(0, node.cut(value, axis, *before))
    if high:
        after = (size - 2, size - 2 - high, -1) if mode == "reflect" else (0, high, 1)
        parts.append(node.cut(value, axis, *after))
    return node.concat(parts, axis)


TABLE: Table = {
    "Identity": identity,
    "Dropout": dropout,
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Concat": concat,
    "Slice": slice_,
    "Split": split,
    "Expand": expand,
    "Tile": tile,
    "Pad": pad,
}
