"""Matrix products."""

import math
from collections.abc import Mapping

import numpy as np
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.tflite.layer import Handler, Layer, NotExpressibleError
from kpuir.importers.tflite.ops.common import fused_activation, reshape, transpose


def fully_connected(layer: Layer) -> SSAValue:
    """FULLY_CONNECTED(input, weights [N, K], bias [N]): the input counts as rows of K, whatever its shape."""
    if layer.option("WeightsFormat", 0):
        raise NotExpressibleError("FULLY_CONNECTED: shuffled weights are not supported, export with the default format")
    shape, weight_shape = layer.shape(0), layer.shape(1)
    if len(weight_shape) != 2 or math.prod(shape) % weight_shape[1]:
        message = f"an input of shape {list(shape)} does not fit weights of shape {list(weight_shape)}"
        raise InvalidInputError(message, location=layer.name)
    units, depth = weight_shape
    rows = (math.prod(shape) // depth, depth)
    value = layer.value(0) if shape == rows else reshape(layer, layer.value(0), rows)
    if layer.has(2):
        layer.weights(2)  # refuses infinite values
    bias = layer.value(2) if layer.has(2) else None
    product = layer.put(ktensor.MatmulOp(value, _transposed(layer, 1), bias))
    output = fused_activation(layer, product)
    if not layer.option("KeepNumDims", False) or len(shape) == 2:
        return output
    return reshape(layer, output, (*shape[:-1], units))


def batch_matmul(layer: Layer) -> SSAValue:
    """BATCH_MATMUL with `adj_x`, `adj_y` as transposes of the last two axes."""
    left = _transposed(layer, 0) if layer.option("AdjX", False) else layer.value(0)
    right = _transposed(layer, 1) if layer.option("AdjY", False) else layer.value(1)
    return layer.put(ktensor.MatmulOp(left, right))


def _transposed(layer: Layer, position: int) -> SSAValue:
    """An input with its last two axes exchanged, a constant at import."""
    constant = layer.weights(position)
    if constant is not None:
        return layer.put_constant(np.ascontiguousarray(np.swapaxes(constant, -1, -2)))
    rank = len(layer.shape(position))
    return transpose(layer, layer.value(position), (*range(rank - 2), rank - 1, rank - 2))


OPS: Mapping[str, Handler] = {"BATCH_MATMUL": batch_matmul, "FULLY_CONNECTED": fully_connected}
