"""The instructions of kmodel v4 that the CPU runs, as frozen dataclasses (`kmodel-v4.md` sections 5, 7 and 10).

Fields stand in file order and carry the spec's names. Arrays are flat and read-only; their dtype is the file's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from kpuir.kmodel.codec import F32, I32, U8, U32, Array, Body, Enumeration, Fields, Tuple, product
from kpuir.kmodel.v4.codec import Clamp, Memory, MemoryRange, Padding, Paddings, Ranges, Shape


class BinaryKind(IntEnum):
    """Operators of binary and quantized_binary."""

    ADD = 0
    SUB = 1
    MUL = 2
    DIV = 3
    MIN = 4
    MAX = 5


class UnaryKind(IntEnum):
    """Functions of unary."""

    ABS = 0
    CEIL = 1
    COS = 2
    EXP = 3
    FLOOR = 4
    LOG = 5
    NEG = 6
    RSQRT = 7
    SIN = 8
    SQUARE = 9


class ReduceKind(IntEnum):
    """Reductions of reduce and the window reductions."""

    MEAN = 0
    MIN = 1
    MAX = 2
    SUM = 3


class ResizeMode(IntEnum):
    """Interpolations of resize_image."""

    BILINEAR = 0
    NEAREST = 1


class Instruction(Body):
    """Base of the instructions."""

    opcode: ClassVar[int]

    def __init_subclass__(cls, opcode: int) -> None:
        super().__init_subclass__()
        cls.opcode = opcode
        INSTRUCTIONS[opcode] = cls


INSTRUCTIONS: dict[int, type[Instruction]] = {}
"""The instruction class of each opcode."""


def _grouped_weights(get_channels: Callable[[Fields], int]) -> Callable[[Fields], int]:
    def count(known: Fields) -> int:
        group_channels = known["in_shape"][1] // known["groups"]
        return product((get_channels(known), group_channels, known["filter_h"], known["filter_w"]))

    return count


def _nhwc_weights(known: Fields) -> int:
    return product((known["out_channels"], known["in_shape"][3], known["filter_h"], known["filter_w"]))


def _nhwc_depthwise_weights(known: Fields) -> int:
    return product((known["in_shape"][3], known["filter_h"], known["filter_w"]))


def _out_channels(known: Fields) -> int:
    return product((known["out_channels"],))


def _in_channels_nhwc(known: Fields) -> int:
    return product((known["in_shape"][3],))


def _transpose_channels(known: Fields) -> int:
    return product((known["out_shape"][1],))


def _columns(known: Fields) -> int:
    return product((known["b_cols"],))


def _inputs(known: Fields) -> int:
    return product((known["count"],))


Binaries = Annotated[BinaryKind, Enumeration(BinaryKind)]
Reductions = Annotated[ReduceKind, Enumeration(ReduceKind)]
F32Array = NDArray[np.float32]
I32Array = NDArray[np.int32]
U8Array = NDArray[np.uint8]
U64Array = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Binary(Instruction, opcode=0x00):
    """float32: out = clamp(op(a, b)), broadcast over out_shape."""

    a: Memory
    b: Memory
    output: Memory
    op: Binaries
    a_shape: Shape
    b_shape: Shape
    out_shape: Shape
    act: Clamp


@dataclass(frozen=True, eq=False)
class Concat(Instruction, opcode=0x01):
    """Byte-wise concatenation: `inner_size` bytes per element along the axis, `outer_size` times."""

    output: Memory
    inner_size: U32
    outer_size: U32
    count: U32
    inputs: Annotated[tuple[MemoryRange, ...], Ranges(_inputs)]
    dims: Annotated[tuple[int, ...], Tuple("i", _inputs)]


@dataclass(frozen=True, eq=False)
class Conv2d(Instruction, opcode=0x02):
    """float32 NCHW convolution; weights [oc][ic in group][kh][kw]."""

    input: Memory
    output: Memory
    in_shape: Shape
    groups: I32
    out_channels: I32
    pad_h: Padding
    pad_w: Padding
    filter_h: I32
    filter_w: I32
    stride_h: I32
    stride_w: I32
    dilation_h: I32
    dilation_w: I32
    act: Clamp
    weights: Annotated[F32Array, Array("<f4", _grouped_weights(_out_channels))]
    bias: Annotated[F32Array, Array("<f4", _out_channels)]


@dataclass(frozen=True, eq=False)
class Dequantize(Instruction, opcode=0x03):
    """uint8 to float32: x = (q - zero_point) * (1 / scale)."""

    input: Memory
    output: Memory
    zero_point: I32
    scale: F32


@dataclass(frozen=True, eq=False)
class Matmul(Instruction, opcode=0x04):
    """float32: out = clamp(a x b + bias), row-major."""

    a: Memory
    b: Memory
    output: Memory
    a_rows: I32
    a_cols: I32
    b_cols: I32
    act: Clamp
    bias: Annotated[F32Array, Array("<f4", _columns)]


@dataclass(frozen=True, eq=False)
class Pad(Instruction, opcode=0x05):
    """Constant padding; negative padding crops. `value` is the element's bytes, `value_type` is never read."""

    input: Memory
    output: Memory
    in_shape: Shape
    paddings: Paddings
    value_type: U32
    value: Annotated[U8Array, Array("u1", 4)]


