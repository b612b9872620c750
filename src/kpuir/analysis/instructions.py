"""What an instruction of the kmodel runtime expresses as it is, and what has to be decomposed first."""

from typing import TYPE_CHECKING

from kpuir.dialects import ktensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNARIES = ("abs", "ceil", "cos", "exp", "floor", "log", "neg", "rsqrt", "sin", "square")
"""The functions of the instruction `unary` (kmodel-v4.md 7)."""

CLAMPS = ("relu", "relu6", "clamp")
"""Activations that are the clamp every arithmetic instruction ends with."""


def is_resize_instruction(op: ktensor.ResizeOp) -> bool:
    """Whether resize_image gives the same result: its only coordinates are x * in / out, or align_corners."""
    if op.mode.data == ktensor.ResizeMode.NEAREST:
        return _takes_nearest(op, 0) and _takes_nearest(op, 1)
    sizes, wanted = ktensor.shape_of(op.input)[2:], ktensor.shape_of(op.output)[2:]
    coordinates = op.coordinate_mode.data
    return op.scale_values == tuple(out / size for size, out in zip(sizes, wanted, strict=True)) and (
        coordinates == ktensor.CoordinateMode.ASYMMETRIC
        or (coordinates == ktensor.CoordinateMode.ALIGN_CORNERS and min(wanted) > 1)
    )


def _takes_nearest(op: ktensor.ResizeOp, axis: int) -> bool:
    """Whether the pixels that `op` takes along an axis are those resize_image does: floor(x * in / out), in float."""
    import numpy as np

    size, out = ktensor.shape_of(op.input)[2 + axis], op.size.get_values()[axis]
    taken = np.floor(np.arange(out, dtype=np.float32) * np.float32(size / out))
    return np.array_equal(axis_weights(op, axis).argmax(1), np.minimum(taken, size - 1))


def axis_weights(op: ktensor.ResizeOp, axis: int) -> "NDArray[np.float32]":
    """The matrix [out, in] of one axis (0 rows, 1 columns), found by resizing the unit vectors."""
    import numpy as np

    from kpuir.interpreters.kernels.floating import resize

    size, out = ktensor.shape_of(op.input)[2 + axis], op.size.get_values()[axis]
    units = np.eye(size, dtype=np.float32).reshape((size, 1, size, 1) if axis == 0 else (size, 1, 1, size))
    scales = (op.scale_values[axis], 1.0) if axis == 0 else (1.0, op.scale_values[axis])
    result = resize(
        units,
        (out, 1) if axis == 0 else (1, out),
        op.mode.data.value,
        op.coordinate_mode.data.value,
        op.nearest_mode.data.value,
        scales,
    )
    return np.ascontiguousarray(result.reshape(size, out).T)
