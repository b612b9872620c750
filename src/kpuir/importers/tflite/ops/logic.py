"""Comparisons, logic on bools (0 and 1 here), selections, and casts."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from kpuir.importers.tflite.codes import on_codes
from kpuir.importers.tflite.graph import DTYPES
from kpuir.importers.tflite.layer import Handler, Layer, Value, shape_of
from kpuir.importers.tflite.ops.elementwise import folded

Fold = Callable[..., Any]
_COMPARISONS: Mapping[str, tuple[str, bool, Fold]] = {
    "EQUAL": ("equal", False, np.equal),
    "GREATER": ("greater", False, np.greater),
    "GREATER_EQUAL": ("greater_equal", False, np.greater_equal),
    "LESS": ("greater", True, np.less),
    "LESS_EQUAL": ("greater_equal", True, np.less_equal),
}
"""What a comparison is here, whether with its inputs exchanged."""


def comparison(kind: str) -> Handler:
    """The handler of a comparison of two inputs."""
    ours, swapped, fold = _COMPARISONS[kind]

    def handler(layer: Layer) -> Value:
        known = _known_pair(layer)
        if known is not None:
            return fold(*known)
        first, second = (1, 0) if swapped else (0, 1)
        values = _compared(layer)
        return layer.binary(ours, values[first], values[second])

    handler.__doc__ = "A comparison: 1 where it holds, else 0; of quantized numbers in 256ths, as in LiteRT."
    return handler


def not_equal(layer: Layer) -> Value:
    """NOT_EQUAL: 1 where the inputs differ, else 0; of quantized numbers in 256ths, as in LiteRT."""
    known = _known_pair(layer)
    if known is not None:
        return np.not_equal(*known)
    return layer.activation(layer.binary("equal", *_compared(layer)), "rsub", 1.0)


def logical(kind: str, fold: Fold) -> Handler:
    """The handler of a function of two bools."""

    def handler(layer: Layer) -> Value:
        known = _known_pair(layer)
        return fold(*known) if known is not None else layer.binary(kind, layer.value(0), layer.value(1))

    handler.__doc__ = f"The {kind} of 0s and 1s."
    return handler


def logical_not(layer: Layer) -> Value:
    """LOGICAL_NOT: 1 - x."""
    known = layer.known(0)
    return ~known if known is not None else layer.activation(layer.value(0), "rsub", 1.0)


def select(layer: Layer) -> Value:
    """SELECT: with a condition of one axis it chooses whole rows."""
    shape, where = layer.shape(1), layer.shape(0)
    if len(where) == 1 and len(shape) > 1:
        condition = layer.reshape(layer.value(0), (*where, *[1] * (len(shape) - 1)))
        return layer.select(condition, layer.value(1), layer.value(2))
    return select_v2(layer)


def select_v2(layer: Layer) -> Value:
    """SELECT_V2, with broadcasting."""
    condition = layer.known(0)
    if condition is not None:
        for position, chosen in ((1, condition.all()), (2, not condition.any())):
            shape = np.broadcast_shapes(condition.shape, layer.shape(1), layer.shape(2))
            known = layer.known(position)
            if chosen and layer.shape(position) == shape:
                return layer.value(position) if known is None else known
    return layer.select(layer.value(0), layer.value(1), layer.value(2))


def cast(layer: Layer) -> Value:
    """CAST: to integers truncated and limited, to bool whether it is 0; of and to quantized numbers their codes."""
    wanted = layer.scope.tensors[layer.operator.outputs[0]].dtype
    if wanted not in DTYPES:
        layer.refuse(f"to {wanted.lower()}", "a float, an integer or bool")
    known, integer = layer.known(0), np.dtype(DTYPES[wanted])
    if known is not None:
        with np.errstate(all="ignore"):
            return (known if known.dtype.kind != "f" else _limited(known, integer)).astype(integer)
    value, source = layer.value(0), layer.dtype(0)
    if wanted == "BOOL":
        return value if source == "BOOL" else layer.activation(layer.binary("equal", value, 0.0), "rsub", 1.0)
    if wanted.startswith("FLOAT") or source in ("BOOL", wanted):
        return value
    if source.startswith("FLOAT"):
        limits = np.iinfo(integer)
        if integer.itemsize <= 2:
            value = layer.activation(value, "clamp", limits.min, limits.max)
        return layer.truncated(layer.activation(value, "relu") if limits.min == 0 and integer.itemsize > 2 else value)
    fits = np.can_cast(np.dtype(DTYPES[source]), integer)
    return value if fits else layer.modulo(value, integer.itemsize * 8, unsigned=integer.kind == "u")


def _limited(values: Any, integer: "np.dtype[Any]") -> Any:
    """Numbers within what an integer holds; as they are for other types."""
    return np.clip(values, np.iinfo(integer).min, np.iinfo(integer).max) if integer.kind in "iu" else values


def bucketize(layer: Layer) -> SSAValue:
    """BUCKETIZE: how many of the boundaries are not above an element."""
    boundaries = np.array(layer.list_option("Boundaries"), np.float32)
    if not boundaries.size:
        raise layer.invalid("has no boundaries")
    value = layer.value(0)
    wide = layer.reshape(value, (*shape_of(value), 1))
    return layer.reduce("sum", layer.binary("greater_equal", wide, boundaries), [len(shape_of(value))], False)


def _compared(layer: Layer) -> tuple[SSAValue, SSAValue]:
    """What is compared: of codes whole 256ths, unless each of them has another one anyway."""
    first, second = layer.value(0), layer.value(1)
    tensors = [tensor for tensor in map(layer.tensor, (0, 1)) if tensor is not None and tensor.quantization is not None]
    scales = {float(tensor.quantization.scale[0]) for tensor in tensors if tensor.is_coded and tensor.quantization}
    orders_codes = layer.dtype(0) == "INT16" and layer.operator.kind not in ("EQUAL", "NOT_EQUAL")
    if not scales or (len(scales) == 1 and min(scales) * 256 >= 1) or orders_codes:
        return first, second
    return layer.rounded_away(layer.binary("mul", first, 256.0)), layer.rounded_away(layer.binary("mul", second, 256.0))


def _known_pair(layer: Layer) -> tuple[Any, Any] | None:
    left, right = layer.known(0), layer.known(1)
    if left is None or right is None:
        return None
    folded(layer, np.add, left, right)  # refuses what does not broadcast, or becomes too large
    return left, right


OPS: Mapping[str, Handler] = {
    **{kind: comparison(kind) for kind in _COMPARISONS},
    "BUCKETIZE": bucketize,
    "CAST": on_codes(cast),
    "LOGICAL_AND": logical("min", np.logical_and),
    "LOGICAL_NOT": logical_not,
    "LOGICAL_OR": logical("max", np.logical_or),
    "NOT_EQUAL": not_equal,
    "SELECT": select,
    "SELECT_V2": select_v2,
}
