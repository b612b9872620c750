"""Poolings over windows and over the whole image."""

import itertools
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.onnx.node import Converter, Node, Result, Table, documented
from kpuir.importers.onnx.ops.window import Pads, Window, image, like_input, pair, read_window, with_ceil_mode


def max_pool(node: Node) -> Result:
    """MaxPool; where the indices, its second output, are used, the taps of a window are compared one by one."""
    value = image(node, 0)
    window = _window(node, value)
    if node.output_count > 1 and node.output_names[1]:
        return [like_input(node, one) for one in _max_and_index(node, value, window)]
    op = ktensor.MaxPool2dOp(
        value, window.kernel, strides=window.strides, pads=window.all_pads, dilations=window.dilations
    )
    return like_input(node, node.emit(op))


def _max_and_index(node: Node, value: SSAValue, window: Window) -> tuple[SSAValue, SSAValue]:
    """The largest of each window, the first of equal ones, and its number among the elements of the input."""
    n, c, h, w = ktensor.shape_of(value)
    elements = np.arange(n * c * h * w, dtype=np.int64).reshape(n, c, h, w)
    if node.integer("storage_order", 0):  # the numbers go down the columns
        elements = elements.reshape(n, c, w, h).transpose(0, 1, 3, 2)
    top, left, bottom, right = window.all_pads
    padding = ((0, 0), (0, 0), (top, bottom), (left, right))
    elements = np.pad(elements, padding)
    if any(window.all_pads):
        lowest = -float(np.finfo(np.float32).max)
        value = node.emit(ktensor.PadOp(value, (0, 0, top, left), (0, 0, bottom, right), lowest))
    spans = [
        [range(tap * dilation, length - extent + tap * dilation + 1, stride) for tap in range(taps)]
        for taps, dilation, length, extent, stride in zip(
            window.kernel, window.dilations, elements.shape[2:], window.extents, window.strides, strict=True
        )
    ]
    best: SSAValue | None = None
    index: SSAValue | None = None
    for rows, columns in itertools.product(*spans):
        taken = node.cut(node.cut(value, 2, *_bounds(rows)), 3, *_bounds(columns))
        number = node.constant(elements[:, :, rows][..., columns])
        if best is None or index is None:
            best, index = taken, number
            continue
        index = node.select(node.binary("greater", taken, best), number, index)
        best = node.binary("max", best, taken)
    assert best is not None
    assert index is not None
    return best, index


def _bounds(span: range) -> tuple[int, int, int]:
    return span.start, span[-1] + 1, span.step


def average_pool(node: Node) -> SSAValue:
    """AveragePool; a dilated one is a depthwise convolution with ones over the number of pixels each window has."""
    value = image(node, 0)
    window = _window(node, value)
    count_padding = bool(node.integer("count_include_pad", 0))
    if window.dilations != (1, 1):
        return like_input(node, _dilated_average(node, value, window, count_padding))
    if count_padding and any(window.extra):
        # what is padded for ceil_mode does not count, so the padding that does becomes pixels
        value, window = _padded(node, value, window.pads), replace(window, pads=(0, 0, 0, 0))
        count_padding = False
    return like_input(node, _average(node, value, window, count_padding))


def lp_pool(node: Node) -> SSAValue:
    """LpPool: the root of the sum of powers, which is their mean times the size of the window."""
    total = _volume(_sum_pool)(node.becoming("LpPool", [_powers(node)]))
    return _root(node, cast("SSAValue", total))


def _sum_pool(node: Node) -> SSAValue:
    value = image(node, 0)
    window = _window(node, value)
    value = _padded(node, value, window.all_pads)
    window = replace(window, pads=(0, 0, 0, 0), extra=(0, 0))
    if window.dilations != (1, 1):
        value = _dilated_average(node, value, window, False)
    else:
        value = _average(node, value, window, False)
    return like_input(node, node.binary("mul", value, float(window.kernel[0] * window.kernel[1])))


def _powers(node: Node) -> SSAValue:
    """|x|^p."""
    value, power = node.value(0), node.integer("p", 2)
    if power == 2:
        return node.unary("square", value)
    value = node.unary("abs", value)
    return value if power == 1 else node.binary("pow", value, float(power))


def _root(node: Node, value: SSAValue) -> SSAValue:
    """x^(1/p)."""
    power = node.integer("p", 2)
    if power == 1:
        return value
    return node.unary("sqrt", value) if power == 2 else node.binary("pow", value, 1.0 / power)


