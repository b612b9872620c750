"""`ktensor-decompose-resize`: a resize no kmodel instruction does becomes two products with constant matrices.

Before: `ktensor.resize` of any mode. After: only those that a runtime's resize_image does exactly (asymmetric
coordinates, and align_corners for bilinear; kmodel-v4.md 7, 0x0A). Another is linear and separable: rows of weights
[out, in] for each axis, y = A_h * x * A_w^T, exact up to float rounding. Away from the diagonal of a large matrix there
is nothing but zeros, so where it is faster a product is done in blocks of outputs, each with the few inputs it needs.

    %y = ktensor.resize %x {size = array<i64: 8, 8>, mode = #ktensor.resize_mode<bilinear>}   // half_pixel
      =>
    %a = ktensor.matmul %rows_of_x, %columns
    %b = ktensor.transpose %a ...
    %y = ktensor.matmul %b, %rows ...
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates
from kpuir.analysis.instructions import axis_weights, is_resize_instruction
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
            matrix = axis_weights(op, axis).T
            blocks = _blocks(matrix, rows)
            weights = [
                insert(ktensor.ConstantOp(np.ascontiguousarray(matrix[one.inputs, one.outputs]))) for one in blocks
            ]
            lines = insert(ktensor.ReshapeOp(value, (rows, size)))
            if len(blocks) == 1:
                return insert(ktensor.MatmulOp(lines, weights[0]))
            parts = [
                insert(ktensor.SliceOp(lines, (0, one.inputs.start), (rows, one.inputs.stop), (1, 1))) for one in blocks
            ]
            return insert(
                ktensor.ConcatOp([insert(ktensor.MatmulOp(*pair)) for pair in zip(parts, weights, strict=True)], 1)
            )

        value = along(op.input, n * c * h, w, 1)
        value = insert(ktensor.ReshapeOp(value, (n * c, h, out_w)))
        value = insert(ktensor.TransposeOp(value, (0, 2, 1)))
        value = along(value, n * c * out_w, h, 0)
        value = insert(ktensor.ReshapeOp(value, (n * c, out_w, out_h)))
        value = insert(ktensor.TransposeOp(value, (0, 2, 1)))
        rewriter.replace(op, ktensor.ReshapeOp(value, (n, c, out_h, out_w)))


class _Block(NamedTuple):
    """Outputs next to one another, and the inputs from the first to the last of which they are made."""

    inputs: slice
    outputs: slice


_MOST_BLOCKS = 32
_INSTRUCTION_BYTES = 100
"""About what a slice and a product take in a kmodel, so that there are no more than are worth it."""


def _blocks(matrix: "NDArray[np.float32]", rows: int) -> list[_Block]:
    """A product of `rows` lines with a matrix [in, out] in so many blocks that it takes the least time; one is all."""
    import numpy as np

    size, out = matrix.shape
    found = [[_Block(slice(0, size), slice(0, out))]]
    for count in range(2, min(_MOST_BLOCKS, out) + 1):
        bounds = np.linspace(0, out, count + 1).round().astype(int).tolist()
        ends = [np.flatnonzero(matrix[:, first:last].any(1))[[0, -1]].tolist() for first, last in pairwise(bounds)]
        found.append(
            [
                _Block(slice(low, high + 1), slice(*pair))
                for (low, high), pair in zip(ends, pairwise(bounds), strict=True)
            ]
        )
    return estimates.best(found, lambda blocks: _cost(blocks, rows))


def _cost(blocks: list[_Block], rows: int) -> estimates.Cost:
    wide = [(one.inputs.stop - one.inputs.start, one.outputs.stop - one.outputs.start) for one in blocks]
    moved = sum(estimates.move((4, rows, inputs + outputs)) for inputs, outputs in wide) if len(blocks) > 1 else 0.0
    products = sum(estimates.multiply_adds(rows * inputs * outputs) for inputs, outputs in wide)
    return estimates.Cost(moved + products, _INSTRUCTION_BYTES * len(blocks))


@dataclass(frozen=True)
class KTensorDecomposeResizePass(ModulePass):
    """Express resizes by products with constant matrices where no instruction does them."""

    name = "ktensor-decompose-resize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, DecomposeResize(), keep=(kpu.REASON,))
