"""The ops of ONNX Runtime's own domain that its static quantizer writes in QOperator format.

Each is an op of ONNX on the real numbers that its codes stand for, rounded to the codes of its result.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
from xdsl.ir import SSAValue

from kpuir.importers.onnx.node import Converter, Node, Operand, Table, documented
from kpuir.importers.onnx.ops.activations import TABLE as ACTIVATIONS
from kpuir.importers.onnx.ops.elementwise import TABLE as ELEMENTWISE
from kpuir.importers.onnx.ops.linear import gemm
from kpuir.importers.onnx.ops.logic import where
from kpuir.importers.onnx.ops.pooling import TABLE as POOLING
from kpuir.importers.onnx.ops.quantization import TAKES_CODES as OF_ONNX
from kpuir.importers.onnx.ops.quantization import constant_real, dequantize_linear, quantize_linear, quantized, real
from kpuir.importers.onnx.ops.shape import concat

_DOMAIN = "com.microsoft::"
_NEWEST = 13
"""The opset whose definitions they follow, where they do not say."""

_ONE = ((0, 1, 2),)
_TWO = ((0, 1, 2), (3, 4, 5))


def _rounded(name: str, table: Table, operands: Sequence[tuple[int, int, int]], result: tuple[int, int]) -> Converter:
    """The op `name` of a table; `operands` are the numbers of codes, scale, zero point, `result` of the last two."""

    def converter(node: Node) -> SSAValue:
        if node.integer("channels_last", 0):
            node.refuse("channels_last = 1", "a model that is quantized, but not optimized for a processor")
        plain = node.becoming(name, [real(node, *where) for where in operands])
        plain.opset = node.integer("opset", _NEWEST)
        return quantized(node, cast("SSAValue", table[name](plain)), *result)

    return documented(converter, f"{name} of the real numbers, rounded.")


def q_linear_concat(node: Node) -> SSAValue:
    """Concat of the real numbers, rounded."""
    reals = [real(node, index, index + 1, index + 2) for index in range(2, len(node.operands), 3)]
    return quantized(node, concat(node.becoming("Concat", reals)), 0, 1)


def q_linear_where(node: Node) -> SSAValue:
    """Where of the real numbers, rounded."""
    reals = [node.operands[0], real(node, 1, 2, 3), real(node, 4, 5, 6)]
    return quantized(node, where(node.becoming("Where", reals)), 7, 8)


def q_gemm(node: Node) -> SSAValue:
    """Gemm of the real numbers, rounded where the result has a scale."""
    axis = 0 if node.integer("transB", 0) else 1
    right: Operand = constant_real(node, 3, 4, 5, axis) if node.is_constant(3) else real(node, 3, 4, 5)
    bias = None
    if node.has(6):
        scale = node.array(1, "the scale") * node.array(4, "the scale") * np.float32(node.real("alpha", 1.0))
        bias = node.array(6, "the bias") * scale
    value = gemm(node.becoming("Gemm", [real(node, 0, 1, 2), right, bias]))
    return quantized(node, value, 7, 8) if node.has(7) else value


TABLE: Table = {
    f"{_DOMAIN}QLinearAdd": _rounded("Add", ELEMENTWISE, _TWO, (6, 7)),
    f"{_DOMAIN}QLinearMul": _rounded("Mul", ELEMENTWISE, _TWO, (6, 7)),
    f"{_DOMAIN}QLinearLeakyRelu": _rounded("LeakyRelu", ACTIVATIONS, _ONE, (3, 4)),
    f"{_DOMAIN}QLinearSigmoid": _rounded("Sigmoid", ACTIVATIONS, _ONE, (3, 4)),
    f"{_DOMAIN}QLinearSoftmax": _rounded("Softmax", ACTIVATIONS, _ONE, (3, 4)),
    f"{_DOMAIN}QLinearAveragePool": _rounded("AveragePool", POOLING, _ONE, (3, 4)),
    f"{_DOMAIN}QLinearGlobalAveragePool": _rounded("GlobalAveragePool", POOLING, _ONE, (3, 4)),
    f"{_DOMAIN}QLinearReduceMean": _rounded("ReduceMean", ELEMENTWISE, _ONE, (3, 4)),
    f"{_DOMAIN}QLinearConcat": q_linear_concat,
    f"{_DOMAIN}QLinearWhere": q_linear_where,
    f"{_DOMAIN}QGemm": q_gemm,
    f"{_DOMAIN}QuantizeLinear": quantize_linear,
    f"{_DOMAIN}DequantizeLinear": dequantize_linear,
}
TAKES_CODES = OF_ONNX | {name.removeprefix(_DOMAIN) for name in TABLE if name != f"{_DOMAIN}QuantizeLinear"}
"""Ops whose converters look at `Node.codes`."""
