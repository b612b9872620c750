"""How memory ranges, shapes and element types of kmodel v5 are read and written (`kmodel-v5.md` 2 to 4)."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from math import prod
from typing import Annotated, Any

from kpuir.kmodel.codec import Cursor, Fields, Scalar, Tuple, packed
from kpuir.target.stackvm import DataType


class Location(IntEnum):
    """Where a memory range lies; KPU only in k210 modules."""

    INPUT = 0
    OUTPUT = 1
    RDATA = 2
    DATA = 3
    SHARED_DATA = 4
    KPU = 64


@dataclass(frozen=True)
class MemoryRange:
    """`size` bytes from byte `start` of a location; kpu ranges count the bytes of the KPU line layout."""

    location: Location
    datatype: DataType
    start: int
    size: int


@dataclass(frozen=True)
class TensorType:
    """An input or output of a function."""

    datatype: DataType
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Its bytes, dense."""
        return prod(self.shape) * self.datatype.itemsize


class ByteEnumeration(Scalar):
    """A byte that must be a member of an enumeration."""

    def __init__(self, kind: type[IntEnum]) -> None:
        super().__init__("B")
        self.kind = kind

    def read(self, cursor: Cursor, known: Fields) -> Any:  # noqa: D102 (Codec)
        value = super().read(cursor, known)
        if value not in self.kind.__members__.values():
            cursor.offset -= 1
            raise cursor.error(f"{value} is no {self.kind.__name__}")
        return self.kind(value)


class Range:
    """A memory range of 12 bytes. With `optional`, 12 zero bytes are None."""

    _layout = Tuple("I", 2)
    _location = ByteEnumeration(Location)
    _datatype = ByteEnumeration(DataType)

    def __init__(self, *, optional: bool = False) -> None:
        self.optional = optional

    def read(self, cursor: Cursor, known: Fields) -> Any:  # noqa: D102 (Codec)
        if self.optional and not any(memoryview(cursor.data)[cursor.offset : min(cursor.offset + 12, cursor.end)]):
            cursor.take(12)
            return None
        location = self._location.read(cursor, known)
        datatype = self._datatype.read(cursor, known)
        cursor.take_zeros(2)
        return MemoryRange(location, datatype, *self._layout.read(cursor, known))

    def write(self, value: Any, known: Fields, offset: int) -> bytes:  # noqa: D102 (Codec)
        if value is None:
            if not self.optional:
                raise ValueError("is missing")
            return bytes(12)
        places = self._layout.write((value.start, value.size), known, offset)
        return bytes((value.location, value.datatype, 0, 0)) + places


Memory = Annotated[MemoryRange, Range()]
Sizes = Annotated[tuple[int, int, int, int], Tuple("I", 4)]


def read_shape(cursor: Cursor) -> tuple[int, ...]:
    """A u32 rank and as many u32."""
    rank = int.from_bytes(cursor.take(4), "little")
    cursor.check_table(cursor.what, rank, 4)
    return Tuple("I", rank).read(cursor, {})


def written_shape(shape: tuple[int, ...]) -> bytes:
    """The bytes of a shape. Raises ValueError where a dimension does not fit."""
    return packed(struct.Struct(f"<{len(shape) + 1}I"), len(shape), *shape)
