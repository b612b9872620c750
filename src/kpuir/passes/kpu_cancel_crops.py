"""`kpu-cancel-crops`: nothing is cropped and padded again where what is cropped is never looked at.

Before: maps that are computed larger than the model wants (below 4x4, or without padding) go through every layer as
pad, convolution, crop. After: where a crop is followed by a pad back to the same size and no pixel that is kept depends
on the padding, both are gone and the whole chain stays in KPU RAM.

    %c = kpu.crop %f {crops = array<i64: 0, 0, 3, 3>}
    %p = kpu.pad %c {pads = array<i64: 0, 0, 3, 3>}
    %g = kpu.conv2d %p, %w, %b                          // 1x1
    %y = kpu.crop %g {crops = array<i64: 0, 0, 3, 3>}
      =>
    %g = kpu.conv2d %f, %w, %b
    %y = kpu.crop %g {crops = array<i64: 0, 0, 3, 3>}

A 1x1 convolution never mixes pixels, one of a single row no rows: what stands in the padding does not reach what is
kept. `kpuir.analysis.calibration.kept_region` follows what every layer reads up to the crops at the end. Where the pad
is another one, which puts the kept pixels elsewhere (a matrix product behind a mean whose result is not the first
pixel), what is pointwise runs on the map as it is, and its result is cropped where the pixels are: one convolution, or
many with channels sliced and joined between them (the partial sums of a large matrix product). A convolution of what
is cropped and not padded comes before the crop, as in `kpu-sink-crops`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates
from kpuir.analysis.calibration import kept_region
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes.kpu_sink_crops import ConvolutionBeforeCrop, is_within
from kpuir.passes.moving import border_of, is_on_kpu
from kpuir.target import k210


class CancelCropPad(RewritePattern):
    """pad(crop(x)) becomes x where the pixels in between are never looked at."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.PadOp, rewriter: PatternRewriter, /) -> None:
        """Remove one pair."""
        crop = op.input.owner
        if not isinstance(crop, kpu.CropOp) or border_of(crop) != border_of(op) or not op.output.first_use:
            return
        if is_within(kept_region(op.output), border_of(op), op.output):
            rewriter.replace(op, [], [crop.input])


def _is_pointwise(op: object) -> TypeGuard[kpu.Conv2dOp | kpu.ConcatOp | kpu.ChannelSliceOp]:
    """Whether it makes a map in KPU RAM of which no pixel depends on others of the input."""
    if isinstance(op, kpu.ChannelSliceOp | kpu.ConcatOp):
        return True
    return isinstance(op, kpu.Conv2dOp) and op.kernel_size == 1 and op.pool_kind is kpu.PoolKind.BYPASS


def _connected(start: kpu.PadOp) -> set[Operation | Block]:
    """The pads, pointwise operations and crops connected with a pad, and what else reads or makes such maps."""
    found: set[Operation | Block] = {start}
    pending: list[Operation | Block] = [start]
    while pending:
        op = pending.pop()
        near: list[Operation | Block] = []
        if isinstance(op, kpu.PadOp) or _is_pointwise(op):
            near += [use.operation for use in op.output.uses]
        if _is_pointwise(op):
            near += [value.owner for value in (op.inputs if isinstance(op, kpu.ConcatOp) else [op.input])]
        pending += [other for other in near if other not in found]
        found.update(near)
    return found


