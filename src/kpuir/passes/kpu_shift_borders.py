"""`kpu-shift-borders`: what is cropped and padded again is cleared by moving the map out of itself and back.

Before: `kpu.pad` of a `kpu.crop` of what lies in KPU RAM: a map whose outer pixels are no part of the model's own map
(an unpadded convolution, a map smaller than 4x4) in front of a convolution that wants zeros around it. After, where
that is faster than making a smaller map and a larger one of it, or where the smaller one could not be: layers that move
the map beyond its border, where pixels are lost, and back, by which zeros come in.

    %c = kpu.crop %f {crops = array<i64: 0, 0, 1, 1>}                    // 4x4 -> 3x3
    %p = kpu.pad %c {pads = array<i64: 0, 0, 1, 1>}
      =>
    %d = kpu.conv2d %f, %down_right, %zero {depthwise = true}            // the last row and column are gone
    %p = kpu.conv2d %d, %up_left, %zero {depthwise = true}

Exact: the layers only move pixels, and the KPU reads zeros outside of a map (`kpu-hardware.md` 6.1).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes.moving import border_of, insert, is_on_kpu, shift
from kpuir.target import k210


@dataclass(frozen=True)
class _Axis:
    """One axis of a map of which `low` and `high` pixels are cropped, and `before` and `behind` padded again."""

    low: int
    high: int
    before: int
    behind: int

    @property
    def kept(self) -> "_Axis":
        """The same with as much padding as cropping: what is done without changing the size."""
        lost = self.low + self.high
        before = min(self.before, lost)
        return _Axis(self.low, self.high, before, lost - before)

    @property
    def steps(self) -> tuple[int, ...]:
        """Moves (positive: towards the end) after which the pixels that were cropped are lost, and zeros instead.

        Only of `kept`, where paddings and crops have the same sum.
        """
        low, high, before, behind = self.low, self.high, self.before, self.behind
        if not high:
            return (-low, before)
        if not low:
            return (high, -behind)
        return min(((-low, low + high, -behind), (high, -low - high, before)), key=lambda moves: sum(map(abs, moves)))


def _axes(pad: kpu.PadOp, crop: kpu.CropOp) -> tuple[_Axis, _Axis]:
    top, left, bottom, right = crop.crops.get_values()
    above, before, below, behind = pad.pads.get_values()
    return _Axis(top, bottom, above, below), _Axis(left, right, before, behind)


def _moves(rows: _Axis, columns: _Axis) -> Iterator[tuple[int, int]]:
    return zip_longest(rows.kept.steps, columns.kept.steps, fillvalue=0)


class ShiftBorders(RewritePattern):
    """pad(crop(x)) becomes moves of x, and what padding or cropping is left."""

    def __init__(self, always: bool) -> None:
        self.always = always

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.PadOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one pair."""
        crop = op.input.owner
        if not isinstance(crop, kpu.CropOp) or op.value.value.data != 0 or not is_on_kpu(crop.input):
            return
        rows, columns = _axes(op, crop)
        shape = ktensor.shape_of(crop.input)
        if shape[0] != 1 or not k210.input_size_rule(*shape[2:]).ok or shape[1] > k210.K210.MAX_CHANNELS:
            return
        moves = list(_moves(rows, columns))
        count = sum(max(abs(down), abs(right)) for down, right in moves)
        moved = estimates.layer(shape, shape[1], 3, depthwise=True, count=count)
        cropped, padded = ktensor.shape_of(crop.output), ktensor.shape_of(op.output)
        apart = estimates.border(shape, cropped, border_of(crop)) + estimates.border(cropped, padded, border_of(op))
        if moved > apart and not self.always:
            return
        value = crop.input
        for down, right in moves:
            value = shift(rewriter, value, down, right)
        rewriter.replace(op, [], [_resized(rewriter, value, rows, columns)])


def _resized(rewriter: PatternRewriter, value: SSAValue, rows: _Axis, columns: _Axis) -> SSAValue:
    """The padding or cropping that is left when the size of the map has been kept."""
    differences = [(axis.before - axis.kept.before, axis.behind - axis.kept.behind) for axis in (rows, columns)]
    (top, bottom), (left, right) = differences
    sides = (top, left, bottom, right)
    if any(side > 0 for side in sides):
        value = insert(rewriter, kpu.PadOp(value, [max(side, 0) for side in sides]))
    if any(side < 0 for side in sides):  # of the other axis
        value = insert(rewriter, kpu.CropOp(value, [max(-side, 0) for side in sides]))
    return value


@dataclass(frozen=True)
class KpuShiftBordersPass(ModulePass):
    """Clear what is cropped and padded again by layers that move a map beyond its border and back.

    `borders`: "shift" wherever that can be done, "auto" where it is faster.
    """

    name = "kpu-shift-borders"

    borders: Literal["auto", "shift", "keep"] = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        if self.borders != "keep":
            rewrite(op, ShiftBorders(self.borders == "shift"))
