"""`kpu-fuse-pools`: pooling the engine can do becomes the tail of the convolution in front of it.

Before: `kpu.conv2d` followed by `ktensor.max_pool2d` or `ktensor.average_pool2d`. After: windows of 2x2 and 4x4 with
the same stride, and 2x2 with stride 1, are the convolution's `pool`; others stay, with the reason recorded.

    %f = kpu.conv2d %x, %w, %b
    %y = ktensor.max_pool2d %f {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>}
      =>
    %y = kpu.conv2d %x, %w, %b {pool = #kpu.pool<max_2_s2>}

The convolution must not be depthwise, not pool yet, and have no other use (`kpu-hardware.md` 7 and 8.2). At stride 1
the engine ignores what lies beyond the right and bottom edge: a padding of one pixel there that is not counted.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern

from kpuir.dialects import kpu, ktensor
from kpuir.ir.locations import fused
from kpuir.ir.rewriting import rewrite
from kpuir.target import k210

_KINDS: dict[tuple[type[Operation], int, int], kpu.PoolKind] = {
    (ktensor.MaxPool2dOp, 2, 2): kpu.PoolKind.MAX_2_S2,
    (ktensor.MaxPool2dOp, 4, 4): kpu.PoolKind.MAX_4_S4,
    (ktensor.MaxPool2dOp, 2, 1): kpu.PoolKind.MAX_2_S1,
    (ktensor.AveragePool2dOp, 2, 2): kpu.PoolKind.MEAN_2_S2,
    (ktensor.AveragePool2dOp, 4, 4): kpu.PoolKind.MEAN_4_S4,
    (ktensor.AveragePool2dOp, 2, 1): kpu.PoolKind.MEAN_2_S1,
}


def pool_code(op: ktensor.MaxPool2dOp | ktensor.AveragePool2dOp) -> kpu.PoolKind | str:
    """The pool code that does what `op` does, or why there is none."""
    window, strides, pads = (tuple(a.get_values()) for a in (op.kernel_shape, op.strides, op.pads))
    kind = _KINDS.get((type(op), window[0], strides[0]))
    if kind is None or window[0] != window[1] or strides[0] != strides[1]:
        return f"a window of {window[0]}x{window[1]} with strides {strides[0]}x{strides[1]} has no pool code"
    if isinstance(op, ktensor.MaxPool2dOp) and set(op.dilations.get_values()) != {1}:
        return "the window is dilated"
    wanted = (0, 0, 1, 1) if kind.stride == 1 else (0, 0, 0, 0)
    if pads != wanted:
        return f"the pads are {pads}, this pool code has {wanted}"
    if kind.stride == 1 and isinstance(op, ktensor.AveragePool2dOp) and op.count_include_pad.value.data:
        return "padding counts in the mean"
    return kind


class FusePool(RewritePattern):
    """conv then pool becomes conv with pool."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Fuse one pooling operation, or record why it stays."""
        if not isinstance(op, ktensor.MaxPool2dOp | ktensor.AveragePool2dOp) or kpu.REASON in op.attributes:
            return
        kind = pool_code(op)
        if not isinstance(kind, kpu.PoolKind):
            op.attributes[kpu.REASON] = StringAttr(kind)
            return
        conv = op.input.owner
        size = k210.output_size_rule(*ktensor.shape_of(op.output)[2:])
        if not isinstance(conv, kpu.Conv2dOp) or conv.pool.data != kpu.PoolKind.BYPASS:
            reason = "no convolution on the KPU in front that could pool"
        elif conv.depthwise.value.data:
            reason = k210.depthwise_pool_rule(kind).reason
        elif not conv.output.has_one_use():
            reason = "the values before pooling are used elsewhere too"
        elif not size.ok:
            reason = size.reason
        else:
            layer = kpu.Conv2dOp(conv.input, conv.weight, conv.bias, activation=conv.activation.data, pool=kind)
            layer.location = fused(conv.location, op.location)
            rewriter.replace(op, layer)
            rewriter.erase(conv)
            return
        op.attributes[kpu.REASON] = StringAttr(reason)


@dataclass(frozen=True)
class KpuFusePoolsPass(ModulePass):
    """Make pooling the tail of the convolution in front of it."""

    name = "kpu-fuse-pools"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, FusePool(), recursive=False)
