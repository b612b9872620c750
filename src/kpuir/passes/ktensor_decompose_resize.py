"""`ktensor-decompose-resize`: a resize no kmodel instruction does becomes two products with constant matrices.

Before: `ktensor.resize` of any mode. After: only those that a runtime's resize_image does exactly (asymmetric
coordinates, and align_corners for bilinear; kmodel-v4.md 7, 0x0A). Another is linear and separable: rows of weights
[out, in] for each axis, y = A_h * x * A_w^T, exact up to float rounding.

    %y = ktensor.resize %x {size = array<i64: 8, 8>, mode = #ktensor.resize_mode<bilinear>}   // half_pixel
      =>
    %a = ktensor.matmul %rows_of_x, %columns
    %b = ktensor.transpose %a ...
    %y = ktensor.matmul %b, %rows ...
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.dialects import ktensor
from kpuir.ir.rewriting import rewrite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def is_instruction(op: ktensor.ResizeOp) -> bool:
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


class DecomposeResize(RewritePattern):
    """A resize becomes a product along each axis."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.ResizeOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one resize of float values."""
        import numpy as np

        if is_instruction(op) or ktensor.is_quantized(op.input):
            return
        n, c, h, w = ktensor.shape_of(op.input)
        out_h, out_w = op.size.get_values()

        def insert(new: Operation) -> SSAValue:
            rewriter.insert(new)
            return new.results[0]

        def along(value: SSAValue, rows: int, size: int, axis: int) -> SSAValue:
            matrix = insert(ktensor.ConstantOp(np.ascontiguousarray(axis_weights(op, axis).T)))
            return insert(ktensor.MatmulOp(insert(ktensor.ReshapeOp(value, (rows, size))), matrix))

        value = along(op.input, n * c * h, w, 1)
        value = insert(ktensor.ReshapeOp(value, (n * c, h, out_w)))
        value = insert(ktensor.TransposeOp(value, (0, 2, 1)))
        value = along(value, n * c * out_w, h, 0)
        value = insert(ktensor.ReshapeOp(value, (n * c, out_w, out_h)))
        value = insert(ktensor.TransposeOp(value, (0, 2, 1)))
        rewriter.replace(op, ktensor.ReshapeOp(value, (n, c, out_h, out_w)))


@dataclass(frozen=True)
class KTensorDecomposeResizePass(ModulePass):
    """Express resizes by products with constant matrices where no instruction does them."""

    name = "ktensor-decompose-resize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, DecomposeResize())
