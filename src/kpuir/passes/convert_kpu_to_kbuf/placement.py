"""Conversion of what stays in KPU RAM: views of lines, and pads and crops that layers do, a group of channels each.

The rows of a map lie one after another in groups of lines, one group for the channels that share a line. A map of other
height has its groups elsewhere, so every group is copied by a small depthwise layer of its own (`kpu-hardware.md` 2).
The filler behind the columns of a line is as good as columns: a map is cropped at the right by not reading them.
"""

import math
from functools import cache, partial
from typing import TYPE_CHECKING

from xdsl.dialects import func
from xdsl.ir import BlockArgument, SSAValue

from kpuir.dialects import kbuf, kpu, ktensor
from kpuir.passes.convert_kpu_to_kbuf.layers import emit_layer
from kpuir.passes.convert_kpu_to_kbuf.lowering import Lowering, byte_size, converts
from kpuir.passes.convert_kpu_to_kbuf.movement import code_of, crop_bytes, pad_bytes
from kpuir.target import k210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kpuir.quantization.registers import LayerData


def join_operands(lowering: Lowering, function: func.FuncOp) -> None:
    """Let layers write their results where a concatenation wants them, the first one that does.

    In main RAM this is done for whole concatenations whose operands lie one after the other. Bands of rows are copied
    to where they belong as soon as they are made.
    """
    for op in function.walk():
        if isinstance(op, kpu.ConcatOp) and isinstance(op.output.type, kpu.FeatureMapType):
            for operand, first in zip(op.inputs, op.first_channels, strict=True):
                written = _images(operand)
                if _is_written(written) and not lowering.is_part(written):
                    lowering.join(op.output, written, _line(first, op.output))
        elif isinstance(op, kpu.ConcatRowsOp):
            below = 0
            for operand, (top, rows) in zip(op.inputs, op.bands, strict=True):
                lowering.when_made(operand, partial(_copy_band, lowering, op.output, operand, (top, below, rows)))
                below += rows
        elif isinstance(op, ktensor.ConcatOp) and _is_in_place(op):
            offset = 0
            for operand in op.inputs:
                lowering.join(op.output, operand, offset)
                offset += byte_size(operand)


def _images(value: SSAValue) -> SSAValue:
    """The images that a map's blocks of channels are, the map itself unless it is seen as such."""
    return value.owner.input if isinstance(value.owner, kpu.ImagesOp) else value


def _is_in_place(op: ktensor.ConcatOp) -> bool:
    """Whether the operands' bytes follow one another, and an instruction that may be told where to writes each."""
    if math.prod(ktensor.shape_of(op.output)[: op.axis.value.data]) != 1:
        return False
    return all(value.has_one_use() and _is_placeable(value.owner) for value in op.inputs)


def _is_placeable(op: object) -> bool:
    """Whether an operation becomes an instruction that writes to main RAM, wherever that is."""
    written = isinstance(op, ktensor.QuantizeOp | ktensor.DequantizeOp | ktensor.TransposeOp)
    return written and ktensor.constant_of(op.input) is None


def _is_written(value: SSAValue) -> bool:
    """Whether an instruction writes a map, which may be told where to."""
    owner = value.owner
    if isinstance(owner, kpu.UploadOp):
        return not isinstance(owner.input, BlockArgument)
    if isinstance(owner, kpu.CropOp):
        top, left, bottom, _ = owner.crops.get_values()
        _, channels, _, width = kpu.size4(value.type)
        return bool(left) or not k210.is_view(channels, width, top, bottom)
    return isinstance(owner, kpu.LayerOp | kpu.PadOp | kpu.ConcatOp | kpu.ConcatRowsOp)


def _line(channel: int, value: SSAValue) -> int:
    """The byte at which a channel that is the first of a line begins in a map."""
    _, _, height, width = ktensor.shape_of(value)
    return k210.feature_map_bytes(1, channel, height, width)


