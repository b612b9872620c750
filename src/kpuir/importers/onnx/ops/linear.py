"""Convolutions and matrix products."""

from functools import reduce as chain
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.onnx.node import Node, Table
from kpuir.importers.onnx.ops.window import (
    Pads,
    Pair,
    as_pair,
    explicit_pads,
    image,
    like_input,
    pair,
    read_window,
)


def conv(node: Node) -> SSAValue:
    """Conv with constant weights; of volumes it is a sum of convolutions, one for each plane of the kernel."""
    if len(node.shape(0)) == 5:
        return _conv_of_volumes(node)
    weights = _weights(node)
    kernel = cast("Pair", weights.shape[2:])
    value = image(node, 0)
    _, _, h, w = ktensor.shape_of(value)
    window = read_window(node, kernel, (h, w))
    op = ktensor.Conv2dOp(
        value,
        node.constant(weights, node.input_names[1]),
        _bias(node),
        strides=window.strides,
        pads=window.pads,
        dilations=window.dilations,
        groups=node.integer("group", 1),
    )
    return like_input(node, node.emit(op))


def _conv_of_volumes(node: Node) -> SSAValue:
    weights = node.array(1, "weights")
    n, channels, depth, height, width = node.shape(0)
    planes = weights.shape[2]
    line, beside = _depth_apart(node, planes)
    window = read_window(line, (1, planes), (1, depth))
    front, back = window.pads[1], window.pads[3]
    value = node.transpose(node.value(0), (0, 2, 1, 3, 4))
    if front or back:
        value = node.emit(ktensor.PadOp(value, (0, front, 0, 0, 0), (0, back, 0, 0, 0)))
    count = (depth + front + back - window.extents[1]) // window.strides[1] + 1
    parts: list[SSAValue] = []
    for plane in range(planes):
        start = plane * window.dilations[1]
        taken = node.cut(value, 1, start, start + (count - 1) * window.strides[1] + 1, window.strides[1])
        images = node.reshape(taken, (n * count, channels, height, width))
        operands = [images, weights[:, :, plane], node.operands[2] if plane == 0 and node.has(2) else None]
        parts.append(conv(node.becoming("Conv", operands, kernel_shape=list(weights.shape[3:]), **beside)))
    total = chain(lambda left, right: node.binary("add", left, right), parts)
    outputs, rows, columns = ktensor.shape_of(total)[1:]
    return node.transpose(node.reshape(total, (n, count, outputs, rows, columns)), (0, 2, 1, 3, 4))


def _depth_apart(node: Node, planes: int) -> tuple[Node, dict[str, list[int]]]:
    """The node on the depth of volumes alone, and its attributes for rows and columns."""
    n, channels, depth = node.shape(0)[:3]
    along: dict[str, list[int]] = {"kernel_shape": [planes]}
    beside: dict[str, list[int]] = {}
    for name in ("strides", "dilations", "output_padding", "output_shape", "pads"):
        if not node.has_attribute(name):
            continue
        values = node.integers(name)
        values = values[-3:] if name == "output_shape" else values
        along[name] = values[::3] if name == "pads" else values[:1]
        beside[name] = [*values[1:3], *values[4:6]]
    return node.becoming(node.op_type, [np.zeros((n, channels, depth), np.float32)], **along), beside


def conv_transpose(node: Node) -> SSAValue:
    """ConvTranspose with constant weights; of volumes it is a sum of some, one for each plane of the kernel."""
    if len(node.shape(0)) == 5:
        return _conv_transpose_of_volumes(node)
    weights = _weights(node)
    kernel = cast("Pair", weights.shape[2:])
    value = image(node, 0)
    _, _, h, w = ktensor.shape_of(value)
    strides, dilations = pair(node, "strides", 1), pair(node, "dilations", 1)
    extra = as_pair(node.integers("output_padding", [0] * (len(node.shape(0)) - 2)), 0)
    full = [
        (size - 1) * stride + (taps - 1) * dilation + 1 + more
        for size, stride, taps, dilation, more in zip((h, w), strides, kernel, dilations, extra, strict=True)
    ]
    pads, missing = _transpose_pads(node, full, (h * strides[0], w * strides[1]))
    op = ktensor.Conv2dTransposeOp(
        value,
        node.constant(weights, node.input_names[1]),
        _bias(node),
        strides=strides,
        pads=pads,
        dilations=dilations,
        groups=node.integer("group", 1),
        output_padding=(extra[0] + missing[0], extra[1] + missing[1]),
    )
    return like_input(node, node.emit(op))


def _conv_transpose_of_volumes(node: Node) -> SSAValue:
    weights = node.array(1, "weights")
    n, channels, depth, height, width = node.shape(0)
    planes = weights.shape[2]
    line, beside = _depth_apart(node, planes)
    (_, stride), (_, dilation) = pair(line, "strides", 1), pair(line, "dilations", 1)
    extra = line.integers("output_padding", [0])[0]
    full = (depth - 1) * stride + (planes - 1) * dilation + 1
    pads, missing = _transpose_pads(line, [1, full + extra], (1, depth * stride))
    images = node.reshape(node.transpose(node.value(0), (0, 2, 1, 3, 4)), (n * depth, channels, height, width))
    parts: list[SSAValue] = []
    outputs = rows = columns = 0
    for plane in range(planes):
        operands = [images, weights[:, :, plane], None]
        one = conv_transpose(node.becoming("ConvTranspose", operands, kernel_shape=list(weights.shape[3:]), **beside))
        outputs, rows, columns = ktensor.shape_of(one)[1:]
        spread = node.reshape(one, (n, depth, 1, outputs * rows * columns))
        if stride > 1:
            spread = node.emit(ktensor.PadOp(spread, (0, 0, 0, 0), (0, 0, stride - 1, 0)))
        spread = node.cut(
            node.reshape(spread, (n, depth * stride, outputs * rows * columns)), 1, 0, (depth - 1) * stride + 1
        )
        low = plane * dilation
        high = (planes - 1 - plane) * dilation + extra + missing[1]
        parts.append(node.emit(ktensor.PadOp(spread, (0, low, 0), (0, high, 0))) if low or high else spread)
    total = chain(lambda left, right: node.binary("add", left, right), parts)
    size = ktensor.shape_of(total)[1]
    total = node.cut(total, 1, pads[1], size - pads[3])
    total = node.reshape(total, (n, size - pads[1] - pads[3], outputs, rows, columns))
    total = node.transpose(total, (0, 2, 1, 3, 4))
    return node.binary("add", total, node.array(2, "bias").reshape(-1, 1, 1, 1)) if node.has(2) else total