@dataclass(frozen=True, eq=False)
class Quantize(Instruction, opcode=0x06):
    """float32 to uint8: q = sat8(round(x * scale + zero_point))."""

    input: Memory
    output: Memory
    zero_point: I32
    scale: F32


@dataclass(frozen=True, eq=False)
class Reduce(Instruction, opcode=0x07):
    """float32 reduction over the axes that are 1 in out_shape, starting from init."""

    input: Memory
    output: Memory
    op: Reductions
    in_shape: Shape
    out_shape: Shape
    init: F32


@dataclass(frozen=True, eq=False)
class ReduceWindow2d(Instruction, opcode=0x08):
    """float32 NCHW pooling that skips what is outside."""

    input: Memory
    output: Memory
    op: Reductions
    in_shape: Shape
    pad_h: Padding
    pad_w: Padding
    filter_h: I32
    filter_w: I32
    stride_h: I32
    stride_w: I32
    dilation_h: I32
    dilation_w: I32
    init: F32
    act: Clamp


@dataclass(frozen=True, eq=False)
class MemoryCopy(Instruction, opcode=0x09):
    """Copies floor(input.size / 4) words of 4 bytes."""

    input: Memory
    output: Memory


@dataclass(frozen=True, eq=False)
class ResizeImage(Instruction, opcode=0x0A):
    """float32 or uint8 NCHW resize without half-pixel centres. `reserved` are three bytes nobody reads."""

    input: Memory
    output: Memory
    in_shape: Shape
    out_h: I32
    out_w: I32
    mode: Annotated[ResizeMode, Enumeration(ResizeMode)]
    align_corners: U8
    reserved: Annotated[tuple[int, int, int], Tuple("B", 3)]


@dataclass(frozen=True, eq=False)
class Softmax(Instruction, opcode=0x0B):
    """float32 softmax of outer_size rows of inner_size elements."""

    input: Memory
    output: Memory
    inner_size: I32
    outer_size: I32
    beta: F32


@dataclass(frozen=True, eq=False)
class Transpose(Instruction, opcode=0x0C):
    """Output dimension i is input dimension perm[i]."""

    input: Memory
    output: Memory
    in_shape: Shape
    perm: Shape


@dataclass(frozen=True, eq=False)
class StridedSlice(Instruction, opcode=0x0D):
    """Strided slice by resolved indices; the runtime ignores all five masks."""

    input: Memory
    output: Memory
    in_shape: Shape
    begin: Shape
    end: Shape
    strides: Shape
    begin_mask: I32
    end_mask: I32
    ellipsis_mask: I32
    new_axis_mask: I32
    shrink_axis_mask: I32


@dataclass(frozen=True, eq=False)
class Unary(Instruction, opcode=0x0E):
    """float32 function of each element."""

    input: Memory
    output: Memory
    op: Annotated[UnaryKind, Enumeration(UnaryKind)]


@dataclass(frozen=True, eq=False)
class QuantizedConv2d(Instruction, opcode=0x0F):
    """uint8 NCHW convolution; the bias stands before the weights, offsets are added."""

    input: Memory
    output: Memory
    in_shape: Shape
    groups: I32
    out_channels: I32
    pad_h: Padding
    pad_w: Padding
    filter_h: I32
    filter_w: I32
    stride_h: I32
    stride_w: I32
    dilation_h: I32
    dilation_w: I32
    input_offset: I32
    filter_offset: I32
    output_mul: I32
    output_shift: I32
    output_offset: I32
    bias: Annotated[I32Array, Array("<i4", _out_channels)]
    weights: Annotated[U8Array, Array("u1", _grouped_weights(_out_channels))]


@dataclass(frozen=True, eq=False)
class QuantizedMatmul(Instruction, opcode=0x10):
    """uint8 matrix product; offsets are added."""

    a: Memory
    b: Memory
    output: Memory
    a_rows: I32
    a_cols: I32
    b_cols: I32
    a_offset: I32
    b_offset: I32
    output_mul: I32
    output_shift: I32
    output_offset: I32
    bias: Annotated[I32Array, Array("<i4", _columns)]


