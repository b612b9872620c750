"""How each kind of field of a kmodel v4 body is read and written.

An instruction is a frozen dataclass whose field types are `Annotated` with one of these codecs; the order of the
fields is their order in the file. The same description serves the reader and the writer.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kpuir.errors import InvalidInputError

Fields = Mapping[str, Any]
"""The fields of a body by name."""


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


class Cursor:
    """A position in the bytes of a file that never reads beyond `end`; all its complaints name the byte offset."""

    def __init__(self, data: bytes, offset: int, end: int, what: str) -> None:
        self.data = data
        self.offset = offset
        self.end = end
        self.what = what

    def error(self, message: str) -> InvalidInputError:
        """The complaint about what stands at the current offset."""
        return InvalidInputError(f"byte {self.offset}: {self.what}: {message}", location="kmodel v4")

    def take(self, count: int) -> memoryview:
        """The next `count` bytes, without a copy."""
        left = self.end - self.offset
        if not 0 <= count <= left:
            raise self.error(f"needs {count} bytes, {left} are left")
        view = memoryview(self.data)[self.offset : self.offset + count]
        self.offset += count
        return view

    def take_zeros(self, count: int) -> None:
        """Skip `count` bytes of padding, which must be zero."""
        start = self.offset
        filler = bytes(self.take(count))
        used = len(filler) - len(filler.lstrip(b"\0"))
        if used != len(filler):
            self.offset = start + used
            raise self.error(f"padding is {filler[used]:#04x} instead of zero")


class Codec(Protocol):
    """Reads and writes one field. `known` holds the fields of the body that come before it."""

    def read(self, cursor: Cursor, known: Fields) -> Any:
        """The value at the cursor. Raises InvalidInputError with the byte offset."""
        ...

    def write(self, value: Any, known: Fields, offset: int) -> bytes:
        """The bytes of a value to be stored at a file offset. Raises ValueError when the value does not fit."""
        ...


class Scalar:
    """One number, by its `struct` letter."""

    def __init__(self, letter: str) -> None:
        self.layout = struct.Struct("<" + letter)

    def read(self, cursor: Cursor, known: Fields) -> Any:  # noqa: D102 (Codec)
        return self.layout.unpack(cursor.take(self.layout.size))[0]

    def write(self, value: Any, known: Fields, offset: int) -> bytes:  # noqa: D102 (Codec)
        return _pack(self.layout, value)


class Tuple:
    """Several numbers of one type; `count` is their number, or says it from the fields before."""

    def __init__(self, letter: str, count: int | Callable[[Fields], int]) -> None:
        self.letter = letter
        self.count = count

    def read(self, cursor: Cursor, known: Fields) -> Any:  # noqa: D102 (Codec)
        count = _count(self.count, known, cursor)
        view = cursor.take(count * struct.calcsize("<" + self.letter))
        return struct.unpack(f"<{count}{self.letter}", view)

    def write(self, value: Any, known: Fields, offset: int) -> bytes:  # noqa: D102 (Codec)
        _check_count(len(value), self.count, known)
        return _pack(struct.Struct(f"<{len(value)}{self.letter}"), *value)


class Enumeration:
    """A u32 that must be a member of an enumeration."""

    def __init__(self, kind: type[IntEnum]) -> None:
        self.kind = kind

    def read(self, cursor: Cursor, known: Fields) -> Any:  # noqa: D102 (Codec)
        start = cursor.offset
        value = int.from_bytes(cursor.take(4), "little")
        if value not in self.kind.__members__.values():
            cursor.offset = start
            raise cursor.error(f"{value} is no {self.kind.__name__}")
        return self.kind(value)

    def write(self, value: Any, known: Fields, offset: int) -> bytes:  # noqa: D102 (Codec)
        return int(self.kind(value)).to_bytes(4, "little")


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
        return head + _pack(self._layout, value.start, value.size)


class Ranges:
    """Several memory ranges, their number said by the fields before."""

    def __init__(self, count: Callable[[Fields], int]) -> None:
        self.count = count
        self.one = Range()

    def read(self, cursor: Cursor, known: Fields) -> Any:  # noqa: D102 (Codec)
        count = _count(self.count, known, cursor)
        if count * 16 > cursor.end - cursor.offset:
            cursor.take(count * 16)  # says how much is missing
        return tuple(self.one.read(cursor, known) for _ in range(count))

    def write(self, value: Any, known: Fields, offset: int) -> bytes:  # noqa: D102 (Codec)
        _check_count(len(value), self.count, known)
        return b"".join(self.one.write(item, known, offset) for item in value)


class Array:
    """A flat array. `count` None takes the rest of the body; `skip` says how many zero bytes stand in front."""

    def __init__(
        self,
        dtype: str,
        count: int | Callable[[Fields], int] | None,
        *,
        skip: Callable[[Fields], int] | None = None,
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.count = count
        self.skip = skip

    def read(self, cursor: Cursor, known: Fields) -> NDArray[Any]:  # noqa: D102 (Codec)
        if self.skip is not None:
            cursor.take_zeros(self.skip(known))
        if self.count is None:
            return np.frombuffer(cursor.take(cursor.end - cursor.offset), self.dtype)
        count = _count(self.count, known, cursor)
        return np.frombuffer(cursor.take(count * self.dtype.itemsize), self.dtype)

    def write(self, value: Any, known: Fields, offset: int) -> bytes:  # noqa: D102 (Codec)
        array = np.asarray(value)
        if array.dtype != self.dtype:
            raise ValueError(f"is {array.dtype}, but the file holds {self.dtype}")
        if self.count is None:
            return array.tobytes()
        _check_count(array.size, self.count, known)
        skip = 0 if self.skip is None else self.skip(known)
        return bytes(skip) + array.tobytes()


def _count(count: int | Callable[[Fields], int], known: Fields, cursor: Cursor) -> int:
    if isinstance(count, int):
        return count
    try:
        return count(known)
    except (ValueError, ZeroDivisionError) as error:
        raise cursor.error(f"the number of elements cannot be told: {error}") from error


def _check_count(found: int, count: int | Callable[[Fields], int], known: Fields) -> None:
    expected = count if isinstance(count, int) else count(known)
    if found != expected:
        raise ValueError(f"has {found} elements, but the fields before it say {expected}")


def _pack(layout: struct.Struct, *values: Any) -> bytes:
    try:
        return layout.pack(*values)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"is {', '.join(map(str, values))}: {error}") from error


_MEMORY = Enumeration(MemoryType)
_DATATYPE = Enumeration(DataType)

I32 = Annotated[int, Scalar("i")]
U32 = Annotated[int, Scalar("I")]
U8 = Annotated[int, Scalar("B")]
F32 = Annotated[float, Scalar("f")]
Shape = Annotated[tuple[int, int, int, int], Tuple("i", 4)]
Padding = Annotated[tuple[int, int], Tuple("i", 2)]
Paddings = Annotated[tuple[int, ...], Tuple("i", 8)]
Clamp = Annotated[tuple[float, float], Tuple("f", 2)]
Memory = Annotated[MemoryRange, Range()]


def product(values: Sequence[int]) -> int:
    """The product of integers of any size; ValueError when one is negative."""
    result = 1
    for value in values:
        if value < 0:
            raise ValueError(f"{value} is negative")
        result *= value
    return result
