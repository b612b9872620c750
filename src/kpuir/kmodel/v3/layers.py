"""The layers of kmodel v3 as frozen dataclasses (`kmodel-v3.md` sections 3 to 5).

Fields stand in file order. `input`, `a`, `b` and `output` are byte offsets in main memory, `line` counts the 64-byte
lines of KPU RAM. Only the types that a runtime executes are here: the file format has no bodies for the others.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from kpuir.kmodel.codec import F32, I32, U32, Array, Body, Cursor, Fields, RegisterBlock, Tuple
from kpuir.kmodel.layer import ACTIVATION_SEGMENTS, WORDS, LayerRegisters

U8Array = NDArray[np.uint8]
F32Array = NDArray[np.float32]

SENDS = 1
"""The flag of a layer whose result goes to main memory; only that of a convolution is ever read."""


class LayerCursor(Cursor):
    """A cursor that also knows how wide the weights of all convolutions are, which the header says."""

    weight_dtype = np.dtype("u1")


class Layer(Body):
    """Base of the layers."""

    type: ClassVar[int]

    def __init_subclass__(cls, type: int) -> None:
        super().__init_subclass__()
        cls.type = type
        LAYERS[type] = cls


LAYERS: dict[int, type[Layer]] = {}
"""The class of each layer type."""


@dataclass(frozen=True, eq=False)
class Add(Layer, type=1):
    """float32 sums."""

    flags: U32
    a: U32
    b: U32
    output: U32
    count: U32


@dataclass(frozen=True, eq=False)
class QuantizedAdd(Layer, type=2):
    """uint8 sums in fixed point; the count is rounded up to a multiple of 8."""

    flags: U32
    a: U32
    b: U32
    output: U32
    count: U32
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
class GlobalAveragePool2d(Layer, type=5):
    """The mean of each channel of `kernel_size` float32 values."""

    flags: U32
    input: U32
    output: U32
    kernel_size: U32
    channels: U32


@dataclass(frozen=True, eq=False)
class QuantizedMaxPool2d(Layer, type=8):
    """The maxima of uint8 windows, clipped to the image."""

    flags: U32
    input: U32
    output: U32
    in_width: U32
    in_height: U32
    in_channels: U32
    out_width: U32
    out_height: U32
    out_channels: U32
    kernel_width: U32
    kernel_height: U32
    stride_width: U32
    stride_height: U32
    pad_width: U32
    pad_height: U32


@dataclass(frozen=True, eq=False)
class AveragePool2d(Layer, type=9):
    """The means of float32 windows, over what of them is inside of the image; the activation is ignored."""

    flags: U32
    input: U32
    output: U32
    in_width: U32
    in_height: U32
    in_channels: U32
    out_width: U32
    out_height: U32
    out_channels: U32
    kernel_width: U32
    kernel_height: U32
    stride_width: U32
    stride_height: U32
    pad_width: U32
    pad_height: U32
    activation: U32


@dataclass(frozen=True, eq=False)
class Quantize(Layer, type=11):
    """float32 to uint8: round((x - bias) / scale)."""

    flags: U32
    input: U32
    output: U32
    count: U32
    scale: F32
    bias: F32


@dataclass(frozen=True, eq=False)
class Dequantize(Layer, type=12):
    """uint8 to float32: q * scale + bias."""

    flags: U32
    input: U32
    output: U32
    count: U32
    scale: F32
    bias: F32


@dataclass(frozen=True, eq=False)
class Requantize(Layer, type=13):
    """Each byte replaced by what a table holds for it."""

    flags: U32
    input: U32
    output: U32
    count: U32
    table: Annotated[U8Array, Array("u1", 256)]


@dataclass(frozen=True, eq=False)
class L2Normalization(Layer, type=14):
    """One float32 vector, scaled to length 1."""

    flags: U32
    input: U32
    output: U32
    channels: U32


@dataclass(frozen=True, eq=False)
class Softmax(Layer, type=15):
    """The softmax of one float32 vector."""

    flags: U32
    input: U32
    output: U32
    channels: U32


@dataclass(frozen=True, eq=False)
class Concat(Layer, type=16):
    """Ranges of float32 main memory, (start, bytes) each, one after another."""

    flags: U32
    output: U32
    count: U32
    ranges: Annotated[tuple[int, ...], Tuple("I", lambda known: 2 * known["count"])]


@dataclass(frozen=True, eq=False)
class QuantizedConcat(Layer, type=17):
    """Ranges of uint8 main memory, (start, bytes) each, one after another."""

    flags: U32
    output: U32
    count: U32
    ranges: Annotated[tuple[int, ...], Tuple("I", lambda known: 2 * known["count"])]


@dataclass(frozen=True, eq=False)
class FullyConnected(Layer, type=18):
    """A float32 vector times weights [out_channels][in_channels], and a bias; activation 0 none, 1 relu, 2 relu6."""

    flags: U32
    input: U32
    output: U32
    in_channels: U32
    out_channels: U32
    activation: U32
    weights: Annotated[F32Array, Array("<f4", lambda known: known["in_channels"] * known["out_channels"])]
    bias: Annotated[F32Array, Array("<f4", lambda known: known["out_channels"])]


@dataclass(frozen=True, eq=False)
class TensorflowFlatten(Layer, type=20):
    """float32 CHW in the order HWC."""

    flags: U32
    input: U32
    output: U32
    width: U32
    height: U32
    channels: U32


@dataclass(frozen=True, eq=False)
class ResizeNearestNeighbor(Layer, type=22):
    """A float32 image of another size; align_corners is ignored."""

    flags: U32
    input: U32
    output: U32
    in_width: U32
    in_height: U32
    channels: U32
    out_width: U32
    out_height: U32
    align_corners: U32


@dataclass(frozen=True, eq=False)
class QuantizedResizeNearestNeighbor(Layer, type=23):
    """A uint8 image of another size; align_corners is ignored."""

    flags: U32
    input: U32
    output: U32
    in_width: U32
    in_height: U32
    channels: U32
    out_width: U32
    out_height: U32
    align_corners: U32


@dataclass(frozen=True, eq=False)
class ChannelwiseDequantize(Layer, type=24):
    """uint8 to float32 with a (scale, bias) for each channel."""

    flags: U32
    input: U32
    output: U32
    channels: U32
    channel_size: U32
    scales: Annotated[F32Array, Array("<f4", lambda known: 2 * known["channels"])]


@dataclass(frozen=True, eq=False)
class Logistic(Layer, type=25):
    """The logistic function of float32 values."""

    flags: U32
    input: U32
    output: U32
    channels: U32


class _Placed(Array):
    """An array at the file offset that `offsets` has at an index; what is in front of it is zero."""

    def __init__(self, index: int, dtype: str, count: Any) -> None:
        super().__init__(dtype, count)
        self.index = index

    def read(self, cursor: Cursor, known: Fields) -> NDArray[Any]:
        skip_to(cursor, known["offsets"][self.index])
        return super().read(cursor, known)

    def write(self, value: Any, known: Fields, offset: int) -> bytes:
        return gap(offset, known["offsets"][self.index]) + super().write(value, known, offset)


class _Weights(_Placed):
    """Bytes or 16-bit words, as the cursor says; in memory the array's type does."""

    def read(self, cursor: Cursor, known: Fields) -> NDArray[Any]:
        assert isinstance(cursor, LayerCursor)
        skip_to(cursor, known["offsets"][self.index])
        return Array(cursor.weight_dtype.str, self.count).read(cursor, known)

    def write(self, value: Any, known: Fields, offset: int) -> bytes:
        if value.dtype != np.uint8 and value.dtype != np.uint16:
            raise ValueError(f"is {value.dtype}, but the file holds uint8 or uint16")
        start = gap(offset, known["offsets"][self.index])
        return start + Array(value.dtype.str, self.count).write(value, known, offset)


