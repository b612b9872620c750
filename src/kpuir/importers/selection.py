"""Choosing elements: by constant indices with slices, by computed ones with products of 0s and 1s; and what sorts.

Indices are arrays where they are known at import; negative ones count from the end.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.importers.emitter import MAX_COPIES, Emitter

Indices: TypeAlias = "SSAValue | NDArray[Any]"
MOST = 1 << 22
"""Elements of the largest table of 0s and 1s: 16 MiB, more than the chip has."""


def gather(node: Emitter, value: SSAValue, indices: Indices, axis: int, batch: int = 0) -> SSAValue:
    """Elements of one axis by indices of any shape, whose first `batch` axes are those of the value."""
    shape = ktensor.shape_of(value)
    where, size = _shape(indices), shape[axis]
    if not batch and isinstance(indices, np.ndarray):
        check_indices(node, indices, size)
        runs = slices_of([int(index) % size for index in indices.reshape(-1)])
        if len(runs) <= MAX_COPIES:
            value = node.concat([node.cut(value, axis, *run) for run in runs], axis)
            return node.reshape(value, (*shape[:axis], *where, *shape[axis + 1 :]))
    rest = [one for one in range(batch, len(shape)) if one != axis]
    moved = node.transpose(value, [*range(batch), axis, *rest])
    offset = np.arange(math.prod(shape[:batch])).reshape((*shape[:batch], *[1] * (len(where) - batch))) * size
    table = (math.prod(shape[:batch]) * size, tuple(shape[one] for one in rest))
    taken = take(node, moved, where, [(indices, size, 1)], offset, table)
    count, inner = len(where) - batch, axis - batch
    order = [
        *range(batch),
        *range(batch + count, batch + count + inner),
        *range(batch, batch + count),
        *range(batch + count + inner, batch + count + len(rest)),
    ]
    return node.transpose(taken, order)


def gather_nd(node: Emitter, value: SSAValue, indices: Indices, batch: int = 0) -> SSAValue:
    """Slices of the value: the last axis of the indices holds positions along its first axes, behind `batch` ones."""
    shape, where = ktensor.shape_of(value), _shape(indices)
    count = where[-1]
    outer, inner = shape[: batch + count], shape[batch + count :]
    strides = strides_of(outer)
    grids = np.meshgrid(*(np.arange(size) for size in shape[:batch]), indexing="ij", sparse=True) if batch else []
    offset = sum((grid * stride for grid, stride in zip(grids, strides, strict=False)), np.zeros([1] * batch, np.int64))
    offset = offset.reshape(*offset.shape, *[1] * (len(where) - 1 - batch))
    parts: list[tuple[Indices, int, int]] = []
    for position in range(count):
        if isinstance(indices, np.ndarray):
            part: Indices = indices[..., position]
        else:
            part = node.reshape(node.cut(indices, len(where) - 1, position, position + 1), where[:-1])
        parts.append((part, shape[batch + position], strides[batch + position]))
    return take(node, value, where[:-1], parts, offset, (math.prod(outer), inner))


def take(
    node: Emitter,
    value: SSAValue,
    where: tuple[int, ...],
    parts: Sequence[tuple[Indices, int, int]],
    offset: "NDArray[np.int64]",
    table: tuple[int, tuple[int, ...]],
) -> SSAValue:
    """Rows of the value, seen as a table, at `offset + index * stride + ...` with an index, size and stride of each."""
    rows, inner = table
    data = node.reshape(value, (rows, math.prod(inner)))
    known = [(index, size, stride) for index, size, stride in parts if isinstance(index, np.ndarray)]
    if len(known) == len(parts):
        total: Any = np.broadcast_to(offset, where)
        for index, size, stride in known:
            check_indices(node, index, size)
            total = total + np.where(index < 0, index + size, index) * stride
        chosen = take_known(node, data, total.reshape(-1))
    else:
        sums = node.constant(np.broadcast_to(offset, where).astype(np.float32))
        for index, size, stride in parts:
            one = index if isinstance(index, SSAValue) else node.constant(index)
            sums = node.binary("add", sums, node.binary("mul", counted_from_front(node, one, size), float(stride)))
        chosen = take_rows(node, data, sums)
    return node.reshape(chosen, (*where, *inner))


def take_known(node: Emitter, table: SSAValue, rows: "NDArray[Any]") -> SSAValue:
    """Rows of a table by constant numbers."""
    runs = slices_of(rows.tolist())
    if len(runs) <= MAX_COPIES:
        return node.concat([node.cut(table, 0, *run) for run in runs], 0)
    return take_rows(node, table, node.constant(rows.astype(np.float32)))


def take_rows(node: Emitter, table: SSAValue, rows: SSAValue) -> SSAValue:
    """Rows of a table [size, inner] by computed numbers: a product with rows of 0s and one 1."""
    size, count = ktensor.shape_of(table)[0], math.prod(ktensor.shape_of(rows))
    if size * count > MOST:
        node.refuse(f"{count} of {size} elements are chosen", f"up to {MOST} as a product, or constant indices")
    ones = node.binary("equal", node.reshape(rows, (count, 1)), np.arange(size, dtype=np.float32)[None])
    return node.emit(ktensor.MatmulOp(ones, table))


def counted_from_front(node: Emitter, indices: SSAValue, size: int) -> SSAValue:
    """Indices of which negative ones count from the end."""
    negative = node.rbinary("greater", 0.0, indices)
    return node.binary("add", indices, node.binary("mul", negative, float(size)))


def strides_of(shape: Sequence[int]) -> list[int]:
    """How many elements further the next one of each axis is."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def check_indices(node: Emitter, indices: "NDArray[Any]", size: int) -> None:
    """Raise InvalidInputError where indices lie outside."""
    if indices.dtype.kind not in "iu" or indices.size == 0 or indices.min() < -size or indices.max() >= size:
        raise node.invalid(f"indices {_brief(indices.reshape(-1).tolist())} lie outside {size} elements")


