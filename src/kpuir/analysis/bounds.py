"""What is known of values without running the model: numbers that no element is smaller, or larger, than."""

import math
from typing import TYPE_CHECKING, TypeAlias

from xdsl.ir import Block, Operation, SSAValue

from kpuir.dialects import kpu, ktensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Kind = ktensor.ActivationKind

Range: TypeAlias = tuple[float, float]

UNKNOWN: Range = (-math.inf, math.inf)

_BETWEEN = (ktensor.ReduceKind.MEAN, ktensor.ReduceKind.MIN, ktensor.ReduceKind.MAX)
"""Reductions whose results lie between the smallest and the largest element."""

_NOT_NEGATIVE = {
    *(_Kind.SIGMOID, _Kind.HARD_SIGMOID, _Kind.SOFTPLUS),
    *(_Kind.ABS, _Kind.EXP, _Kind.SQUARE),
    *(_Kind.SQRT, _Kind.RSQRT),
}

_AT_MOST_ONE = (_Kind.SIGMOID, _Kind.HARD_SIGMOID, _Kind.TANH)

_LEAST = {
    _Kind.TANH: -1.0,
    _Kind.SWISH: -0.2785,
    _Kind.HARD_SWISH: -0.375,
    _Kind.MISH: -0.3089,
    _Kind.GELU: -0.1701,
    _Kind.GELU_TANH: -0.1701,
}
"""Functions with a minimum, rounded down."""


def least_of(function: ktensor.ActivationAttr) -> float:
    """A number that no result of a function is smaller than; -inf where nothing is known."""
    limits = ktensor.limits(function)
    if limits is not None:
        return limits[0]
    if function.quantized is not None:
        return function.quantized.bounds[0]
    if function.kind is _Kind.ELU:
        return min(-function.values[0], 0.0)
    return 0.0 if function.kind in _NOT_NEGATIVE else _LEAST.get(function.kind, -math.inf)


def functions_of(op: Operation | Block) -> tuple[ktensor.ActivationAttr, ...]:
    """The functions of numbers that an op ends with."""
    match op:
        case ktensor.ActivationOp():
            return (op.function,)
        case ktensor.UnaryOp():
            return (ktensor.ActivationAttr.of(op.kind.data.value),)
        case kpu.Conv2dOp():
            return (*op.activation.data,)
        case _:
            return ()


def function_bounds(value: SSAValue) -> Range:
    """Two numbers that no element of `value` lies outside of, by the last function that makes it; else infinities."""
    functions = functions_of(value.owner)
    if not functions:
        return UNKNOWN
    limits = ktensor.limits(functions[-1])
    most = 1.0 if functions[-1].kind in _AT_MOST_ONE else math.inf
    if functions[-1].quantized is not None:
        return functions[-1].quantized.bounds
    return least_of(functions[-1]), most if limits is None else limits[1]


def convolution_bounds(
    weight: "NDArray[np.floating]", bias: "NDArray[np.floating]", low: float, high: float
) -> tuple[float, float]:
    """The lowest and highest result of weights [OC, ...] for inputs from `low` to `high`, by interval arithmetic."""
    import numpy as np

    flat = weight.reshape(weight.shape[0], -1).astype(np.float64)
    positive, negative = np.maximum(flat, 0).sum(1), np.minimum(flat, 0).sum(1)
    lowest = (positive * low + negative * high + bias).min()
    highest = (positive * high + negative * low + bias).max()
    return float(lowest), float(highest)


def _with(number: float, bounds: Range) -> Range:
    """Bounds that hold a number as well."""
    return min(number, bounds[0]), max(number, bounds[1])


def _combined(kind: ktensor.BinaryKind, lhs: Range, rhs: Range) -> Range:
    """The bounds of an operation on two numbers."""
    match kind:
        case ktensor.BinaryKind.ADD:
            return lhs[0] + rhs[0], lhs[1] + rhs[1]
        case ktensor.BinaryKind.SUB:
            return lhs[0] - rhs[1], lhs[1] - rhs[0]
        case ktensor.BinaryKind.MUL if all(map(math.isfinite, (*lhs, *rhs))):
            products = [a * b for a in lhs for b in rhs]
            return min(products), max(products)
        case ktensor.BinaryKind.MIN:
            return min(lhs[0], rhs[0]), min(lhs[1], rhs[1])
        case ktensor.BinaryKind.MAX:
            return max(lhs[0], rhs[0]), max(lhs[1], rhs[1])
        case _:
            return UNKNOWN


class Bounds:
    """Interval arithmetic: each value is looked at once, when it or what is computed from it is asked for.

    It stops at layers and functions, whose own limits count; what the numbers that enter them say is left to others.
    """

    def __init__(self) -> None:
        self.known: dict[SSAValue, Range] = {}

    def of(self, value: SSAValue) -> Range:
        """Two numbers that no element of `value` lies outside of; infinities where nothing is known."""
        if value not in self.known:
            low, high = self._of(value, value.owner)
            least, most = function_bounds(value)
            self.known[value] = max(low, least), min(high, most)
        return self.known[value]

    def layer(self, op: kpu.Conv2dOp) -> Range:
        """What is known of a layer besides the limits of its last function."""
        return _with(0.0, self.of(op.input)) if kpu.MOVES in op.attributes and not op.activation.data else UNKNOWN

    def function(self, op: ktensor.ActivationOp | ktensor.UnaryOp) -> Range:
        """What is known of the results of a function besides its own limits."""
        return UNKNOWN

    def _of(self, value: SSAValue, op: Operation | Block) -> Range:
        match op:
            case kpu.Conv2dOp():
                return self.layer(op)
            case ktensor.ActivationOp() | ktensor.UnaryOp():
                return self.function(op)
            case ktensor.ConstantOp():
                return float(op.array.min(initial=0)), float(op.array.max(initial=0))
            case ktensor.SoftmaxOp():
                return 0.0, 1.0
            case ktensor.BinaryOp():
                return _combined(op.kind.data, self.of(op.lhs), self.of(op.rhs))
            case ktensor.PadOp():
                return _with(op.pad_value, self.of(op.input))
            case kpu.PadOp():
                return _with(op.value.value.data, self.of(op.input))
            case ktensor.ConcatOp() | kpu.ConcatOp():
                lows, highs = zip(*map(self.of, op.inputs), strict=True)
                both = min(lows), max(highs)
                return both if isinstance(op, ktensor.ConcatOp) else _with(0.0, both)
            case ktensor.ReduceOp() if op.kind.data in _BETWEEN:
                return self.of(op.input)
            case ktensor.AveragePool2dOp():
                return _with(0.0, self.of(op.input))
            case ktensor.MaxPool2dOp() | ktensor.ResizeOp():
                return self.of(op.input)
            case Operation() if op.has_trait(ktensor.MovesElements):
                return self.of(op.operands[0])
            case Operation() if op.has_trait(ktensor.MovesElementsOrZero):
                return _with(0.0, self.of(op.operands[0]))
            case _:
                return UNKNOWN


def lower_bound(value: SSAValue) -> float:
    """A number that no element of `value` is smaller than; -inf where nothing is known."""
    return Bounds().of(value)[0]
