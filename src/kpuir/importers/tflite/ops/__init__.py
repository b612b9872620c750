"""The operators of TFLite by family; each table maps a builtin's name to the function that imports it.

A function takes a `Layer` and returns its outputs: one value, or a list of them. Packages add their own, or replace
ours, with an entry point named `tflite` in the group `kpuir.plugins`: a dictionary from the builtin's name to function.
"""

from collections.abc import Mapping

from kpuir.importers.tflite.layer import Handler
from kpuir.importers.tflite.ops import (
    choosing,
    convolution,
    elementwise,
    images,
    linear,
    logic,
    movement,
    pooling,
    recurrent,
    reduction,
    shapes,
)

FAMILIES: Mapping[str, Mapping[str, Handler]] = {
    "choosing": choosing.OPS,
    "convolution": convolution.OPS,
    "elementwise": elementwise.OPS,
    "images": images.OPS,
    "linear": linear.OPS,
    "logic": logic.OPS,
    "movement": movement.OPS,
    "pooling": pooling.OPS,
    "recurrent": recurrent.OPS,
    "reduction": reduction.OPS,
    "shapes": shapes.OPS,
}

PLACES: Mapping[str, str] = {
    "choosing": "CPU; tables that are looked up as a product: KPU",
    "convolution": "KPU",
    "elementwise": "KPU: functions, sums of maps, constants; else CPU",
    "images": "KPU: nearest in front of a convolution, depth and space; else CPU",
    "linear": "KPU, with constant weights",
    "logic": "CPU",
    "movement": "KPU: channels; else CPU",
    "pooling": "KPU",
    "recurrent": "products: KPU, gates: CPU",
    "reduction": "KPU: means of maps; else CPU",
    "shapes": "nowhere, or CPU",
}
"""Where the operators of a family run, given what the KPU asks for."""

OPS: Mapping[str, Handler] = {name: handler for family in FAMILIES.values() for name, handler in family.items()}
"""Every builtin operator that can be imported."""

_TABLES = {
    **dict.fromkeys(("AVERAGE_POOL_2D", "L2_POOL_2D", "MAX_POOL_2D"), "Pool2D"),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"), "Reducer"),
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "L2_NORMALIZATION": "L2Norm",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
    "BIDIRECTIONAL_SEQUENCE_LSTM": "BidirectionalSequenceLSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "SequenceRNN",
}
"""The tables of options whose names are not the operators'."""


_OF_RUNTIMES = frozenset(
    {"AsymmetricQuantizeInputs", "Init", "Num", "NumSplits", "PotScaleInt16", "QuantizedBiasType", "ValuesCount"}
)
"""Options that change no result, or say again how many inputs or outputs there are."""
_ACCESSORS = ("AsNumpy", "BufferHasIdentifier", "IsNone", "Length")


def options_of(kind: str) -> list[str]:
    """The options that a file may hold for an operator."""
    import tflite

    title = _TABLES.get(kind, kind.title().replace("_", ""))
    names = {name.lower(): name for name in dir(tflite)}
    table = getattr(tflite, names.get(f"{title}Options".lower(), ""), None)
    found = [name for name in dir(table) if name[0].isupper() and name not in _OF_RUNTIMES]
    return [name for name in found if not name.startswith("GetRoot") and not name.endswith(_ACCESSORS)]