def slices_of(indices: Sequence[int]) -> list[tuple[int, int, int]]:
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


def one_hot(
    node: Emitter, indices: SSAValue, axis: int, depth: int, on: "SSAValue | float", off: "SSAValue | float"
) -> SSAValue:
    """A new axis with the on value where an index is equal to the position, else the off value."""
    where = ktensor.shape_of(indices)
    if depth < 1 or depth * math.prod(where) > MOST:
        node.refuse(f"depth = {depth}", f"1 to {MOST} elements in all")
    positions = np.arange(depth, dtype=np.float32).reshape(depth, *[1] * (len(where) - axis))
    ones = node.binary("equal", node.reshape(indices, (*where[:axis], 1, *where[axis:])), positions)
    if isinstance(on, SSAValue) or isinstance(off, SSAValue):
        values = [one if isinstance(one, SSAValue) else node.constant(one) for one in (on, off)]
        return node.select(ones, *values)
    scaled = ones if on - off == 1 else node.binary("mul", ones, on - off)
    return scaled if off == 0 else node.binary("add", scaled, off)


def position_of_largest(node: Emitter, value: SSAValue, axis: int, last: bool = False) -> SSAValue:
    """Where along an axis the largest element is, the first or the last of equal ones; the axis stays."""
    shape = ktensor.shape_of(value)
    size = shape[axis]
    is_largest = node.binary("greater_equal", value, node.reduce("max", value, [axis]))
    numbers = np.arange(size, dtype=np.float32) + 1
    weights = (numbers if last else numbers[::-1]).reshape(-1, *[1] * (len(shape) - axis - 1))
    best = node.reduce("max", node.binary("mul", is_largest, np.ascontiguousarray(weights)), [axis])
    return node.binary("sub", best, 1.0) if last else node.rbinary("sub", float(size), best)


