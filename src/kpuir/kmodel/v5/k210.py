"""The instructions of the k210 module of kmodel v5 (`kmodel-v5.md` section 10), of fixed sizes.

Strides are counted in elements. The arrays of a layer lie in the module's constants (RDATA).
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from kpuir.errors import InvalidInputError
from kpuir.kmodel.codec import U32, Body, Cursor, RegisterBlock
from kpuir.kmodel.layer import LayerRegisters
from kpuir.kmodel.v5.codec import Memory, MemoryRange, Range, Sizes


class KpuInstruction(Body):
    """Base of the instructions: an opcode byte, three zero bytes, the fields."""

    opcode: ClassVar[int]

    def __init_subclass__(cls, opcode: int) -> None:
        super().__init_subclass__()
        cls.opcode = opcode
        KPU_INSTRUCTIONS[opcode] = cls


KPU_INSTRUCTIONS: dict[int, type[KpuInstruction]] = {}
"""The instruction class of each opcode."""


@dataclass(frozen=True, eq=False)
class KpuUpload(KpuInstruction, opcode=0):
    """Dense uint8 NCHW into the KPU's line layout."""

    input: Memory
    output: Memory
    shape: Sizes


@dataclass(frozen=True, eq=False)
class KpuDownload(KpuInstruction, opcode=1):
    """The KPU's line layout as dense uint8 NCHW."""

    input: Memory
    output: Memory
    shape: Sizes


@dataclass(frozen=True, eq=False)
class KpuConv2d(KpuInstruction, opcode=2):
    """One pass of the convolution engine per image; its maps are in the registers."""

    weights: Memory
    batch_norm: Memory
    activation: Memory
    main_output: Annotated[MemoryRange | None, Range(optional=True)]
    batches: U32
    registers: Annotated[LayerRegisters, RegisterBlock()]


@dataclass(frozen=True, eq=False)
class KpuCopy(KpuInstruction, opcode=3):
    """A copy between strided places, which may be in KPU RAM or not."""

    input: Memory
    output: Memory
    shape: Sizes
    input_strides: Sizes
    output_strides: Sizes


def read_instructions(cursor: Cursor, unknown: list[str] | None = None) -> tuple[KpuInstruction, ...]:
    """The instructions up to the cursor's end. Raises InvalidInputError with the byte offset.

    With `unknown`, which gets the message, it gives those in front of that place instead.
    """
    found: list[KpuInstruction] = []
    try:
        while cursor.offset < cursor.end:
            cursor.what = f"instruction {len(found)}"
            opcode = cursor.take(1)[0]
            kind = KPU_INSTRUCTIONS.get(opcode)
            if kind is None:
                cursor.offset -= 1
                raise cursor.error(f"opcode {opcode:#x} does not exist")
            cursor.take_zeros(3)
            found.append(kind.read(cursor))
    except InvalidInputError as error:
        if unknown is None:
            raise
        unknown.append(error.message)
    return tuple(found)


def written_instructions(instructions: tuple[KpuInstruction, ...]) -> bytes:
    """The bytes of instructions. Raises ValueError naming the one that the format cannot hold."""
    parts: list[bytes] = []
    for index, one in enumerate(instructions):
        try:
            parts.append(bytes((one.opcode, 0, 0, 0)) + one.write(0))
        except ValueError as error:
            raise ValueError(f"instruction {index}: {one.mnemonic}: {error}") from error
    return b"".join(parts)
