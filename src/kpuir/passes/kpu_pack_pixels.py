"""`kpu-pack-pixels`: the one pixel a matrix product leaves of its map is gathered from all channels by layers.

Before: quantized `kpu.crop` of a layer's result to one pixel of each channel, needed in main RAM: the end of a
classifier. After, for few channels (or where it is faster): the numbers lie next to each other in one small map, so
that nothing but they is downloaded, and nothing is left for the CPU to move.

    %z = kpu.crop %y {crops = array<i64: 1, 1, 2, 2>}                                    // 1x12x4x4 -> 1x12x1x1
      =>
    %p = kpu.pad %y {pads = array<i64: 0, 0, 12, 0>}                                     // 1x16x16x4
    %l = kpu.lines %p {height = 64 : i64}                                                // 1x1x64x64
    %a = kpu.conv2d %l, %one, %zero {pool = #kpu.pool<left_top_4_s4>}                    // 1x1x16x16
    %b = kpu.conv2d %a, %one, %zero {pool = #kpu.pool<left_top_4_s4>}                    // 1x1x4x4
    %z = ktensor.slice (ktensor.reshape %b)                                              // 12 of its 16 numbers

In KPU RAM a line holds the same row of four channels, 16 bytes apart, and with 16 rows per channel the wanted pixels
of 16 channels are a grid of 4x4 at every 16th row and column of 64 lines of 64 bytes: picking every 4th of every 4th
leaves just them, in order. The kernels have their one beside the centre where the pixel is not the first of its
channel.

By the estimate the CPU's crop of so few numbers would take about 0.1 ms less; but it would be the only thing that such
a model has a CPU do, conversions aside.
"""

from dataclasses import dataclass
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, UnitAttr
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes.moving import insert, pooled, shift
from kpuir.target import k210

_ROWS = 16
"""Rows a channel needs: two picks of every 4th."""
_BLOCK = 16
"""Channels whose pixels fill one channel of the result."""
_FEW = 64
"""Channels up to which pixels are packed whatever that costs."""
_PICK = kpu.PoolKind.LEFT_TOP_4_S4
_TAPS = {first + 4 * second: (first, second) for first in (-1, 0, 1) for second in (0, 1)}
"""(offset in the first pick, in the second) that together reach a row or column."""


class PackPixels(RewritePattern):
    """A crop to one pixel per channel becomes two picks."""

    def __init__(self, always: bool) -> None:
        self.always = always

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.CropOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one crop."""
        conv, (_, channels, height, width) = op.input.owner, ktensor.shape_of(op.input)
        if ktensor.shape_of(op.output)[2:] != (1, 1) or not ktensor.is_quantized(op.output):
            return
        if not isinstance(conv, kpu.Conv2dOp) or conv.is_depthwise or conv.pool_kind is not kpu.PoolKind.BYPASS:
            return
        if (
            _returns(op.output)
            or not op.input.has_one_use()
            or max(height, width) > _ROWS
            or channels > k210.K210.MAX_CHANNELS
        ):
            return
        row, column = op.crops.get_values()[:2]
        whole = -(-channels // _BLOCK) * _BLOCK
        if not self.always and channels > _FEW and _milliseconds(whole, height, width) > _cpu(channels, height, width):
            return
        value = _padded_layer(rewriter, conv, whole)
        left = next(left for left in range(column + 1) if column - left in _TAPS)
        tops = [top for top in range(_ROWS - height + 1) if row + top in _TAPS]
        top = tops[0] if tops else -next(up for up in range(row + 1) if row - up in _TAPS)
        value = shift(rewriter, value, min(top, 0), -left)
        pad = kpu.PadOp(value, (max(top, 0), 0, _ROWS - height - max(top, 0), 0))
        pad.attributes[kpu.MOVES] = UnitAttr()
        value = insert(rewriter, pad) if any(pad.pads.get_values()) else value
        value = insert(rewriter, kpu.LinesOp(value, k210.K210.LINE_BYTES))
        for tap in zip(_TAPS[row + top], _TAPS[column - left], strict=True):
            value = pooled(rewriter, value, _PICK, tap)
        value = insert(rewriter, ktensor.ReshapeOp(value, (1, whole)))
        if whole > channels:
            value = insert(rewriter, ktensor.SliceOp(value, (0, 0), (1, channels), (1, 1)))
        rewriter.replace(op, ktensor.ReshapeOp(value, ktensor.shape_of(op.output)))


def _returns(value: SSAValue) -> bool:
    """Whether a value goes back to the KPU, perhaps under another shape."""
    users = [use.operation for use in value.uses]
    return any(
        isinstance(user, kpu.Conv2dOp | kpu.PadOp | kpu.ConcatOp)
        or (isinstance(user, ktensor.ReshapeOp) and _returns(user.output))
        for user in users
    )


def _padded_layer(rewriter: PatternRewriter, conv: kpu.Conv2dOp, channels: int) -> SSAValue:
    """A layer that makes more channels, the new ones of zeros."""
    import numpy as np

    weight, bias = ktensor.constant_of(conv.weight), ktensor.constant_of(conv.bias)
    more = channels - ktensor.shape_of(conv.output)[1]
    if weight is None or bias is None or not more:
        return conv.output
    constants = [
        ktensor.ConstantOp(np.pad(array, ((0, more), *[(0, 0)] * (array.ndim - 1)))) for array in (weight, bias)
    ]
    element = ktensor.element_of(conv.output)
    assert isinstance(element, ktensor.QuantizedType)
    layer = kpu.Conv2dOp(
        conv.input, *(c.output for c in constants), activation=conv.activation.data, result_element=element
    )
    layer.location = conv.location
    layer.attributes.update(conv.attributes)
    return insert(rewriter, *constants, layer)


def _milliseconds(channels: int, height: int, width: int) -> float:
    """The layers that space rows and pick, and the download of what they leave."""
    source, spaced = (1, channels, height, width), (1, channels, _ROWS, width)
    blocks = channels // _BLOCK
    lines = 1, blocks, k210.K210.LINE_BYTES, k210.K210.LINE_BYTES
    picked = 1, blocks, lines[2] // 4, lines[3] // 4
    return (
        estimates.border_on_kpu(source, spaced, (0, 0, _ROWS - height, 0))
        + estimates.identity(lines, 4)[1]
        + estimates.identity(picked, 4)[1]
        + estimates.download((1, channels, 1, 1))
    )


def _cpu(channels: int, height: int, width: int) -> float:
    """The download of the whole map, and the crop."""
    return estimates.download((1, channels, height, width)) + estimates.move((1, channels, 1, 1))


@dataclass(frozen=True)
class KpuPackPixelsPass(ModulePass):
    """Gather the one pixel that is wanted of each channel by layers.

    `pixels`: "auto" packs those of few channels, and of many where that is faster than the CPU's crop.
    """

    name = "kpu-pack-pixels"

    pixels: Literal["auto", "pack", "crop"] = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        if self.pixels != "crop":
            rewrite(op, PackPixels(self.pixels == "pack"))