def top_k(node: Emitter, value: SSAValue, count: int, axis: int, smallest: bool = False) -> list[SSAValue]:
    """The largest (smallest) elements and where they were, in order; equal ones keep theirs."""
    shape = ktensor.shape_of(value)
    size = shape[axis]
    if not 1 <= count <= size:
        raise node.invalid(f"{count} of {size} elements are asked for")
    value = node.unary("neg", value) if smallest else value
    order = [one for one in range(len(shape)) if one != axis] + [axis]
    back = [order.index(one) for one in range(len(shape))]
    sizes = [shape[one] for one in order[:-1]]
    rows = math.prod(sizes)
    if rows * size * size > MOST:
        node.refuse(f"{rows} times {size} elements are sorted", f"up to {math.isqrt(MOST // rows)} elements")
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


def _places(node: Emitter, flat: SSAValue) -> SSAValue:
    """At which place [rows, 1, size] each element of rows comes in descending order; equal ones keep theirs."""
    rows, size = ktensor.shape_of(flat)
    here, other = node.reshape(flat, (rows, 1, size)), node.reshape(flat, (rows, size, 1))
    earlier = np.tri(size, k=-1, dtype=np.float32).T  # [other, here]: 1 where other stands in front
    tied = node.binary("mul", node.binary("equal", other, here), earlier)
    return node.reduce("sum", node.binary("add", node.binary("greater", other, here), tied), [1])


def cum_sum(node: Emitter, value: SSAValue, axis: int, exclusive: bool = False, reverse: bool = False) -> SSAValue:
    """Sums along an axis up to each element: a product with a triangle of ones."""
    shape = ktensor.shape_of(value)
    size = shape[axis]
    if size * size > MOST:
        node.refuse(f"{size} elements are added", f"up to {math.isqrt(MOST)}")
    ones = np.tri(size, k=-int(exclusive), dtype=np.float32).T
    if reverse:
        ones = np.ascontiguousarray(ones.T)
    order = [one for one in range(len(shape)) if one != axis] + [axis]
    rows = node.reshape(node.transpose(value, order), (math.prod(shape) // size, size))
    sums = node.emit(ktensor.MatmulOp(rows, node.constant(ones)))
    moved = node.reshape(sums, [shape[one] for one in order])
    return node.transpose(moved, [order.index(one) for one in range(len(shape))])


def reverse_sequence(node: Emitter, value: SSAValue, lengths: Indices, time: int, batch: int) -> SSAValue:
    """The first elements along the axis `time` in reverse, as many as the lengths say for each of the axis `batch`."""
    shape = ktensor.shape_of(value)
    order = [time, batch, *(axis for axis in range(len(shape)) if axis not in (time, batch))]
    steps, images = shape[time], shape[batch]
    moved = node.transpose(value, order)
    table = node.reshape(moved, (steps * images, math.prod(shape[axis] for axis in order[2:])))
    numbers = np.arange(steps)[:, None]
    if isinstance(lengths, np.ndarray):
        lengths = lengths.reshape(1, images)
        rows = np.where(numbers < lengths, lengths - 1 - numbers, numbers) * images + np.arange(images)
        taken = take_known(node, table, rows.reshape(-1))
    else:
        row = node.reshape(lengths, (1, images))
        number = node.constant(numbers)
        inside = node.binary("greater", row, number)
        flipped = node.binary("sub", node.binary("sub", row, 1.0), number)
        at = node.binary("mul", node.select(inside, flipped, number), float(images))
        taken = take_rows(node, table, node.binary("add", at, np.arange(images)[None]))
    value = node.reshape(taken, [shape[axis] for axis in order])
    return node.transpose(value, [order.index(axis) for axis in range(len(shape))])


def _shape(indices: Indices) -> tuple[int, ...]:
    return indices.shape if isinstance(indices, np.ndarray) else ktensor.shape_of(indices)
