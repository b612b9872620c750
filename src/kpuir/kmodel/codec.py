"""How each kind of field of a kmodel's bodies is read and written, and bodies as dataclasses of such fields.

A body is a frozen dataclass whose field types are `Annotated` with one of these codecs; the order of the fields is
their order in the file. The same description serves the reader and the writer.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from enum import IntEnum
from functools import cache
from typing import Annotated, Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from kpuir.errors import InvalidInputError
from kpuir.kmodel.layer import WORDS, LayerRegisters

Fields = Mapping[str, Any]
"""The fields of a body by name."""


class Cursor:
    """A position in the bytes of a file that never reads beyond `end`; all its complaints name the byte offset."""

    def __init__(self, data: bytes, offset: int, end: int, what: str, file: str = "kmodel v4") -> None:
        self.file = file
        self.data = data
        self.offset = offset
        self.end = end
        self.what = what

    def error(self, message: str) -> InvalidInputError:
        """The complaint about what stands at the current offset."""
        return InvalidInputError(f"byte {self.offset}: {self.what}: {message}", location=self.file)

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

    def check_table(self, what: str, count: int, size: int) -> None:
        """Raise InvalidInputError unless so many entries of so many bytes are left."""
        left = self.end - self.offset
        if count * size > left:
            self.what = what
            raise self.error(f"{count} entries need {count * size} bytes, {left} are left")

    def skip_padding(self, end: int, alignment: int) -> None:
        """Skip the zeros between what a body holds and its `end`, the next multiple of `alignment`."""
        padded = self.offset + -self.offset % alignment
        if padded != end:
            raise self.error(f"the body should end at byte {padded}, but its size says {end}")
        self.take_zeros(self.end - self.offset)


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
        return packed(self.layout, value)


class Tuple:
    """Several numbers of one type; `count` is their number, or says it from the fields before."""

    def __init__(self, letter: str, count: int | Callable[[Fields], int]) -> None:
        self.letter = letter
        self.count = count

    def read(self, cursor: Cursor, known: Fields) -> Any:  # noqa: D102 (Codec)
        count = count_of(self.count, known, cursor)
        view = cursor.take(count * struct.calcsize("<" + self.letter))
        return struct.unpack(f"<{count}{self.letter}", view)

    def write(self, value: Any, known: Fields, offset: int) -> bytes:  # noqa: D102 (Codec)
        check_count(len(value), self.count, known)
        return packed(struct.Struct(f"<{len(value)}{self.letter}"), *value)


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
        count = count_of(self.count, known, cursor)
        return np.frombuffer(cursor.take(count * self.dtype.itemsize), self.dtype)

    def write(self, value: Any, known: Fields, offset: int) -> bytes:  # noqa: D102 (Codec)
        array = np.asarray(value)
        if array.dtype != self.dtype:
            raise ValueError(f"is {array.dtype}, but the file holds {self.dtype}")
        if self.count is None:
            return array.tobytes()
        check_count(array.size, self.count, known)
        skip = 0 if self.skip is None else self.skip(known)
        return bytes(skip) + array.tobytes()


def count_of(count: int | Callable[[Fields], int], known: Fields, cursor: Cursor) -> int:
    """The number of elements. Raises InvalidInputError where the fields before do not say it."""
    if isinstance(count, int):
        return count
    try:
        return count(known)
    except (ValueError, ZeroDivisionError) as error:
        raise cursor.error(f"the number of elements cannot be told: {error}") from error


def check_count(found: int, count: int | Callable[[Fields], int], known: Fields) -> None:
    """Raise ValueError unless so many elements were found as the fields say."""
    expected = count if isinstance(count, int) else count(known)
    if found != expected:
        raise ValueError(f"has {found} elements, but the fields before it say {expected}")


def packed(layout: struct.Struct, *values: Any) -> bytes:
    """The bytes of values. Raises ValueError where one does not fit."""
    try:
        return layout.pack(*values)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"is {', '.join(map(str, values))}: {error}") from error


I32 = Annotated[int, Scalar("i")]
U32 = Annotated[int, Scalar("I")]
U8 = Annotated[int, Scalar("B")]
F32 = Annotated[float, Scalar("f")]


class RegisterBlock(Scalar):
    """The twelve words of a layer block."""

    def __init__(self) -> None:
        super().__init__(f"{WORDS}Q")

    def read(self, cursor: Cursor, known: Fields) -> LayerRegisters:  # noqa: D102 (Codec)
        start = cursor.offset
        registers = LayerRegisters.unpack(self.layout.unpack(cursor.take(self.layout.size)))
        try:
            _ = registers.kernel_size
        except ValueError as error:
            cursor.offset = start
            raise cursor.error(str(error)) from error
        return registers

    def write(self, value: LayerRegisters, known: Fields, offset: int) -> bytes:  # noqa: D102 (Codec)
        return self.layout.pack(*value.pack())


class Body:
    """Base of the bodies: reads and writes one by walking the codecs of the dataclass fields."""

    mnemonic: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.mnemonic = mnemonic_of(cls.__name__)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(getattr(self, name), getattr(other, name)) for name in codecs(type(self)))

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # arrays do not hash

    @classmethod
    def read(cls, cursor: Cursor) -> Self:
        """The body that starts at the cursor. Raises InvalidInputError with the byte offset."""
        known: dict[str, Any] = {}
        for name, codec in codecs(cls).items():
            cursor.what = f"{cls.mnemonic}: {name}"
            known[name] = codec.read(cursor, known)
        cursor.what = cls.mnemonic
        return cls(**known)

    def write(self, offset: int) -> bytes:
        """The body without its final padding, for a body at a file offset. ValueError names the field that is wrong."""
        body = b""
        known = {name: getattr(self, name) for name in codecs(type(self))}
        for name, codec in codecs(type(self)).items():
            try:
                body += codec.write(known[name], known, offset + len(body))
            except ValueError as error:
                raise ValueError(f"{name} {error}") from error
        return body


@cache
def codecs(kind: type[Body]) -> dict[str, Codec]:
    """The codec of each field of a body class that is stored in the file, in file order."""
    found = {item.name: getattr(item.type, "__metadata__", ()) for item in fields(kind)}  # pyright: ignore[reportArgumentType]  # every body is a dataclass
    return {name: metadata[0] for name, metadata in found.items() if metadata}


def mnemonic_of(class_name: str) -> str:
    """The spec's name of an instruction from its class name: KpuConv2d is kpu_conv2d."""
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in class_name).lstrip("_")


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and left.tobytes() == right.tobytes()
    return bool(left == right)


def product(values: Sequence[int]) -> int:
    """The product of integers of any size; ValueError when one is negative."""
    result = 1
    for value in values:
        if value < 0:
            raise ValueError(f"{value} is negative")
        result *= value
    return result
