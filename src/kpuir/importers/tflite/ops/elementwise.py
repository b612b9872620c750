"""Functions of single elements. Operations on constants alone are folded: they are mostly shape arithmetic."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import ActivationAttr, ActivationKind, BinaryKind, UnaryKind
from kpuir.importers.tflite.layer import Constant, Handler, Layer, NotExpressibleError, Value, check_size
from kpuir.importers.tflite.ops.common import FUSED, fused_activation

Fold = Callable[..., Any]


def unary(kind: UnaryKind, fold: Fold) -> Handler:
    """The handler of a function that is a `ktensor.unary`."""

    def handler(layer: Layer) -> Value:
        constant = layer.constant(0)
        if constant is not None:
            return folded(layer, fold, constant)
        return layer.put(ktensor.UnaryOp(kind, layer.value(0)))

    handler.__doc__ = f"`ktensor.unary<{kind}>`."
    return handler


def binary(kind: BinaryKind, fold: Fold, *, fuses: bool = False) -> Handler:
    """The handler of a function that is a `ktensor.binary`, with a fused activation where `fuses`."""

    def handler(layer: Layer) -> Value:
        left, right = layer.constant(0), layer.constant(1)
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


def squared_difference(layer: Layer) -> SSAValue:
    """SQUARED_DIFFERENCE."""
    difference = layer.put(ktensor.BinaryOp(BinaryKind.SUB, layer.value(0), layer.value(1)))
    return layer.put(ktensor.UnaryOp(UnaryKind.SQUARE, difference))


def floor_div(layer: Layer) -> Value:
    """FLOOR_DIV."""
    left, right = layer.constant(0), layer.constant(1)
    if left is not None and right is not None:
        return folded(layer, np.floor_divide, left, right)
    return _floor_quotient(layer)


def floor_mod(layer: Layer) -> Value:
    """FLOOR_MOD: x - y * floor(x / y)."""
    left, right = layer.constant(0), layer.constant(1)
    if left is not None and right is not None:
        return folded(layer, np.mod, left, right)
    whole = layer.put(ktensor.BinaryOp(BinaryKind.MUL, _floor_quotient(layer), layer.value(1)))
    return layer.put(ktensor.BinaryOp(BinaryKind.SUB, layer.value(0), whole))


def _floor_quotient(layer: Layer) -> SSAValue:
    quotient = layer.put(ktensor.BinaryOp(BinaryKind.DIV, layer.value(0), layer.value(1)))
    return layer.put(ktensor.UnaryOp(UnaryKind.FLOOR, quotient))


def power(layer: Layer) -> Value:
    """POW with one constant exponent out of -1, -0.5, 0.5, 1, 2, 3."""
    exponents = np.unique(layer.array(1, "the exponent"))
    exponent = float(exponents[0]) if exponents.size == 1 else None
    base = layer.constant(0)
    if base is not None:
        return folded(layer, np.power, base, layer.array(1, "the exponent"))
    value = layer.value(0)
    match exponent:
        case 1.0:
            return value
        case 2.0:
            return layer.put(ktensor.UnaryOp(UnaryKind.SQUARE, value))
        case 0.5:
            return layer.put(ktensor.UnaryOp(UnaryKind.SQRT, value))
        case -0.5:
            return layer.put(ktensor.UnaryOp(UnaryKind.RSQRT, value))
        case -1.0:
            return activate(layer, value, ActivationAttr.of(ActivationKind.RDIV, 1.0))
        case 3.0:
            square = layer.put(ktensor.UnaryOp(UnaryKind.SQUARE, value))
            return layer.put(ktensor.BinaryOp(BinaryKind.MUL, square, value))
        case _:
            what = "different exponents" if exponent is None else f"the exponent {exponent:g}"
            raise NotExpressibleError(f"POW with {what} is not supported: only -1, -0.5, 0.5, 1, 2 and 3 are")


OPS: Mapping[str, Handler] = {
    "ABS": unary(UnaryKind.ABS, np.abs),
    "ADD": binary(BinaryKind.ADD, np.add, fuses=True),
    "ADD_N": add_n,
    "CEIL": unary(UnaryKind.CEIL, np.ceil),
    "COS": unary(UnaryKind.COS, np.cos),
    "DIV": binary(BinaryKind.DIV, _divide, fuses=True),
    "ELU": activation(ActivationAttr.of(ActivationKind.ELU, 1.0)),
    "EXP": unary(UnaryKind.EXP, np.exp),
    "FLOOR": unary(UnaryKind.FLOOR, np.floor),
    "FLOOR_DIV": floor_div,
    "FLOOR_MOD": floor_mod,
    "GELU": gelu,
    "HARD_SWISH": activation(ActivationAttr.of(ActivationKind.HARD_SWISH)),
    "LEAKY_RELU": leaky_relu,
    "LOG": unary(UnaryKind.LOG, np.log),
    "LOGISTIC": activation(ActivationAttr.of(ActivationKind.SIGMOID)),
    "MAXIMUM": binary(BinaryKind.MAX, np.maximum),
    "MINIMUM": binary(BinaryKind.MIN, np.minimum),
    "MUL": binary(BinaryKind.MUL, np.multiply, fuses=True),
    "NEG": unary(UnaryKind.NEG, np.negative),
    "POW": power,
    "PRELU": prelu,
    "RELU": activation(FUSED["RELU"]),
    "RELU6": activation(FUSED["RELU6"]),
    "RELU_0_TO_1": activation(ActivationAttr.of(ActivationKind.CLAMP, 0.0, 1.0)),
    "RELU_N1_TO_1": activation(FUSED["RELU_N1_TO_1"]),
    "ROUND": unary(UnaryKind.ROUND, np.rint),
    "RSQRT": unary(UnaryKind.RSQRT, lambda x: 1 / np.sqrt(x)),
    "SIN": unary(UnaryKind.SIN, np.sin),
    "SQRT": unary(UnaryKind.SQRT, np.sqrt),
    "SQUARE": unary(UnaryKind.SQUARE, np.square),
    "SQUARED_DIFFERENCE": squared_difference,
    "SUB": binary(BinaryKind.SUB, np.subtract, fuses=True),
    "TANH": activation(FUSED["TANH"]),
}
