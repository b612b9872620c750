"""A kmodel v3 file as a whole (`kmodel-v3.md` section 1)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kpuir.kmodel.v3.layers import LAYERS, K210Conv, Layer, LayerCursor
from kpuir.target.k210 import K210

VERSION = 3
ALIGNMENT = 8
"""File-offset alignment of every body's end."""

_HEADER = struct.Struct("<7I")
_PAIR = struct.Struct("<2I")
_NARROW = 1


@dataclass(frozen=True)
class Model:
    """What a v3 file holds: (byte offset in main memory, bytes) of each output, main memory's size, the layers.

    Weights of all convolutions are of one width, `weight_bits`: 8 or 16. `first_line` is the lowest line of KPU RAM
    in use, 32768 where none is; no runtime reads it.
    """

    outputs: Sequence[tuple[int, int]]
    main_bytes: int
    layers: Sequence[Layer]
    first_line: int = K210.KPU_RAM_BYTES // K210.LINE_BYTES
    weight_bits: int = 8


def read(data: bytes, unknown: dict[int, int] | None = None) -> Model:
    """The model in the bytes of a v3 file; its arrays look into `data`.

    Raises InvalidInputError, with the byte offset, for a file that is damaged or of another kind. Layers of types that
    no runtime executes are damage, unless there is `unknown`: they are left out then, and it gets index and type.
    """
    cursor = LayerCursor(data, 0, len(data), "header", "kmodel v3")
    version, flags, arch, count, first_line, main_bytes, outputs = _HEADER.unpack(cursor.take(_HEADER.size))
    if version != VERSION or arch != 0 or flags > _NARROW:
        cursor.offset = 0
        raise cursor.error(f"has version {version}, flags {flags:#x}, arch {arch}, instead of 3, 0 or 1, 0")
    cursor.weight_dtype = np.dtype("u1" if flags else "<u2")
    cursor.check_table("outputs", outputs, _PAIR.size)
    places = tuple(_PAIR.iter_unpack(cursor.take(_PAIR.size * outputs)))
    cursor.check_table("layer headers", count, _PAIR.size)
    headers = list(_PAIR.iter_unpack(cursor.take(_PAIR.size * count)))
    found = [_read_layer(cursor, index, type, size, unknown) for index, (type, size) in enumerate(headers)]
    layers = tuple(layer for layer in found if layer is not None)
    if cursor.offset < len(data):
        cursor.what = "end"
        raise cursor.error(f"{len(data) - cursor.offset} bytes follow the last layer")
    return Model(places, main_bytes, layers, first_line, 8 if flags else 16)


def write(model: Model) -> bytes:
    """The bytes of a v3 file. Raises ValueError that names the layer and the field the format cannot hold."""
    table = b"".join(_packed("outputs", _PAIR, *place) for place in model.outputs)
    offset = _HEADER.size + len(table) + _PAIR.size * len(model.layers)
    headers: list[bytes] = []
    bodies: list[bytes] = []
    for index, layer in enumerate(model.layers):
        body = _body(model, layer, index, offset)
        headers.append(_PAIR.pack(layer.type, len(body)))
        bodies.append(body)
        offset += len(body)
    flags = _NARROW if model.weight_bits == 8 else 0
    counts = (len(model.layers), model.first_line, model.main_bytes, len(model.outputs))
    return b"".join((_packed("header", _HEADER, VERSION, flags, 0, *counts), table, *headers, *bodies))


def _read_layer(cursor: LayerCursor, index: int, type: int, size: int, unknown: dict[int, int] | None) -> Layer | None:
    cursor.what, cursor.end = f"layer {index}", len(cursor.data)
    kind = LAYERS.get(type)
    if kind is None and unknown is None:
        raise cursor.error(f"no runtime executes layers of type {type}")
    end = cursor.offset + size
    if end > cursor.end:
        name = f"type {type}" if kind is None else kind.mnemonic
        raise cursor.error(f"{name} of {size} bytes, {cursor.end - cursor.offset} are left")
    if kind is None:
        assert unknown is not None
        cursor.offset, unknown[index] = end, type
        return None
    cursor.end = end
    layer = kind.read(cursor)
    cursor.skip_padding(end, ALIGNMENT)
    return layer


def _body(model: Model, layer: Layer, index: int, offset: int) -> bytes:
    try:
        if isinstance(layer, K210Conv) and layer.weights.itemsize * 8 != model.weight_bits:
            raise ValueError(f"weights have {layer.weights.itemsize * 8} bits, those of the model {model.weight_bits}")
        body = layer.write(offset)
    except ValueError as error:
        raise ValueError(f"layer {index}: {layer.mnemonic}: {error}") from error
    return body + bytes(-(offset + len(body)) % ALIGNMENT)


def _packed(what: str, layout: struct.Struct, *values: int) -> bytes:
    try:
        return layout.pack(*values)
    except struct.error as error:
        raise ValueError(f"{what}: {error}") from error
