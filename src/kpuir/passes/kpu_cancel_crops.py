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

A 1x1 convolution never mixes pixels, so what stands in the padding does not reach the pixels that are kept. Where the
pad is another one, which puts the kept pixels elsewhere (a matrix product behind another whose result is not the first
pixel), the convolution runs on the map as it is, and its result is cropped where the pixels are.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes.moving import is_on_kpu
from kpuir.target import k210


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


class PassCropOn(RewritePattern):
    """crop(conv(pad(crop(x)))) becomes crop(conv(x)) of a 1x1 convolution on a map that is not much larger."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one convolution."""
        pad = op.input.owner
        crop = pad.input.owner if isinstance(pad, kpu.PadOp) and pad.output.has_one_use() else None
        if not isinstance(crop, kpu.CropOp) or not isinstance(pad, kpu.PadOp) or not is_on_kpu(crop.input):
            return
        if not _keeps_within(op, tuple(pad.pads.get_values())):
            return
        whole, padded, outputs = (ktensor.shape_of(value) for value in (crop.input, pad.output, op.weight))
        there = estimates.detour(whole, padded)
        more = estimates.layer(whole, outputs[0]) - estimates.layer(padded, outputs[0])
        if more > there or not k210.layer_rules(whole[1], whole[2], whole[3], outputs[0], 1, op.is_depthwise).ok:
            return
        layer = kpu.Conv2dOp(crop.input, op.weight, op.bias, depthwise=op.is_depthwise, activation=op.activation.data)
        layer.location = op.location
        rewriter.insert(layer)
        moved = [ours - theirs for ours, theirs in zip(crop.crops.get_values(), pad.pads.get_values(), strict=True)]
        for use in list(op.output.uses):
            user = use.operation
            assert isinstance(user, kpu.CropOp)
            sides = [side + more for side, more in zip(user.crops.get_values(), moved, strict=True)]
            rewriter.replace(user, kpu.CropOp(layer, sides))


@dataclass(frozen=True)
class KpuCancelCropsPass(ModulePass):
    """Remove crops that are undone by a pad before a 1x1 convolution."""

    name = "kpu-cancel-crops"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, CancelCropPad(), PassCropOn())
