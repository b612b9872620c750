"""Conversion of instructions that move elements: v3 copies ranges of bytes, and brings floats from CHW into HWC."""

from collections.abc import Sequence
from heapq import heappop, heappush
from math import prod
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import f32
from xdsl.ir import SSAValue

from kpuir.dialects import kbuf
from kpuir.passes.kbuf_legalize_v3.legalizer import MOST_RANGES, Legalizer, RefusalError, converts, runs_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_FLATTENS = 64
"""So many layers at most may make up a transpose."""

_FEW_RANGES = 64
"""So many are copied rather than pooled."""

Step = tuple[int, int, int]
"""So many matrices of so many rows and columns are transposed."""


def flatten_steps(shape: Sequence[int], permutation: Sequence[int]) -> list[Step] | None:
    """A transpose as the fewest transposes of matrices, one after another; None if it takes too many.

    Each leaves some first dimensions in front, once for each of their places, and brings those that follow behind all
    others.
    """
    start = tuple(dimension for dimension in range(len(shape)) if shape[dimension] != 1)
    wanted = tuple(dimension for dimension in permutation if shape[dimension] != 1)
    queue: list[tuple[int, tuple[int, ...], tuple[Step, ...]]] = [(0, start, ())]
    seen: set[tuple[int, ...]] = set()
    while queue:
        cost, order, steps = heappop(queue)
        if order == wanted:
            return list(steps)
        if order in seen:
            continue
        seen.add(order)
        for first in range(len(order) - 1):
            for split in range(first + 1, len(order)):
                parts = order[:first], order[first:split], order[split:]
                count, rows, columns = (prod(shape[d] for d in part) for part in parts)
                if cost + count <= _MOST_FLATTENS:
                    step = count, rows, columns
                    heappush(queue, (cost + count, (*parts[0], *parts[2], *parts[1]), (*steps, step)))
    return None


def emit_flattened(legalizer: Legalizer, source: SSAValue, output: SSAValue, steps: Sequence[Step]) -> None:
    """Insert the steps of a transpose of floats."""
    for number, (count, rows, columns) in enumerate(steps):
        result = output if number == len(steps) - 1 else legalizer.alloc((count, rows, columns))
        for offset in range(0, 4 * count * rows * columns, 4 * rows * columns):
            part = legalizer.view(source, (rows, 1, columns), offset)
            there = legalizer.view(result, (1, columns, rows), offset)
            legalizer.emit(kbuf.v3.TensorflowFlattenOp(part, there, width=columns, height=1, channels=rows))
        source = result


def _places(shape: Sequence[int]) -> "NDArray[np.int64]":
    import numpy as np

    return np.arange(prod(shape)).reshape(tuple(shape))


@converts(kbuf.TransposeOp)
def transpose(legalizer: Legalizer, op: kbuf.TransposeOp) -> None:
    """tensorflow_flatten of floats; bytes become floats for it, unless they are few ranges."""
    fields = op.values()
    places = _places(fields["in_shape"]).transpose(fields["perm"])
    steps = flatten_steps(fields["in_shape"], fields["perm"])
    if not steps or (kbuf.element_size(op.output) == 1 and len(runs_of(places)) <= _FEW_RANGES):
        legalizer.gather(op.input, places, op.output)
        return
    if kbuf.element_size(op.output) == 4:
        emit_flattened(legalizer, op.input, op.output, steps)
        legalizer.drop()
        return
    count = prod(fields["in_shape"])
    floats, moved = (legalizer.alloc((count,)) for _ in range(2))
    same = {"count": count, "scale": 1.0, "bias": 0.0}
    legalizer.emit(kbuf.v3.DequantizeOp(op.input, floats, **same))
    emit_flattened(legalizer, floats, moved, steps)
    legalizer.replace(kbuf.v3.QuantizeOp(moved, op.output, **same))


@converts(kbuf.PadOp)
def pad(legalizer: Legalizer, op: kbuf.PadOp) -> None:
    """k210_remove_padding for a crop to the first pixel of 4x4 maps; else ranges of bytes, and of fill."""
    import numpy as np

    fields = op.values()
    shape, paddings = fields["in_shape"], fields["paddings"]
    if shape[0] == 1 and shape[2:] == (4, 4) and paddings == (0, 0, 0, 0, 0, -3, 0, -3):
        legalizer.replace(kbuf.v3.K210RemovePaddingOp(op.input, op.output, channels=shape[1]))
        return
    if max(paddings) == 0 and not any(paddings[:4]):
        axes = [range(-low, size + high) for size, low, high in zip(shape, paddings[0::2], paddings[1::2], strict=True)]
        _take_pixels(legalizer, op, shape, axes[2], axes[3])
        return
    amounts = list(zip(paddings[0::2], paddings[1::2], strict=True))
    kept = tuple(slice(max(-low, 0), size - max(-high, 0)) for size, (low, high) in zip(shape, amounts, strict=True))
    grown = [(max(low, 0), max(high, 0)) for low, high in amounts]
    places = np.pad(_places(shape)[kept], grown, constant_values=-1)
    value = fields["value"].tobytes()
    fill = value[0] if kbuf.element_size(op.output) == 1 else float(np.frombuffer(value, "<f4")[0])
    legalizer.gather(op.input, places, op.output, fill)


