"""`kpu-fuse-activations`: scalar functions behind a convolution move into its activation table.

Before: `kpu.conv2d` followed, perhaps across crops, slices and reshapes, by scalar functions (`ktensor.activation`,
`ktensor.unary`, `ktensor.binary` with a scalar constant). After: they are the convolution's `activation`, a list
applied in order, as far as the convolution has no other use and does not pool yet.

    %f = kpu.conv2d %x, %w, %b
    %y = ktensor.activation %f {function = #ktensor.activation<relu>}
      =>
    %y = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>]}

Any function of one variable fits the 16-segment table (`kpu-hardware.md` 8.3). A function moves up across an operation
that only moves elements: f(crop(x)) = crop(f(x)). It never moves across a pad, whose zeros f might change.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern
from xdsl.rewriter import InsertPoint

from kpuir.analysis.functions import scalar_function
from kpuir.dialects import kpu, ktensor
from kpuir.ir.locations import fused
from kpuir.ir.rewriting import rewrite


def _producer(value: SSAValue) -> Operation | None:
    """The operation that makes a value for a single use, else None."""
    owner = value.owner
    return owner if isinstance(owner, Operation) and value.has_one_use() else None


class FuseActivation(RewritePattern):
    """conv then f becomes conv with f."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite a scalar function right behind a convolution."""
        found = None if kpu.REASON in op.attributes else scalar_function(op)
        if found is None:
            return
        conv = _producer(found[0])
        if not isinstance(conv, kpu.Conv2dOp) or conv.pool.data != kpu.PoolKind.BYPASS:
            return
        new = kpu.Conv2dOp(
            conv.input,
            conv.weight,
            conv.bias,
            depthwise=bool(conv.depthwise.value.data),
            activation=(*conv.activation.data, found[1]),
        )
        new.location = fused(conv.location, op.location)
        rewriter.insertion_point = InsertPoint.before(conv)  # so that what it reads need not live until `op`
        rewriter.insert(new)
        rewriter.replace(op, [], new.results)
        rewriter.erase(conv)


class HoistActivation(RewritePattern):
    """f behind an operation that moves elements goes in front of it, if a convolution is up there."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Swap a scalar function with the move in front of it."""
        found = None if kpu.REASON in op.attributes else scalar_function(op)
        if found is None:
            return
        move = root = _producer(found[0])
        while root is not None and root.has_trait(ktensor.MovesElements):
            root = _producer(root.operands[0])
        if move is None or move is root or not isinstance(root, kpu.Conv2dOp):
            return
        function = ktensor.ActivationOp(move.operands[0], found[1])
        function.location = op.location
        moved = move.clone()
        rewriter.insert(function)
        moved.operands[0] = function.output
        rewriter.replace(op, moved)
        rewriter.erase(move)


@dataclass(frozen=True)
class KpuFuseActivationsPass(ModulePass):
    """Move scalar functions into the activation of the convolution in front of them."""

    name = "kpu-fuse-activations"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, FuseActivation(), HoistActivation())