def _volume(pool: Converter) -> Converter:
    """The pool of volumes too: over rows and columns first, then over the depth of what is left."""

    def convert(node: Node) -> Result:
        if len(node.shape(0)) != 5:
            return pool(node)
        n, c, depth, height, width = node.shape(0)
        images = node.reshape(node.value(0), (n, c * depth, height, width))
        flat = cast("SSAValue", pool(node.becoming(node.op_type, [images], **_axes_of(node, False))))
        height, width = ktensor.shape_of(flat)[2:]
        columns = node.reshape(flat, (n, c, depth, height * width))
        deep = cast("SSAValue", pool(node.becoming(node.op_type, [columns], **_axes_of(node, True))))
        return node.reshape(deep, (n, c, ktensor.shape_of(deep)[2], height, width))

    return documented(convert, pool.__doc__ or "")


def _axes_of(node: Node, depth: bool) -> dict[str, list[int]]:
    """The window's attributes for rows and columns, or for the depth and nothing beside it."""
    found: dict[str, list[int]] = {}
    for name, neutral in (("kernel_shape", 1), ("strides", 1), ("dilations", 1), ("pads", 0)):
        if not node.has_attribute(name):
            continue
        values = node.integers(name)
        halves = [values[:3], values[3:]] if name == "pads" else [values]
        found[name] = [one for half in halves for one in ([half[0], neutral] if depth else half[1:])]
    return found


def global_pool(kind: str) -> Converter:
    """The converter of a pooling over all spatial axes: a reduction."""

    def convert(node: Node) -> SSAValue:
        return node.reduce(kind, node.value(0), _spatial_axes(node))

    return documented(convert, f"The reduction {kind} over all spatial axes.")


def global_lp_pool(node: Node) -> SSAValue:
    """GlobalLpPool: the root of the sum of powers."""
    return _root(node, node.reduce("sum", _powers(node), _spatial_axes(node)))


def _spatial_axes(node: Node) -> list[int]:
    rank = len(node.shape(0))
    if rank < 3:
        raise InvalidInputError(f"{node.op_type} of an input without spatial axes", location=node.layer)
    return list(range(2, rank))


def _window(node: Node, value: SSAValue) -> Window:
    _, _, h, w = ktensor.shape_of(value)
    if not node.has_attribute("kernel_shape"):
        raise InvalidInputError(f"{node.op_type} has no attribute 'kernel_shape'", location=node.layer)
    window = read_window(node, pair(node, "kernel_shape", 1), (h, w))
    return with_ceil_mode(node, window, (h, w))


def _padded(node: Node, value: SSAValue, pads: Pads) -> SSAValue:
    if not any(pads):
        return value
    top, left, bottom, right = pads
    return node.emit(ktensor.PadOp(value, (0, 0, top, left), (0, 0, bottom, right)))


def _average(node: Node, value: SSAValue, window: Window, count_padding: bool) -> SSAValue:
    return node.emit(
        ktensor.AveragePool2dOp(
            value,
            window.kernel,
            strides=window.strides,
            pads=window.all_pads,
            count_include_pad=count_padding and any(window.pads),
        )
    )


def _dilated_average(node: Node, value: SSAValue, window: Window, count_padding: bool) -> SSAValue:
    _, channels, h, w = ktensor.shape_of(value)
    ones = np.ones((channels, 1, *window.kernel), np.float32)
    total = node.emit(
        ktensor.Conv2dOp(
            value,
            node.constant(ones),
            strides=window.strides,
            pads=window.all_pads,
            dilations=window.dilations,
            groups=channels,
        )
    )
    out_h, out_w = ktensor.shape_of(total)[2:]
    rows = _covered(window, 0, h, out_h, count_padding)
    columns = _covered(window, 1, w, out_w, count_padding)
    counts = rows[:, None] * columns[None, :]
    if (counts == counts.flat[0]).all():
        return node.binary("mul", total, 1.0 / float(counts.flat[0]))
    return node.binary("mul", total, 1.0 / counts[None, None])


def _covered(window: Window, axis: int, length: int, count: int, padding_counts: bool) -> "NDArray[np.int64]":
    """How many elements each window covers along one axis."""
    begin, end = window.pads[axis], window.pads[axis + 2]
    taps = np.arange(window.kernel[axis]) * window.dilations[axis]
    positions = np.arange(count)[:, None] * window.strides[axis] + taps[None, :] - begin
    low, high = (-begin, length + end) if padding_counts else (0, length)
    return ((positions >= low) & (positions < high)).sum(axis=1)


TABLE: Table = {
    "MaxPool": _volume(max_pool),
    "AveragePool": _volume(average_pool),
    "LpPool": lp_pool,
    "GlobalAveragePool": global_pool("mean"),
    "GlobalMaxPool": global_pool("max"),
    "GlobalLpPool": global_lp_pool,
}
