"""A kmodel v5 file as one object, and the way between it and its bytes (`kmodel-v5.md` sections 1 to 5)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from kpuir.kmodel.codec import Cursor, packed
from kpuir.kmodel.v5.codec import Location, MemoryRange, Range, TensorType, read_shape, written_shape
from kpuir.kmodel.v5.k210 import KpuInstruction, read_instructions, written_instructions
from kpuir.kmodel.v5.stackvm import Code, read_code, written_code
from kpuir.target.stackvm import NEWEST, RELEASES

IDENTIFIER = b"LDMK"
VERSION = 5
STACKVM, K210 = "stackvm", "k210"
ALIGNMENT = {STACKVM: 8, K210: 256}
"""File-offset alignment of section bodies, by the kind of module."""

_HEADER = struct.Struct("<4s7I")
_MODULE = struct.Struct("<16s8I")
_POOL = struct.Struct("<B3xI")
_FUNCTION = struct.Struct("<8I")
_SECTION = struct.Struct("<16s4I")
_RANGE = Range()


@dataclass(frozen=True)
class Function:
    """What a function takes and gives, and its code: KPU instructions or operations of the stackvm.

    Instructions name inputs and outputs by where they begin: one behind the other at multiples of 8 bytes, and in
    order, unless `input_starts` or `output_starts` say otherwise.
    """

    inputs: Sequence[TensorType]
    outputs: Sequence[TensorType]
    code: Code | Sequence[KpuInstruction]
    input_starts: Sequence[int] = ()
    output_starts: Sequence[int] = ()

    def starts(self, location: Location) -> Sequence[int]:
        """Where each input or output begins."""
        tensors, given = (
            (self.inputs, self.input_starts) if location is Location.INPUT else (self.outputs, self.output_starts)
        )
        return given or offsets(tensors)[:-1]


@dataclass(frozen=True)
class Module:
    """A module: its functions, its constants, and the bytes of each of its memories.

    `pools` are those of the file; a runtime reads only that of DATA.
    """

    kind: str
    functions: Sequence[Function]
    constants: bytes
    pools: Sequence[tuple[Location, int]]


@dataclass(frozen=True)
class Model:
    """What a v5 file holds; `entry` are the numbers of the main function's module and of itself.

    `release` is that of the runtime whose function numbers the stackvm code has; the file does not say it.
    """

    modules: Sequence[Module]
    entry: tuple[int, int] = (0, 0)
    release: str = field(default=NEWEST)


def offsets(tensors: Sequence[TensorType]) -> list[int]:
    """Where in their location the inputs or outputs of a function begin, and where the last one ends."""
    found = [0]
    for tensor in tensors:
        found.append(found[-1] + ceil(tensor.size / 8) * 8)
    return found


# --- Reading --------------------------------------------------------------------------------------------------------


def read(data: bytes, unknown: dict[tuple[int, int], str] | None = None) -> Model:
    """The model in the bytes of a v5 file.

    Raises InvalidInputError, with the byte offset, for a file that is damaged, of another kind, or that no compiler
    would write. Code that is not understood is damage, unless there is `unknown`: a function ends in front of it then,
    and `unknown` gets module and function with what stands there.
    """
    cursor = Cursor(data, 0, len(data), "header", "kmodel v5")
    magic, version, size, flags, alignment, modules, entry_module, entry = _HEADER.unpack(cursor.take(_HEADER.size))
    if magic != IDENTIFIER or version != VERSION or size != _HEADER.size or flags:
        cursor.offset = 0
        raise cursor.error(f"is {magic!r}, version {version}, size {size}, flags {flags:#x}, instead of LDMK, 5, 32, 0")
    cursor.check_table("modules", modules, _MODULE.size)
    reader = _Reader(cursor, unknown)
    found = tuple(reader.module(index) for index in range(modules))
    if cursor.offset < len(data):
        cursor.what = "end"
        raise cursor.error(f"{len(data) - cursor.offset} bytes follow the last module")
    cursor.offset, cursor.what = 0, "header"
    if entry_module >= len(found) or entry >= len(found[entry_module].functions):
        raise cursor.error(f"the main function is number {entry} of module {entry_module}, which does not exist")
    if alignment != _alignment(found):
        raise cursor.error(f"the alignment is {alignment} instead of {_alignment(found)}")
    model = Model(found, (entry_module, entry), reader.release or NEWEST)
    again = data if unknown else write(model)
    if again != data:
        pairs = enumerate(zip(again, data, strict=False))
        cursor.offset = next((place for place, (wanted, found) in pairs if wanted != found), 0)
        raise cursor.error(f"is {data[cursor.offset]:#04x} where every compiler writes {again[cursor.offset]:#04x}")
    return model


class _Reader:
    def __init__(self, cursor: Cursor, unknown: dict[tuple[int, int], str] | None) -> None:
        self.cursor = cursor
        self.unknown = unknown
        self.release = ""

    def module(self, index: int) -> Module:
        cursor = self.cursor
        cursor.what, cursor.end = f"module {index}", len(cursor.data)
        start = cursor.offset
        name, version, header, size, pools, shared, sections, functions, reserved = _MODULE.unpack(
            cursor.take(_MODULE.size)
        )
        kind = name.rstrip(b"\0").decode("latin-1")
        if kind not in ALIGNMENT or (version, header, shared, reserved) != (1, _MODULE.size, 0, 0):
            raise cursor.error(f"'{kind}', version {version}, header {header}, shared pools {shared} is not understood")
        if start + size > len(cursor.data) or size < _MODULE.size:
            raise cursor.error(f"has {size} bytes, {len(cursor.data) - start} are left")
        cursor.end = start + size
        cursor.check_table(f"module {index}: pools", pools, _POOL.size)
        memories = tuple(self.pool() for _ in range(pools))
        cursor.check_table(f"module {index}: functions", functions, _FUNCTION.size)
        heads = [self.function(f"module {index}: function {number}") for number in range(functions)]
        cursor.check_table(f"module {index}: sections", sections, _SECTION.size)
        bodies = dict(self.section(kind, index) for _ in range(sections))
        if set(bodies) - {".rdata", ".text"} or len(bodies) < sections:
            raise cursor.error(f"its sections are {', '.join(bodies)}")
        cursor.what = f"module {index}"
        cursor.skip_padding(cursor.end, 8)
        read = self.bodies(kind, index, heads, bodies.get(".text", (0, 0)))
        first, last = bodies.get(".rdata", (0, 0))
        return Module(kind, read, bytes(memoryview(cursor.data)[first:last]), memories)

    def pool(self) -> tuple[Location, int]:
        location, size = _POOL.unpack(self.cursor.take(_POOL.size))
        if location not in Location.__members__.values():
            raise self.cursor.error(f"a pool in location {location}")
        return Location(location), size

    def function(self, what: str) -> tuple[Function, int, int]:
        cursor = self.cursor
        cursor.what = what
        start = cursor.offset
        header, size, input_bytes, output_bytes, inputs, outputs, entry, length = _FUNCTION.unpack(
            cursor.take(_FUNCTION.size)
        )
        if header != _FUNCTION.size or start + size > cursor.end:
            raise cursor.error(f"has a header of {header} bytes and {size} altogether")
        taken, first = self.tensors(Location.INPUT, inputs)
        given, second = self.tensors(Location.OUTPUT, outputs)
        if (offsets(taken)[-1], offsets(given)[-1]) != (input_bytes, output_bytes):
            raise cursor.error(
                f"its inputs take {input_bytes}, its outputs {output_bytes} bytes, but their shapes differ"
            )
        if cursor.offset + -cursor.offset % 8 != start + size:
            raise cursor.error(f"its size is {size}, but it ends at byte {cursor.offset}")
        cursor.take_zeros(-cursor.offset % 8)
        return Function(taken, given, (), first, second), entry, length

    def tensors(self, location: Location, count: int) -> tuple[tuple[TensorType, ...], tuple[int, ...]]:
        cursor = self.cursor
        cursor.check_table(cursor.what, count, 12)
        ranges = [_RANGE.read(cursor, {}) for _ in range(count)]
        tensors = tuple(TensorType(one.datatype, read_shape(cursor)) for one in ranges)
        starts = tuple(one.start for one in ranges)
        expected = [
            MemoryRange(location, one.datatype, start, one.size) for one, start in zip(tensors, starts, strict=True)
        ]
        placed = sorted(range(count), key=starts.__getitem__)
        if ranges != expected or [starts[one] for one in placed] != offsets([tensors[one] for one in placed])[:-1]:
            raise cursor.error("the ranges of inputs or outputs do not follow from their shapes")
        return tensors, () if placed == list(range(count)) else starts

    def section(self, kind: str, index: int) -> tuple[str, tuple[int, int]]:
        cursor = self.cursor
        cursor.what = f"module {index}: section"
        name, flags, padding, size, reserved = _SECTION.unpack(cursor.take(_SECTION.size))
        text = name.rstrip(b"\0").decode("latin-1")
        if flags or reserved or padding != -cursor.offset % ALIGNMENT[kind]:
            raise cursor.error(f"'{text}' has flags {flags}, padding {padding}")
        cursor.take_zeros(padding)
        start = cursor.offset
        cursor.take(size)
        return text, (start, start + size)

    def bodies(
        self,
        kind: str,
        index: int,
        heads: Sequence[tuple[Function, int, int]],
        text: tuple[int, int],
    ) -> tuple[Function, ...]:
        after, first = self.cursor.offset, text[0]
        functions: list[Function] = []
        for number, (head, entry, length) in enumerate(heads):
            cursor = Cursor(self.cursor.data, first, text[1], f"module {index}: function {number}", "kmodel v5")
            if text[0] + entry != first or first + length > text[1]:
                raise cursor.error(f"its code has bytes {entry}..{entry + length} of {text[1] - text[0]}")
            cursor.end = first = first + length
            unknown: list[str] | None = None if self.unknown is None else []
            if kind == K210:
                code = read_instructions(cursor, unknown)
            else:
                self.release, code = read_code(cursor, [self.release] if self.release else RELEASES[::-1], unknown)
            if self.unknown is not None and unknown:
                self.unknown[index, number] = unknown[0]
            functions.append(replace(head, code=code))
        self.cursor.offset = first
        if first != text[1]:
            raise self.cursor.error(f"{text[1] - first} bytes of code belong to no function")
        self.cursor.offset = after
        return tuple(functions)


def _alignment(modules: Sequence[Module]) -> int:
    return max((ALIGNMENT[module.kind] for module in modules), default=8)


# --- Writing --------------------------------------------------------------------------------------------------------


def write(model: Model) -> bytes:
    """The bytes of a v5 file. Raises ValueError that names what the format or the release cannot hold."""
    header = _HEADER.pack(
        IDENTIFIER, VERSION, _HEADER.size, 0, _alignment(model.modules), len(model.modules), *model.entry
    )
    parts = [header]
    offset = len(header)
    for index, module in enumerate(model.modules):
        try:
            part = _written_module(module, model.release, offset)
        except ValueError as error:
            raise ValueError(f"module {index}: {error}") from error
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _written_module(module: Module, release: str, offset: int) -> bytes:
    codes = [_written_code(one, module.kind, release, index) for index, one in enumerate(module.functions)]
    text = b"".join(codes)
    heads, entry = bytearray(), 0
    for function, code in zip(module.functions, codes, strict=True):
        heads += _written_function(function, entry, len(code))
        entry += len(code)
    pools = b"".join(packed(_POOL, location, size) for location, size in module.pools)
    has_constants = any(location is Location.RDATA for location, _ in module.pools)
    sections = {".rdata": module.constants, ".text": text} if has_constants or module.constants else {".text": text}
    body = bytearray(bytes(_MODULE.size) + pools + heads)
    for name, data in sections.items():
        padding = -(offset + len(body) + _SECTION.size) % ALIGNMENT[module.kind]
        body += packed(_SECTION, name.encode(), 0, padding, len(data), 0) + bytes(padding) + data
    body += bytes(-(offset + len(body)) % 8)
    counts = (len(module.pools), 0, len(sections), len(module.functions), 0)
    body[: _MODULE.size] = packed(_MODULE, module.kind.encode(), 1, _MODULE.size, len(body), *counts)
    return bytes(body)


def _written_code(function: Function, kind: str, release: str, index: int) -> bytes:
    try:
        if kind == K210:
            return written_instructions(tuple(function.code))  # pyright: ignore[reportArgumentType]  # by its kind
        return written_code(function.code, release)  # pyright: ignore[reportArgumentType]  # by its kind
    except ValueError as error:
        raise ValueError(f"function {index}: {error}") from error


def _written_function(function: Function, entry: int, length: int) -> bytes:
    body = b""
    for location, tensors in ((Location.INPUT, function.inputs), (Location.OUTPUT, function.outputs)):
        for one, start in zip(tensors, function.starts(location), strict=True):
            body += _RANGE.write(MemoryRange(location, one.datatype, start, one.size), {}, 0)
        body += b"".join(written_shape(tuple(one.shape)) for one in tensors)
    body += bytes(-len(body) % 8)
    ends = (offsets(function.inputs)[-1], offsets(function.outputs)[-1])
    counts = (len(function.inputs), len(function.outputs))
    return packed(_FUNCTION, _FUNCTION.size, _FUNCTION.size + len(body), *ends, *counts, entry, length) + body
