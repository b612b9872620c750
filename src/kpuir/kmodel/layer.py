"""The layer block of the KPU: twelve 64-bit words, the batch-norm entries and the activation table, as numbers.

Everything here follows `kpu-hardware.md` sections 4 and 6; what a version of the file format stores in the address
fields is that version's affair. numpy is imported only by the functions that work on arrays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

WORDS = 12
"""64-bit words of a layer block."""

ACTIVATION_SEGMENTS = 16
"""Segments of an activation table."""


class BitField(NamedTuple):
    """Where a register field lives: its word, lowest bit, width in bits, and whether it is two's complement."""

    word: int
    low: int
    width: int
    signed: bool

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and largest value the field holds."""
        if self.signed:
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return 0, (1 << self.width) - 1


def _bits(word: int, low: int, high: int | None = None, *, signed: bool = False) -> Any:
    width = (low if high is None else high) - low + 1
    return field(default=0, metadata={"bits": BitField(word, low, width, signed)})


@dataclass(frozen=True, kw_only=True)
class LayerRegisters:
    """Every register field of one KPU layer, by its name in `kpu-hardware.md` section 4.

    Fields named after a count (`i_ch_num`, `i_row_wid`, `load_time` ...) hold the count minus one, as the hardware
    does. `reserved` is what the words hold in bits no field covers, as one 768-bit number (word 0 lowest): garbage
    that only a byte-exact round trip needs.
    """

    int_en: int = _bits(0, 0)
    ram_flag: int = _bits(0, 1)
    full_add: int = _bits(0, 2)
    depth_wise_layer: int = _bits(0, 3)
    image_src_addr: int = _bits(1, 0, 14)
    image_dst_addr: int = _bits(1, 32, 46)
    i_ch_num: int = _bits(2, 0, 9)
    o_ch_num: int = _bits(2, 32, 41)
    o_ch_num_coef: int = _bits(2, 48, 57)
    i_row_wid: int = _bits(3, 0, 9)
    i_col_high: int = _bits(3, 10, 18)
    o_row_wid: int = _bits(3, 32, 41)
    o_col_high: int = _bits(3, 42, 50)
    kernel_type: int = _bits(4, 0, 2)
    pad_type: int = _bits(4, 3)
    pool_type: int = _bits(4, 4, 7)
    first_stride: int = _bits(4, 8)
    bypass_conv: int = _bits(4, 9)
    load_para: int = _bits(4, 10)
    dma_burst_size: int = _bits(4, 16, 23)
    pad_value: int = _bits(4, 24, 31)
    bwsx_base_addr: int = _bits(4, 32, 63)
    load_coor: int = _bits(5, 0)
    load_time: int = _bits(5, 1, 6)
    para_size: int = _bits(5, 15, 31)
    para_start_addr: int = _bits(5, 32, 63)
    coef_column_offset: int = _bits(6, 0, 3)
    coef_row_offset: int = _bits(6, 4, 15)
    channel_switch_addr: int = _bits(7, 0, 14)
    row_switch_addr: int = _bits(7, 16, 19)
    coef_size: int = _bits(7, 20, 27)
    coef_group: int = _bits(7, 28, 30)
    load_act: int = _bits(7, 31)
    active_addr: int = _bits(7, 32, 63)
    wb_channel_switch_addr: int = _bits(8, 0, 14)
    wb_row_switch_addr: int = _bits(8, 16, 19)
    wb_group: int = _bits(8, 20, 22)
    shr_w: int = _bits(9, 0, 3)
    shr_x: int = _bits(9, 4, 7)
    arg_w: int = _bits(9, 8, 31, signed=True)
    arg_x: int = _bits(9, 32, 55, signed=True)
    arg_add: int = _bits(10, 0, 39, signed=True)
    send_data_out: int = _bits(11, 0)
    channel_byte_num: int = _bits(11, 16, 31)
    dma_total_byte: int = _bits(11, 32, 63)
    reserved: int = 0

    def pack(self) -> tuple[int, ...]:
        """The twelve words. Raises ValueError naming the field whose value does not fit, and its limits."""
        total = self.reserved
        if total < 0 or total & ~_RESERVED_MASK:
            raise ValueError(f"reserved is {total:#x}, but may only have bits that no register field covers")
        for name, bits in FIELDS.items():
            total |= _encode(name, getattr(self, name), bits) << (64 * bits.word + bits.low)
        return tuple((total >> (64 * word)) & _WORD for word in range(WORDS))

    @classmethod
    def unpack(cls, words: Sequence[int]) -> "LayerRegisters":
        """The fields of twelve unsigned 64-bit words; every bit pattern is accepted and kept."""
        if len(words) != WORDS:
            raise ValueError(f"a layer block has {WORDS} words, not {len(words)}")
        total = sum((int(word) & _WORD) << (64 * index) for index, word in enumerate(words))
        values = {name: _decode(int(words[bits.word]), bits) for name, bits in FIELDS.items()}
        return cls(**values, reserved=total & _RESERVED_MASK)

    @property
    def depthwise(self) -> bool:
        """Whether each output channel sees only the input channel of its number."""
        return self.depth_wise_layer == 1

    @property
    def kernel_size(self) -> int:
        """1 or 3. Raises ValueError for a kernel type the hardware does not have."""
        if self.kernel_type > 1:
            raise ValueError(f"kernel_type is {self.kernel_type}, but only 0 (1x1) and 1 (3x3) exist")
        return 3 if self.kernel_type else 1

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one input image."""
        return self.i_ch_num + 1, self.i_col_high + 1, self.i_row_wid + 1

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one output image, after pooling."""
        return self.o_ch_num + 1, self.o_col_high + 1, self.o_row_wid + 1

    @property
    def weight_count(self) -> int:
        """Weights of the layer: OC * IC * k * k, or OC * k * k when depthwise."""
        channels = 1 if self.depthwise else self.i_ch_num + 1
        return (self.o_ch_num + 1) * channels * self.kernel_size**2


FIELDS: Mapping[str, BitField] = MappingProxyType(
    {item.name: item.metadata["bits"] for item in fields(LayerRegisters) if "bits" in item.metadata}
)
"""Every register field in the order of the words."""

_WORD = (1 << 64) - 1
_RESERVED_MASK = ((1 << (64 * WORDS)) - 1) ^ sum(
    ((1 << bits.width) - 1) << (64 * bits.word + bits.low) for bits in FIELDS.values()
)


def _encode(name: str, value: int, bits: BitField) -> int:
    low, high = bits.limits
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}, but its {bits.width} bits hold {low}..{high}")
    return value & ((1 << bits.width) - 1)


def _decode(word: int, bits: BitField) -> int:
    value = (word >> bits.low) & ((1 << bits.width) - 1)
    return value - (1 << bits.width) if bits.signed and value >> (bits.width - 1) else value


class BatchNorm(NamedTuple):
    """Per output channel: v = ((acc * mul) >> shift) + add (`kpu-hardware.md` 6.2). int64 arrays of length OC."""

    mul: "NDArray[np.int64]"
    shift: "NDArray[np.int64]"
    add: "NDArray[np.int64]"


class Activation(NamedTuple):
    """Per segment: y = ((v - start) * mul, shifted right by `shift`) + add, without the add. int64[16] each."""

    start: "NDArray[np.int64]"
    mul: "NDArray[np.int64]"
    shift: "NDArray[np.int64]"


_BATCH_NORM = {"mul": BitField(0, 0, 24, True), "add": BitField(0, 24, 32, True), "shift": BitField(0, 56, 4, False)}
_ACTIVATION = {"shift": BitField(0, 0, 8, False), "mul": BitField(0, 8, 16, True), "start": BitField(0, 24, 36, True)}


def pack_batch_norm(mul: "ArrayLike", shift: "ArrayLike", add: "ArrayLike") -> "NDArray[np.uint64]":
    """The batch-norm entries of OC channels: mul signed 24 bit, shift 0..15, add signed 32 bit.

    Raises ValueError naming the field, the channel and the value that does not fit.
    """
    return _pack_entries(_BATCH_NORM, {"mul": mul, "shift": shift, "add": add})


def unpack_batch_norm(entries: "ArrayLike") -> BatchNorm:
    """The fields of uint64 (or int64) batch-norm entries; bits no field covers are ignored."""
    return BatchNorm(**_unpack_entries(_BATCH_NORM, entries))


def pack_activation(start: "ArrayLike", mul: "ArrayLike", shift: "ArrayLike") -> "NDArray[np.uint64]":
    """The sixteen words of an activation table: start signed 36 bit, mul signed 16 bit, shift 0..255.

    Raises ValueError naming the field, the segment and the value that does not fit.
    """
    words = _pack_entries(_ACTIVATION, {"start": start, "mul": mul, "shift": shift})
    if words.shape != (ACTIVATION_SEGMENTS,):
        raise ValueError(f"an activation table has {ACTIVATION_SEGMENTS} segments, not {words.size}")
    return words


def unpack_activation(entries: "ArrayLike") -> Activation:
    """The fields of activation words (uint64 or int64); the top four bits, garbage in shipped files, are ignored."""
    return Activation(**_unpack_entries(_ACTIVATION, entries))


def _pack_entries(layout: Mapping[str, BitField], values: Mapping[str, "ArrayLike"]) -> "NDArray[np.uint64]":
    import numpy as np

    arrays = {name: np.asarray(value).astype(np.int64).reshape(-1) for name, value in values.items()}
    lengths = {name: array.size for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"the fields of the entries differ in length: {lengths}")
    words = np.zeros(next(iter(lengths.values())), np.uint64)
    for name, bits in layout.items():
        low, high = bits.limits
        wrong = np.flatnonzero((arrays[name] < low) | (arrays[name] > high))
        if wrong.size:
            value = int(arrays[name][wrong[0]])
            raise ValueError(f"{name}[{wrong[0]}] is {value}, but its {bits.width} bits hold {low}..{high}")
        words |= (arrays[name].view(np.uint64) & np.uint64((1 << bits.width) - 1)) << np.uint64(bits.low)
    return words


def _unpack_entries(layout: Mapping[str, BitField], entries: "ArrayLike") -> dict[str, "NDArray[np.int64]"]:
    import numpy as np

    array = np.asarray(entries)
    words = (array if array.dtype == np.uint64 else array.astype(np.int64).view(np.uint64)).reshape(-1)
    return {name: _extract(words, bits) for name, bits in layout.items()}


def _extract(words: "NDArray[np.uint64]", bits: BitField) -> "NDArray[np.int64]":
    import numpy as np

    top = (words << np.uint64(64 - bits.low - bits.width)).view(np.int64)  # the field's highest bit at bit 63
    down = 64 - bits.width
    return top >> np.int64(down) if bits.signed else (top.view(np.uint64) >> np.uint64(down)).view(np.int64)