@converts(kbuf.StridedSliceOp)
def strided_slice(legalizer: Legalizer, op: kbuf.StridedSliceOp) -> None:
    """Ranges of bytes."""
    import numpy as np

    fields = op.values()
    axes = [range(*axis) for axis in zip(fields["begin"], fields["end"], fields["strides"], strict=True)]
    shape = fields["in_shape"]
    if min(fields["strides"]) > 0 and (len(axes[0]), len(axes[1])) == shape[:2]:
        _take_pixels(legalizer, op, shape, axes[2], axes[3])
        return
    taken = np.ix_(*(list(axis) for axis in axes))
    legalizer.gather(op.input, _places(shape)[taken], op.output)


def _take_pixels(
    legalizer: Legalizer, op: kbuf.PadOp | kbuf.StridedSliceOp, shape: Sequence[int], rows: range, columns: range
) -> None:
    """Some rows and columns of each channel: ranges of bytes, or a pool of 1x1 where those are many.

    A pool begins with the first pixel; what is in front of another is moved away by a copy.
    """
    import numpy as np

    channels, (height, width) = shape[0] * shape[1], shape[2:]
    taken = _places((channels, height, width))[np.ix_(range(channels), rows, columns)]
    if len(runs_of(taken)) <= _FEW_RANGES:
        legalizer.gather(op.input, taken, op.output)
        return
    source, skipped = op.input, rows[0] * width + columns[0]
    is_float = kbuf.element_size(source) == 4
    if skipped:
        rest, size = prod(shape) - skipped, kbuf.element_size(source)
        parts = [legalizer.view(source, (rest,), skipped * size), legalizer.view(source, (skipped,))]
        source = legalizer.alloc(shape, f32 if is_float else kbuf.UI8)
        legalizer.emit((kbuf.v3.ConcatOp if is_float else kbuf.v3.QuantizedConcatOp)(parts, source))
    sizes = {"in_width": width, "in_height": height, "in_channels": channels, "kernel_width": 1, "kernel_height": 1}
    results = {"out_width": len(columns), "out_height": len(rows), "out_channels": channels}
    steps = {"stride_width": columns.step, "stride_height": rows.step, "pad_width": 0, "pad_height": 0}
    kind = kbuf.v3.AveragePool2dOp if is_float else kbuf.v3.QuantizedMaxPool2dOp
    legalizer.replace(kind(source, op.output, **sizes, **results, **steps))


@converts(kbuf.ConcatOp)
def concat(legalizer: Legalizer, op: kbuf.ConcatOp) -> None:
    """A concat of whole operands; where there are several rows, of the rows of each."""
    fields, sources = op.values(), list(op.inputs)
    rows = fields["outer_size"]
    if rows * len(sources) > MOST_RANGES:
        raise RefusalError(
            f"{rows} rows of {len(sources)} operands would be copied one by one, the limit is {MOST_RANGES} ranges"
        )
    size = kbuf.element_size(op.output)
    counts = [fields["inner_size"] * length // size for length in fields["dims"]]
    parts = [
        source if rows == 1 else legalizer.view(source, (count,), row * count * size)
        for row in range(rows)
        for source, count in zip(sources, counts, strict=True)
    ]
    legalizer.copy(parts, op.output)


@converts(kbuf.MemoryCopyOp)
def memory_copy(legalizer: Legalizer, op: kbuf.MemoryCopyOp) -> None:
    """A concat of one operand."""
    legalizer.copy([op.input], op.output)


@converts(kbuf.ResizeImageOp)
def resize(legalizer: Legalizer, op: kbuf.ResizeImageOp) -> None:
    """Nearest pixels; images of a batch are channels too."""
    fields = op.values()
    if str(fields["mode"]) != "nearest":
        raise RefusalError("a bilinear resize; v3 takes nearest pixels")
    batch, channels, height, width = fields["in_shape"]
    is_float = op.output.type == kbuf.buffer_type(kbuf.shape_of(op.output), f32, kbuf.Space.MAIN)
    kind = kbuf.v3.ResizeNearestNeighborOp if is_float else kbuf.v3.QuantizedResizeNearestNeighborOp
    sizes = {"in_width": width, "in_height": height, "out_width": fields["out_w"], "out_height": fields["out_h"]}
    legalizer.replace(kind(op.input, op.output, channels=batch * channels, **sizes))