class PassCropsOn(RewritePattern):
    """crop(f(pad(crop(x)))) becomes crop(f(x)) where f is pointwise, on a map that is not much larger."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.PadOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite all that is connected with a pad."""
        front = op.input.owner
        if not isinstance(front, kpu.CropOp) or op.parent is None:
            return
        found = _connected(op)
        pads = [one for one in found if isinstance(one, kpu.PadOp)]
        between = [one for one in op.parent.ops if one in found and _is_pointwise(one)]
        crops = [one for one in found if isinstance(one, kpu.CropOp)]
        if len(pads) + len(between) + len(crops) < len(found) or not crops:
            return
        if not all(_is_alike(pad, op, front) for pad in pads) or not all(_ends(crop, op, found) for crop in crops):
            return
        whole, padded = ktensor.shape_of(front.input)[2:], ktensor.shape_of(op.output)[2:]
        moved = [ours - theirs for ours, theirs in zip(border_of(front), border_of(op), strict=True)]
        if not _is_worthwhile([*pads, *between, *crops], whole, padded, moved):
            return
        for pad in pads:
            assert isinstance(pad.input.owner, kpu.CropOp)
            rewriter.replace(pad, [], [pad.input.owner.input])
        for one in between:
            rewriter.replace(one, _made_again(one))
        for crop in crops:
            sides = [side + more for side, more in zip(border_of(crop), moved, strict=True)]
            rewriter.replace(crop, kpu.CropOp(crop.input, sides))


def _is_alike(pad: kpu.PadOp, other: kpu.PadOp, front: kpu.CropOp) -> bool:
    """Whether a pad puts the same pixels of a map in KPU RAM where another one does, which is behind `front`."""
    crop = pad.input.owner
    return (
        isinstance(crop, kpu.CropOp)
        and is_on_kpu(crop.input)
        and border_of(crop) == border_of(front)
        and border_of(pad) == border_of(other)
        and ktensor.shape_of(crop.input)[2:] == ktensor.shape_of(front.input)[2:]
    )


def _ends(crop: kpu.CropOp, pad: kpu.PadOp, found: set[Operation | Block]) -> bool:
    """Whether a crop takes away all that was padded, and is behind what was found, not in front of it."""
    outside = all(theirs >= ours for theirs, ours in zip(border_of(crop), border_of(pad), strict=True))
    return outside and not any(use.operation in found for use in crop.output.uses)


def _is_worthwhile(
    found: Sequence[Operation], whole: tuple[int, ...], padded: tuple[int, ...], moved: Sequence[int]
) -> bool:
    """Whether the KPU can do that on maps of the size `whole`, and faster than with the ways to `padded` ones.

    `moved`: how much more is cropped on each side then.
    """
    more = 0.0
    for op in found:
        if isinstance(op, kpu.ConcatOp | kpu.ChannelSliceOp):
            if not k210.same_lines(whole[1], padded[1]):
                return False
            continue
        channels = ktensor.shape_of(op.operands[0])[1]
        large, small = (1, channels, *whole), (1, channels, *padded)
        if isinstance(op, kpu.PadOp):
            more -= estimates.detour(large, small)
        elif isinstance(op, kpu.CropOp) and not any(isinstance(use.operation, kpu.PadOp) for use in op.output.uses):
            right = border_of(op)[3]
            more += estimates.download_without(large, right + moved[3]) - estimates.download_without(small, right)
        elif isinstance(op, kpu.Conv2dOp):
            outputs = ktensor.shape_of(op.weight)[0]
            if not k210.layer_rules(channels, whole[0], whole[1], outputs, 1, op.is_depthwise).ok:
                return False
            slow, fast = (estimates.layer(size, outputs, 1, op.is_depthwise) for size in (large, small))
            more += slow - fast
    return more <= 0


def _made_again(op: Operation) -> Operation:
    """An operation on what its operands are now."""
    if isinstance(op, kpu.ConcatOp):
        return kpu.ConcatOp(op.inputs)
    if isinstance(op, kpu.ChannelSliceOp):
        return kpu.ChannelSliceOp(op.input, op.begin.value.data, ktensor.shape_of(op.output)[1])
    assert isinstance(op, kpu.Conv2dOp)
    return kpu.Conv2dOp(op.input, op.weight, op.bias, depthwise=op.is_depthwise, activation=op.activation.data)


@dataclass(frozen=True)
class KpuCancelCropsPass(ModulePass):
    """Remove crops that are undone by a pad nobody looks at; move others behind what is pointwise, and convolutions."""

    name = "kpu-cancel-crops"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, CancelCropPad(), PassCropsOn(), ConvolutionBeforeCrop())
