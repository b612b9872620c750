"""Elements chosen by indices, by comparing and by sorting; see `importers.selection`."""

import math
from collections.abc import Mapping

import numpy as np
from xdsl.ir import SSAValue

import kpuir.importers.selection as selection
from kpuir.dialects import ktensor
from kpuir.importers.emitter import MAX_COPIES
from kpuir.importers.tflite.codes import on_codes
from kpuir.importers.tflite.layer import Handler, Layer, Value, check_size, shape_of

FLOAT32_MAX = float(np.finfo(np.float32).max)


def gather(layer: Layer) -> Value:
    """GATHER: constant indices are slices, computed ones a product with 0s and 1s."""
    shape, where = layer.shape(0), layer.shape(1)
    batch = layer.axis(int(layer.option("BatchDims", 0)), len(where) + 1)
    axis = layer.axis(int(layer.option("Axis", 0)), len(shape))
    if batch > axis or shape[:batch] != where[:batch]:
        raise layer.invalid(f"of {list(shape)} by {list(where)} along axis {axis} with {batch} batch dimensions")
    return _gathered(layer, 0, 1, axis, batch)


def embedding_lookup(layer: Layer) -> Value:
    """EMBEDDING_LOOKUP(indices, table)."""
    return _gathered(layer, 1, 0, 0, 0)


def _gathered(layer: Layer, position: int, by: int, axis: int, batch: int) -> Value:
    indices, known = layer.indices(by), layer.known(position)
    if known is not None and not isinstance(indices, SSAValue) and not batch:
        check_size((known.size, indices.size), layer.name)
        return np.take(known, indices, axis)
    return selection.gather(layer, layer.value(position), indices, axis, batch)


def gather_nd(layer: Layer) -> SSAValue:
    """GATHER_ND: the last axis of the indices holds positions along the first axes."""
    if layer.shape(1)[-1] > len(layer.shape(0)):
        raise layer.invalid(f"of {list(layer.shape(0))} by indices of {list(layer.shape(1))}")
    return selection.gather_nd(layer, layer.value(0), layer.indices(1))


def one_hot(layer: Layer) -> SSAValue:
    """ONE_HOT(indices, depth, on, off) with a constant depth; no index counts from the end."""
    (depth,) = layer.integers(1, "its depth")
    axis = layer.axis(int(layer.option("Axis", -1)), len(layer.shape(0)) + 1)
    on, off = (_number(layer, position) for position in (2, 3))
    return selection.one_hot(layer, layer.value(0), axis, depth, on, off)


def arg(largest: bool) -> Handler:
    """The handler of ARG_MAX and ARG_MIN: the first of equal elements."""

    def handler(layer: Layer) -> SSAValue:
        shape = layer.shape(0)
        axis = layer.axis(layer.integers(1, "its axis")[0], len(shape))
        value = layer.value(0) if largest else layer.unary("neg", layer.value(0))
        found = selection.position_of_largest(layer, value, axis)
        return layer.reshape(found, (*shape[:axis], *shape[axis + 1 :]))

    handler.__doc__ = "Comparison with the largest (smallest) element, and the first place it holds."
    return handler


def topk_v2(layer: Layer) -> list[SSAValue]:
    """TOPK_V2 of the last axis: each element is counted how many are before it, and goes to that place."""
    (count,) = layer.integers(1, "its k")
    return selection.top_k(layer, layer.value(0), count, layer.axis(-1, len(layer.shape(0))))


def cumsum(layer: Layer) -> SSAValue:
    """CUMSUM along a constant axis: a product with a triangle of ones."""
    axis = layer.axis(layer.integers(1, "its axis")[0], len(layer.shape(0)))
    exclusive, reverse = (bool(layer.option(name, False)) for name in ("Exclusive", "Reverse"))
    return selection.cum_sum(layer, layer.value(0), axis, exclusive, reverse)


def reverse_sequence(layer: Layer) -> SSAValue:
    """REVERSE_SEQUENCE: the rows in their new order, which may be computed."""
    shape = layer.shape(0)
    time, batch = (layer.axis(int(layer.option(name, 0)), len(shape)) for name in ("SeqDim", "BatchDim"))
    return selection.reverse_sequence(layer, layer.value(0), layer.indices(1), time, batch)


def scatter_nd(layer: Layer) -> SSAValue:
    """SCATTER_ND(indices, updates, shape) of constant indices: a product with 0s and 1s; equal ones are added."""
    indices, shape = layer.array(0, "the indices"), layer.integers(2, "its shape")
    count = indices.shape[-1] if indices.ndim else 0
    outer, inner = shape[:count], shape[count:]
    if indices.dtype.kind not in "iu" or not 0 < count <= len(shape):
        raise layer.invalid(f"by indices of {list(indices.shape)} into {list(shape)}")
    rows = np.ravel_multi_index(tuple(np.moveaxis(indices, -1, 0)), outer).ravel()
    return layer.reshape(_sums_of_rows(layer, 1, rows, math.prod(outer), math.prod(inner)), shape)


