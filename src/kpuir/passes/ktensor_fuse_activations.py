"""`ktensor-fuse-activations`: functions spelled out in arithmetic get their names back.

Before: any module at ktensor level. After: of floats,

    max(x, 0) -> relu             min(max(x, 0), 6) -> relu6             min(max(x, lo), hi) -> clamp
    max(x, a x), 0 <= a <= 1      -> leaky_relu(a)       min(x, a x), a >= 1      -> leaky_relu(a)
    min(max(a x + b, 0), 1)       -> hard_sigmoid(a, b)  relu6(x + 3) / 6         -> hard_sigmoid(1/6, 1/2)
    x sigmoid(x)                  -> swish               x hard_sigmoid(x), x relu6(x + 3) / 6 -> hard_swish
    log(exp(x) + 1)               -> softplus            x tanh(softplus(x))      -> mish

in any order of the factors, a constant factor anywhere in the product, multiplied or divided. Other binary operations
with a number stay as they are: kpu-fuse-activations takes them into the activation table one by one.

    %s = ktensor.activation<sigmoid> %x : (tensor<1x8xf32>) -> tensor<1x8xf32>
    %y = ktensor.binary<mul> %x, %s : (tensor<1x8xf32>, tensor<1x8xf32>) -> tensor<1x8xf32>
      =>
    %y = ktensor.activation<swish> %x : (tensor<1x8xf32>) -> tensor<1x8xf32>
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from xdsl.context import Context
from xdsl.dialects.builtin import AnyFloat, ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern

from kpuir.analysis.functions import scalar_function
from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import ActivationAttr, ActivationKind, BinaryKind
from kpuir.ir.rewriting import rewrite

Match: TypeAlias = tuple[SSAValue, ActivationAttr]

_DEPTH = 3
"""How many multiplications a product is looked through."""


class NameFunction(RewritePattern):
    """The last operation of a recognized function becomes that function."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one operation."""
        if not isinstance(op, ktensor.BinaryOp | ktensor.UnaryOp | ktensor.ActivationOp):
            return
        if not isinstance(ktensor.element_of(op.output), AnyFloat):
            return
        found = _limited(op) or _softplus(op) or _leaky(op) or _product(op)
        if found is None or found[0].type != op.output.type:
            return
        new = ktensor.ActivationOp(*found)
        new.location = op.location
        rewriter.replace(op, new)


def _scalar(value: SSAValue) -> Match | None:
    """The operand and the function that make a value, if it is a function of one variable."""
    owner = value.owner
    return scalar_function(owner) if isinstance(owner, Operation) else None


def _inner(value: SSAValue, kind: ActivationKind, *params: float) -> SSAValue | None:
    """The x of `kind(x, params)`, if that is what a value is."""
    found = _scalar(value)
    if found is None or found[1].kind != kind or not _close(found[1].values, params):
        return None
    return found[0]


def _close(found: tuple[float, ...], wanted: tuple[float, ...]) -> bool:
    """Whether parameters are equal up to the rounding of single precision."""
    return all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(found, wanted, strict=True))


def _limited(op: Operation) -> Match | None:
    """relu, relu6, clamp and hard_sigmoid."""
    outer = scalar_function(op)
    limits = ktensor.limits(outer[1]) if outer is not None else None
    if outer is None or limits is None:
        return None
    x, _ = outer
    before = _scalar(x)
    first = ktensor.limits(before[1]) if before is not None else None
    if before is not None and first is not None:
        lo, hi = (min(max(value, limits[0]), limits[1]) for value in first)
        return before[0], ktensor.limiting(lo, hi)
    if limits == (0.0, 1.0):
        return _hard_sigmoid(x)
    function = ktensor.limiting(*limits)
    is_named = function.kind != ActivationKind.CLAMP and function != outer[1]
    return (x, function) if is_named else None


def _hard_sigmoid(limited: SSAValue) -> Match | None:
    """hard_sigmoid, given what is limited to 0..1."""
    shifted = _scalar(limited)
    if shifted is None or shifted[1].kind not in (ActivationKind.ADD, ActivationKind.SUB):
        return None
    offset = shifted[1].values[0] * (1 if shifted[1].kind == ActivationKind.ADD else -1)
    slope, x = 1.0, shifted[0]
    scaled = _scalar(x)
    if scaled is not None and (factor := _factor(scaled[1])) is not None:
        x, slope = scaled[0], factor
    return x, ActivationAttr.of(ActivationKind.HARD_SIGMOID, slope, offset)


