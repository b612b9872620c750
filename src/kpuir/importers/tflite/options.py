"""The tables of options: which operator has which, and what stands in a file's that would not be read."""

import struct
from functools import cache
from types import SimpleNamespace
from typing import Any

_TABLES = {
    **dict.fromkeys(("AVERAGE_POOL_2D", "L2_POOL_2D", "MAX_POOL_2D"), "Pool2D"),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"), "Reducer"),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), "MaximumMinimum"),
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "L2_NORMALIZATION": "L2Norm",
    "CONV_3D_TRANSPOSE": "Conv3D",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
    "BIDIRECTIONAL_SEQUENCE_LSTM": "BidirectionalSequenceLSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "SequenceRNN",
}
"""The tables of options whose names are not the operators'."""


_OF_RUNTIMES = frozenset(
    {"AsymmetricQuantizeInputs", "Init", "Num", "NumSplits", "PotScaleInt16", "QuantizedBiasType", "ValuesCount"}
    | {"DepthMultiplier", "InDataType", "OutDataType", "OutType", "OutputType"}
)
"""Options that change no result, or say again what tensors say: how many there are, of which sizes and types."""
_ACCESSORS = ("AsNumpy", "BufferHasIdentifier", "IsNone", "Length")


def options_of(kind: str) -> list[str]:
    """The options that a file may hold for an operator."""
    found = [name for name in dir(_table(kind)) if name[0].isupper() and name not in _OF_RUNTIMES]
    return [name for name in found if not name.startswith("GetRoot") and not name.endswith(_ACCESSORS)]


def unread(kind: str, options: Any) -> str | None:
    """What would be ignored of an operator's options (a table of the flatbuffer), None if all is known."""
    expected, given = _table(kind), type(options)
    if expected is not None and given is not expected:
        return f"its options are {given.__name__}, not {expected.__name__}"
    return f"{given.__name__} holds what is newer than kpuir" if has_newer_fields(options) else None


def has_newer_fields(table: Any) -> bool:
    """Whether a table of a flatbuffer holds fields that this version of the schema does not have."""
    known, stored = _field_count(type(table).__name__), _stored_fields(table._tab)
    return any(table._tab.Offset(4 + 2 * number) for number in range(known, stored))


@cache
def _table(kind: str) -> Any:
    import tflite

    title = _TABLES.get(kind, kind.title().replace("_", ""))
    names = {name.lower(): name for name in dir(tflite)}
    return getattr(tflite, names.get(f"{title}Options".lower(), ""), None)


@cache
def _field_count(name: str) -> int:
    """The number of fields a table has in the schema: what its generated code tells a builder first."""
    import tflite

    counts: list[int] = []
    vars(tflite)[f"{name}Start"](SimpleNamespace(StartObject=counts.append))
    return counts[0]


def _stored_fields(table: Any) -> int:
    """The number of fields in the vtable of a flatbuffer's table, which begins with its size in bytes."""
    (back,) = struct.unpack_from("<i", table.Bytes, table.Pos)
    (size,) = struct.unpack_from("<H", table.Bytes, table.Pos - back)
    return max(size // 2 - 2, 0)
