"""Quantized tensors: a value that is rounded to codes stays a real number, and codes appear where a node computes them.

The result of QuantizeLinear is the function `fake_quantize` of its input, and the model's name for it is remembered as
`Codes`. DequantizeLinear of those is nothing; moving them moves the numbers; any other node gets the codes themselves.
With codes of 16 bits the function is a clamp: their steps are finer than what follows. DynamicQuantizeLinear in front
of products is nothing at all (`patterns.py`): its scales are those of each input, where a kmodel's are constant.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import QuantizedType
from kpuir.importers.onnx.elements import BITS, UNSIGNED
from kpuir.importers.onnx.graph import Source, captured, type_name
from kpuir.importers.onnx.node import Codes, Node, Table
from kpuir.importers.onnx.ops.linear import conv, matmul

TAKES_CODES = frozenset({"DequantizeLinear", "QLinearConv", "QLinearMatMul"})
"""Ops whose converters look at `Node.codes`."""
_ZERO_POINTS: dict[int, int] = {TensorProto.INT8: 128, TensorProto.UINT8: 0}
"""What turns codes of these types into bytes."""


def rounding(codes: Codes) -> ktensor.ActivationAttr:
    """The function that rounds to what 8-bit codes can stand for. Raises VerifyException for an impossible scale."""
    return ktensor.ActivationAttr.rounding_to(
        QuantizedType.of(codes.scale, codes.zero_point + _ZERO_POINTS[codes.element])
    )


def encoded(node: Node, value: SSAValue, codes: Codes) -> SSAValue:
    """The codes, whole numbers, of real numbers that were rounded to them."""
    whole = node.unary("round", node.binary("div", value, codes.scale))
    return node.binary("add", whole, float(codes.zero_point)) if codes.zero_point else whole


def quantize_linear(node: Node) -> SSAValue:
    """QuantizeLinear: with one scale the numbers that the codes stand for, else the codes."""
    return quantized(node, node.value(0), 1, 2)


def dynamic_quantize_linear(node: Node) -> "tuple[SSAValue | NDArray[Any], ...]":
    """DynamicQuantizeLinear: codes, scale and zero point by the extremes; in front of products the numbers themselves.

    `unrounded` is put in by `patterns.py`: the scale is 1 then.
    """
    value = node.value(0)
    if node.integer("unrounded", 0):
        return value, np.ones((), np.float32), np.zeros((), np.uint8)
    every = range(len(node.shape(0)))
    low, high = (node.reduce(kind, value, every, keep_dims=False) for kind in ("min", "max"))
    low, high = node.binary("min", low, 0.0), node.binary("max", high, 0.0)
    scale = node.binary("div", node.binary("sub", high, low), 255.0)
    # codes are 0 where all is 0, whatever the scale: it only must not divide by zero
    divisor = node.binary("max", scale, float(np.finfo(np.float32).tiny))
    zero_point = node.unary(
        "round", node.activation(node.rbinary("sub", 0.0, node.binary("div", low, divisor)), "clamp", 0, 255)
    )
    codes = node.binary("add", node.unary("round", node.binary("div", value, divisor)), zero_point)
    return node.activation(codes, "clamp", 0, 255), scale, zero_point


def dequantize_linear(node: Node) -> SSAValue:
    """DequantizeLinear, of what QuantizeLinear gave or of any integers."""
    return real(node, 0, 1, 2)


def q_linear_conv(node: Node) -> SSAValue:
    """QLinearConv: Conv of the real numbers, rounded."""
    bias = None
    if node.has(8):
        scale = node.array(1, "the input's scale") * node.array(4, "the weights' scale")
        bias = node.array(8, "the bias") * scale
    weights = constant_real(node, 3, 4, 5, axis=0)
    value = conv(node.becoming("Conv", [real(node, 0, 1, 2), weights, bias]))
    return quantized(node, value, 6, 7)


def q_linear_matmul(node: Node) -> SSAValue:
    """QLinearMatMul: MatMul of the real numbers, rounded."""
    lhs, rhs = real(node, 0, 1, 2), real(node, 3, 4, 5)
    return quantized(node, matmul(node.becoming("MatMul", [lhs, rhs])), 6, 7)


def conv_integer(node: Node) -> SSAValue:
    """ConvInteger: Conv of the differences to the zero points."""
    weights = node.array(1, "weights").astype(np.int32)
    if node.has(3):
        zero_point = node.array(3, "the zero point").astype(np.int32)
        weights = weights - zero_point.reshape(-1, *[1] * (weights.ndim - 1) if zero_point.size > 1 else [1])
    return conv(node.becoming("Conv", [_difference(node, 0, 2, 0), weights, None]))


def matmul_integer(node: Node) -> SSAValue:
    """MatMulInteger: MatMul of the differences to the zero points."""
    return matmul(node.becoming("MatMul", [_difference(node, 0, 2, -2), _difference(node, 1, 3, -1)]))


def _difference(node: Node, index: int, zero_point: int, axis: int) -> SSAValue:
    """Codes minus their zero point, which may be one for each element of an axis."""
    value = node.value(index)
    if not node.has(zero_point):
        return value
    offsets = node.array(zero_point, "the zero point").astype(np.float32)
    if offsets.size == 1:
        return node.binary("sub", value, offsets.reshape(()))
    return node.binary("sub", value, _along(node, offsets, node.shape(index), axis))


def real(node: Node, index: int, scale: int, zero_point: int) -> SSAValue:
    """The real numbers that codes, inputs of the node, stand for."""
    codes = node.codes[index] if index < len(node.codes) else None
    scales = node.array(scale, "the scale")
    if node.is_constant(index):
        return node.constant(constant_real(node, index, scale, zero_point, node.integer("axis", 1)))
    value = node.value(index)
    if codes is not None:
        if scales.size == 1 and codes == _codes(node, scale, zero_point):
            return value
        value = encoded(node, value, codes)
    shape = node.shape(index)
    if node.has(zero_point):
        offsets = node.array(zero_point, "the zero point").astype(np.float32)
        if offsets.any():
            value = node.binary("sub", value, _spread(node, offsets, shape))
    return node.binary("mul", value, _spread(node, scales.astype(np.float32), shape))


def constant_real(node: Node, index: int, scale: int, zero_point: int, axis: int) -> "NDArray[Any]":
    """The real numbers that constant codes stand for, by a scale for all or for each element of an axis."""
    values = node.array(index, "the codes").astype(np.float32)
    scales = node.array(scale, "the scale").astype(np.float32)
    offsets = node.array(zero_point, "the zero point").astype(np.float32) if node.has(zero_point) else np.zeros(1)
    parts = [
        part.reshape(()) if part.size == 1 else _along(node, part, values.shape, axis) for part in (scales, offsets)
    ]
    return (values - parts[1]) * parts[0]


def quantized(node: Node, value: SSAValue, scale: int, zero_point: int) -> SSAValue:
    """A value rounded to codes; the node's result is remembered as these, or is the codes where they are no bytes."""
    if not node.is_constant(scale) or (node.has(zero_point) and not node.is_constant(zero_point)):
        return _quantized_by_computed(node, value, scale, zero_point)
    scales = node.array(scale, "the scale")
    codes = _codes(node, scale, zero_point)
    if codes.element not in BITS or BITS[codes.element] > 16:
        node.refuse(f"{type_name(codes.element)} codes", "int8 or uint8")
    size = 2 ** BITS[codes.element]
    low = 0 if codes.element in UNSIGNED else -size // 2
    if scales.size == 1 and codes.element not in _ZERO_POINTS and 0 < codes.scale < 1e30:
        node.result_codes = codes
        lowest, highest = ((code - codes.zero_point) * codes.scale for code in (low, low + size - 1))
        return node.activation(value, "clamp", lowest, highest)
    if scales.size == 1 and codes.element in _ZERO_POINTS:
        try:
            function = rounding(codes)
        except VerifyException as error:
            node.refuse(f"its {error}")
        node.result_codes = codes
        return node.emit(ktensor.ActivationOp(value, function))
    shape = ktensor.shape_of(value)
    value = node.unary("round", node.binary("div", value, _spread(node, scales.astype(np.float32), shape)))
    if node.has(zero_point):
        offsets = node.array(zero_point, "the zero point").astype(np.float32)
        value = node.binary("add", value, _spread(node, offsets, shape))
    return node.activation(value, "clamp", low, low + size - 1)


