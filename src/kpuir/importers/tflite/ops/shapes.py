"""Shapes and types: reshapes, and the shape arithmetic that is folded away."""

import math
from collections.abc import Mapping

import numpy as np
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.tflite.codes import on_codes
from kpuir.importers.tflite.graph import DTYPES, MAX_ELEMENTS
from kpuir.importers.tflite.layer import Constant, Handler, Layer, Value, check_size
from kpuir.importers.tflite.ops.common import reshape


def reshape_to(layer: Layer, position: int, shape: tuple[int, ...]) -> Value:
    """An input in another shape, a constant at import."""
    constant = layer.known(position)
    if constant is not None:
        return constant.reshape(shape)
    return layer.value(position) if layer.shape(position) == shape else reshape(layer, layer.value(position), shape)


def reshape_(layer: Layer) -> Value:
    """RESHAPE to the shape of its second input, or of its options; one dimension may be -1."""
    wanted = layer.integers(1, "its new shape") if layer.has(1) else layer.list_option("NewShape")
    count = math.prod(layer.shape(0))
    known = math.prod(dim for dim in wanted if dim != -1)
    if min(wanted, default=1) < -1 or wanted.count(-1) > 1 or known == 0 or count % known:
        message = f"{count} elements of shape {list(layer.shape(0))} cannot take the shape {list(wanted)}"
        raise InvalidInputError(message, location=layer.name)
    return reshape_to(layer, 0, tuple(count // known if dim == -1 else dim for dim in wanted))


def expand_dims(layer: Layer) -> Value:
    """EXPAND_DIMS: a new axis of size 1."""
    shape = layer.shape(0)
    axis = layer.axis(layer.integers(1, "its axis")[0], len(shape) + 1)
    return reshape_to(layer, 0, (*shape[:axis], 1, *shape[axis:]))


def squeeze(layer: Layer) -> Value:
    """SQUEEZE of the given axes of size 1, or of all."""
    shape = layer.shape(0)
    axes = {layer.axis(axis, len(shape)) for axis in layer.list_option("SqueezeDims")}
    axes = axes or {axis for axis, size in enumerate(shape) if size == 1}
    if any(shape[axis] != 1 for axis in axes):
        raise InvalidInputError(f"axes {sorted(axes)} of {list(shape)} are not all 1", location=layer.name)
    return reshape_to(layer, 0, tuple(size for axis, size in enumerate(shape) if axis not in axes))


def shape(layer: Layer) -> Constant:
    """SHAPE: known, since all shapes are static."""
    return np.array(layer.shape(0), _integer_type(layer))


def rank(layer: Layer) -> Constant:
    """RANK."""
    return np.array(len(layer.shape(0)), np.int32)


def range_(layer: Layer) -> Constant:
    """RANGE of constants."""
    start, limit, step = (layer.array(i, "its bounds").reshape(-1)[0].item() for i in range(3))
    if step == 0 or (limit - start) / step > MAX_ELEMENTS:
        raise InvalidInputError(f"it counts from {start} to {limit} in steps of {step}", location=layer.name)
    return np.arange(start, limit, step, dtype=layer.array(0, "its bounds").dtype)


def fill(layer: Layer) -> Constant:
    """FILL of a constant shape."""
    dimensions = layer.integers(0, "its shape")
    check_size(dimensions, layer.name)
    return np.full(dimensions, layer.array(1, "its value").reshape(-1)[0])


def broadcast_args(layer: Layer) -> Constant:
    """BROADCAST_ARGS of constant shapes."""
    shapes = [layer.integers(i, "a shape") for i in range(2)]
    return np.array(np.broadcast_shapes(*shapes), _integer_type(layer))


def matrix_diag(layer: Layer) -> SSAValue:
    """MATRIX_DIAG: the last axis as the diagonal of a matrix, between which quantized numbers have the code 0."""
    shape = layer.shape(0)
    wide = layer.reshape(layer.value(0), (*shape, 1))
    return layer.binary("mul", wide, np.eye(shape[-1], dtype=np.float32))


def matrix_set_diag(layer: Layer) -> SSAValue:
    """MATRIX_SET_DIAG: another diagonal."""
    shape, diagonal = layer.shape(0), layer.shape(1)
    if len(shape) < 2 or diagonal != (*shape[:-2], min(shape[-2:])):
        raise layer.invalid(f"of {list(shape)} with a diagonal of {list(diagonal)}")
    eye = np.eye(*shape[-2:], dtype=np.float32)
    low = [0] * len(diagonal)
    high = [*low[:-1], max(shape[-2:]) - diagonal[-1]]
    longer = layer.put(ktensor.PadOp(layer.value(1), low, high, 0.0)) if high[-1] else layer.value(1)
    wide = layer.reshape(longer, (*diagonal[:-1], *((1, shape[-1]) if shape[-1] >= shape[-2] else (shape[-2], 1))))
    return layer.select(layer.constant(eye), wide, layer.value(0))


def zeros_like(layer: Layer) -> Constant:
    """ZEROS_LIKE."""
    return np.zeros(layer.shape(0), np.float32)


def dequantize(layer: Layer) -> Value:
    """DEQUANTIZE: of weights, stored as float16 or as integers; computed values are real numbers anyway."""
    real = layer.real(0)
    return layer.value(0) if real is None else real


def densify(layer: Layer) -> Constant:
    """DENSIFY of a constant that is stored sparse: it is read as a whole."""
    return layer.array(0, "what is stored sparse")


def quantize(layer: Layer) -> SSAValue:
    """QUANTIZE: the numbers stay the same, its result is rounded as any other of its type."""
    return layer.value(0)


def _integer_type(layer: Layer) -> str:
    wanted = layer.scope.tensors[layer.operator.outputs[0]].dtype
    return DTYPES[wanted] if wanted in ("INT32", "INT64") else "<i4"


OPS: Mapping[str, Handler] = {
    "BROADCAST_ARGS": broadcast_args,
    "MATRIX_DIAG": on_codes(matrix_diag),
    "MATRIX_SET_DIAG": matrix_set_diag,
    "DENSIFY": densify,
    "DEQUANTIZE": dequantize,
    "EXPAND_DIMS": expand_dims,
    "FILL": fill,
    "QUANTIZE": quantize,
    "RANGE": range_,
    "RANK": rank,
    "RESHAPE": reshape_,
    "SHAPE": shape,
    "SQUEEZE": squeeze,
    "ZEROS_LIKE": zeros_like,
}
