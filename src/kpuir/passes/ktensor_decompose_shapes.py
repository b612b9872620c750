"""`ktensor-decompose-shapes`: rearrangements and products no kmodel instruction has, out of those that exist.

Before: space/depth/batch rearrangements, transposes, slices, pads, reductions and broadcasts of more than 4
dimensions, softmax over an inner axis, products of batches of matrices, means that count padding. After: all those of
at most 4 dimensions between reshapes, softmax over the last axis, products of two matrices, means that do not count
padding.

    %y = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x12x2x2xf32>) -> tensor<1x3x4x4xf32>
      =>
    %a = ktensor.reshape %x : ... -> tensor<2x2x6x2xf32>
    %b = ktensor.transpose %a {permutation = array<i64: 2, 0, 3, 1>}
    %y = ktensor.reshape %b

A transpose of many dimensions is made of steps that bring one dimension to its place: [P, A, d, B] -> [P, d, A, B]. A
slice, pad or reduction of many dimensions is made of one for each axis it concerns: [P, d, B] -> [P, e, B].
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite

_MAX_RANK = 4


def _insert(rewriter: PatternRewriter, op: Operation) -> SSAValue:
    rewriter.insert(op)
    return op.results[0]


def _reshaped(rewriter: PatternRewriter, value: SSAValue, shape: Sequence[int]) -> SSAValue:
    if ktensor.shape_of(value) == tuple(shape):
        return value
    return _insert(rewriter, ktensor.ReshapeOp(value, shape))


def transposed(
    rewriter: PatternRewriter, value: SSAValue, shape: Sequence[int], permutation: Sequence[int]
) -> SSAValue:
    """`value` seen as `shape` and permuted, by transposes of at most 4 dimensions; the result has some such shape."""
    sizes, order = merge_dimensions(shape, permutation)
    if len(sizes) <= _MAX_RANK:
        value = _reshaped(rewriter, value, sizes)
        return _insert(rewriter, ktensor.TransposeOp(value, order)) if list(order) != sorted(order) else value
    current = list(range(len(sizes)))
    for place, dimension in enumerate(order):
        at = current.index(dimension)
        if at == place:
            continue
        parts = [current[:place], current[place:at], [dimension], current[at + 1 :]]
        value = _reshaped(rewriter, value, [math.prod(sizes[d] for d in part) for part in parts])
        value = _insert(rewriter, ktensor.TransposeOp(value, (0, 2, 1, 3)))
        current.insert(place, current.pop(at))
    return value


def merge_dimensions(shape: Sequence[int], permutation: Sequence[int]) -> tuple[list[int], list[int]]:
    """Shape and permutation of the same transpose without dimensions of 1, neighbours that stay neighbours merged."""
    order = [dimension for dimension in permutation if shape[dimension] != 1]
    groups: list[list[int]] = []
    real = [dimension for dimension in range(len(shape)) if shape[dimension] != 1]
    following = dict(pairwise(real))
    for dimension in order:
        if groups and following.get(groups[-1][-1]) == dimension:
            groups[-1].append(dimension)
        else:
            groups.append([dimension])
    by_position = sorted(groups)
    sizes = [math.prod(shape[dimension] for dimension in group) for group in by_position]
    return sizes, [by_position.index(group) for group in groups]


class DecomposeTranspose(RewritePattern):
    """A transpose of many dimensions becomes several of few."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.TransposeOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite a transpose of more than 4 dimensions."""
        shape = ktensor.shape_of(op.input)
        if len(shape) <= _MAX_RANK:
            return
        value = transposed(rewriter, op.input, shape, op.permutation.get_values())
        rewriter.replace(op, [], [_reshaped(rewriter, value, ktensor.shape_of(op.output))])


class DecomposeAxes(RewritePattern):
    """A slice, pad or reduction of many dimensions becomes one of three for each axis."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one operation of more than 4 dimensions."""
        if not isinstance(op, ktensor.SliceOp | ktensor.PadOp | ktensor.ReduceOp):
            return
        sizes = list(ktensor.shape_of(op.input))
        if len(sizes) <= _MAX_RANK:
            return
        value: SSAValue = op.input
        for axis in range(len(sizes)):
            around = (math.prod(sizes[:axis]), sizes[axis], math.prod(sizes[axis + 1 :]))
            if (make := _along(op, axis, around)) is not None:
                value = _insert(rewriter, make(_reshaped(rewriter, value, around)))
                sizes[axis] = ktensor.shape_of(value)[1]
        rewriter.replace(op, [], [_reshaped(rewriter, value, ktensor.shape_of(op.output))])