def _quantized_by_computed(node: Node, value: SSAValue, scale: int, zero_point: int) -> SSAValue:
    """The codes by one scale and zero point that the model computes itself."""
    element = node.element(zero_point) if node.has(zero_point) else TensorProto.UINT8
    if math.prod(node.shape(scale)) != 1 or element not in _ZERO_POINTS:
        node.refuse("its scales are computed", "one scale, and int8 or uint8 codes")
    value = node.unary("round", node.binary("div", value, node.value(scale)))
    value = node.binary("add", value, node.value(zero_point)) if node.has(zero_point) else value
    low = 0 if element == TensorProto.UINT8 else -128
    return node.activation(value, "clamp", low, low + 255)


def _codes(node: Node, scale: int, zero_point: int) -> Codes:
    """The codes by scale and zero point, those of the first channel where there are several."""
    element = node.integer("output_dtype", 0) or TensorProto.UINT8
    offset = 0
    if node.has(zero_point):
        offsets = node.array(zero_point, "the zero point")
        element, offset = node.element(zero_point), int(offsets.reshape(-1)[0])
    elif zero_point == 2 and node.op_type == "DequantizeLinear":
        element = node.element(0)
    return Codes(element, float(node.array(scale, "the scale").reshape(-1)[0]), offset)


def _spread(node: Node, values: "NDArray[Any]", shape: tuple[int, ...]) -> "NDArray[Any]":
    """Numbers of a whole tensor, of an axis or of blocks of an axis, so that they broadcast to its shape."""
    if values.size == 1:
        return values.reshape(())
    axis = node.axis(node.integer("axis", 1), len(shape))
    block = node.integer("block_size", 0)
    if block:
        repeated = np.repeat(values, block, axis=axis)
        return np.take(repeated, np.arange(shape[axis]), axis=axis)
    return _along(node, values, shape, axis)


