"""The code of the stackvm module of kmodel v5, as tensor operations instead of stack instructions (`kmodel-v5.md` 6-9).

Compilers write straight-line code of one pattern: addresses and numbers are pushed, shapes are put in registers, then
comes the tensor function that takes them. Reading keeps what that means; the registers' numbers follow from the order
of the fields. Code of any other form is refused, so that what was read can be written back byte for byte.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias

from kpuir.errors import InvalidInputError
from kpuir.kmodel.codec import Cursor
from kpuir.kmodel.v5.codec import Location
from kpuir.target.stackvm import (
    COMPARE,
    NEWEST,
    RELEASES,
    UNARY,
    DataType,
    Field,
    Kind,
    Signature,
    broadcast,
    dense_strides,
    padding_length,
    signature_of,
    signatures,
    unary_names,
    unary_number,
)

_CALL = struct.Struct("<IHBB")
_ADDRESS = struct.Struct("<BBI")
_CALL_NUMBER = 3


class _Op(IntEnum):
    """The instructions that compilers write."""

    LDC_I4 = 0x02
    LDC_R4 = 0x05
    LEA_BUFFER = 0x17
    STSHAPE = 0x31
    STPADDINGS = 0x32
    TENSOR = 0x5E


Shape: TypeAlias = tuple[int, ...]
Paddings: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Address:
    """A byte of a location of the stackvm module, or of the inputs or outputs of the function."""

    location: Location
    start: int


@dataclass(frozen=True)
class Operation:
    """One tensor function: its fields (numbers, shapes, paddings) and what it takes from the stack, by name.

    Stack values are an Address, an int, a float, or for the padding of an axis a tuple of ints. Everything is as in the
    newest release, whatever the release of the file: numbers of unary functions, what is padded between elements, and
    fields that older releases do without.
    """

    function: str
    fields: Mapping[str, Any]
    pushed: Mapping[str, Any]


@dataclass(frozen=True)
class Argument:
    """A tensor handed to a function; strides in elements."""

    address: Address
    datatype: DataType
    shape: Shape
    strides: Shape


@dataclass(frozen=True)
class Call:
    """A call of a function of a module, both by number."""

    function: int
    module: int
    inputs: Sequence[Argument]
    outputs: Sequence[Argument]


Code: TypeAlias = Sequence[Operation | Call]


# --- Reading --------------------------------------------------------------------------------------------------------


def read_code(
    cursor: Cursor, releases: Sequence[str] = RELEASES[::-1], unknown: list[str] | None = None
) -> tuple[str, tuple[Operation | Call, ...]]:
    """The operations up to the cursor's end, and the newest of the `releases` that reads them.

    Raises InvalidInputError, with the byte offset, where none does: that of the release that came furthest. With
    `unknown`, which gets the message, it gives what that release could read instead.
    """
    start, what = cursor.offset, cursor.what
    data = bytes(memoryview(cursor.data)[cursor.offset : cursor.end])
    failed: list[tuple[int, InvalidInputError, _Reader]] = []
    for release in releases:
        cursor.offset, cursor.what = start, what
        reader = _Reader(cursor, release)
        try:
            code = reader.read()
            if written_code(code, release) != data:
                raise cursor.error("the code is not in the order in which compilers write it")
        except InvalidInputError as error:
            failed.append((cursor.offset, error, reader))
        else:
            return release, code
    _, error, reader = max(failed, key=lambda one: one[0])
    if unknown is None:
        raise error
    unknown.append(error.message)
    return reader.release, tuple(reader.found)


@dataclass
class _Reader:
    """The machine whose instructions are only collected, not executed."""

    cursor: Cursor
    release: str
    stack: list[Any] = field(default_factory=list[Any])
    shapes: dict[int, Shape] = field(default_factory=dict[int, Shape])
    paddings: dict[int, Paddings] = field(default_factory=dict[int, Paddings])
    found: list[Operation | Call] = field(default_factory=list[Operation | Call])

    def read(self) -> tuple[Operation | Call, ...]:
        cursor, found, name = self.cursor, self.found, self.cursor.what
        while cursor.offset < cursor.end:
            cursor.what = f"{name}: operation {len(found)}"
            match opcode := cursor.take(1)[0]:
                case _Op.LDC_I4:
                    self.stack.append(self.number("i"))
                case _Op.LDC_R4:
                    self.stack.append(self.number("f"))
                case _Op.LEA_BUFFER:
                    self.stack.append(self.address())
                case _Op.STSHAPE:
                    register, rank = cursor.take(2)
                    self.shapes[register] = self.ints(rank)
                case _Op.STPADDINGS:
                    register, rank = cursor.take(2)
                    width = padding_length(self.release)
                    flat = self.ints(rank * width)
                    self.paddings[register] = tuple(_three(flat[i : i + width]) for i in range(0, len(flat), width))
                case _Op.TENSOR:
                    found.append(self.operation())
                    if self.stack:
                        raise cursor.error(f"leaves {len(self.stack)} values on the stack")
                case _:
                    cursor.offset -= 1
                    raise cursor.error(f"opcode {opcode:#04x} is none that compilers write")
        if self.stack:
            raise cursor.error("the code ends inside of an operation")
        return tuple(found)

    def number(self, letter: str) -> Any:
        return struct.unpack("<" + letter, self.cursor.take(4))[0]

    def address(self) -> Address:
        location, subresource, start = _ADDRESS.unpack(self.cursor.take(_ADDRESS.size))
        if location > Location.DATA or subresource:
            raise self.cursor.error(f"an address in location {location}, subresource {subresource}")
        return Address(Location(location), start)

    def pop(self, kind: type | tuple[type, ...]) -> Any:
        if not self.stack:
            raise self.cursor.error("the stack is empty")
        value = self.stack.pop()
        if not isinstance(value, kind):
            raise self.cursor.error(f"{value} is on the stack instead of {kind}")
        return value

    def ints(self, count: int) -> Shape:
        return tuple(self.pop(int) for _ in range(count))[::-1]

    def operation(self) -> Operation | Call:
        number = int.from_bytes(self.cursor.take(2), "little")
        if number == _CALL_NUMBER:
            return self.call()
        signature = next((one for one in signatures(self.release).values() if one.number == number), None)
        if signature is None:
            raise self.cursor.error(f"release {self.release} has no tensor function {number}")
        fields = {one.name: self.field(one) for one in signature.fields}
        order = [*(one for one in signature.pushes if one.name not in signature.late)]
        order += [one for one in signature.pushes if one.name in signature.late]
        popped = {one.name: self.pushed(one) for one in reversed(order)}
        pushed = {one.name: popped[one.name] for one in signature.pushes}
        try:
            function, fields = _completed(signature.name, fields, self.release)
        except (IndexError, KeyError, ValueError) as error:
            raise self.cursor.error(f"{signature.name}: its fields do not fit: {error!r}") from error
        return Operation(function, fields, pushed)

    def field(self, one: Field) -> Any:
        if one.layout is not None:
            return one.layout.unpack(self.cursor.take(one.layout.size))[0]
        value = self.cursor.take(1)[0]
        if one.kind is Kind.DATATYPE:
            return self.datatype(value)
        registers: Mapping[int, Any] = self.shapes if one.kind is Kind.SHAPE else self.paddings
        if value not in registers:
            raise self.cursor.error(f"{one.name} is register {value}, which is not set")
        return registers[value]

    def pushed(self, one: Field) -> Any:
        match one.kind:
            case Kind.BUFFER:
                return self.pop(Address)
            case Kind.PADDING:
                return _three(self.ints(padding_length(self.release)))
            case _:
                return self.pop((int, float))

    def datatype(self, value: int) -> DataType:
        if value not in DataType.__members__.values():
            raise self.cursor.error(f"{value} is no element type")
        return DataType(value)

    def call(self) -> Call:
        function, module, inputs, outputs = _CALL.unpack(self.cursor.take(_CALL.size))
        arguments = [self.argument() for _ in range(inputs + outputs)][::-1]
        return Call(function, module, tuple(arguments[:inputs]), tuple(arguments[inputs:]))

    def argument(self) -> Argument:
        strides, shape = (self.shapes.get(self.pop(int)) for _ in range(2))
        if strides is None or shape is None:
            raise self.cursor.error("the shape of an argument is not set")
        datatype = self.datatype(self.pop(int))
        return Argument(self.pop(Address), datatype, shape, strides)


def _three(padding: Shape) -> Shape:
    return (*padding, 0)[:3]


def _completed(function: str, fields: dict[str, Any], release: str) -> tuple[str, dict[str, Any]]:
    """As in the newest release. Raises ValueError or IndexError where what is there does not fit."""
    if function == "equal":
        function = "compare"
        fields |= {"shd": broadcast(fields["sh1"], fields["sh2"]), "op": COMPARE.index("equal")}
    wanted = signatures(NEWEST)[function]
    if function == "unary":
        fields["op"] = UNARY.index(unary_names(release)[fields["op"]])
    if function == "matmul" and "shd" not in fields:
        fields |= {"st1": dense_strides(fields["sh1"]), "st2": dense_strides(fields["sh2"])}
        fields["shd"] = (fields["sh1"][0], fields["sh2"][1])
        fields["std"] = dense_strides(fields["shd"])
    if function == "binary" and "shd" not in fields:
        fields["shd"] = broadcast(fields["sh1"], fields["sh2"])
    if function == "sigmoid" and "std" not in fields:
        fields["std"] = fields["st"]
    fields.setdefault("dt", DataType.FLOAT32)
    fields.setdefault("linear_before_reset", 0)
    return function, {one.name: fields[one.name] for one in wanted.fields}


# --- Writing --------------------------------------------------------------------------------------------------------


def written_code(code: Code, release: str) -> bytes:
    """The bytes of operations for a release of the runtime.

    Raises ValueError naming the operation that the release lacks or whose value does not fit.
    """
    parts: list[bytes] = []
    for index, operation in enumerate(code):
        try:
            one = _written_call(operation) if isinstance(operation, Call) else _written(operation, release)
        except (ValueError, struct.error) as error:
            name = "call" if isinstance(operation, Call) else operation.function
            raise ValueError(f"operation {index}: {name}: {error}") from error
        parts.append(one)
    return b"".join(parts)


def _written(operation: Operation, release: str) -> bytes:
    signature = signature_of(operation.function, operation.fields, release)
    if signature is None:
        raise ValueError(f"the runtime of release {release} does not have it")
    early = [one for one in signature.pushes if one.name not in signature.late]
    late = [one for one in signature.pushes if one.name in signature.late]
    width = padding_length(release)
    _check_absent(signature, operation, release)
    parts = [_push(_cut(operation.pushed[one.name], width)) for one in early]
    fields = bytearray()
    registers = {Kind.SHAPE: 0, Kind.PADDINGS: 0}
    for one in signature.fields:
        value: Any = operation.fields[one.name]
        if one.kind is Kind.PADDINGS:
            value = tuple(_cut(axis, width) for axis in value)
        if operation.function == "unary" and one.name == "op":
            value = unary_number(UNARY[value], release)
        if one.layout is not None:
            fields += one.layout.pack(value)
        elif one.kind is Kind.DATATYPE:
            fields.append(value)
        else:
            register = registers[one.kind]
            parts.append(_set_register(one.kind, register, value))
            fields.append(register)
            registers[one.kind] = register + 1
    parts += [_push(operation.pushed[one.name]) for one in late]
    return b"".join((*parts, bytes((_Op.TENSOR,)), signature.number.to_bytes(2, "little"), fields))


def _check_absent(signature: Signature, operation: Operation, release: str) -> None:
    """Raise ValueError where a release has no field for a value that it would not take by itself."""
    kept = {one.name: operation.fields[one.name] for one in signature.fields}
    if len(kept) == len(operation.fields):
        return
    _, taken = _completed(signature.name, dict(kept), release)
    for name, value in taken.items():
        if name not in kept and value != operation.fields[name]:
            raise ValueError(f"the runtime of release {release} has no {name}, it takes {value}")


def _cut(padding: Any, width: int) -> Any:
    """The numbers a release has of the padding of an axis; other values as they are."""
    if not isinstance(padding, tuple):
        return padding
    if any(padding[width:]):  # pyright: ignore[reportUnknownArgumentType]
        raise ValueError("pads between elements, which releases before 1.1 cannot")
    return padding[:width]  # pyright: ignore[reportUnknownVariableType]


def _set_register(kind: Kind, register: int, value: Any) -> bytes:
    opcode = _Op.STSHAPE if kind is Kind.SHAPE else _Op.STPADDINGS
    flat = value if kind is Kind.SHAPE else [number for axis in value for number in axis]
    return b"".join(map(_push, flat)) + struct.pack("<3B", opcode, register, len(value))


def _push(value: Any) -> bytes:
    match value:
        case Address():
            return bytes((_Op.LEA_BUFFER,)) + _ADDRESS.pack(value.location, 0, value.start)
        case float():
            return struct.pack("<Bf", _Op.LDC_R4, value)
        case tuple():
            return b"".join(map(_push, value))  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return struct.pack("<Bi", _Op.LDC_I4, value)


def _written_call(call: Call) -> bytes:
    parts: list[bytes] = []
    for index, one in enumerate((*call.inputs, *call.outputs)):
        parts += [_push(one.address), _push(int(one.datatype))]
        for register, values in ((2 * index, one.shape), (2 * index + 1, one.strides)):
            parts += [_set_register(Kind.SHAPE, register, values), _push(register)]
    number = _CALL_NUMBER.to_bytes(2, "little")
    numbers = _CALL.pack(call.function, call.module, len(call.inputs), len(call.outputs))
    return b"".join((*parts, bytes((_Op.TENSOR,)), number, numbers))
