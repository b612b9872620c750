"""Operations as functions of one variable, however they are spelled."""

from xdsl.ir import Operation, SSAValue

from kpuir.dialects import ktensor


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
        if reversed_ and name in ("sub", "div"):
            name = "r" + name
        return value, ktensor.ActivationAttr.of(ktensor.ActivationKind(name), float(constant.reshape(())))
    return None
