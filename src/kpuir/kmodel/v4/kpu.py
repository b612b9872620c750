"""The KPU's instructions of kmodel v4 (`kmodel-v4.md` section 9)."""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from kpuir.kmodel.codec import I32, Array, Cursor, Fields, RegisterBlock
from kpuir.kmodel.layer import ACTIVATION_SEGMENTS, WORDS, LayerRegisters
from kpuir.kmodel.v4.codec import Memory, MemoryRange, Range, Shape
from kpuir.kmodel.v4.instructions import Instruction, U8Array
from kpuir.target.k210 import K210

U64Array = NDArray[np.uint64]

KPU_ALIGNMENT = K210.TABLE_ALIGNMENT
"""File-offset alignment of the arrays of a kpu_conv2d body, as every writer since beta1 keeps it."""


@dataclass(frozen=True, eq=False)
class KpuUpload(Instruction, opcode=0x2001):
    """Dense uint8 NCHW from main memory into the KPU's line layout."""

    input: Memory
    output: Memory
    in_shape: Shape


def _registers(known: Fields) -> LayerRegisters:
    return known["registers"]


@dataclass(frozen=True, eq=False)
class KpuConv2d(Instruction, opcode=0x2002):
    """One pass of the convolution engine per image.

    `batch_norm`, `activation` and `activation_add` are raw words (see `kmodel.layer`), weights [oc][ic][kh][kw] or
    [oc][kh][kw]. In the file the registers' three address fields count fill bytes; here they are 0, and `fills`
    holds the counts only where they are not those of 256-byte alignment.
    """

    main_output: Annotated[MemoryRange | None, Range(optional=True)]
    batches: I32
    reserved: I32
    registers: Annotated[LayerRegisters, RegisterBlock()]
    batch_norm: Annotated[
        U64Array,
        Array("<u8", lambda k: _registers(k).o_ch_num + 1, skip=lambda k: _registers(k).bwsx_base_addr),
    ]
    activation: Annotated[U64Array, Array("<u8", ACTIVATION_SEGMENTS, skip=lambda k: _registers(k).active_addr)]
    activation_add: Annotated[U8Array, Array("u1", ACTIVATION_SEGMENTS)]
    weights: Annotated[
        U8Array,
        Array("u1", lambda k: _registers(k).weight_count, skip=lambda k: _registers(k).para_start_addr),
    ]
    fills: tuple[int, int, int] | None = None

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) is True and isinstance(other, KpuConv2d) and self.fills == other.fills

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # arrays do not hash

    @classmethod
    def read(cls, cursor: Cursor) -> "KpuConv2d":
        """The instruction at the cursor, the skip counts moved from the registers to `fills` unless canonical."""
        start = cursor.offset
        body = super().read(cursor)
        assert isinstance(body, KpuConv2d)
        registers = body.registers
        fills = (registers.bwsx_base_addr, registers.active_addr, registers.para_start_addr)
        canonical = fills == canonical_fills(start, registers.o_ch_num + 1)
        return replace(body, registers=_with_fills(registers, (0, 0, 0)), fills=None if canonical else fills)

    def write(self, offset: int) -> bytes:
        """The body at a file offset, aligned to 256 unless `fills` says otherwise."""
        fills = canonical_fills(offset, self.registers.o_ch_num + 1) if self.fills is None else self.fills
        filled = replace(self, registers=_with_fills(self.registers, fills))
        return super(KpuConv2d, filled).write(offset)


def canonical_fills(offset: int, out_channels: int) -> tuple[int, int, int]:
    """Fill bytes before batch-norm, activation table and weights of a kpu_conv2d body at a file offset."""
    batch_norm = offset + 16 + 8 + 8 * WORDS
    first = -batch_norm % KPU_ALIGNMENT
    second = -(8 * out_channels) % KPU_ALIGNMENT
    third = -(9 * ACTIVATION_SEGMENTS) % KPU_ALIGNMENT
    return first, second, third


def _with_fills(registers: LayerRegisters, fills: tuple[int, int, int]) -> LayerRegisters:
    first, second, third = fills
    return replace(registers, bwsx_base_addr=first, active_addr=second, para_start_addr=third)
