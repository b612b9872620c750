"""Choosing elements: by constant indices with slices, by computed ones with products of 0s and 1s; and what sorts."""

import math
from collections.abc import Sequence

import numpy as np
from xdsl.ir import SSAValue

import kpuir.importers.selection as selection
from kpuir.errors import InvalidInputError
from kpuir.importers.onnx.node import Converter, Node, Table, documented


def gather(node: Node) -> SSAValue:
    """Gather: constant indices are slices, computed ones a product with 0s and 1s."""
    axis = node.axis(node.integer("axis", 0), len(node.shape(0)))
    return selection.gather(node, node.value(0), node.indices(1), axis)


def gather_elements(node: Node) -> SSAValue:
    """GatherElements: constant indices become some into the flattened data, computed ones choose along the axis."""
    shape, where = node.shape(0), node.shape(1)
    axis = node.axis(node.integer("axis", 0), len(shape))
    if not node.is_constant(1):
        return _gather_along(node, axis)
    strides = selection.strides_of(shape)
    grids = np.meshgrid(*(np.arange(size) for size in where), indexing="ij", sparse=True)
    others = [grid * stride for one, (grid, stride) in enumerate(zip(grids, strides, strict=True)) if one != axis]
    offset = sum(others, np.zeros([1] * len(where), np.int64))
    parts = [(node.indices(1), shape[axis], strides[axis])]
    return selection.take(node, node.value(0), where, parts, offset, (math.prod(shape), ()))


def _gather_along(node: Node, axis: int) -> SSAValue:
    """The sum over an axis of the elements times 1 where the index says so."""
    shape, where = node.shape(0), node.shape(1)
    size, before, behind = shape[axis], where[:axis], where[axis + 1 :]
    if math.prod(where) * size > selection.MOST:
        node.refuse(f"{math.prod(where)} times one of {size} elements", f"up to {selection.MOST} in all")
    value = node.value(0)
    for one, count in enumerate(where):
        value = value if one == axis else node.cut(value, one, 0, count)
    data = node.reshape(value, (*before, 1, size, *behind))
    indices = node.reshape(selection.counted_from_front(node, node.value(1), size), (*before, where[axis], 1, *behind))
    ones = node.binary("equal", indices, np.arange(size, dtype=np.float32).reshape(size, *[1] * len(behind)))
    return node.reduce("sum", node.binary("mul", ones, data), [axis + 1], keep_dims=False)


def gather_nd(node: Node) -> SSAValue:
    """GatherND: the last axis of the indices holds positions along axes of the data."""
    return selection.gather_nd(node, node.value(0), node.indices(1), node.integer("batch_dims", 0))


def compress(node: Node) -> SSAValue:
    """Compress by a constant condition: Gather of the elements where it holds."""
    indices = np.flatnonzero(node.array(1, "condition"))
    if node.has_attribute("axis"):
        return gather(node.becoming("Gather", [node.operands[0], indices]))
    flat = node.reshape(node.value(0), (math.prod(node.shape(0)),))
    return gather(node.becoming("Gather", [flat, indices], axis=0))


def one_hot(node: Node) -> SSAValue:
    """OneHot of computed indices: the on value where an index is equal to the position, else the off value."""
    depth = int(node.scalar(1, "depth"))
    axis = node.axis(node.integer("axis", -1), len(node.shape(0)) + 1)
    indices = selection.counted_from_front(node, node.value(0), depth)
    if node.is_constant(2):
        off, on = (float(value) for value in node.array(2, "values").reshape(-1))
        return selection.one_hot(node, indices, axis, depth, on, off)
    off_value, on_value = (node.reshape(node.cut(node.value(2), 0, at, at + 1), ()) for at in (0, 1))
    return selection.one_hot(node, indices, axis, depth, on_value, off_value)


def _arg(kind: str) -> Converter:
    """ArgMax and ArgMin."""

    def convert(node: Node) -> SSAValue:
        shape = node.shape(0)
        axis = node.axis(node.integer("axis", 0), len(shape))
        value = node.value(0) if kind == "max" else node.unary("neg", node.value(0))
        found = selection.position_of_largest(node, value, axis, last=bool(node.integer("select_last_index", 0)))
        keep = node.integer("keepdims", 1)
        return found if keep else node.reshape(found, [*shape[:axis], *shape[axis + 1 :]])

    return documented(convert, "Comparison with the largest (smallest) element, and the first or last place it holds.")


def hardmax(node: Node) -> SSAValue:
    """Hardmax: 1 at the first of the largest elements, else 0; before opset 13 over all axes from `axis` on."""
    shape = node.shape(0)
    axis = node.integer("axis", -1 if node.opset >= 13 else 1)
    axis = node.axis(axis, len(shape))
    wide = shape if node.opset >= 13 else (math.prod(shape[:axis]), math.prod(shape[axis:]))
    axis = axis if node.opset >= 13 else 1
    value = node.reshape(node.value(0), wide)
    positions = np.arange(wide[axis], dtype=np.float32).reshape(-1, *[1] * (len(wide) - axis - 1))
    ones = node.binary("equal", node.constant(positions), selection.position_of_largest(node, value, axis))
    return node.reshape(ones, shape)


def top_k(node: Node) -> Sequence[SSAValue]:
    """TopK with a constant K: each element is counted how many are before it, and goes to that place."""
    count = int(node.scalar(1, "K")) if node.opset >= 10 else node.integer("k")
    axis = node.axis(node.integer("axis", -1), len(node.shape(0)))
    return selection.top_k(node, node.value(0), count, axis, smallest=not node.integer("largest", 1))


def cum_sum(node: Node) -> SSAValue:
    """CumSum along a constant axis: a product with a triangle of ones."""
    axis = node.axis(int(node.scalar(1, "axis")), len(node.shape(0)))
    exclusive, reverse = (bool(node.integer(name, 0)) for name in ("exclusive", "reverse"))
    return selection.cum_sum(node, node.value(0), axis, exclusive, reverse)


def trilu(node: Node) -> SSAValue:
    """Trilu with a constant k: zeros below or above a diagonal."""
    shape = node.shape(0)
    if len(shape) < 2:
        raise InvalidInputError(f"Trilu of shape {list(shape)}", location=node.layer)
    k = int(node.scalar(1, "k")) if node.has(1) else 0
    k = max(min(k, shape[-1]), -shape[-2])
    ones = np.ones(shape[-2:], np.float32)
    return node.binary("mul", node.value(0), np.triu(ones, k) if node.integer("upper", 1) else np.tril(ones, k))


def reverse_sequence(node: Node) -> SSAValue:
    """ReverseSequence: Gather of the rows in their new order, which may be computed."""
    time, batch = node.integer("time_axis", 0), node.integer("batch_axis", 1)
    return selection.reverse_sequence(node, node.value(0), node.indices(1), time, batch)


TABLE: Table = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "Compress": compress,
    "OneHot": one_hot,
    "ArgMax": _arg("max"),
    "ArgMin": _arg("min"),
    "Hardmax": hardmax,
    "TopK": top_k,
    "CumSum": cum_sum,
    "Trilu": trilu,
    "ReverseSequence": reverse_sequence,
}
