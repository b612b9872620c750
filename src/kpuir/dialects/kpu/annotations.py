"""Attributes that passes leave on operations and arguments for later passes; they change no result."""

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Operation

REASON = "kpu.reason"
"""Why an operation stays on the CPU: a string, set by legalization."""

RANGE = "kpu.range"
"""The lowest and highest value worth representing: array<f64: low, high>, set by calibration."""

LATTICE = "kpu.lattice"
"""The quantized type that holds an argument's samples without loss (they are pixels), set by calibration."""

WEIGHT_SCALE = "kpu.weight_scale"
"""What the weights of each output channel of a convolution are multiples of: dense<[OC] f64>, set by rounding them."""

OWN_SCALES = "kpu.own_scales"
"""A unit on a quantized function that stands for a quantized model: its weights may be on a lattice already."""

MOVES = "kpu.moves"
"""A unit on a convolution that only moves pixels, and so keeps the quantization of its input; set by legalization.

On a pad it says that layers are to move the pixels, whatever that costs.
"""

NUMBER = "kpu.number"
"""Which value of the float module an operation computes: an i64 that stays with it, set to compare the two."""

KEPT_FLOAT = "it was asked to stay in float"
"""The reason of an operation that the user wants there."""


def stays_float(op: Operation) -> bool:
    """Whether the user wants an operation on the CPU in float."""
    return op.attributes.get(REASON) == StringAttr(KEPT_FLOAT)