def _factor(function: ActivationAttr) -> float | None:
    """The number a function multiplies with, if that is what it does."""
    match function.kind, function.values:
        case ActivationKind.MUL, (c,):
            return c
        case ActivationKind.DIV, (c,) if c != 0:
            return 1 / c
        case _:
            return None


def _softplus(op: Operation) -> Match | None:
    """log(exp(x) + 1)."""
    outer = scalar_function(op)
    if outer is None or outer[1].kind != ActivationKind.LOG:
        return None
    powers = _inner(outer[0], ActivationKind.ADD, 1.0)
    x = _inner(powers, ActivationKind.EXP) if powers is not None else None
    return (x, ActivationAttr.of(ActivationKind.SOFTPLUS)) if x is not None else None


def _leaky(op: Operation) -> Match | None:
    """max(x, a x) and min(x, a x)."""
    if not isinstance(op, ktensor.BinaryOp):
        return None
    for x, other in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
        scaled = _scalar(other)
        slope = _factor(scaled[1]) if scaled is not None and scaled[0] is x else None
        if slope is None:
            continue
        is_max = op.kind.data == BinaryKind.MAX and 0 <= slope <= 1
        is_min = op.kind.data == BinaryKind.MIN and slope >= 1
        if is_max or is_min:
            return x, ActivationAttr.of(ActivationKind.LEAKY_RELU, slope)
    return None


def _product(op: Operation) -> Match | None:
    """swish, hard_swish, mish and hard_sigmoid: a product of x and a function of x, times a number."""
    outer = scalar_function(op)
    is_scaled = outer is not None and _factor(outer[1]) is not None
    if not is_scaled and not (isinstance(op, ktensor.BinaryOp) and op.kind.data == BinaryKind.MUL):
        return None
    for coefficient, factors in _products(op.results[0], _DEPTH):
        found = _named_product(coefficient, factors)
        if found is not None:
            return found
    return None


def _products(value: SSAValue, depth: int) -> Iterator[tuple[float, tuple[SSAValue, ...]]]:
    """Every way to see a value as a number times factors, from the value itself to its smallest parts."""
    yield 1.0, (value,)
    op = value.owner
    if depth == 0 or not isinstance(op, Operation):
        return
    scalar = scalar_function(op)
    factor = _factor(scalar[1]) if scalar is not None else None
    if scalar is not None and factor is not None:
        for coefficient, factors in _products(scalar[0], depth - 1):
            yield factor * coefficient, factors
    elif isinstance(op, ktensor.BinaryOp) and op.kind.data == BinaryKind.MUL:
        for first, lhs in _products(op.lhs, depth - 1):
            for second, rhs in _products(op.rhs, depth - 1):
                yield first * second, lhs + rhs


def _named_product(coefficient: float, factors: tuple[SSAValue, ...]) -> Match | None:
    """The function that a number times one or two factors is."""
    if len(factors) == 1:
        x = _relu6_of_shifted(factors[0])
        if x is None or not _close((coefficient * 6,), (1.0,)):
            return None
        return x, ActivationAttr.of(ActivationKind.HARD_SIGMOID, 1 / 6, 0.5)
    if len(factors) != 2:
        return None
    for x, gate in (factors, factors[::-1]):
        kind = _gated(coefficient, x, gate)
        if kind is not None:
            return x, ActivationAttr.of(kind)
    return None


def _gated(coefficient: float, x: SSAValue, gate: SSAValue) -> ActivationKind | None:
    """The function `coefficient * x * gate(x)`."""
    if _close((coefficient * 6,), (1.0,)) and _relu6_of_shifted(gate) is x:
        return ActivationKind.HARD_SWISH
    if not _close((coefficient,), (1.0,)):
        return None
    if _inner(gate, ActivationKind.SIGMOID) is x:
        return ActivationKind.SWISH
    if _inner(gate, ActivationKind.HARD_SIGMOID, 1 / 6, 0.5) is x:
        return ActivationKind.HARD_SWISH
    tanh = _inner(gate, ActivationKind.TANH)
    if tanh is not None and _inner(tanh, ActivationKind.SOFTPLUS) is x:
        return ActivationKind.MISH
    return None


def _relu6_of_shifted(value: SSAValue) -> SSAValue | None:
    """The x of relu6(x + 3)."""
    shifted = _inner(value, ActivationKind.RELU6)
    return _inner(shifted, ActivationKind.ADD, 3.0) if shifted is not None else None


@dataclass(frozen=True)
class KTensorFuseActivationsPass(ModulePass):
    """Recognize activation functions in arithmetic."""

    name = "ktensor-fuse-activations"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Recognize functions everywhere in the module."""
        rewrite(op, NameFunction())
