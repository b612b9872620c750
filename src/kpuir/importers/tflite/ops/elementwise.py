"""Functions of single elements. Operations on constants alone are folded: they are mostly shape arithmetic."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import ActivationAttr, ActivationKind, BinaryKind, UnaryKind
from kpuir.importers.tflite.codes import on_codes
from kpuir.importers.tflite.layer import Constant, Handler, Layer, Result, Value, check_size
from kpuir.importers.tflite.ops.common import FUSED, fused_activation

Fold = Callable[..., Any]
_NEXT_TO_ZERO = 1.1754943508222875e-38
"""The smallest normal number of float32."""
_TINY = 1e-30
"""What is divided by instead of 0; the quotient's arc tangent is half a turn's."""


def unary(kind: UnaryKind, fold: Fold) -> Handler:
    """The handler of a function that is a `ktensor.unary`."""

    def handler(layer: Layer) -> Value:
        constant = layer.known(0)
        if constant is not None:
            return folded(layer, fold, constant)
        return layer.put(ktensor.UnaryOp(kind, layer.value(0)))

    handler.__doc__ = f"`ktensor.unary<{kind}>`."
    return handler


def binary(kind: BinaryKind, fold: Fold, *, fuses: bool = False) -> Handler:
    """The handler of a function that is a `ktensor.binary`, with a fused activation where `fuses`."""

    def handler(layer: Layer) -> Value:
        left, right = layer.known(0), layer.known(1)
        if left is not None and right is not None and not (fuses and layer.option("FusedActivationFunction", 0)):
            return folded(layer, fold, left, right)
        result = layer.put(ktensor.BinaryOp(kind, layer.value(0), layer.value(1)))
        return fused_activation(layer, result) if fuses else result

    more = " and its fused activation function" if fuses else ""
    handler.__doc__ = f"`ktensor.binary<{kind}>`{more}."
    return handler


def activation(function: ActivationAttr) -> Handler:
    """The handler of an activation function without options."""

    def handler(layer: Layer) -> Value:
        return activate(layer, layer.value(0), function)

    handler.__doc__ = f"`ktensor.activation<{', '.join([function.kind.value, *map(str, function.values)])}>`."
    return handler


def activate(layer: Layer, value: SSAValue, function: ActivationAttr) -> SSAValue:
    """`ktensor.activation`."""
    return layer.put(ktensor.ActivationOp(value, function))


def folded(layer: Layer, fold: Fold, *constants: Constant) -> Constant:
    """`fold` of constants, float ones by their real values. Integers stay integers of the first operand's type."""
    check_size(np.broadcast_shapes(*(c.shape for c in constants)), layer.name)
    operands = [c if c.dtype.kind in "iub" else layer.real(i) for i, c in enumerate(constants)]
    with np.errstate(all="ignore"):
        result = np.asarray(fold(*operands))
    return result.astype(constants[0].dtype) if constants[0].dtype.kind in "iu" else result.astype(np.float32)


def _divide(left: Constant, right: Constant) -> Constant:
    return np.trunc(left / right) if left.dtype.kind in "iu" else left / right


def leaky_relu(layer: Layer) -> SSAValue:
    """LEAKY_RELU with its slope."""
    return activate(layer, layer.value(0), ActivationAttr.of(ActivationKind.LEAKY_RELU, layer.option("Alpha")))


def gelu(layer: Layer) -> SSAValue:
    """GELU, exact or by tanh."""
    kind = ActivationKind.GELU_TANH if layer.option("Approximate", False) else ActivationKind.GELU
    return activate(layer, layer.value(0), ActivationAttr.of(kind))


def prelu(layer: Layer) -> SSAValue:
    """PRELU(input, slope)."""
    return layer.put(ktensor.PReluOp(layer.value(0), layer.value(1)))


def add_n(layer: Layer) -> SSAValue:
    """ADD_N: the sum of all inputs, from left to right."""
    total = layer.value(0)
    for position in layer.inputs[1:]:
        total = layer.put(ktensor.BinaryOp(BinaryKind.ADD, total, layer.value(position)))
    return total


def of_positive(handler: Handler) -> Handler:
    """A handler of a function of positive numbers: codes below stand for the limit at 0, as in LiteRT's tables."""

    def limited(layer: Layer) -> Result:
        if not layer.is_coded(0) or layer.known(0) is not None:
            return handler(layer)
        return layer.unary(layer.operator.kind.lower(), layer.activation(layer.value(0), "max", _NEXT_TO_ZERO))

    limited.__doc__ = handler.__doc__
    return limited


def squared_difference(layer: Layer) -> SSAValue:
    """SQUARED_DIFFERENCE."""
    difference = layer.put(ktensor.BinaryOp(BinaryKind.SUB, layer.value(0), layer.value(1)))
    return layer.put(ktensor.UnaryOp(UnaryKind.SQUARE, difference))


def division(layer: Layer) -> Result:
    """`ktensor.binary<div>` and its fused activation function; of integers rounded towards 0."""
    result = binary(BinaryKind.DIV, _divide, fuses=True)(layer)
    return layer.truncated(result) if isinstance(result, SSAValue) and layer.is_whole() else result


def floor_div(layer: Layer) -> Value:
    """FLOOR_DIV: floor(x / y)."""
    left, right = layer.known(0), layer.known(1)
    if left is not None and right is not None:
        return folded(layer, np.floor_divide, left, right)
    return layer.unary("floor", layer.binary("div", layer.value(0), layer.value(1)))


