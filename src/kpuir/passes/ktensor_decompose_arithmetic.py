"""`ktensor-decompose-arithmetic`: arithmetic no kmodel instruction has, out of what exists.

Before: comparisons, powers, remainders, selections and products over axes. After: none of these, but additions,
multiplications, clamps and functions. Comparisons are exact: a difference that is not 0 is at least 2^-149, which
2^127 makes more than 1 if it is multiplied with it twice.

    %y = ktensor.binary<greater> %a, %b
      =>
    %d = ktensor.binary<sub> %a, %b
    %l = ktensor.binary<mul> %d, %huge ...
    %y = ktensor.activation<clamp, 0.0, 1.0> %l

A power is exp(b log|a|), with the sign of an odd b where a is negative; |a| below 1e-37 counts as that. A selection is
c * lhs + (1 - c) * rhs, so what is not selected must be finite.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.dialects import kpu, ktensor
from kpuir.dialects.ktensor import BinaryKind
from kpuir.ir.rewriting import rewrite
from kpuir.passes.ktensor_decompose_functions import Formula
from kpuir.passes.moving import insert


def _positive(x: Formula) -> Formula:
    """1 where x is above 0, else 0."""
    return (x * 2.0**127 * 2.0**127).clamp(0, 1)


def _power(a: Formula, b: Formula) -> Formula:
    size = a.unary("abs").maximum(1e-37)
    odd = b - (b * 0.5).unary("floor") * 2
    return (size.unary("log") * b).exp() * (1 - _positive(0 - a) * odd * 2)


class DecomposeBinary(RewritePattern):
    """A comparison, power or remainder becomes its formula."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.BinaryOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one binary operation."""
        a, b = Formula(rewriter, op.lhs), Formula(rewriter, op.rhs)
        match op.kind.data:
            case BinaryKind.GREATER:
                result = _positive(a - b)
            case BinaryKind.GREATER_EQUAL:
                result = 1 - _positive(b - a)
            case BinaryKind.EQUAL:
                result = 1 - _positive((a - b).unary("abs"))
            case BinaryKind.FLOOR_MOD:
                result = a - (a / b).unary("floor") * b
            case BinaryKind.POW:
                result = _power(a, b)
            case _:
                return
        rewriter.replace(op, [], [result.value])


class DecomposeSelect(RewritePattern):
    """A selection becomes a sum of products."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.SelectOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one selection."""
        condition, lhs, rhs = (Formula(rewriter, value) for value in op.operands)
        rewriter.replace(op, [], [(condition * lhs + (1 - condition) * rhs).value])


class DecomposeProduct(RewritePattern):
    """A product over axes multiplies the halves of each, again and again."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.ReduceOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one product."""
        if op.kind.data is not ktensor.ReduceKind.PROD:
            return
        value = op.input
        for axis in op.axes.get_values():
            while (size := ktensor.shape_of(value)[axis]) > 1:
                half = size // 2
                first, second = (_part(rewriter, value, axis, start, start + half) for start in (0, half))
                product = insert(rewriter, ktensor.BinaryOp("mul", first, second))
                rest = [_part(rewriter, value, axis, size - 1, size)] if size % 2 else []
                value = insert(rewriter, ktensor.ConcatOp([product, *rest], axis)) if rest else product
        rewriter.replace(op, ktensor.ReshapeOp(value, ktensor.shape_of(op.output)))


def _part(rewriter: PatternRewriter, value: SSAValue, axis: int, start: int, end: int) -> SSAValue:
    shape = ktensor.shape_of(value)
    starts, ends = [0] * len(shape), list(shape)
    starts[axis], ends[axis] = start, end
    return insert(rewriter, ktensor.SliceOp(value, starts, ends))


@dataclass(frozen=True)
class KTensorDecomposeArithmeticPass(ModulePass):
    """Express comparisons, powers, remainders, selections and products by what kmodel instructions have."""

    name = "ktensor-decompose-arithmetic"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, DecomposeBinary(), DecomposeSelect(), DecomposeProduct(), keep=(kpu.REASON,))
