"""The operators of TFLite by family; each table maps a builtin's name to the function that imports it."""

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
