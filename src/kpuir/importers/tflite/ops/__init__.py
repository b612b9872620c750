"""The operators of TFLite by family; each table maps a builtin's name to the function that imports it.

A function takes a `Layer` and returns its outputs: one value, or a list of them. Packages add their own, or replace
ours, with an entry point named `tflite` in the group `kpuir.plugins`: a dictionary from the builtin's name to function.
"""

from collections.abc import Mapping

from kpuir.importers.tflite.layer import Handler
from kpuir.importers.tflite.ops import convolution, elementwise, images, linear, movement, pooling, reduction, shapes

OPS: Mapping[str, Handler] = {
    **convolution.OPS,
    **elementwise.OPS,
    **images.OPS,
    **linear.OPS,
    **movement.OPS,
    **pooling.OPS,
    **reduction.OPS,
    **shapes.OPS,
}
"""Every builtin operator that can be imported."""
