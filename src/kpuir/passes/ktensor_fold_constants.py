"""`ktensor-fold-constants`: what can be computed now is not computed on the chip.

Before: any module at ktensor level. After: no ktensor operation has only constants as operands, except where its
result has more than `max_elements` elements. The values are those of the float interpreter.

    %a = ktensor.constant dense<[1.0, 4.0]> : tensor<2xf32>
    %b = ktensor.unary<sqrt> %a : (tensor<2xf32>) -> tensor<2xf32>
      =>
    %b = ktensor.constant dense<[1.0, 2.0]> : tensor<2xf32>
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern

from kpuir.dialects import ktensor
from kpuir.ir.rewriting import rewrite

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from xdsl.interpreter import Interpreter


class FoldConstants(RewritePattern):
    """An operation on constants becomes the constant it computes."""

    def __init__(self, max_elements: int) -> None:
        self.max_elements = max_elements

    @cached_property
    def interpreter(self) -> "Interpreter":
        """The float interpreter; imported only where something folds."""
        from xdsl.interpreter import Interpreter

        from kpuir.interpreters.ktensor import KTensorFunctions

        interpreter = Interpreter(ModuleOp([]))
        interpreter.register_implementations(KTensorFunctions())
        return interpreter

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one operation."""
        if not isinstance(op, ktensor.KTensorOp) or op.name not in _FOLDABLE:
            return
        if math.prod(ktensor.shape_of(op.output)) > self.max_elements:
            return
        arrays = [ktensor.constant_of(value) for value in op.operands]
        if any(array is None for array in arrays):
            return
        result = cast("NDArray[Any]", self.interpreter.run_op(op, tuple(arrays))[0])
        rewriter.replace(op, ktensor.ConstantOp(result, op.output.type))


_FOLDABLE = frozenset(op.name for op in ktensor.KTensor.operations if op is not ktensor.ConstantOp)


@dataclass(frozen=True)
class KTensorFoldConstantsPass(ModulePass):
    """Compute what depends on constants only, up to `max_elements` elements a result."""

    name = "ktensor-fold-constants"

    max_elements: int = 1 << 22

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Fold everywhere in the module."""
        rewrite(op, FoldConstants(self.max_elements))
