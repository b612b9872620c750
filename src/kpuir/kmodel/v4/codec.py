"""How memory ranges and the tuples of kmodel v4 are read and written (`kmodel-v4.md` 2 and 3)."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any

from kpuir.kmodel.codec import Cursor, Enumeration, Fields, Tuple, check_count, count_of, packed


class MemoryType(IntEnum):
    """The pool a memory range lies in."""

    CONST = 0
    MAIN = 1
    KPU = 2


class DataType(IntEnum):
    """The element type of a memory range: the two that version 4 has."""

    FLOAT32 = 0
    UINT8 = 1

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return 4 if self is DataType.FLOAT32 else 1


@dataclass(frozen=True)
class MemoryRange:
    """`size` bytes from byte `start` of a pool; kpu ranges count the bytes of the KPU line layout."""

    memory: MemoryType
    datatype: DataType
    start: int
    size: int


class Range:
    """A memory range of 16 bytes. With `optional`, 16 zero bytes are None."""

    _layout = struct.Struct("<2I")

    def __init__(self, *, optional: bool = False) -> None:
        self.optional = optional

    def read(self, cursor: Cursor, known: Fields) -> Any:  # noqa: D102 (Codec)
        if self.optional and not any(memoryview(cursor.data)[cursor.offset : min(cursor.offset + 16, cursor.end)]):
            cursor.take(16)
            return None
        memory = _MEMORY.read(cursor, known)
        datatype = _DATATYPE.read(cursor, known)
        start, size = self._layout.unpack(cursor.take(8))
        return MemoryRange(memory, datatype, start, size)

    def write(self, value: Any, known: Fields, offset: int) -> bytes:  # noqa: D102 (Codec)
        if value is None:
            if not self.optional:
                raise ValueError("is missing")
            return bytes(16)
        head = _MEMORY.write(value.memory, known, offset) + _DATATYPE.write(value.datatype, known, offset)
        return head + packed(self._layout, value.start, value.size)


class Ranges:
    """Several memory ranges, their number said by the fields before."""

    def __init__(self, count: Callable[[Fields], int]) -> None:
        self.count = count
        self.one = Range()

    def read(self, cursor: Cursor, known: Fields) -> Any:  # noqa: D102 (Codec)
        count = count_of(self.count, known, cursor)
        if count * 16 > cursor.end - cursor.offset:
            cursor.take(count * 16)  # says how much is missing
        return tuple(self.one.read(cursor, known) for _ in range(count))

    def write(self, value: Any, known: Fields, offset: int) -> bytes:  # noqa: D102 (Codec)
        check_count(len(value), self.count, known)
        return b"".join(self.one.write(item, known, offset) for item in value)


_MEMORY = Enumeration(MemoryType)
_DATATYPE = Enumeration(DataType)

Shape = Annotated[tuple[int, int, int, int], Tuple("i", 4)]
Padding = Annotated[tuple[int, int], Tuple("i", 2)]
Paddings = Annotated[tuple[int, ...], Tuple("i", 8)]
Clamp = Annotated[tuple[float, float], Tuple("f", 2)]
Memory = Annotated[MemoryRange, Range()]