def power(layer: Layer) -> Value:
    """POW; with the exponents -1, -0.5, 0.5, 1, 2 and 3 by simpler functions."""
    base, exponents = layer.known(0), layer.known(1)
    if base is not None and exponents is not None:
        return folded(layer, np.power, base, exponents)
    value = layer.value(0)
    alone = exponents is not None and exponents.size == 1 and exponents.ndim <= len(layer.shape(0))
    match float(exponents.reshape(())) if exponents is not None and alone else None:
        case 1.0:
            return value
        case 2.0:
            return layer.unary("square", value)
        case 0.5:
            return layer.unary("sqrt", value)
        case -0.5:
            return layer.unary("rsqrt", value)
        case -1.0:
            return layer.activation(value, "rdiv", 1.0)
        case 3.0:
            return layer.binary("mul", layer.unary("square", value), value)
        case _:
            return layer.binary("pow", value, layer.value(1))


def atan2(layer: Layer) -> Value:
    """ATAN2(y, x): the angle of atan(y / x), half a turn further where x is negative."""
    above, right = layer.known(0), layer.known(1)
    if above is not None and right is not None:
        return folded(layer, np.arctan2, above, right)
    y, x = layer.value(0), layer.value(1)
    nonzero = layer.select(layer.binary("equal", x, 0.0), layer.constant(_TINY), x)
    angle = layer.unary("atan", layer.binary("div", y, nonzero))
    below = layer.rbinary("greater", 0.0, y)
    turn = layer.select(below, layer.constant(-math.pi), layer.constant(math.pi))
    return layer.binary("add", angle, layer.binary("mul", layer.rbinary("greater", 0.0, x), turn))


def right_shift(layer: Layer) -> SSAValue:
    """RIGHT_SHIFT by constants: of integers, rounded down."""
    bits = layer.array(1, "by how many bits it shifts")
    if not layer.is_whole() or bits.dtype.kind not in "iu" or (bits < 0).any() or (bits > 63).any():
        raise layer.invalid(f"of {layer.dtype(0).lower()} by bits outside of 0 to 63, or not of integers")
    return layer.unary("floor", layer.binary("mul", layer.value(0), np.exp2(-bits.astype(np.float32))))


def fake_quant(layer: Layer) -> SSAValue:
    """FAKE_QUANT: rounding to 2 to 16 bits between two numbers, which are nudged until 0 has a code."""
    low, high = float(layer.option("Min")), float(layer.option("Max"))
    bits, narrow = int(layer.option("NumBits")), bool(layer.option("NarrowRange", False))
    if not (2 <= bits <= 16 and low < high and math.isfinite(high - low)):
        raise layer.invalid(f"of {bits} bits from {low} to {high}")
    first, last = float(narrow), 2.0**bits - 1
    scale = (high - low) / (last - first)
    zero_point = min(max(math.floor(first - low / scale + 0.5), first), last)
    low, high = (first - zero_point) * scale, (last - zero_point) * scale
    if bits == 8 and not narrow:
        return layer.activation(layer.value(0), "fake_quantize", scale, zero_point)
    steps = layer.binary("div", layer.binary("sub", layer.activation(layer.value(0), "clamp", low, high), low), scale)
    codes = layer.unary("floor", layer.binary("add", steps, 0.5))
    return layer.binary("add", layer.binary("mul", codes, scale), low)


OPS: Mapping[str, Handler] = {
    "ABS": unary(UnaryKind.ABS, np.abs),
    "ADD": binary(BinaryKind.ADD, np.add, fuses=True),
    "ADD_N": add_n,
    "ATAN2": atan2,
    "CEIL": unary(UnaryKind.CEIL, np.ceil),
    "COS": unary(UnaryKind.COS, np.cos),
    "DIV": division,
    "FAKE_QUANT": fake_quant,
    "SIGN": unary(UnaryKind.SIGN, np.sign),
    "ELU": activation(ActivationAttr.of(ActivationKind.ELU, 1.0)),
    "EXP": unary(UnaryKind.EXP, np.exp),
    "FLOOR": unary(UnaryKind.FLOOR, np.floor),
    "FLOOR_DIV": on_codes(floor_div, overflows=True),
    "FLOOR_MOD": on_codes(binary(BinaryKind.FLOOR_MOD, np.mod)),
    "GELU": gelu,
    "HARD_SWISH": activation(ActivationAttr.of(ActivationKind.HARD_SWISH)),
    "LEAKY_RELU": leaky_relu,
    "LOG": of_positive(unary(UnaryKind.LOG, np.log)),
    "LOGISTIC": activation(ActivationAttr.of(ActivationKind.SIGMOID)),
    "MAXIMUM": binary(BinaryKind.MAX, np.maximum),
    "MINIMUM": binary(BinaryKind.MIN, np.minimum),
    "MUL": binary(BinaryKind.MUL, np.multiply, fuses=True),
    "NEG": on_codes(unary(UnaryKind.NEG, np.negative), overflows=True),
    "POW": power,
    "PRELU": prelu,
    "RELU": activation(FUSED["RELU"]),
    "RELU6": activation(FUSED["RELU6"]),
    "RELU_0_TO_1": activation(ActivationAttr.of(ActivationKind.CLAMP, 0.0, 1.0)),
    "RELU_N1_TO_1": activation(FUSED["RELU_N1_TO_1"]),
    "RIGHT_SHIFT": right_shift,
    "ROUND": unary(UnaryKind.ROUND, np.rint),
    "RSQRT": of_positive(unary(UnaryKind.RSQRT, lambda x: 1 / np.sqrt(x))),
    "SIN": unary(UnaryKind.SIN, np.sin),
    "SQRT": unary(UnaryKind.SQRT, np.sqrt),
    "SQUARE": unary(UnaryKind.SQUARE, np.square),
    "SQUARED_DIFFERENCE": squared_difference,
    "SUB": binary(BinaryKind.SUB, np.subtract, fuses=True),
    "TANH": activation(FUSED["TANH"]),
}
