"""Conversion of operations that move elements, floats or bytes."""

import math
import struct
from collections.abc import Sequence

from xdsl.ir import SSAValue

from kpuir.analysis.instructions import is_resize_instruction
from kpuir.dialects import kbuf, kpu, ktensor
from kpuir.passes.convert_kpu_to_kbuf.lowering import Lowering, RefusalError, converts, shape4
from kpuir.target import k210


@converts(ktensor.ReshapeOp)
def reshape(lowering: Lowering, op: ktensor.ReshapeOp) -> None:
    """The same bytes under another shape: no instruction."""
    lowering.buffers[op.output] = lowering.viewed(lowering.buffer(op.input), ktensor.shape_of(op.output))


@converts(ktensor.TransposeOp)
def transpose(lowering: Lowering, op: ktensor.TransposeOp) -> None:
    """transpose."""
    shape, permutation = ktensor.shape_of(op.input), op.permutation.get_values()
    in_shape = shape4(shape)
    missing = len(in_shape) - len(shape)
    order = (*range(missing), *(axis + missing for axis in permutation))
    source = lowering.buffer(op.input)
    lowering.emit(kbuf.TransposeOp(source, lowering.result(op.output), in_shape=in_shape, perm=order))


@converts(ktensor.PadOp)
def pad(lowering: Lowering, op: ktensor.PadOp) -> None:
    """pad."""
    _pad(lowering, op.input, op.output, op.low.get_values(), op.high.get_values(), op.value.value.data)


def pad_bytes(lowering: Lowering, op: kpu.PadOp) -> None:
    """pad."""
    top, left, bottom, right = op.pads.get_values()
    _pad(lowering, op.input, op.output, (0, 0, top, left), (0, 0, bottom, right), op.value.value.data)


def crop_bytes(lowering: Lowering, op: kpu.CropOp) -> None:
    """pad by less than nothing, which crops."""
    top, left, bottom, right = (-amount for amount in op.crops.get_values())
    _pad(lowering, op.input, op.output, (0, 0, top, left), (0, 0, bottom, right), 0.0)


def _pad(
    lowering: Lowering, value: SSAValue, result: SSAValue, low: Sequence[int], high: Sequence[int], fill: float
) -> None:
    import numpy as np

    shape = ktensor.shape_of(value)
    in_shape = shape4(shape)
    missing = [(0, 0)] * (len(in_shape) - len(shape))
    paddings = [amount for pair in (*missing, *zip(low, high, strict=True)) for amount in pair]
    data = _element_bytes(result, fill)
    source = lowering.buffer(value)
    lowering.emit(
        kbuf.PadOp(
            source,
            lowering.result(result),
            in_shape=in_shape,
            paddings=paddings,
            value_type=int(ktensor.is_quantized(result)),
            value=np.frombuffer(data, np.uint8),
        )
    )


def _element_bytes(value: SSAValue, real: float) -> bytes:
    """The 4 bytes an instruction stores for a real number of a value's element type."""
    element = ktensor.element_of(value)
    if not isinstance(element, ktensor.QuantizedType):
        return struct.pack("<f", max(-kbuf.FLOAT_MAX, min(kbuf.FLOAT_MAX, real)) if math.isinf(real) else real)
    return bytes((code_of(real, element.scale_value, element.zero_point_value), 0, 0, 0))


def code_of(real: float, scale: float, zero_point: int) -> int:
    """The byte that is nearest to a real number."""
    return min(max(round(max(-1e9, min(1e9, real / scale))) + zero_point, 0), 255)


@converts(ktensor.SliceOp)
def slice_(lowering: Lowering, op: ktensor.SliceOp) -> None:
    """strided_slice; a view where the elements lie one after another anyway."""
    steps, starts, ends = (a.get_values() for a in (op.steps, op.starts, op.ends))
    offset = _section(op)
    if offset is not None:
        view = lowering.viewed(lowering.buffer(op.input), ktensor.shape_of(op.output), offset)
        lowering.buffers[op.output] = view
        return
    _slice(lowering, op.input, op.output, starts, ends, steps)


def _section(op: ktensor.SliceOp) -> int | None:
    """The byte at which the elements of a slice begin, if they lie one after another there, as main RAM aligns them."""
    shape, kept = ktensor.shape_of(op.input), ktensor.shape_of(op.output)
    cut = [axis for axis in range(len(shape)) if kept[axis] != shape[axis]]
    if len(cut) != 1 or set(op.steps.get_values()) != {1} or math.prod(shape[: cut[0]]) != 1:
        return None
    size = 1 if ktensor.is_quantized(op.input) else 4
    offset = size * op.starts.get_values()[cut[0]] * math.prod(shape[cut[0] + 1 :])
    return None if offset % k210.K210.MAIN_RAM_ALIGNMENT else offset


@converts(kpu.StridedSliceOp)
def slice_map(lowering: Lowering, op: kpu.StridedSliceOp) -> None:
    """strided_slice."""
    shape = ktensor.shape_of(op.input)
    begin, strides = op.begin.get_values(), op.strides.get_values()
    _slice(lowering, op.input, op.output, (0, 0, *begin), shape, (1, 1, *strides))


def _slice(
    lowering: Lowering,
    value: SSAValue,
    result: SSAValue,
    begin: Sequence[int],
    end: Sequence[int],
    strides: Sequence[int],
) -> None:
    shape = ktensor.shape_of(value)
    in_shape = shape4(shape)
    missing = len(in_shape) - len(shape)
    masks = dict.fromkeys(("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"), 0)
    source = lowering.buffer(value)
    lowering.emit(
        kbuf.StridedSliceOp(
            source,
            lowering.result(result),
            in_shape=in_shape,
            begin=(0,) * missing + tuple(begin),
            end=(1,) * missing + tuple(end),
            strides=(1,) * missing + tuple(strides),
            **masks,
        )
    )


@converts(ktensor.ConcatOp)
def concat(lowering: Lowering, op: ktensor.ConcatOp) -> None:
    """concat, byte-wise; nothing where the operands are in place already."""
    if lowering.is_part(op.inputs[0], op.output):
        return
    axis = op.axis.value.data
    shapes = [ktensor.shape_of(value) for value in op.operands]
    size = 1 if ktensor.is_quantized(op.output) else 4
    sources = [lowering.buffer(value) for value in op.operands]
    lowering.emit(
        kbuf.ConcatOp(
            sources,
            lowering.result(op.output),
            inner_size=size * math.prod(shapes[0][axis + 1 :]),
            outer_size=math.prod(shapes[0][:axis]),
            dims=[shape[axis] for shape in shapes],
        )
    )


@converts(ktensor.ResizeOp)
def resize(lowering: Lowering, op: ktensor.ResizeOp) -> None:
    """resize_image."""
    if not is_resize_instruction(op):
        raise RefusalError(
            f"a {op.mode.data.value} resize with {op.coordinate_mode.data.value} coordinates on bytes; "
            "resize_image does asymmetric ones"
        )
    height, width = op.size.get_values()
    source = lowering.buffer(op.input)
    lowering.emit(
        kbuf.ResizeImageOp(
            source,
            lowering.result(op.output),
            in_shape=ktensor.shape_of(op.input),
            out_h=height,
            out_w=width,
            mode=op.mode.data.value,
            align_corners=int(op.coordinate_mode.data is ktensor.CoordinateMode.ALIGN_CORNERS),
        )
    )
