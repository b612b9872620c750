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

from kpuir.analysis.instructions import axis_weights, is_resize_instruction
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite

if TYPE_CHECKING:
    pass


class DecomposeResize(RewritePattern):
    """A resize becomes a product along each axis."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.ResizeOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one resize of float values."""
        import numpy as np

        if is_resize_instruction(op) or ktensor.is_quantized(op.input):
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
        rewrite(op, DecomposeResize(), keep=(kpu.REASON,))
