"""Operations as functions of one variable, or as a scale and shift of each channel, however they are spelled."""

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from xdsl.dialects.builtin import AnyFloat, ModuleOp
from xdsl.ir import Operation, SSAValue

from kpuir.dialects import kpu, ktensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Doubles: TypeAlias = NDArray[np.float64]


def scalar_function(op: Operation) -> tuple[SSAValue, ktensor.ActivationAttr] | None:
    """The operand of `op` and the function it applies to each element, if it is one of a single variable."""
    if isinstance(op, ktensor.ActivationOp):
        return op.input, op.function
    if isinstance(op, ktensor.UnaryOp):
        return op.input, ktensor.ActivationAttr.of(ktensor.ActivationKind(op.kind.data.value))
    if not isinstance(op, ktensor.BinaryOp):
        return None
    for value, other, reversed_ in ((op.lhs, op.rhs, False), (op.rhs, op.lhs, True)):
        constant = ktensor.constant_of(other)
        if constant is None or constant.size != 1 or ktensor.shape_of(value) != ktensor.shape_of(op.output):
            continue
        name = op.kind.data.value
        if name not in _WITH_A_NUMBER:
            return None
        if reversed_ and name in ("sub", "div"):
            name = "r" + name
        return value, ktensor.ActivationAttr.of(ktensor.ActivationKind(name), float(constant.reshape(())))
    return None


_WITH_A_NUMBER = frozenset({"add", "sub", "mul", "div", "min", "max"})
"""Binary operations that are an activation where one operand is a number."""


def has_own_scales(module: ModuleOp) -> bool:
    """Whether the model brings scales with it: values are rounded to what bytes can represent."""
    for op in module.walk():
        functions = op.activation.data if isinstance(op, kpu.Conv2dOp) else ()
        functions = (op.function,) if isinstance(op, ktensor.ActivationOp) else functions
        if any(function.quantized is not None for function in functions):
            return True
    return False


class Affine(NamedTuple):
    """`scale * x + shift`, a number [C] for each channel of `x`."""

    input: SSAValue
    scale: "Doubles"
    shift: "Doubles"


def channel_affine(op: Operation, axis: int = -3) -> Affine | None:
    """The scale and shift that `op` applies to each channel along `axis` (negative), if that is what it does."""
    import numpy as np

    if not isinstance(op, ktensor.BinaryOp):
        return None
    for value, other, reversed_ in ((op.lhs, op.rhs, False), (op.rhs, op.lhs, True)):
        constant = per_channel(other, value, axis)
        if constant is None or value.type != op.output.type:
            continue
        one, zero = np.ones_like(constant), np.zeros_like(constant)
        match op.kind.data, reversed_:
            case ktensor.BinaryKind.ADD, _:
                return Affine(value, one, constant)
            case ktensor.BinaryKind.SUB, False:
                return Affine(value, one, -constant)
            case ktensor.BinaryKind.SUB, True:
                return Affine(value, -one, constant)
            case ktensor.BinaryKind.MUL, _:
                return Affine(value, constant, zero)
            case ktensor.BinaryKind.DIV, False if np.all(constant != 0):
                return Affine(value, 1 / constant, zero)
            case _:
                continue
    return None


def per_channel(constant: SSAValue, value: SSAValue, axis: int = -3) -> "Doubles | None":
    """A constant as one number for each channel of `value`, if it is the same along all other axes."""
    import numpy as np

    array = ktensor.constant_of(constant)
    if array is None or not isinstance(ktensor.element_of(constant), AnyFloat):
        return None
    rank = len(ktensor.shape_of(value))
    if rank < -axis or array.ndim > rank:
        return None
    channels = ktensor.shape_of(value)[axis]
    shape = [1] * (rank - array.ndim) + list(array.shape)
    others = shape[:axis] + shape[len(shape) + axis + 1 :]
    if any(size != 1 for size in others) or shape[axis] not in (1, channels):
        return None
    return np.broadcast_to(array.reshape(-1).astype(np.float64), (channels,))
