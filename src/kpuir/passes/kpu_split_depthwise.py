"""`kpu-split-depthwise`: a strided depthwise layer too large for KPU RAM works on some of its channels at a time.

Before: `kpu.conv2d` that is depthwise, and a layer that picks every other pixel of its result, which is all that reads
it. The KPU computes at stride 1, so for a moment the result is as large as the input. After, where the two do not fit
KPU RAM together: both layers for some channels after another, so that only what is picked stays.

    %d = kpu.conv2d %x, %w, %b {depthwise = true}                                   // 48x120x160: 1.1 MB, like %x
    %y = kpu.conv2d %d, %eye, %zero {kpu.moves, pool = #kpu.pool<left_top_2_s2>}
      =>
    %s = kpu.channel_slice %x {begin = 0 : i64, channels = 24 : i64}
    %e = kpu.conv2d %s, %w_s, %b_s {depthwise = true}
    %p = kpu.conv2d %e, %eye, %zero {kpu.moves, pool = #kpu.pool<left_top_2_s2>}
    ...                                                                             // the same for the other channels
    %y = kpu.concat %p, %q

Exact: depthwise layers and such picks keep channels apart, and slices and concats are free (`kpu-hardware.md` 3).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes.moving import insert
from kpuir.passes.splitting import LINE, Part, parts
from kpuir.target import k210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SplitDepthwise(RewritePattern):
    """A depthwise layer and the pick behind it become several of each."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Split the pair that ends in `op`."""
        wide = op.input.owner
        if not isinstance(wide, kpu.Conv2dOp) or not wide.is_depthwise or not wide.output.has_one_use():
            return
        if kpu.MOVES not in op.attributes or op.is_depthwise or op.pool_kind is kpu.PoolKind.BYPASS:
            return
        arrays = [ktensor.constant_of(value) for conv in (op, wide) for value in (conv.weight, conv.bias)]
        chosen = _parts(wide, op)
        if not chosen or any(array is None for array in arrays) or not _is_diagonal(ktensor.constant_of(op.weight)):
            return
        picked = [_part(rewriter, op, _part(rewriter, wide, wide.input, part), part) for part in chosen]
        rewriter.replace(op, kpu.ConcatOp(picked))
        rewriter.erase(wide)


def _is_diagonal(weight: "NDArray[np.float32] | None") -> bool:
    """Whether output channels are made of the input channels of their numbers."""
    import numpy as np

    if weight is None or weight.shape[0] != weight.shape[1]:
        return False
    return np.count_nonzero(weight) == np.count_nonzero(np.einsum("iiyx->iyx", weight))


def _parts(wide: kpu.Conv2dOp, pick: kpu.Conv2dOp) -> list[Part]:
    """The channels to work on at a time, as few parts as fit; none where all fit at once, or never."""
    before, after = (k210.feature_map_bytes(*_shape(value)) for value in (wide.input, wide.output))
    if k210.ram_rule(before, after).ok:
        return []
    _, channels, *size = _shape(wide.output)
    kept = before + k210.feature_map_bytes(*_shape(pick.output))
    for count in range(2, -(-channels // LINE) + 1):
        chosen = parts(channels, -(-channels // (count * LINE)) * LINE)
        if k210.ram_rule(kept, k210.feature_map_bytes(1, chosen[0][1], *size)).ok:
            return chosen
    return []


def _part(rewriter: PatternRewriter, op: kpu.Conv2dOp, source: SSAValue, part: Part) -> SSAValue:
    """The layer `op` for some of its channels; `source` has all channels of its input, or just those."""
    first, count = part
    if _shape(source)[1] > count:
        source = insert(rewriter, kpu.ChannelSliceOp(source, first, count))
    arrays = [ktensor.constant_of(value) for value in (op.weight, op.bias)]
    weight, bias = (array[first : first + count] for array in arrays if array is not None)
    if not op.is_depthwise:
        weight = weight[:, first : first + count]
    constants = [ktensor.ConstantOp(array) for array in (weight, bias)]
    settings = {"depthwise": op.is_depthwise, "activation": op.activation.data, "pool": op.pool_kind}
    layer = kpu.Conv2dOp(source, *(constant.output for constant in constants), **settings)
    layer.attributes.update(op.attributes)
    layer.location = op.location
    return insert(rewriter, *constants, layer)


def _shape(value: SSAValue) -> tuple[int, int, int, int]:
    batch, channels, height, width = ktensor.shape_of(value)
    return batch, channels, height, width


@dataclass(frozen=True)
class KpuSplitDepthwisePass(ModulePass):
    """Split strided depthwise layers that exceed KPU RAM by channels."""

    name = "kpu-split-depthwise"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, SplitDepthwise())