def _along(
    op: ktensor.SliceOp | ktensor.PadOp | ktensor.ReduceOp, axis: int, around: tuple[int, int, int]
) -> Callable[[SSAValue], Operation] | None:
    """What `op` does along one axis of a tensor of sizes before, along and behind it; None where that is nothing."""
    before, size, behind = around
    if isinstance(op, ktensor.ReduceOp):
        kind = op.kind.data
        return (lambda value: ktensor.ReduceOp(kind, value, (1,))) if axis in op.axes.get_values() else None
    if isinstance(op, ktensor.PadOp):
        low, high, fill = op.low.get_values()[axis], op.high.get_values()[axis], op.pad_value
        return (lambda value: ktensor.PadOp(value, (0, low, 0), (0, high, 0), fill)) if low or high else None
    start, end, step = (each.get_values()[axis] for each in (op.starts, op.ends, op.steps))
    if (start, end, step) == (0, size, 1):
        return None
    return lambda value: ktensor.SliceOp(value, (0, start, 0), (before, end, behind), (1, step, 1))


class DecomposeBroadcast(RewritePattern):
    """Between tensors of many dimensions, neighbours that are broadcast alike become one."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.BinaryOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite a binary operation that broadcasts more than 4 dimensions, if 4 can say the same."""
        result = ktensor.shape_of(op.output)
        shapes = [(1,) * (len(result) - len(shape)) + shape for shape in map(ktensor.shape_of, op.operands)]
        if len(result) <= _MAX_RANK or shapes[0] == shapes[1] or 1 in map(math.prod, shapes):
            return
        wide = [axis for axis, size in enumerate(result) if size != 1]
        groups = [list(axes) for _, axes in groupby(wide, lambda axis: tuple(shape[axis] == 1 for shape in shapes))]
        if len(groups) > _MAX_RANK:
            return
        left, right, merged = (
            [math.prod(shape[axis] for axis in group) for group in groups] for shape in (*shapes, result)
        )
        operands = _reshaped(rewriter, op.lhs, left), _reshaped(rewriter, op.rhs, right)
        kind = TensorType(ktensor.element_of(op.output), merged)
        value = _insert(rewriter, ktensor.BinaryOp(op.kind.data, *operands, result_type=kind))
        rewriter.replace(op, [], [_reshaped(rewriter, value, result)])


class DecomposeDepthSpace(RewritePattern):
    """depth_to_space and space_to_depth become transposes."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one rearrangement between channels and pixels."""
        if not isinstance(op, ktensor.DepthToSpaceOp | ktensor.SpaceToDepthOp):
            return
        block, crd = op.block_size.value.data, op.mode.data == ktensor.DepthMode.CRD
        deep = op.input if isinstance(op, ktensor.DepthToSpaceOp) else op.output
        n, channels, h, w = ktensor.shape_of(deep)
        c = channels // (block * block)
        # The deep tensor's dimensions in terms of the wide one's [n, c, h, block, w, block].
        split = (n, c, block, block, h, w) if crd else (n, block, block, c, h, w)
        to_wide = (0, 1, 4, 2, 5, 3) if crd else (0, 3, 4, 1, 5, 2)
        if isinstance(op, ktensor.DepthToSpaceOp):
            value = transposed(rewriter, op.input, split, to_wide)
        else:
            to_deep = tuple(to_wide.index(i) for i in range(6))
            value = transposed(rewriter, op.input, tuple(split[i] for i in to_wide), to_deep)
        rewriter.replace(op, [], [_reshaped(rewriter, value, ktensor.shape_of(op.output))])