@converts(kpu.ConcatOp)
def concat(lowering: Lowering, op: kpu.ConcatOp) -> None:
    """Operands that are views, inputs, or were wanted elsewhere first, are copied; the others are in place already."""
    whole = lowering.buffers[op.output] if op.output in lowering.buffers else lowering.result(op.output)
    for operand, first in zip(op.inputs, op.first_channels, strict=True):
        offset = _line(first, op.output)
        if lowering.is_part(_images(operand), op.output, offset):
            continue
        assert isinstance(operand.type, kpu.FeatureMapType)
        _, channels, height, width = kpu.size4(operand.type)
        for begin in range(0, channels, k210.K210.MAX_CHANNELS):
            shape = (1, min(k210.K210.MAX_CHANNELS, channels - begin), height, width)
            source = lowering.part(lowering.buffer(operand), shape, _line(begin, operand))
            target = lowering.part(whole, shape, offset + _line(begin, operand))
            copy(lowering, source, target, operand.type.zero_point_value)


def _copy_band(lowering: Lowering, whole: SSAValue, band: SSAValue, rows: tuple[int, int, int]) -> None:
    """Copy rows of a map from `top` on to those of another from `below` on."""
    assert isinstance(whole.type, kpu.FeatureMapType)
    target = lowering.buffers[whole] if whole in lowering.buffers else lowering.result(whole)
    _Moves(lowering, whole.type.zero_point_value).copy_rows(lowering.buffer(band), target, *rows)


@converts(kpu.ConcatRowsOp)
def concat_rows(lowering: Lowering, op: kpu.ConcatRowsOp) -> None:
    """Nothing: bands are copied when they are made."""


@converts(kpu.ChannelSliceOp)
def channel_slice(lowering: Lowering, op: kpu.ChannelSliceOp) -> None:
    """A part of the same lines."""
    offset = _line(op.first, op.input)
    lowering.buffers[op.output] = lowering.part(lowering.buffer(op.input), ktensor.shape_of(op.output), offset)


@converts(kpu.FoldRowsOp, kpu.ImagesOp, kpu.LinesOp)
def reread(lowering: Lowering, op: kpu.FoldRowsOp | kpu.ImagesOp | kpu.LinesOp) -> None:
    """The same lines under another shape."""
    lowering.buffers[op.output] = lowering.part(lowering.buffer(op.input), ktensor.shape_of(op.output), 0)


@converts(kpu.CropOp)
def crop(lowering: Lowering, op: kpu.CropOp) -> None:
    """pad by less than nothing, which crops; or in KPU RAM.

    There columns at the left are shifted out and others not read; rows cost a copy of every group, if there are many.
    """
    top, left, bottom, _ = op.crops.get_values()
    if not isinstance(op.input.type, kpu.FeatureMapType):
        crop_bytes(lowering, op)
        return
    shape, moves = ktensor.shape_of(op.output), _Moves(lowering, op.input.type.zero_point_value)
    source = moves.shift(lowering.buffer(op.input), -left)
    kept = lowering.part(source, (*kbuf.shape_of(source)[:3], shape[3]), 0)
    if k210.is_view(shape[1], shape[3], top, bottom) and not lowering.is_part(op.output):
        lowering.buffers[op.output] = lowering.part(kept, shape, _line_of(kept, 0, top))
    else:
        moves.copy_rows(kept, lowering.result(op.output), top, 0)


@converts(kpu.PadOp)
def pad(lowering: Lowering, op: kpu.PadOp) -> None:
    """pad; or in KPU RAM.

    There columns are shifted in at the left, and partly back to have some at the right; of rows, all get the border's
    value before those of the input are copied between them, group by group.
    """
    top, left, bottom, right = op.pads.get_values()
    if not isinstance(op.input.type, kpu.FeatureMapType):
        pad_bytes(lowering, op)
        return
    kind = op.input.type
    code = code_of(op.value.value.data, kind.scale_value, kind.zero_point_value)
    shape, moves = ktensor.shape_of(op.output), _Moves(lowering, code)
    source, result = lowering.buffer(op.input), lowering.result(op.output)
    wide = lowering.part(source, (*kbuf.shape_of(source)[:3], shape[3]), 0)
    target = None if top or bottom else result
    wide = moves.shift(wide, left + right, None if right else target)
    wide = moves.shift(wide, -right, target)
    if target is None:
        moves.fill(source, result)
        moves.copy_rows(wide, result, 0, top)