def _along(node: Node, values: "NDArray[Any]", shape: tuple[int, ...], axis: int) -> "NDArray[Any]":
    if values.ndim > 1:
        return values
    sizes = [1] * len(shape)
    sizes[node.axis(axis, len(shape))] = values.size
    return values.reshape(sizes)


def input_codes(source: Source) -> dict[str, Codes]:
    """The codes of 8-bit inputs that are read by nothing but DequantizeLinear with one scale and zero point."""
    found: dict[str, Codes] = {}
    for entry in source.inputs:
        readers = [node for node in source.nodes if entry.name in captured(node)]
        if entry.element not in _ZERO_POINTS or not readers:
            continue
        kinds = {
            _read_by(tuple(node.input), source) if node.op_type == "DequantizeLinear" else None for node in readers
        }
        kind = kinds.pop()
        if kind is not None and not kinds and entry.name not in source.outputs:
            found[entry.name] = Codes(entry.element, *kind)
    return found


def _read_by(names: tuple[str, ...], source: Source) -> tuple[float, int] | None:
    """Scale and zero point of a DequantizeLinear, where they are one constant each."""
    scale = source.constants.get(names[1]) if len(names) > 1 else None
    offset = source.constants.get(names[2]) if len(names) > 2 and names[2] else np.zeros((), np.uint8)
    if scale is None or offset is None or scale.size != 1 or offset.size != 1 or not 0 < float(scale.flat[0]) < 1e30:
        return None
    return float(scale.flat[0]), int(offset.flat[0])


TABLE: Table = {
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeLinear": dynamic_quantize_linear,
    "QLinearConv": q_linear_conv,
    "QLinearMatMul": q_linear_matmul,
    "ConvInteger": conv_integer,
    "MatMulInteger": matmul_integer,
}