class DecomposeBatchSpace(RewritePattern):
    """space_to_batch and batch_to_space become transposes with a pad before or a slice behind."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one rearrangement between images and pixels."""
        if isinstance(op, ktensor.SpaceToBatchOp | kpu.SpaceToBatchOp):
            value = self._to_batch(op, rewriter)
        elif isinstance(op, ktensor.BatchToSpaceOp | kpu.BatchToSpaceOp):
            value = self._to_space(op, rewriter)
        else:
            return
        rewriter.replace(op, [], [_reshaped(rewriter, value, ktensor.shape_of(op.results[0]))])

    def _to_batch(self, op: ktensor.SpaceToBatchOp | kpu.SpaceToBatchOp, rewriter: PatternRewriter) -> SSAValue:
        value = op.input
        top, left, bottom, right = op.pads.get_values()
        if any((top, left, bottom, right)):
            value = _insert(rewriter, ktensor.PadOp(value, (0, 0, top, left), (0, 0, bottom, right)))
        n, c, h, w = ktensor.shape_of(value)
        rows, columns = op.block_shape.get_values()
        shape = (n, c, h // rows, rows, w // columns, columns)
        return transposed(rewriter, value, shape, (3, 5, 0, 1, 2, 4))

    def _to_space(self, op: ktensor.BatchToSpaceOp | kpu.BatchToSpaceOp, rewriter: PatternRewriter) -> SSAValue:
        images, c, h, w = ktensor.shape_of(op.input)
        rows, columns = op.block_shape.get_values()
        n = images // (rows * columns)
        value = transposed(rewriter, op.input, (rows, columns, n, c, h, w), (2, 3, 4, 0, 5, 1))
        value = _reshaped(rewriter, value, (n, c, h * rows, w * columns))
        top, left, bottom, right = op.crops.get_values()
        if not any((top, left, bottom, right)):
            return value
        ends = (n, c, h * rows - bottom, w * columns - right)
        return _insert(rewriter, ktensor.SliceOp(value, (0, 0, top, left), ends, (1, 1, 1, 1)))


class DecomposeSoftmax(RewritePattern):
    """Softmax over an inner axis becomes one over the last, between transposes."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.SoftmaxOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one softmax."""
        shape, axis = ktensor.shape_of(op.input), op.axis.value.data
        inner = math.prod(shape[axis + 1 :])
        if inner == 1:
            return
        outer = math.prod(shape[:axis])
        value = _reshaped(rewriter, op.input, (outer, shape[axis], inner))
        value = _insert(rewriter, ktensor.TransposeOp(value, (0, 2, 1)))
        value = _insert(rewriter, ktensor.SoftmaxOp(value, 2, op.beta.value.data))
        value = _insert(rewriter, ktensor.TransposeOp(value, (0, 2, 1)))
        rewriter.replace(op, [], [_reshaped(rewriter, value, shape)])


class DecomposeMatmul(RewritePattern):
    """A product of batches becomes products of matrices, one a batch."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.MatmulOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one product of more than two matrices."""
        left, right, result = (ktensor.shape_of(value) for value in (op.lhs, op.rhs, op.output))
        if len(left) == len(right) == 2:
            return
        left = left if len(left) > 1 else (1, *left)
        right = right if len(right) > 1 else (*right, 1)
        batch_left, batch_right = math.prod(left[:-2]), math.prod(right[:-2])
        if batch_right == 1:  # the rows of all batches go into one product
            lhs = _reshaped(rewriter, op.lhs, (batch_left * left[-2], left[-1]))
            product = ktensor.MatmulOp(lhs, _reshaped(rewriter, op.rhs, right[-2:]), op.bias)
            rewriter.replace(op, [], [_reshaped(rewriter, _insert(rewriter, product), result)])
            return
        lhs = _reshaped(rewriter, op.lhs, (batch_left, *left[-2:]))
        rhs = _reshaped(rewriter, op.rhs, (batch_right, *right[-2:]))
        products: list[SSAValue] = []
        for first, second in _batches(left[:-2], right[:-2]):
            pair = _matrix(rewriter, lhs, first), _matrix(rewriter, rhs, second)
            products.append(_insert(rewriter, ktensor.MatmulOp(*pair, op.bias)))
        value = _insert(rewriter, ktensor.ConcatOp(products, 0))
        rewriter.replace(op, [], [_reshaped(rewriter, value, result)])


def _batches(left: tuple[int, ...], right: tuple[int, ...]) -> list[tuple[int, int]]:
    """For each product of two batches, broadcast as numpy does, the numbers of its matrices."""
    import numpy as np

    shape = np.broadcast_shapes(left, right)
    numbers = [np.broadcast_to(np.arange(math.prod(one)).reshape(one), shape).ravel().tolist() for one in (left, right)]
    return list(zip(*numbers, strict=True))


def _matrix(rewriter: PatternRewriter, value: SSAValue, index: int) -> SSAValue:
    """Matrix number `index` of [batch, rows, columns]."""
    batch, rows, columns = ktensor.shape_of(value)
    if batch > 1:
        value = _insert(rewriter, ktensor.SliceOp(value, (index, 0, 0), (index + 1, rows, columns), (1, 1, 1)))
    return _reshaped(rewriter, value, (rows, columns))


class DecomposePaddedMean(RewritePattern):
    """A mean that counts padding pads with zeros first."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.AveragePool2dOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one mean over windows."""
        top, left, bottom, right = op.pads.get_values()
        if not op.count_include_pad.value.data:
            return
        value = op.input
        if any((top, left, bottom, right)):
            value = _insert(rewriter, ktensor.PadOp(value, (0, 0, top, left), (0, 0, bottom, right)))
        rewriter.replace(
            op, ktensor.AveragePool2dOp(value, op.kernel_shape.get_values(), strides=op.strides.get_values())
        )


@dataclass(frozen=True)
class KTensorDecomposeShapesPass(ModulePass):
    """Express rearrangements and batched products by what kmodel instructions have."""

    name = "ktensor-decompose-shapes"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(
            op,
            DecomposeTranspose(),
            DecomposeAxes(),
            DecomposeBroadcast(),
            DecomposeDepthSpace(),
            DecomposeBatchSpace(),
            DecomposeSoftmax(),
            DecomposeMatmul(),
            DecomposePaddedMean(),
            keep=(kpu.REASON,),
        )
