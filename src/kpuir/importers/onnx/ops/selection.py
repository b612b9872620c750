"""Choosing elements: by constant indices with slices, by computed ones with products of 0s and 1s; and what sorts."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.onnx.node import MAX_COPIES, Converter, Node, Table, documented

_MOST = 1 << 22
"""Elements of the largest table of 0s and 1s: 16 MiB, more than the chip has."""


def gather(node: Node) -> SSAValue:
    """Gather: constant indices are slices, computed ones a product with 0s and 1s."""
    shape = node.shape(0)
    axis = node.axis(node.integer("axis", 0), len(shape))
    size, where = shape[axis], node.shape(1)
    if node.is_constant(1):
        indices = node.array(1, "indices")
        _check_indices(node, indices, size)
        runs = _runs([int(index) % size for index in indices.reshape(-1)])
        if len(runs) <= MAX_COPIES:
            value = node.concat([node.cut(node.value(0), axis, *run) for run in runs], axis)
            return node.reshape(value, (*shape[:axis], *where, *shape[axis + 1 :]))
    rest = [*range(axis), *range(axis + 1, len(shape))]
    table = node.reshape(node.transpose(node.value(0), [axis, *rest]), (size, -(-math.prod(shape) // size)))
    taken = _take(node, table, _counted_from_front(node, node.value(1), size))
    sizes = [shape[one] for one in rest]
    value = node.reshape(taken, (*where, *sizes))
    count = len(where)
    order = [*range(count, count + axis), *range(count), *range(count + axis, count + len(sizes))]
    return node.transpose(value, order)


def gather_elements(node: Node) -> SSAValue:
    """GatherElements: constant indices become some into the flattened data, computed ones choose along the axis."""
    shape, where = node.shape(0), node.shape(1)
    axis = node.axis(node.integer("axis", 0), len(shape))
    if not node.is_constant(1):
        return _gather_along(node, axis)
    strides = _strides(shape)
    grids = np.meshgrid(*(np.arange(size) for size in where), indexing="ij", sparse=True)
    others = [grid * stride for one, (grid, stride) in enumerate(zip(grids, strides, strict=True)) if one != axis]
    offset = sum(others, np.zeros([1] * len(where), np.int64))
    return _take_flat(node, where, [(node.operands[1], shape[axis], strides[axis])], offset)


def _gather_along(node: Node, axis: int) -> SSAValue:
    """The sum over an axis of the elements times 1 where the index says so."""
    shape, where = node.shape(0), node.shape(1)
    size, before, behind = shape[axis], where[:axis], where[axis + 1 :]
    if math.prod(where) * size > _MOST:
        node.refuse(f"{math.prod(where)} times one of {size} elements", f"up to {_MOST} in all")
    value = node.value(0)
    for one, count in enumerate(where):
        value = value if one == axis else node.cut(value, one, 0, count)
    data = node.reshape(value, (*before, 1, size, *behind))
    indices = node.reshape(_counted_from_front(node, node.value(1), size), (*before, where[axis], 1, *behind))
    ones = node.binary("equal", indices, np.arange(size, dtype=np.float32).reshape(size, *[1] * len(behind)))
    return node.reduce("sum", node.binary("mul", ones, data), [axis + 1], keep_dims=False)


def gather_nd(node: Node) -> SSAValue:
    """GatherND: the last axis of the indices holds positions along axes of the data."""
    shape, where = node.shape(0), node.shape(1)
    batch = node.integer("batch_dims", 0)
    count = where[-1]
    inner = shape[batch + count :]
    outer = math.prod(shape[: batch + count])
    strides = _strides(shape[: batch + count])
    grids = np.meshgrid(*(np.arange(size) for size in shape[:batch]), indexing="ij", sparse=True) if batch else []
    offset = sum((grid * stride for grid, stride in zip(grids, strides, strict=False)), np.zeros([1] * batch, np.int64))
    offset = offset.reshape(*offset.shape, *[1] * (len(where) - 1 - batch))
    parts: list[tuple[Any, int, int]] = []
    for position in range(count):
        one = node.operands[1]
        if isinstance(one, np.ndarray):
            part: Any = one[..., position]
        else:
            part = node.reshape(node.cut(node.value(1), len(where) - 1, position, position + 1), where[:-1])
        parts.append((part, shape[batch + position], strides[batch + position]))
    return _take_flat(node, where[:-1], parts, offset, (outer, inner))


def _take_flat(
    node: Node,
    where: tuple[int, ...],
    parts: Sequence[tuple[Any, int, int]],
    offset: "NDArray[np.int64]",
    table: tuple[int, tuple[int, ...]] | None = None,
) -> SSAValue:
    """Rows of the data, seen as a table, at `offset + index * stride + ...` with an index, size and stride of each."""
    rows, inner = table or (math.prod(node.shape(0)), ())
    data = node.reshape(node.value(0), (rows, math.prod(inner)))
    if all(isinstance(index, np.ndarray) for index, _, _ in parts):
        total: Any = np.broadcast_to(offset, where)
        for index, size, stride in parts:
            _check_indices(node, index, size)
            total = total + np.where(index < 0, index + size, index) * stride
        value = _take_known(node, data, total.reshape(-1))
    else:
        sums = node.constant(np.broadcast_to(offset, where).astype(np.float32))
        for index, size, stride in parts:
            one = index if isinstance(index, SSAValue) else node.constant(index)
            sums = node.binary("add", sums, node.binary("mul", _counted_from_front(node, one, size), float(stride)))
        value = _take(node, data, sums)
    return node.reshape(value, (*where, *inner))


def _take_known(node: Node, table: SSAValue, rows: "NDArray[Any]") -> SSAValue:
    """Rows of a table by constant numbers."""
    runs = _runs(rows.tolist())
    if len(runs) <= MAX_COPIES:
        return node.concat([node.cut(table, 0, *run) for run in runs], 0)
    return _take(node, table, node.constant(rows.astype(np.float32)))


def _take(node: Node, table: SSAValue, rows: SSAValue) -> SSAValue:
    """Rows of a table [size, inner] by computed numbers: a product with rows of 0s and one 1."""
    size, count = ktensor.shape_of(table)[0], math.prod(ktensor.shape_of(rows))
    if size * count > _MOST:
        node.refuse(f"{count} of {size} elements are chosen", f"up to {_MOST} as a product, or constant indices")
    ones = node.binary("equal", node.reshape(rows, (count, 1)), np.arange(size, dtype=np.float32)[None])
    return node.emit(ktensor.MatmulOp(ones, table))


def _counted_from_front(node: Node, indices: SSAValue, size: int) -> SSAValue:
    """Indices of which negative ones count from the end."""
    negative = node.rbinary("greater", 0.0, indices)
    return node.binary("add", indices, node.binary("mul", negative, float(size)))


def _strides(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _check_indices(node: Node, indices: "NDArray[Any]", size: int) -> None:
    if indices.dtype.kind not in "iu" or indices.size == 0 or indices.min() < -size or indices.max() >= size:
        raise InvalidInputError(
            f"{node.op_type} indices {_brief(indices.reshape(-1).tolist())} lie outside {size} elements",
            location=node.layer,
        )


def _runs(indices: Sequence[int]) -> list[tuple[int, int, int]]:
    """Indices as slices (start, end, step), each as long as possible; an end of -1 includes element 0."""
    runs: list[tuple[int, int, int]] = []
    position = 0
    while position < len(indices):
        stop, step = position + 1, 1
        if stop < len(indices) and indices[stop] != indices[position]:
            step = indices[stop] - indices[position]
            while stop < len(indices) and indices[stop] - indices[stop - 1] == step:
                stop += 1
        end = indices[stop - 1] + (1 if step > 0 else -1)
        runs.append((indices[position], end, step))
        position = stop
    return runs


def _brief(values: Sequence[int]) -> str:
    return str(list(values)) if len(values) <= 8 else f"{list(values[:8])}..."


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
    where = node.shape(0)
    axis = node.axis(node.integer("axis", -1), len(where) + 1)
    if depth < 1 or depth * math.prod(where) > _MOST:
        node.refuse(f"depth = {depth}", f"1 to {_MOST} elements in all")
    indices = node.reshape(_counted_from_front(node, node.value(0), depth), (*where[:axis], 1, *where[axis:]))
    positions = np.arange(depth, dtype=np.float32).reshape(depth, *[1] * (len(where) - axis))
    ones = node.binary("equal", indices, positions)
    if node.is_constant(2):
        off, on = (float(value) for value in node.array(2, "values").reshape(-1))
        scaled = ones if on - off == 1 else node.binary("mul", ones, on - off)
        return scaled if off == 0 else node.binary("add", scaled, off)
    off_value, on_value = (node.reshape(node.cut(node.value(2), 0, at, at + 1), ()) for at in (0, 1))
    return node.select(ones, on_value, off_value)


def _arg(kind: str) -> Converter:
    """ArgMax and ArgMin."""

    def convert(node: Node) -> SSAValue:
        shape = node.shape(0)
        axis = node.axis(node.integer("axis", 0), len(shape))
        value = node.value(0) if kind == "max" else node.unary("neg", node.value(0))
        found = position_of_largest(node, value, axis, last=bool(node.integer("select_last_index", 0)))
        keep = node.integer("keepdims", 1)
        return found if keep else node.reshape(found, [*shape[:axis], *shape[axis + 1 :]])

    return documented(convert, "Comparison with the largest (smallest) element, and the first or last place it holds.")


def position_of_largest(node: Node, value: SSAValue, axis: int, last: bool = False) -> SSAValue:
    """Where along an axis the largest element is, the first or the last of equal ones; the axis stays."""
    shape = ktensor.shape_of(value)
    size = shape[axis]
    is_largest = node.binary("greater_equal", value, node.reduce("max", value, [axis]))
    numbers = np.arange(size, dtype=np.float32) + 1
    weights = (numbers if last else numbers[::-1]).reshape(-1, *[1] * (len(shape) - axis - 1))
    best = node.reduce("max", node.binary("mul", is_largest, np.ascontiguousarray(weights)), [axis])
    return node.binary("sub", best, 1.0) if last else node.rbinary("sub", float(size), best)


def hardmax(node: Node) -> SSAValue:
    """Hardmax: 1 at the first of the largest elements, else 0; before opset 13 over all axes from `axis` on."""
    shape = node.shape(0)
    axis = node.integer("axis", -1 if node.opset >= 13 else 1)
    axis = node.axis(axis, len(shape))
    wide = shape if node.opset >= 13 else (math.prod(shape[:axis]), math.prod(shape[axis:]))
    axis = axis if node.opset >= 13 else 1
    value = node.reshape(node.value(0), wide)
    positions = np.arange(wide[axis], dtype=np.float32).reshape(-1, *[1] * (len(wide) - axis - 1))
    ones = node.binary("equal", node.constant(positions), position_of_largest(node, value, axis))
    return node.reshape(ones, shape)


def top_k(node: Node) -> Sequence[SSAValue]:
    """TopK with a constant K: each element is counted how many are before it, and goes to that place."""
    shape = node.shape(0)
    count = int(node.scalar(1, "K")) if node.opset >= 10 else node.integer("k")
    axis = node.axis(node.integer("axis", -1), len(shape))
    size = shape[axis]
    if not 1 <= count <= size:
        raise InvalidInputError(f"TopK of K = {count} from {size} elements", location=node.layer)
    smallest = not node.integer("largest", 1)
    value = node.unary("neg", node.value(0)) if smallest else node.value(0)
    order = [one for one in range(len(shape)) if one != axis] + [axis]
    back = [order.index(one) for one in range(len(shape))]
    sizes = [shape[one] for one in order[:-1]]
    rows = math.prod(sizes)
    if rows * size * size > _MOST:
        node.refuse(f"{rows} times {size} elements are sorted", f"up to {math.isqrt(_MOST // rows)} elements")
    flat = node.reshape(node.transpose(value, order), (rows, size))
    if count == 1:
        values, indices = node.reduce("max", flat, [1]), position_of_largest(node, flat, 1)
    else:
        places = _places(node, flat)
        chosen = node.binary("equal", places, np.arange(count, dtype=np.float32)[None, :, None])
        values = node.reduce("sum", node.binary("mul", chosen, node.reshape(flat, (rows, 1, size))), [2], False)
        indices = node.reduce("sum", node.binary("mul", chosen, np.arange(size, dtype=np.float32)), [2], False)
    values = node.unary("neg", values) if smallest else values
    return [node.transpose(node.reshape(one, (*sizes, count)), back) for one in (values, indices)]


def _places(node: Node, flat: SSAValue) -> SSAValue:
    """At which place [rows, 1, size] each element of rows comes in descending order; equal ones keep theirs."""
    rows, size = ktensor.shape_of(flat)
    here, other = node.reshape(flat, (rows, 1, size)), node.reshape(flat, (rows, size, 1))
    earlier = np.tri(size, k=-1, dtype=np.float32).T  # [other, here]: 1 where other stands in front
    tied = node.binary("mul", node.binary("equal", other, here), earlier)
    return node.reduce("sum", node.binary("add", node.binary("greater", other, here), tied), [1])


def cum_sum(node: Node) -> SSAValue:
    """CumSum along a constant axis: a product with a triangle of ones."""
    shape = node.shape(0)
    axis = node.axis(int(node.scalar(1, "axis")), len(shape))
    size = shape[axis]
    if size * size > _MOST:
        node.refuse(f"{size} elements are added", f"up to {math.isqrt(_MOST)}")
    ones = np.tri(size, k=-node.integer("exclusive", 0), dtype=np.float32).T
    if node.integer("reverse", 0):
        ones = np.ascontiguousarray(ones.T)
    order = [one for one in range(len(shape)) if one != axis] + [axis]
    rows = node.reshape(node.transpose(node.value(0), order), (math.prod(shape) // size, size))
    sums = node.emit(ktensor.MatmulOp(rows, node.constant(ones)))
    moved = node.reshape(sums, [shape[one] for one in order])
    return node.transpose(moved, [order.index(one) for one in range(len(shape))])


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
    shape = node.shape(0)
    time, batch = node.integer("time_axis", 0), node.integer("batch_axis", 1)
    order = [time, batch, *(axis for axis in range(len(shape)) if axis not in (time, batch))]
    steps, images = shape[time], shape[batch]
    moved = node.transpose(node.value(0), order)
    table = node.reshape(moved, (steps * images, math.prod(shape[axis] for axis in order[2:])))
    numbers = np.arange(steps)[:, None]
    if node.is_constant(1):
        lengths = node.array(1, "sequence_lens").reshape(1, images)
        rows = np.where(numbers < lengths, lengths - 1 - numbers, numbers) * images + np.arange(images)
        taken = _take_known(node, table, rows.reshape(-1))
    else:
        lengths_value = node.reshape(node.value(1), (1, images))
        number = node.constant(numbers)
        inside = node.binary("greater", lengths_value, number)
        flipped = node.binary("sub", node.binary("sub", lengths_value, 1.0), number)
        at = node.binary("mul", node.select(inside, flipped, number), float(images))
        taken = _take(node, table, node.binary("add", at, np.arange(images)[None]))
    value = node.reshape(taken, [shape[axis] for axis in order])
    return node.transpose(value, [order.index(axis) for axis in range(len(shape))])


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