def _transpose_pads(node: Node, full: list[int], same: Pair) -> tuple[Pads, Pair]:
    """What is cut off the full output, as given or so that it has the wanted size, and what that is too short."""
    auto_pad = node.text("auto_pad", "NOTSET")
    rank = len(node.shape(0)) - 2
    if node.has_attribute("output_shape"):
        wanted = as_pair(node.integers("output_shape")[-rank:], 1)
    elif auto_pad.startswith("SAME_"):
        wanted = same
    else:
        return (explicit_pads(node) if auto_pad == "NOTSET" else (0, 0, 0, 0)), (0, 0)
    totals = [max(size - target, 0) for size, target in zip(full, wanted, strict=True)]
    small = [total // 2 for total in totals]
    large = [total - half for total, half in zip(totals, small, strict=True)]
    begin, end = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
    missing = [max(target - size, 0) for size, target in zip(full, wanted, strict=True)]
    return (begin[0], begin[1], end[0], end[1]), (missing[0], missing[1])


def _weights(node: Node) -> "NDArray[Any]":
    """The weights as [.., .., KH, KW]."""
    weights = node.array(1, "weights")
    rank = len(node.shape(0))
    if weights.ndim != rank:
        raise InvalidInputError(
            f"{node.op_type} has weights of shape {list(weights.shape)} for an input of rank {rank}",
            location=node.layer,
        )
    kernel = node.integers("kernel_shape", list(weights.shape[2:]))
    if kernel != list(weights.shape[2:]):
        raise InvalidInputError(
            f"{node.op_type} kernel_shape is {kernel}, but the weights have shape {list(weights.shape)}",
            location=node.layer,
        )
    return weights[:, :, None, :] if rank == 3 else weights


def _bias(node: Node) -> SSAValue | None:
    bias = node.optional_array(2, "bias")
    return None if bias is None else node.constant(bias.reshape(-1), node.input_names[2])


def matmul(node: Node) -> SSAValue:
    """MatMul with numpy's rules: a vector is a row on the left and a column on the right."""
    lhs, rhs = node.value(0), node.value(1)
    left, right = node.shape(0), node.shape(1)
    if not left or not right:
        raise InvalidInputError("MatMul of a scalar", location=node.layer)
    if len(left) == 1:
        lhs = node.reshape(lhs, (1, *left))
    if len(right) == 1:
        rhs = node.reshape(rhs, (*right, 1))
    value = node.emit(ktensor.MatmulOp(lhs, rhs))
    shape = list(ktensor.shape_of(value))
    if len(right) == 1:
        del shape[-1]
    if len(left) == 1:
        del shape[-1 if len(right) == 1 else -2]
    return node.reshape(value, shape)


def gemm(node: Node) -> SSAValue:
    """Gemm: `alpha * A @ B + beta * C`, factors and transpositions folded into what is constant."""
    alpha, beta = node.real("alpha", 1.0), node.real("beta", 1.0)
    if len(node.shape(0)) != 2 or len(node.shape(1)) != 2:
        raise InvalidInputError(
            f"Gemm of {list(node.shape(0))} and {list(node.shape(1))}, which are no matrices", location=node.layer
        )
    lhs = node.transpose(node.value(0), (1, 0) if node.integer("transA", 0) else (0, 1))
    transposed = bool(node.integer("transB", 0))
    if node.is_constant(1):
        matrix = node.array(1, "B").astype(np.float32)
        matrix = (matrix.T if transposed else matrix) * np.float32(alpha)
        rhs, alpha = node.constant(matrix, node.input_names[1]), 1.0
    else:
        rhs = node.transpose(node.value(1), (1, 0) if transposed else (0, 1))
    columns = ktensor.shape_of(rhs)[1]
    bias = _row(node, beta, columns) if alpha == 1.0 else None
    value = node.emit(ktensor.MatmulOp(lhs, rhs, bias))
    if alpha != 1.0:
        value = node.binary("mul", value, alpha)
    if bias is not None or not node.has(2) or beta == 0.0:
        return value
    addend = node.value(2) if beta == 1.0 else node.binary("mul", node.value(2), beta)
    return node.binary("add", value, addend)


def _row(node: Node, beta: float, columns: int) -> SSAValue | None:
    """C as a bias of the product, where it is constant and the same for every row."""
    if not node.has(2) or not node.is_constant(2) or beta == 0.0:
        return None
    values = node.array(2, "C")
    if values.ndim > 2 or (values.ndim == 2 and values.shape[0] != 1) or values.size not in (1, columns):
        return None
    row = np.broadcast_to(values.astype(np.float32).reshape(-1) * np.float32(beta), (columns,))
    return node.constant(row, node.input_names[2])


TABLE: Table = {"Conv": conv, "ConvTranspose": conv_transpose, "MatMul": matmul, "Gemm": gemm}
