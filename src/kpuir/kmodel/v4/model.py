"""A kmodel v4 file as one object, and the way between it and its bytes (`kmodel-v4.md` section 1)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from kpuir.kmodel.codec import Cursor, Tuple
from kpuir.kmodel.v4.codec import MemoryRange, Range
from kpuir.kmodel.v4.instructions import INSTRUCTIONS, Instruction

IDENTIFIER = b"LDMK"
VERSION = 4
K210_TARGET = 1
ALIGNMENT = 8
"""File-offset alignment of every body's end."""

_HEADER = struct.Struct("<4s9I")
_NODE = struct.Struct("<2I")
_RANGE = Range()
_SHAPE = Tuple("i", 4)

ModelInput = tuple[MemoryRange, tuple[int, int, int, int]]


@dataclass(frozen=True)
class Model:
    """What a v4 file holds: inputs (range and shape), outputs, the constant pool, main memory's size, the nodes.

    `flags` and `reserved` are never read by a runtime; `target` is 1 (k210) or 0 (cpu). `missing_padding` is how many
    bytes of the padding behind the last body the file does without, as those of the reference compiler do.
    """

    inputs: Sequence[ModelInput]
    outputs: Sequence[MemoryRange]
    constants: bytes
    main_bytes: int
    nodes: Sequence[Instruction]
    flags: int = 0
    target: int = K210_TARGET
    reserved: int = 0
    missing_padding: int = 0


def read(data: bytes, unknown: dict[int, int] | None = None) -> Model:
    """The model in the bytes of a v4 file; its arrays look into `data`.

    Raises InvalidInputError, with the byte offset, for a file that is damaged or of another kind. Opcodes that do not
    exist are damage, unless there is `unknown`: they are left out then, and it gets index and opcode of each.
    """
    cursor = Cursor(data, 0, len(data), "header")
    magic, version, flags, target, constants, main_bytes, nodes, inputs, outputs, reserved = _HEADER.unpack(
        cursor.take(_HEADER.size)
    )
    if magic != IDENTIFIER or version != VERSION:
        cursor.offset = 0
        raise cursor.error(f"starts with {magic!r}, version {version}, instead of {IDENTIFIER!r}, version {VERSION}")
    cursor.check_table("inputs", inputs, 32)
    cursor.what = "inputs"
    input_ranges = [_RANGE.read(cursor, {}) for _ in range(inputs)]
    input_shapes = [_SHAPE.read(cursor, {}) for _ in range(inputs)]
    cursor.check_table("outputs", outputs, 16)
    output_ranges = tuple(_RANGE.read(cursor, {}) for _ in range(outputs))
    cursor.what = "constants"
    pool = bytes(cursor.take(constants))
    cursor.check_table("node headers", nodes, 8)
    headers = list(_NODE.iter_unpack(cursor.take(8 * nodes)))
    missing = max(cursor.offset + sum(size for _, size in headers) - len(data), 0)
    return Model(
        tuple(zip(input_ranges, input_shapes, strict=True)),
        output_ranges,
        pool,
        main_bytes,
        tuple(_read_bodies(cursor, headers, unknown)),
        flags,
        target,
        reserved,
        missing,
    )


def write(model: Model) -> bytes:
    """The bytes of a v4 file.

    Raises ValueError that names the node and the field whose value the format cannot hold.
    """
    head = b"".join(_RANGE.write(memory, {}, 0) for memory, _ in model.inputs)
    head += b"".join(_SHAPE.write(shape, {}, 0) for _, shape in model.inputs)
    head += b"".join(_RANGE.write(memory, {}, 0) for memory in model.outputs)
    offset = _HEADER.size + len(head) + len(model.constants) + _NODE.size * len(model.nodes)
    headers: list[bytes] = []
    bodies: list[bytes] = []
    for index, node in enumerate(model.nodes):
        body = _write_body(node, index, offset)
        headers.append(_NODE.pack(node.opcode, len(body)))
        bodies.append(body)
        offset += len(body)
    try:
        header = _HEADER.pack(
            IDENTIFIER,
            VERSION,
            model.flags,
            model.target,
            len(model.constants),
            model.main_bytes,
            len(model.nodes),
            len(model.inputs),
            len(model.outputs),
            model.reserved,
        )
    except struct.error as error:
        raise ValueError(f"header: {error}") from error
    data = b"".join((header, head, model.constants, *headers, *bodies))
    return data[: len(data) - model.missing_padding]


def _write_body(node: Instruction, index: int, offset: int) -> bytes:
    try:
        body = node.write(offset)
    except ValueError as error:
        raise ValueError(f"node {index}: {node.mnemonic}: {error}") from error
    return body + bytes(-(offset + len(body)) % ALIGNMENT)


def _read_bodies(
    cursor: Cursor, headers: Sequence[tuple[int, int]], unknown: dict[int, int] | None
) -> list[Instruction]:
    bodies: list[Instruction] = []
    total = cursor.end
    for index, (opcode, size) in enumerate(headers):
        cursor.what = f"node {index}"
        kind = INSTRUCTIONS.get(opcode)
        if kind is None and unknown is None:
            raise cursor.error(f"opcode {opcode:#x} does not exist")
        end = cursor.offset + size
        missing = end - total
        if missing > (ALIGNMENT - 1 if index == len(headers) - 1 else 0):
            name = f"opcode {opcode:#x}" if kind is None else kind.mnemonic
            raise cursor.error(f"{name} of {size} bytes, {total - cursor.offset} are left")
        cursor.end = min(end, total)
        if kind is None:
            assert unknown is not None
            cursor.offset, unknown[index] = cursor.end, opcode
            continue
        bodies.append(kind.read(cursor))
        cursor.skip_padding(end, ALIGNMENT)
    if cursor.offset < total:
        cursor.what = "end"
        raise cursor.error(f"{total - cursor.offset} bytes follow the last node")
    return bodies
