"""The converters: one function per ONNX op, in tables by family.

A converter takes a `Node` and returns its outputs (one value, or a sequence of them). Packages add their own, or
replace ours, with an entry point named `onnx` in the group `kpuir.plugins`: a dictionary from op type, for other
domains `domain::op_type`, to converter.
"""

from kpuir.importers.onnx.node import Converter, Table
from kpuir.importers.onnx.ops import (
    activations,
    einsum,
    elementwise,
    linear,
    logic,
    normalization,
    pooling,
    qoperators,
    quantization,
    random,
    recurrent,
    regions,
    resize,
    selection,
    shape,
)
from kpuir.plugins import table as plugin_table

FAMILIES: dict[str, Table] = {
    "linear": {**linear.TABLE, **einsum.TABLE},
    "pooling": pooling.TABLE,
    "normalization": normalization.TABLE,
    "activations": activations.TABLE,
    "elementwise": elementwise.TABLE,
    "quantization": quantization.TABLE,
    "qoperators": qoperators.TABLE,
    "shape": shape.TABLE,
    "resize": resize.TABLE,
    "logic": logic.TABLE,
    "selection": selection.TABLE,
    "recurrent": recurrent.TABLE,
    "regions": regions.TABLE,
    "random": random.TABLE,
}

PLACES: dict[str, str] = {
    "linear": "KPU, with constant weights",
    "pooling": "KPU",
    "normalization": "KPU by constants, CPU by statistics",
    "activations": "KPU (softmax: CPU)",
    "elementwise": "KPU: functions, sums of maps, constants; else CPU",
    "quantization": "KPU",
    "qoperators": "as the op of real numbers",
    "shape": "KPU: channels; else CPU",
    "resize": "KPU: nearest in front of a convolution, depth and space; else CPU",
    "logic": "CPU",
    "selection": "CPU; CumSum and tables that are looked up as a product: KPU",
    "recurrent": "products: KPU, gates: CPU",
    "regions": "products: KPU",
    "random": "a constant",
}
"""Where the ops of a family run, given what the KPU asks for."""

NEAREST_FORM: dict[str, str] = {
    "NonMaxSuppression": "cut the model before it and select boxes in the application",
    "GridSample": "Resize",
    "If": "a constant condition",
    "Loop": "the loop unrolled by the exporter",
    "Scan": "the loop unrolled by the exporter",
    "Range": "constant bounds: computed ones would change shapes",
    "ConstantOfShape": "a constant shape",
    "NonZero": "fixed shapes",
    "ScatterND": "Concat of slices",
    "ScatterElements": "Concat of slices",
}
"""What to do about ops without a converter, where there is something better to say than to cut the model."""


def converters() -> dict[str, Converter]:
    """Every converter by op type: ours, then those of installed packages."""
    table: dict[str, Converter] = {}
    for family in FAMILIES.values():
        table.update(family)
    return {**table, **plugin_table("onnx")}
