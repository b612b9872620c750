"""What is known of values without running the model: numbers that no element is smaller, or larger, than."""

import math
from typing import TYPE_CHECKING

from xdsl.ir import Operation, SSAValue

from kpuir.dialects import kpu, ktensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Kind = ktensor.ActivationKind

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


def function_bounds(value: SSAValue) -> tuple[float, float]:
    """Two numbers that no element of `value` lies outside of, by the last function that makes it; else infinities."""
    op = value.owner
    functions = (op.function,) if isinstance(op, ktensor.ActivationOp) else ()
    functions = op.activation.data if isinstance(op, kpu.Conv2dOp) else functions
    if not functions:
        return -math.inf, math.inf
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


def lower_bound(value: SSAValue) -> float:
    """A number that no element of `value` is smaller than; -inf where nothing is known."""
    op = value.owner
    match op:
        case ktensor.ActivationOp():
            return least_of(op.function)
        case ktensor.UnaryOp():
            return 0.0 if _Kind(op.kind.data.value) in _NOT_NEGATIVE else -math.inf
        case ktensor.SoftmaxOp():
            return 0.0
        case ktensor.MaxPool2dOp() | ktensor.ResizeOp():
            return lower_bound(op.input)
        case ktensor.AveragePool2dOp():
            return min(0.0, lower_bound(op.input))
        case ktensor.PadOp():
            return min(op.pad_value, lower_bound(op.input))
        case kpu.PadOp():
            return min(op.value.value.data, lower_bound(op.input))
        case ktensor.ConcatOp():
            return min(lower_bound(part) for part in op.inputs)
        case kpu.ConcatOp():
            return min(0.0, *(lower_bound(part) for part in op.inputs))
        case kpu.Conv2dOp():
            if op.activation.data:
                return least_of(op.activation.data[-1])
            return min(0.0, lower_bound(op.input)) if kpu.MOVES in op.attributes else -math.inf
        case Operation() if op.has_trait(ktensor.MovesElements):
            return lower_bound(op.operands[0])
        case Operation() if op.has_trait(ktensor.MovesElementsOrZero):
            return min(0.0, lower_bound(op.operands[0]))
        case _:
            return -math.inf