def segment_sum(layer: Layer) -> SSAValue:
    """SEGMENT_SUM by constant segments: a product with 0s and 1s."""
    rows = np.array(layer.integers(1, "its segments"))
    inner = layer.shape(0)[1:]
    sums = _sums_of_rows(layer, 0, rows, int(rows.max()) + 1, math.prod(inner))
    return layer.reshape(sums, (shape_of(sums)[0], *inner))


def unsorted_segment_sum(layer: Layer) -> SSAValue:
    """UNSORTED_SEGMENT_SUM by constant segments, of which negative ones go nowhere: a product with 0s and 1s."""
    segments, count, inner = _unsorted_segments(layer)
    rows = np.where(segments < 0, count, segments)
    sums = _sums_of_rows(layer, 0, rows, count + 1, math.prod(inner))
    return layer.reshape(layer.cut(sums, 0, 0, count), (count, *inner))


def unsorted_segment(kind: str, empty: float) -> Handler:
    """The handler of a reduction of constant segments, and its result for those without rows."""

    def handler(layer: Layer) -> SSAValue:
        segments, count, inner = _unsorted_segments(layer)
        if max(segments.size, count) > MAX_COPIES:
            layer.refuse(f"{segments.size} rows become {count}", f"up to {MAX_COPIES}")
        table = layer.reshape(layer.value(0), (segments.size, math.prod(inner)))
        results: list[SSAValue] = []
        for segment in range(count):
            rows = [layer.cut(table, 0, row, row + 1) for row in np.flatnonzero(segments == segment).tolist()]
            if not rows and layer.is_whole() and abs(empty) > 1:
                layer.refuse(f"segment {segment} has no rows", "segments that have some, or floats")
            rows = rows or [layer.constant(np.full((1, math.prod(inner)), empty))]
            results.append(layer.reduce(kind, layer.concat(rows, 0), [0]))
        return layer.reshape(layer.concat(results, 0), (count, *inner))

    handler.__doc__ = f"The {kind} of each of constant segments, of which negative ones go nowhere."
    return handler


def _unsorted_segments(layer: Layer) -> "tuple[np.ndarray, int, tuple[int, ...]]":
    """Of each row its segment, how many there are, and the shape of a row."""
    where, shape = layer.array(1, "its segments"), layer.shape(0)
    (count,) = layer.integers(2, "how many segments there are")
    if where.dtype.kind not in "iu" or shape[: where.ndim] != where.shape or count < 1:
        raise layer.invalid(f"of {list(shape)} by {list(where.shape)} into {count}")
    if where.size and where.max() >= count:
        raise layer.invalid(f"has indices outside of {count}")
    return where.ravel(), count, shape[where.ndim :]


def _sums_of_rows(layer: Layer, position: int, rows: "np.ndarray", count: int, inner: int) -> SSAValue:
    """Row number i of an input is added to row rows[i] of the result."""
    if count * rows.size > selection.MOST:
        layer.refuse(f"{rows.size} rows become {count}", f"up to {selection.MOST} as a product")
    if rows.size == 0 or rows.min() < 0 or rows.max() >= count:
        raise layer.invalid(f"has indices outside of {count}")
    ones = np.zeros((count, rows.size), np.float32)
    ones[rows, np.arange(rows.size)] = 1
    table = layer.reshape(layer.value(position), (rows.size, inner))
    return layer.emit(ktensor.MatmulOp(layer.constant(ones), table))


def _number(layer: Layer, position: int) -> SSAValue | float:
    real = layer.real(position)
    return layer.value(position) if real is None else float(real.reshape(-1)[0])


OPS: Mapping[str, Handler] = {
    "ARG_MAX": arg(True),
    "ARG_MIN": arg(False),
    "CUMSUM": cumsum,
    "EMBEDDING_LOOKUP": embedding_lookup,
    "GATHER": gather,
    "GATHER_ND": gather_nd,
    "ONE_HOT": one_hot,
    "REVERSE_SEQUENCE": reverse_sequence,
    "SCATTER_ND": on_codes(scatter_nd, overflows=True),
    "SEGMENT_SUM": segment_sum,
    "TOPK_V2": topk_v2,
    "UNSORTED_SEGMENT_MAX": unsorted_segment("max", -FLOAT32_MAX),
    "UNSORTED_SEGMENT_MIN": unsorted_segment("min", FLOAT32_MAX),
    "UNSORTED_SEGMENT_PROD": unsorted_segment("prod", 1.0),
    "UNSORTED_SEGMENT_SUM": unsorted_segment_sum,
}
