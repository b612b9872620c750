"""`kpu-cancel-crops`: between 1x1 convolutions on maps that were padded to 4x4, nothing is cropped and padded again.

Before: small maps (and the vectors of matrix products) go through every layer as pad, 1x1 convolution, crop. After:
where a crop is followed by a pad back to the same size and then only 1x1 convolutions whose own results are cropped
likewise, both are gone and the whole chain stays in KPU RAM.

    %c = kpu.crop %f {crops = array<i64: 0, 0, 3, 3>}
    %p = kpu.pad %c {pads = array<i64: 0, 0, 3, 3>}
    %g = kpu.conv2d %p, %w, %b                          // 1x1
    %y = kpu.crop %g {crops = array<i64: 0, 0, 3, 3>}
      =>
    %g = kpu.conv2d %f, %w, %b
    %y = kpu.crop %g {crops = array<i64: 0, 0, 3, 3>}

A 1x1 convolution never mixes pixels, so what stands in the padding does not reach the pixels that are kept.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite


def _keeps_within(conv: object, crops: tuple[int, ...]) -> bool:
    """Whether `conv` is pointwise and all its users crop at least `crops`."""
    if not isinstance(conv, kpu.Conv2dOp) or ktensor.shape_of(conv.weight)[2:] != (1, 1):
        return False
    if conv.pool.data != kpu.PoolKind.BYPASS:
        return False
    users = [use.operation for use in conv.output.uses]
    return bool(users) and all(
        isinstance(user, kpu.CropOp)
        and all(theirs >= ours for theirs, ours in zip(user.crops.get_values(), crops, strict=True))
        for user in users
    )


class CancelCropPad(RewritePattern):
    """pad(crop(x)) becomes x where the pixels in between are never looked at."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.PadOp, rewriter: PatternRewriter, /) -> None:
        """Remove one pair."""
        crop = op.input.owner
        if not isinstance(crop, kpu.CropOp) or crop.crops.get_values() != op.pads.get_values():
            return
        crops = tuple(crop.crops.get_values())
        if all(_keeps_within(use.operation, crops) for use in op.output.uses):
            rewriter.replace(op, [], [crop.input])


@dataclass(frozen=True)
class KpuCancelCropsPass(ModulePass):
    """Remove crops that are undone by a pad before a 1x1 convolution."""

    name = "kpu-cancel-crops"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, CancelCropPad())
