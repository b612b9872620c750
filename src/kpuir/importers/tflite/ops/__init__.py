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