class _PlacedRegisters(RegisterBlock):
    """The layer block at the file offset that `offsets` begins with."""

    def read(self, cursor: Cursor, known: Fields) -> LayerRegisters:
        skip_to(cursor, known["offsets"][0])
        return super().read(cursor, known)

    def write(self, value: LayerRegisters, known: Fields, offset: int) -> bytes:
        return gap(offset, known["offsets"][0]) + super().write(value, known, offset)


def skip_to(cursor: Cursor, offset: int) -> None:
    """Skip zeros up to a file offset. Raises InvalidInputError where the body does not reach there."""
    if not cursor.offset <= offset <= cursor.end:
        raise cursor.error(f"lies at byte {offset}, outside of what is left of the body, which ends at {cursor.end}")
    cursor.take_zeros(offset - cursor.offset)


def gap(offset: int, wanted: int) -> bytes:
    """The zeros between two file offsets. Raises ValueError where there is no room for them."""
    if wanted < offset:
        raise ValueError(f"is to lie at byte {wanted}, but what is in front of it ends at {offset}")
    return bytes(wanted - offset)


@dataclass(frozen=True, eq=False)
class K210Conv(Layer, type=10240):
    """One pass of the convolution engine; with the flag SENDS the result also goes to `main_output`.

    `batch_norm`, `activation` and `activation_add` are raw words (see `kmodel.layer`); weights [oc][ic][ky][kx] or
    [c][ky][kx], uint8 or uint16. `offsets` are the places in the file of registers, weights, batch-norm and activation
    table; None where they are those of the alignments that v3 has.
    """

    flags: U32
    main_output: U32
    offsets: Annotated[tuple[int, ...] | None, Tuple("I", 4)]
    registers: Annotated[LayerRegisters, _PlacedRegisters()]
    weights: Annotated[NDArray[np.uint8 | np.uint16], _Weights(1, "u1", lambda k: k["registers"].weight_count)]
    batch_norm: Annotated[NDArray[np.uint64], _Placed(2, "<u8", lambda known: known["registers"].o_ch_num + 1)]
    activation: Annotated[NDArray[np.uint64], _Placed(3, "<u8", ACTIVATION_SEGMENTS)]
    activation_add: Annotated[U8Array, Array("u1", ACTIVATION_SEGMENTS)]

    @classmethod
    def read(cls, cursor: Cursor) -> Self:
        """The layer at the cursor, without its offsets where they are as expected."""
        start = cursor.offset
        body = super().read(cursor)
        return replace(body, offsets=None) if body.offsets == body.canonical_offsets(start) else body

    def write(self, offset: int) -> bytes:
        """The body for a place in the file."""
        return super(K210Conv, replace(self, offsets=self.offsets or self.canonical_offsets(offset))).write(offset)

    def canonical_offsets(self, offset: int) -> tuple[int, int, int, int]:
        """Where registers, weights, batch-norm and activation table of a body at `offset` begin."""
        registers = -(-(offset + 24) // 8) * 8
        weights = -(-(registers + 8 * WORDS) // 128) * 128
        batch_norm = -(-(weights + self.weights.nbytes) // 128) * 128
        return registers, weights, batch_norm, -(-(batch_norm + self.batch_norm.nbytes) // 256) * 256


@dataclass(frozen=True, eq=False)
class K210AddPadding(Layer, type=10241):
    """A uint8 vector as the top left pixels of 4x4 maps in KPU RAM."""

    flags: U32
    input: U32
    line: U32
    channels: U32


@dataclass(frozen=True, eq=False)
class K210RemovePadding(Layer, type=10242):
    """The top left pixels of dense 4x4 maps as a uint8 vector."""

    flags: U32
    input: U32
    output: U32
    channels: U32


@dataclass(frozen=True, eq=False)
class K210Upload(Layer, type=10243):
    """A dense uint8 image in KPU RAM."""

    flags: U32
    input: U32
    line: U32
    width: U32
    height: U32
    channels: U32
