"""Quantized models in ONNX's QDQ form: a value that QuantizeLinear and DequantizeLinear round stays a real number."""

import numpy as np
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import QuantizedType
from kpuir.importers.onnx.node import Node, Table

_ZERO_POINTS = {"int8": 128, "uint8": 0}
"""What turns codes of these types into bytes."""


def quantize_linear(node: Node) -> SSAValue:
    """QuantizeLinear to int8 or uint8: the numbers that the codes stand for."""
    return node.emit(ktensor.ActivationOp(node.value(0), ktensor.ActivationAttr.rounding_to(_element(node))))


def dequantize_linear(node: Node) -> SSAValue:
    """DequantizeLinear of what QuantizeLinear gave with the same scale and zero point, perhaps moved since."""
    value, element = node.value(0), _element(node)
    if ktensor.rounding_of(value) != element:
        node.refuse("its input was not quantized with its scale and zero point", "QuantizeLinear with the same ones")
    return value


def _element(node: Node) -> QuantizedType:
    """The bytes that the codes become."""
    scale = node.scalar(1, "the scale")
    kind = np.dtype(np.uint8)
    zero_point = 0
    if node.has(2):
        kind = node.array(2, "the zero point").dtype
        zero_point = int(node.scalar(2, "the zero point"))
    if kind.name not in _ZERO_POINTS:
        node.refuse(f"{kind.name} codes", "int8 or uint8")
    try:
        return QuantizedType.of(scale, zero_point + _ZERO_POINTS[kind.name])
    except VerifyException as error:
        node.refuse(f"its {error}")


TABLE: Table = {
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
}
