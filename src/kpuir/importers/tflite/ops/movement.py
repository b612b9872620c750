"""Elements moved, cut, joined or repeated, never changed. Constants are moved at import."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.tflite.layer import (
    Constant,
    Handler,
    Layer,
    NotExpressibleError,
    Value,
    check_size,
    shape_of,
)
from kpuir.importers.tflite.ops.common import fused_activation, reshape, transpose


def concatenation(layer: Layer) -> Value:
    """CONCATENATION along an axis."""
    axis = layer.axis(int(layer.option("Axis")), len(layer.shape(0)))
    constants = _all_constant(layer)
    if constants is not None and not layer.option("FusedActivationFunction", 0):
        return np.concatenate(constants, axis)
    values = [layer.value(position) for position in layer.inputs]
    return fused_activation(layer, _joined(layer, values, axis))


def pack(layer: Layer) -> Value:
    """PACK: inputs stacked along a new axis."""
    shape = layer.shape(0)
    axis = layer.axis(int(layer.option("Axis", 0)), len(shape) + 1)
    constants = _all_constant(layer)
    if constants is not None:
        return np.stack(constants, axis)
    stacked = (*shape[:axis], 1, *shape[axis:])
    values = [reshape(layer, layer.value(position), stacked) for position in layer.inputs]
    return _joined(layer, values, axis)


def unpack(layer: Layer) -> list[Value]:
    """UNPACK: one output for each index of an axis, which disappears."""
    shape = layer.shape(0)
    axis = layer.axis(int(layer.option("Axis", 0)), len(shape))
    if shape[axis] != len(layer.operator.outputs):
        message = f"{len(layer.operator.outputs)} outputs of an axis of {shape[axis]}"
        raise InvalidInputError(message, location=layer.name)
    pieces = [_cut(layer, 0, axis, index, index + 1) for index in range(shape[axis])]
    return [_reshaped(layer, piece, (*shape[:axis], *shape[axis + 1 :])) for piece in pieces]


def split(layer: Layer) -> list[Value]:
    """SPLIT(axis, input) into equal parts."""
    count = len(layer.operator.outputs)
    axis = layer.axis(layer.integers(0, "its axis")[0], len(layer.shape(1)))
    size = layer.shape(1)[axis]
    if count == 0 or size % count:
        raise InvalidInputError(f"an axis of {size} cannot be split into {count} parts", location=layer.name)
    return _parts(layer, 1, axis, [size // count] * count)


def split_v(layer: Layer) -> list[Value]:
    """SPLIT_V(input, sizes, axis); one size may be -1."""
    axis = layer.axis(layer.integers(2, "its axis")[0], len(layer.shape(0)))
    sizes, size = list(layer.integers(1, "its sizes")), layer.shape(0)[axis]
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = size - sum(sizes) - 1
    if min(sizes) < 1 or sum(sizes) != size:
        raise InvalidInputError(f"an axis of {size} cannot be split into {sizes}", location=layer.name)
    return _parts(layer, 0, axis, sizes)


def slice_(layer: Layer) -> Value:
    """SLICE(input, begin, size); a size of -1 is the rest."""
    begins, sizes = layer.integers(1, "its begin"), layer.integers(2, "its size")
    ends = [dim if size == -1 else begin + size for dim, begin, size in zip(layer.shape(0), begins, sizes, strict=True)]
    if min(begins, default=0) < 0 or any(end > dim for end, dim in zip(ends, layer.shape(0), strict=True)):
        message = f"begin {list(begins)} and size {list(sizes)} leave the input {list(layer.shape(0))}"
        raise InvalidInputError(message, location=layer.name)
    return _sliced(layer, 0, tuple(slice(begin, end) for begin, end in zip(begins, ends, strict=True)))


def strided_slice(layer: Layer) -> Value:
    """STRIDED_SLICE with all its masks: the same as indexing in Python."""
    begins, ends, steps = (layer.integers(i, "its begin, end or strides") for i in (1, 2, 3))
    if not len(begins) == len(ends) == len(steps) or 0 in steps:
        message = f"begin {list(begins)}, end {list(ends)} and strides {list(steps)} do not go together"
        raise InvalidInputError(message, location=layer.name)
    index: list[Any] = []
    for axis, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        stop = begin + end if layer.option("Offset", False) else end
        if _masked(layer, "EllipsisMask", axis):
            index.append(Ellipsis)
        elif _masked(layer, "NewAxisMask", axis):
            index.append(None)
        elif _masked(layer, "ShrinkAxisMask", axis):
            index.append(begin)
        else:
            first = None if _masked(layer, "BeginMask", axis) else begin
            index.append(slice(first, None if _masked(layer, "EndMask", axis) else stop, step))
    return _sliced(layer, 0, tuple(index))


def tile(layer: Layer) -> Value:
    """TILE: the input repeated along each axis."""
    return _tiled(layer, layer.integers(1, "its multiples"))


def broadcast_to(layer: Layer) -> Value:
    """BROADCAST_TO a constant shape."""
    wanted, shape = layer.integers(1, "its shape"), layer.shape(0)
    padded = (1,) * (len(wanted) - len(shape)) + shape
    if len(wanted) < len(shape) or any(b not in (a, 1) for a, b in zip(wanted, padded, strict=True)):
        message = f"{list(shape)} does not broadcast to {list(wanted)}"
        raise InvalidInputError(message, location=layer.name)
    check_size(wanted, layer.name)
    constant = layer.known(0)
    if constant is not None:
        return np.broadcast_to(constant, wanted)
    value = cast("SSAValue", _reshaped(layer, layer.value(0), padded))
    return _repeated(layer, value, [a // b for a, b in zip(wanted, padded, strict=True)])


def pad(layer: Layer) -> Value:
    """PAD with 0, PADV2 with a constant."""
    low, high = _margins(layer)
    fill = layer.real(2) if layer.has(2) else None
    if layer.has(2) and fill is None:
        raise NotExpressibleError("PADV2: its value is computed by the model, it must be constant")
    number = 0.0 if fill is None else float(fill.reshape(-1)[0])
    constant = layer.known(0)
    if constant is not None:
        shape = [dim + a + b for dim, a, b in zip(constant.shape, low, high, strict=True)]
        check_size(shape, layer.name)
        return np.pad(constant, list(zip(low, high, strict=True)), constant_values=number)
    return layer.put(ktensor.PadOp(layer.value(0), low, high, number))


def dilate(layer: Layer) -> SSAValue:
    """DILATE: a constant between the elements of each axis."""
    factors, shape = layer.integers(1, "its factors"), layer.shape(0)
    fill = layer.real(2)
    if fill is None:
        layer.refuse("its padding is computed by the model", "a constant")
    if len(factors) != len(shape) or min(factors) < 1 or layer.is_coded(0) != layer.is_coded(2):
        raise layer.invalid(f"of {list(shape)} by {list(factors)}, or its padding has no scale")
    value = layer.value(0)
    for axis, factor in enumerate(factors):
        if factor > 1:
            value = spread(layer, value, axis, factor, float(fill.reshape(-1)[0]))
    return value


def spread(layer: Layer, value: SSAValue, axis: int, factor: int, fill: float = 0.0) -> SSAValue:
    """The elements of one axis, `factor` apart; a constant is between them."""
    shape = shape_of(value)
    before, after = shape[: axis + 1], shape[axis + 1 :]
    wide = layer.reshape(value, (*before, 1, *after))
    high = [0] * len(before) + [factor - 1] + [0] * len(after)
    padded = layer.put(ktensor.PadOp(wide, [0] * len(high), high, fill))
    joined = layer.reshape(padded, (*before[:-1], before[-1] * factor, *after))
    return layer.cut(joined, axis, 0, (before[-1] - 1) * factor + 1)


def mirror_pad(layer: Layer) -> SSAValue:
    """MIRROR_PAD: reversed slices before and after each axis; SYMMETRIC repeats the border, REFLECT does not."""
    low, high = _margins(layer)
    skip = 0 if int(layer.option("Mode")) else 1
    value = layer.value(0)
    for axis, size in enumerate(layer.shape(0)):
        if max(low[axis], high[axis]) > size - skip:
            message = f"padding {low[axis]}, {high[axis]} mirrors more than an axis of {size} has"
            raise InvalidInputError(message, location=layer.name)
        before = _reversed(layer, value, axis, low[axis] - 1 + skip, low[axis])
        after = _reversed(layer, value, axis, size - 1 - skip, high[axis])
        if before + after:
            value = _joined(layer, [*before, value, *after], axis)
    return value


def dynamic_update_slice(layer: Layer) -> SSAValue:
    """DYNAMIC_UPDATE_SLICE at a constant place, which is moved inside as TFLite does it."""
    shape, size = layer.shape(0), layer.shape(1)
    starts = layer.integers(2, "the place of its update")
    if not len(shape) == len(size) == len(starts) or any(a > b for a, b in zip(size, shape, strict=True)):
        raise layer.invalid(f"of {list(shape)} by {list(size)} at {list(starts)}")
    low = [min(max(start, 0), dim - part) for start, dim, part in zip(starts, shape, size, strict=True)]
    high = [dim - part - start for start, dim, part in zip(low, shape, size, strict=True)]
    inside = np.pad(np.ones(size, np.float32), list(zip(low, high, strict=True)))
    update = layer.put(ktensor.PadOp(layer.value(1), low, high, 0.0))
    return layer.select(layer.constant(inside), update, layer.value(0))


def reverse_v2(layer: Layer) -> SSAValue:
    """REVERSE_V2 of constant axes."""
    shape, value = layer.shape(0), layer.value(0)
    for axis in layer.integers(1, "its axes"):
        along = layer.axis(axis, len(shape))
        (value,) = _reversed(layer, value, along, shape[along] - 1, shape[along])
    return value


def transpose_(layer: Layer) -> Value:
    """TRANSPOSE."""
    permutation = layer.integers(1, "its permutation")
    constant = layer.known(0)
    if constant is not None:
        return constant.transpose(permutation)
    return transpose(layer, layer.value(0), permutation)


def _all_constant(layer: Layer) -> list[Constant] | None:
    constants = [layer.known(position) for position in layer.inputs]
    known = [constant for constant in constants if constant is not None]
    return known if len(known) == len(constants) and known else None


def _joined(layer: Layer, values: Sequence[SSAValue], axis: int) -> SSAValue:
    return values[0] if len(values) == 1 else layer.put(ktensor.ConcatOp(values, axis))


def _reshaped(layer: Layer, value: Value, shape: tuple[int, ...]) -> Value:
    if not isinstance(value, SSAValue):
        return value.reshape(shape)
    return value if shape_of(value) == shape else reshape(layer, value, shape)


def _parts(layer: Layer, position: int, axis: int, sizes: Sequence[int]) -> list[Value]:
    ends = np.cumsum(sizes).tolist()
    return [_cut(layer, position, axis, end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _cut(layer: Layer, position: int, axis: int, start: int, stop: int, step: int = 1) -> Value:
    """The elements start, start + step, ... before stop (with a negative step, -1 is before 0) of one axis."""
    constant = layer.known(position)
    if constant is not None:
        return np.take(constant, range(start, stop, step), axis)
    shape = layer.shape(position)
    starts, ends, steps = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], ends[axis], steps[axis] = start, stop, step
    return layer.put(ktensor.SliceOp(layer.value(position), starts, ends, steps))


def _reversed(layer: Layer, value: SSAValue, axis: int, start: int, count: int) -> list[SSAValue]:
    """`count` elements of an axis backwards from `start`, none for a count of 0."""
    if count == 0:
        return []
    shape = shape_of(value)
    starts, ends, steps = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], ends[axis], steps[axis] = start, start - count, -1
    return [layer.put(ktensor.SliceOp(value, starts, ends, steps))]


def _masked(layer: Layer, name: str, axis: int) -> bool:
    return bool(int(layer.option(name, 0)) >> axis & 1)


def _sliced(layer: Layer, position: int, index: tuple[Any, ...]) -> Value:
    """An input indexed as numpy does with slices, integers, None and one Ellipsis."""
    constant = layer.known(position)
    if constant is not None:
        return np.asarray(constant[index])
    shape = layer.shape(position)
    entries = list(index)
    taken = sum(1 for entry in entries if entry is not None and entry is not Ellipsis)
    rest: list[Any] = [slice(None)] * (len(shape) - taken)
    at = entries.index(Ellipsis) if Ellipsis in entries else len(entries)
    entries = entries[:at] + rest + entries[at + 1 :]
    starts: list[int] = []
    ends: list[int] = []
    steps: list[int] = []
    result: list[int] = []
    for entry in entries:
        if entry is None:
            result.append(1)
            continue
        size = shape[len(starts)]
        bounds = slice(entry, entry + 1 or None) if isinstance(entry, int) else entry
        start, end, step = bounds.indices(size)
        starts.append(start)
        ends.append(end)
        steps.append(step)
        if not isinstance(entry, int):
            result.append(len(range(start, end, step)))
    cut = ktensor.SliceOp(layer.value(position), starts, ends, steps)
    return _reshaped(layer, layer.put(cut), tuple(result))


def _tiled(layer: Layer, multiples: Sequence[int]) -> Value:
    shape = layer.shape(0)
    if len(multiples) != len(shape) or min(multiples, default=1) < 1:
        message = f"multiples {list(multiples)} do not fit the input {list(shape)}"
        raise InvalidInputError(message, location=layer.name)
    check_size([math.prod(shape), *multiples], layer.name)
    constant = layer.known(0)
    return np.tile(constant, multiples) if constant is not None else _repeated(layer, layer.value(0), multiples)


def _repeated(layer: Layer, value: SSAValue, multiples: Sequence[int]) -> SSAValue:
    if max(multiples, default=1) > 4096:
        raise NotExpressibleError(f"{layer.operator.kind}: {max(multiples)} repetitions are too many")
    for axis, count in enumerate(multiples):
        value = _joined(layer, [value] * count, axis)
    return value


def _margins(layer: Layer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Padding before and after each axis."""
    flat = layer.integers(1, "its padding")
    if len(flat) != 2 * len(layer.shape(0)) or min(flat, default=0) < 0:
        message = f"padding {list(flat)} does not fit the input {list(layer.shape(0))}"
        raise InvalidInputError(message, location=layer.name)
    return flat[0::2], flat[1::2]


OPS: Mapping[str, Handler] = {
    "BROADCAST_TO": broadcast_to,
    "CONCATENATION": concatenation,
    "DILATE": dilate,
    "DYNAMIC_UPDATE_SLICE": dynamic_update_slice,
    "MIRROR_PAD": mirror_pad,
    "PACK": pack,
    "PAD": pad,
    "PADV2": pad,
    "REVERSE_V2": reverse_v2,
    "SLICE": slice_,
    "SPLIT": split,
    "SPLIT_V": split_v,
    "STRIDED_SLICE": strided_slice,
    "TILE": tile,
    "TRANSPOSE": transpose_,
    "UNPACK": unpack,
}
