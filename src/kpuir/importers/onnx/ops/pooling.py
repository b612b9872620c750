"""Poolings over windows and over the whole image."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.onnx.node import Converter, Node, Table
from kpuir.importers.onnx.ops.window import Pads, Window, image, like_input, pair, read_window, with_ceil_mode


def max_pool(node: Node) -> SSAValue:
    """MaxPool; its second output, the indices, is refused."""
    if node.output_count > 1 and node.output_names[1]:
        node.refuse("its second output (the indices) is used", "the first output alone")
    value = image(node, 0)
    window = _window(node, value)
    op = ktensor.MaxPool2dOp(
        value, window.kernel, strides=window.strides, pads=window.all_pads, dilations=window.dilations
    )
    return like_input(node, node.emit(op))


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
    """LpPool for p = 1 and p = 2: the mean of |x| or x^2 times the size of the window."""
    power = node.integer("p", 2)
    if power not in (1, 2):
        node.refuse(f"p = {power}", "p = 1 and p = 2")
    value = image(node, 0)
    window = _window(node, value)
    if window.dilations != (1, 1):
        node.refuse(f"dilations = {list(window.dilations)}", "dilations = [1, 1]")
    value = _padded(node, node.unary("abs" if power == 1 else "square", value), window.all_pads)
    value = _average(node, value, Window(window.kernel, window.strides, (1, 1), (0, 0, 0, 0)), False)
    value = node.binary("mul", value, float(window.kernel[0] * window.kernel[1]))
    return like_input(node, value if power == 1 else node.unary("sqrt", value))


def global_pool(kind: str) -> Converter:
    """The converter of a pooling over all spatial axes: a reduction."""

    def convert(node: Node) -> SSAValue:
        return node.reduce(kind, node.value(0), _spatial_axes(node))

    return convert


def global_lp_pool(node: Node) -> SSAValue:
    """GlobalLpPool for p = 1 and p = 2."""
    power = node.integer("p", 2)
    if power not in (1, 2):
        node.refuse(f"p = {power}", "p = 1 and p = 2")
    value = node.unary("abs" if power == 1 else "square", node.value(0))
    value = node.reduce("sum", value, _spatial_axes(node))
    return value if power == 1 else node.unary("sqrt", value)


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
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "LpPool": lp_pool,
    "GlobalAveragePool": global_pool("mean"),
    "GlobalMaxPool": global_pool("max"),
    "GlobalLpPool": global_lp_pool,
}