def copy(
    lowering: Lowering, source: SSAValue, target: SSAValue, zero_point: int = 0, main: SSAValue | None = None
) -> kbuf.KpuConv2dOp:
    """One layer that copies the bytes of a map in KPU RAM, of at most 1024 channels; to main RAM too, if given."""
    return emit_layer(lowering, _mover(kbuf.shape_of(source)[1], 0, zero_point), source, target, main)


class _Moves:
    """Layers that move bytes between buffers; `zero_point` is the byte outside of maps, which any byte can be."""

    def __init__(self, lowering: Lowering, zero_point: int) -> None:
        self.lowering = lowering
        self.zero_point = zero_point

    def shift(self, source: SSAValue, right: int, target: SSAValue | None = None) -> SSAValue:
        """The map moved right (left if negative), a layer per column; the last one writes `target`, if given."""
        shape = kbuf.shape_of(source)
        step = 1 if right > 0 else -1
        for left in range(abs(right) - 1, -1, -1):
            result = target if target is not None and not left else self.lowering.alloc(shape, kbuf.UI8, kbuf.Space.KPU)
            emit_layer(self.lowering, _mover(shape[1], step, self.zero_point), source, result)
            source = result
        return source

    def copy_rows(self, source: SSAValue, result: SSAValue, top: int, below: int, most: int | None = None) -> None:
        """Copy the rows from `top` on of every group to the rows of the result from `below` on, all that fit there."""
        _, channels, height, width = kbuf.shape_of(source)
        target = self.lowering.part(result, (*kbuf.shape_of(result)[:3], width), 0)
        rows = min(height - top, kbuf.shape_of(target)[2] - below) if most is None else most
        size = k210.row_layout(width).channels_per_line
        for first in range(0, channels, size):
            count = min(size, channels - first)
            shape = (1, count, rows, width)
            lines = self.lowering.part(source, shape, _line_of(source, first, top))
            there = self.lowering.part(target, shape, _line_of(target, first, below))
            copy(self.lowering, lines, there, self.zero_point)

    def fill(self, source: SSAValue, result: SSAValue) -> None:
        """Set a whole map to that byte, by layers that weight some bytes of `source` with 0."""
        _, channels, height, width = kbuf.shape_of(result)
        inputs = min(k210.row_layout(width).channels_per_line, channels)
        rows = height if channels > inputs else min(height, kbuf.shape_of(source)[2])
        numbers = _zeros(inputs, channels, self.zero_point)
        for first in dict.fromkeys(min(row, height - rows) for row in range(0, height, rows)):
            some = self.lowering.part(source, (1, inputs, rows, width), 0)
            part = self.lowering.part(result, (1, channels, rows, width), _line_of(result, 0, first))
            emit_layer(self.lowering, numbers, some, part)


@cache
def _mover(channels: int, right: int, zero_point: int) -> "LayerData":
    """A depthwise layer that moves every channel by -1, 0 or 1 columns."""
    import numpy as np

    weight = np.zeros((channels, 1, 3, 3) if right else (channels, 1, 1, 1), np.float32)
    weight[:, :, weight.shape[2] // 2, weight.shape[3] // 2 - right] = 1
    return _selected(weight, zero_point, depthwise=True)


@cache
def _zeros(inputs: int, outputs: int, zero_point: int) -> "LayerData":
    """A 1x1 layer that gives zero everywhere."""
    import numpy as np

    return _selected(np.zeros((outputs, inputs, 1, 1), np.float32), zero_point, depthwise=False)


def _selected(weight: "NDArray[np.float32]", zero_point: int, *, depthwise: bool) -> "LayerData":
    import numpy as np

    from kpuir.quantization.parameters import QuantizationParameters
    from kpuir.quantization.registers import select_layer

    bytes_ = QuantizationParameters(1.0, zero_point)
    bias = np.zeros(weight.shape[0], np.float32)
    return select_layer(weight, bias, lambda y: y, bytes_, bytes_, depthwise, (bytes_.lo, bytes_.hi))


def _line_of(buffer: SSAValue, channel: int, row: int) -> int:
    """The byte at which a row of a channel that is the first of a line begins in a buffer."""
    _, _, height, width = kbuf.shape_of(buffer)
    return k210.feature_map_bytes(1, channel, height, width) + k210.feature_map_bytes(1, 1, row, width)
