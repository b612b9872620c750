"""`kpu-split-diagonals`: layers that pass every channel on by itself are cut into faster ones of some channels each.

Before: quantized `kpu.conv2d` that are not depthwise, because depthwise layers cannot pool, but whose every output
channel is made of the input channel of its number. After: several of them, each on a `kpu.channel_slice`, their results
joined by `kpu.concat`; both are free in KPU RAM.

    %y = kpu.conv2d %x, %eye, %zero {pool = #kpu.pool<max_2_s2>}                      // 64 channels
      =>
    %a = kpu.channel_slice %x {begin = 0 : i64, channels = 32 : i64}
    %b = kpu.channel_slice %x {begin = 32 : i64, channels = 32 : i64}
    %c = kpu.conv2d %a, %eye, %zero {pool = #kpu.pool<max_2_s2>}
    %d = kpu.conv2d %b, %eye, %zero {pool = #kpu.pool<max_2_s2>}
    %y = kpu.concat %c, %d

Every output channel costs a pass over all input channels (`kpu-hardware.md` 10.2), so n layers take an n-th of the
time, and the software that starts n layers; `estimates.identity` finds the best n.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SplitDiagonal(RewritePattern):
    """One layer with diagonal weights becomes several."""

    def __init__(self, channels: int | None) -> None:
        self.channels = channels

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Split one layer."""
        import numpy as np

        weight, bias = ktensor.constant_of(op.weight), ktensor.constant_of(op.bias)
        if weight is None or bias is None or op.is_depthwise or not ktensor.is_quantized(op.output):
            return
        channels = len(weight)
        count = self.channels or estimates.identity(ktensor.shape_of(op.input), op.pool_kind.stride)[0]
        if count >= channels or weight.shape[1] != channels:
            return
        if np.count_nonzero(weight) != np.count_nonzero(np.einsum("iiyx->iyx", weight)):
            return
        parts: list[SSAValue] = []
        for first in range(0, channels, count):
            part = slice(first, min(first + count, channels))
            parts.append(_part(rewriter, op, part, weight[part, part], bias[part]))
        element = ktensor.element_of(op.output)
        assert isinstance(element, ktensor.QuantizedType)
        rewriter.replace(op, kpu.ConcatOp(parts, result_element=element))


def _part(
    rewriter: PatternRewriter,
    op: kpu.Conv2dOp,
    part: slice,
    weight: "NDArray[np.float32]",
    bias: "NDArray[np.float32]",
) -> SSAValue:
    """The layer that makes some of the channels."""
    source = kpu.ChannelSliceOp(op.input, part.start, part.stop - part.start)
    constants = [ktensor.ConstantOp(weight), ktensor.ConstantOp(bias)]
    element = ktensor.element_of(op.output)
    assert isinstance(element, ktensor.QuantizedType)
    layer = kpu.Conv2dOp(
        source,
        *(constant.output for constant in constants),
        activation=op.activation.data,
        pool=op.pool_kind,
        result_element=element,
    )
    layer.attributes.update(op.attributes)
    rewriter.insert((source, *constants, layer))
    return layer.output


@dataclass(frozen=True)
class KpuSplitDiagonalsPass(ModulePass):
    """Cut layers with diagonal weights into faster ones of some channels each.

    `channels`: how many, a multiple of those in a line of the input and of the result; the fastest unless given.
    """

    name = "kpu-split-diagonals"

    channels: int | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, SplitDiagonal(self.channels), recursive=False)