@dataclass(frozen=True, eq=False)
class QuantizedBinary(Instruction, opcode=0x11):
    """uint8 binary operation through fixed point; output_offset comes before output_mul."""

    a: Memory
    b: Memory
    output: Memory
    op: Binaries
    a_shape: Shape
    b_shape: Shape
    out_shape: Shape
    a_offset: I32
    a_mul: I32
    a_shift: I32
    b_offset: I32
    b_mul: I32
    b_shift: I32
    output_offset: I32
    output_mul: I32
    output_shift: I32


@dataclass(frozen=True, eq=False)
class TableLookup1d(Instruction, opcode=0x12):
    """uint8: out = table[in] with a table of 256 bytes."""

    input: Memory
    table: Memory
    output: Memory


@dataclass(frozen=True, eq=False)
class Conv2dTranspose(Instruction, opcode=0x13):
    """float32 NCHW transposed convolution; weights [oc][ic in group][kh][kw], the bias is stored but never added."""

    input: Memory
    output: Memory
    in_shape: Shape
    out_shape: Shape
    groups: I32
    pad_h: Padding
    pad_w: Padding
    filter_h: I32
    filter_w: I32
    stride_h: I32
    stride_w: I32
    dilation_h: I32
    dilation_w: I32
    act: Clamp
    weights: Annotated[F32Array, Array("<f4", _grouped_weights(_transpose_channels))]
    bias: Annotated[F32Array, Array("<f4", _transpose_channels)]


@dataclass(frozen=True, eq=False)
class NnilUnaryMethod(Instruction, opcode=0x14):
    """A stack program for each float32 element; `code` runs to the end of the body, zero padding included."""

    input: Memory
    output: Memory
    code: Annotated[U8Array, Array("u1", None)]


@dataclass(frozen=True, eq=False)
class CpuConv2d(Instruction, opcode=0x1001):
    """float32 NHWC convolution; weights [oc][kh][kw][ic]."""

    input: Memory
    output: Memory
    in_shape: Shape
    out_channels: I32
    pad_h: Padding
    pad_w: Padding
    filter_h: I32
    filter_w: I32
    stride_h: I32
    stride_w: I32
    dilation_h: I32
    dilation_w: I32
    act: Clamp
    weights: Annotated[F32Array, Array("<f4", _nhwc_weights)]
    bias: Annotated[F32Array, Array("<f4", _out_channels)]


@dataclass(frozen=True, eq=False)
class CpuDepthwiseConv2d(Instruction, opcode=0x1002):
    """float32 NHWC depthwise convolution; weights [c][kh][kw]."""

    input: Memory
    output: Memory
    in_shape: Shape
    pad_h: Padding
    pad_w: Padding
    filter_h: I32
    filter_w: I32
    stride_h: I32
    stride_w: I32
    dilation_h: I32
    dilation_w: I32
    act: Clamp
    weights: Annotated[F32Array, Array("<f4", _nhwc_depthwise_weights)]
    bias: Annotated[F32Array, Array("<f4", _in_channels_nhwc)]


@dataclass(frozen=True, eq=False)
class CpuReduceWindow2d(Instruction, opcode=0x1003):
    """float32 NHWC pooling; the runtime rejects the sum."""

    input: Memory
    output: Memory
    op: Reductions
    in_shape: Shape
    pad_h: Padding
    pad_w: Padding
    filter_h: I32
    filter_w: I32
    stride_h: I32
    stride_w: I32
    dilation_h: I32
    dilation_w: I32
    init: F32
    act: Clamp


@dataclass(frozen=True, eq=False)
class CpuQuantizedConv2d(Instruction, opcode=0x1004):
    """uint8 NHWC convolution; offsets are subtracted, weights [oc][kh][kw][ic] before the bias."""

    input: Memory
    output: Memory
    in_shape: Shape
    out_channels: I32
    pad_h: Padding
    pad_w: Padding
    filter_h: I32
    filter_w: I32
    stride_h: I32
    stride_w: I32
    dilation_h: I32
    dilation_w: I32
    input_offset: I32
    filter_offset: I32
    output_mul: I32
    output_shift: I32
    output_offset: I32
    weights: Annotated[U8Array, Array("u1", _nhwc_weights)]
    bias: Annotated[I32Array, Array("<i4", _out_channels)]


@dataclass(frozen=True, eq=False)
class CpuQuantizedDepthwiseConv2d(Instruction, opcode=0x1005):
    """uint8 NHWC depthwise convolution; offsets are subtracted, weights [c][kh][kw] before the bias."""

    input: Memory
    output: Memory
    in_shape: Shape
    pad_h: Padding
    pad_w: Padding
    filter_h: I32
    filter_w: I32
    stride_h: I32
    stride_w: I32
    dilation_h: I32
    dilation_w: I32
    input_offset: I32
    filter_offset: I32
    output_mul: I32
    output_shift: I32
    output_offset: I32
    weights: Annotated[U8Array, Array("u1", _nhwc_depthwise_weights)]
    bias: Annotated[I32Array, Array("<i4", _in_channels_nhwc)]
