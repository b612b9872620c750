"""The converters: one function per ONNX op, in tables by family.

A converter takes a `Node` and returns its outputs (one value, or a sequence of them). Packages add their own, or
replace ours, with an entry point named `onnx` in the group `kpuir.plugins`: a dictionary from op type, for other
domains `domain::op_type`, to converter.
"""

from kpuir.importers.onnx.node import Converter, Table
from kpuir.importers.onnx.ops import (
    activations,
    elementwise,
    linear,
    normalization,
    pooling,
    quantization,
    resize,
    shape,
)
from kpuir.plugins import table as plugin_table

FAMILIES: dict[str, Table] = {
    "linear": linear.TABLE,
    "pooling": pooling.TABLE,
    "normalization": normalization.TABLE,
    "activations": activations.TABLE,
    "elementwise": elementwise.TABLE,
    "quantization": quantization.TABLE,
    "shape": shape.TABLE,
    "resize": resize.TABLE,
}

NEAREST_FORM: dict[str, str] = {
    "ArgMax": "cut the model before it and take the maximum in the application",
    "ArgMin": "cut the model before it and take the minimum in the application",
    "TopK": "cut the model before it and sort in the application",
    "NonMaxSuppression": "cut the model before it and select boxes in the application",
    "LSTM": "convolutions over time",
    "GRU": "convolutions over time",
    "RNN": "convolutions over time",
    "Erf": "Gelu, as one node or spelled out as x * (1 + erf(x / sqrt(2))) / 2",
    "DynamicQuantizeLinear": "the float model; kpuir quantizes it itself",
    "QLinearConv": "the quantized model in QDQ form, or the float model",
    "QLinearMatMul": "the quantized model in QDQ form, or the float model",
    "ConvInteger": "the float model; kpuir quantizes it itself",
    "MatMulInteger": "the float model; kpuir quantizes it itself",
    "Einsum": "MatMul with Transpose and Reshape",
    "Where": "Mul with a constant mask",
    "GridSample": "Resize",
    "Sign": "x / abs(x)",
    "If": "a constant condition",
    "Loop": "the loop unrolled by the exporter",
    "Scan": "the loop unrolled by the exporter",
    "NonZero": "fixed shapes",
    "ScatterND": "Concat of slices",
    "ScatterElements": "Concat of slices",
    "GatherND": "Gather with constant indices",
    "GatherElements": "Gather with constant indices",
}
"""What to do about ops without a converter, where there is something better to say than to cut the model."""


def converters() -> dict[str, Converter]:
    """Every converter by op type: ours, then those of installed packages."""
    table: dict[str, Converter] = {}
    for family in FAMILIES.values():
        table.update(family)
    return {**table, **plugin_table("onnx")}
