"""`ktensor-sink-transposes`: move transposes towards the results, so that those around a model's layers cancel.

Before: a channels-last model has a transpose before and after every convolution. After: two transposes that undo each
other are gone, and no operation that does not care for the order of axes stands behind a transpose. What stays are
transposes the model itself needs: before reshapes that mix axes, and at inputs and results of the function (see
`ktensor-absorb-layouts`). Transposes that only move axes of size 1 have become reshapes.

    %1 = ktensor.conv2d %0, %w                                    %1 = ktensor.conv2d %0, %w
    %2 = ktensor.transpose %1 {permutation = [0, 2, 3, 1]}   =>   %2 = ktensor.activation<relu> %1
    %3 = ktensor.activation<relu> %2                              %3 = ktensor.conv2d %2, %v
    %4 = ktensor.transpose %3 {permutation = [0, 3, 1, 2]}
    %5 = ktensor.conv2d %4, %v

Every rewrite moves a transpose over one operation towards the function's end, or removes one, so they come to an end.
Notation: y = transpose(x, p) means that axis i of y is axis p[i] of x.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import element_of, shape_of, tensor
from kpuir.ir.rewriting import rewrite

Permutation = tuple[int, ...]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class KTensorSinkTransposesPass(ModulePass):
    """Move transposes towards the results and cancel them."""

    name = "ktensor-sink-transposes"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Run on all functions of the module."""
        sink_transposes(op)


def sink_transposes(module: ModuleOp) -> None:
    """Move transposes down until nothing moves; then turn those that move no data into reshapes."""
    rewrite(
        module,
        SimplifyTranspose(),
        SinkThroughOneInput(),
        SinkThroughBinary(),
        SinkThroughPRelu(),
        SinkThroughConcat(),
        SinkThroughReshape(),
        AbsorbIntoMatmul(),
    )
    rewrite(module, TransposeToReshape(), SimplifyReshape())


def inverse(permutation: Permutation) -> Permutation:
    """The permutation that undoes another."""
    return tuple(sorted(range(len(permutation)), key=permutation.__getitem__))


def permuted(values: Sequence[int], permutation: Permutation) -> tuple[int, ...]:
    """A shape, or one number per axis, behind a transpose."""
    return tuple(values[axis] for axis in permutation)


def moves_only_ones(shape: Shape, permutation: Permutation) -> bool:
    """Whether a transpose of `shape` leaves all elements where they are: only axes of size 1 change places."""
    moving = [axis for axis in permutation if shape[axis] != 1]
    return moving == sorted(moving)


def permutation_of(op: ktensor.TransposeOp) -> Permutation:
    """The permutation of a transpose."""
    return tuple(op.permutation.get_values())


def transposed(value: SSAValue) -> tuple[SSAValue, Permutation] | None:
    """(x, p) where `value` is transpose(x, p), else None."""
    owner = value.owner
    return (owner.input, permutation_of(owner)) if isinstance(owner, ktensor.TransposeOp) else None


class SimplifyTranspose(RewritePattern):
    """Drop a transpose that does nothing, merge two, apply one to a constant."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.TransposeOp, rewriter: PatternRewriter) -> None:
        """Match every transpose."""
        permutation = permutation_of(op)
        if permutation == tuple(range(len(permutation))):
            rewriter.replace(op, [], [op.input])
            return
        below = transposed(op.input)
        if below is not None:
            rewriter.replace(op, ktensor.TransposeOp(below[0], permuted(below[1], permutation)))
            return
        constant = ktensor.constant_of(op.input)
        if constant is not None:
            moved = constant.transpose(permutation)
            rewriter.replace(op, ktensor.ConstantOp(moved, tensor(element_of(op.input), moved.shape)))


Moved = tuple[ktensor.KTensorOp, Permutation]
"""The operation on the input before its transpose, and the transpose its result then needs."""


def _unary(op: ktensor.UnaryOp, x: SSAValue, p: Permutation) -> Moved:
    return ktensor.UnaryOp(op.kind.data, x), p


def _activation(op: ktensor.ActivationOp, x: SSAValue, p: Permutation) -> Moved:
    return ktensor.ActivationOp(x, op.function), p


def _quantize(op: ktensor.QuantizeOp, x: SSAValue, p: Permutation) -> Moved:
    return ktensor.QuantizeOp(x, op.element, op.multiplier.value.data, op.addend.value.data), p


def _dequantize(op: ktensor.DequantizeOp, x: SSAValue, p: Permutation) -> Moved:
    del op
    return ktensor.DequantizeOp(x), p


def _softmax(op: ktensor.SoftmaxOp, x: SSAValue, p: Permutation) -> Moved:
    return ktensor.SoftmaxOp(x, p[op.axis.value.data], op.beta.value.data), p


def _pad(op: ktensor.PadOp, x: SSAValue, p: Permutation) -> Moved:
    back = inverse(p)
    low, high = permuted(op.low.get_values(), back), permuted(op.high.get_values(), back)
    return ktensor.PadOp(x, low, high, op.pad_value), p


def _slice(op: ktensor.SliceOp, x: SSAValue, p: Permutation) -> Moved:
    starts, ends, steps = (permuted(v.get_values(), inverse(p)) for v in (op.starts, op.ends, op.steps))
    return ktensor.SliceOp(x, starts, ends, steps), p


def _reduce(op: ktensor.ReduceOp, x: SSAValue, p: Permutation) -> Moved:
    axes = op.axes.get_values()
    moved = ktensor.ReduceOp(op.kind.data, x, sorted(permuted(p, axes)), keep_dims=op.keeps_dims)
    if op.keeps_dims:
        return moved, p
    left = [source for axis, source in enumerate(p) if axis not in axes]
    return moved, tuple(sorted(left).index(source) for source in left)


ONE_INPUT = cast(
    "dict[type[Operation], Callable[[Operation, SSAValue, Permutation], Moved]]",
    {
        ktensor.ActivationOp: _activation,
        ktensor.DequantizeOp: _dequantize,
        ktensor.PadOp: _pad,
        ktensor.QuantizeOp: _quantize,
        ktensor.ReduceOp: _reduce,
        ktensor.SliceOp: _slice,
        ktensor.SoftmaxOp: _softmax,
        ktensor.UnaryOp: _unary,
    },
)
"""How each operation of one input looks before a transpose instead of behind it."""


class SinkThroughOneInput(RewritePattern):
    """f(transpose(x)) => transpose(f'(x))."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Match the operations of `ONE_INPUT`."""
        rule = ONE_INPUT.get(type(op))
        below = transposed(op.operands[0]) if rule is not None else None
        if rule is None or below is None:
            return
        moved, permutation = rule(op, *below)
        rewriter.replace(op, [moved, ktensor.TransposeOp(moved, permutation)])


def before_transpose(value: SSAValue, permutation: Permutation) -> tuple[list[Operation], SSAValue] | None:
    """A `u` that `value` broadcasts like transpose(u, permutation), and the operations that make it.

    None where that takes moving data of a value that is not constant.
    """
    below = transposed(value)
    if below is not None and below[1] == permutation:
        return [], below[0]
    shape = shape_of(value)
    if len(shape) > len(permutation):
        return None
    if math.prod(shape) == 1:
        return [], value
    full = (1,) * (len(permutation) - len(shape)) + shape
    back = inverse(permutation)
    constant = ktensor.constant_of(value)
    if constant is not None:
        array = constant.reshape(full).transpose(back)
        moved = ktensor.ConstantOp(array, tensor(element_of(value), array.shape))
        return [moved], moved.output
    if not moves_only_ones(full, back):
        return None
    view = ktensor.ReshapeOp(value, permuted(full, back))
    return [view], view.output


class SinkThroughBinary(RewritePattern):
    """binary(transpose(x, p), y) => transpose(binary(x, y'), p), y' as `before_transpose` finds it."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.BinaryOp, rewriter: PatternRewriter) -> None:
        """Match a binary with a transposed operand of the result's rank."""
        for side in op.operands:
            below = transposed(side)
            if below is None or len(below[1]) != len(shape_of(op.output)):
                continue
            permutation = below[1]
            lhs = before_transpose(op.lhs, permutation)
            rhs = before_transpose(op.rhs, permutation)
            if lhs is None or rhs is None:
                continue
            shape = permuted(shape_of(op.output), inverse(permutation))
            kind = tensor(element_of(op.output), shape)
            moved = ktensor.BinaryOp(op.kind.data, lhs[1], rhs[1], result_type=kind)
            rewriter.replace(op, [*lhs[0], *rhs[0], moved, ktensor.TransposeOp(moved, permutation)])
            return


class SinkThroughPRelu(RewritePattern):
    """prelu(transpose(x, p), slope) => transpose(prelu(x, slope'), p)."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.PReluOp, rewriter: PatternRewriter) -> None:
        """Match a prelu of a transposed input."""
        below = transposed(op.input)
        slope = before_transpose(op.slope, below[1]) if below is not None else None
        if below is None or slope is None:
            return
        moved = ktensor.PReluOp(below[0], slope[1])
        rewriter.replace(op, [*slope[0], moved, ktensor.TransposeOp(moved, below[1])])


class SinkThroughConcat(RewritePattern):
    """concat(transpose(x, p), transpose(y, p), ...) => transpose(concat(x, y, ...), p)."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.ConcatOp, rewriter: PatternRewriter) -> None:
        """Match a concat with a transposed input, the others transposed alike or constant."""
        permutation = next((below[1] for value in op.inputs if (below := transposed(value))), None)
        if permutation is None:
            return
        inputs = [before_transpose(value, permutation) for value in op.inputs]
        known = [found for found in inputs if found is not None]
        if len(known) != len(inputs):
            return
        moved = ktensor.ConcatOp([value for _, value in known], permutation[op.axis.value.data])
        made = [operation for operations, _ in known for operation in operations]
        rewriter.replace(op, [*made, moved, ktensor.TransposeOp(moved, permutation)])


class SinkThroughReshape(RewritePattern):
    """reshape(transpose(x)) that only adds or drops axes of size 1 => transpose'(reshape'(x))."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.ReshapeOp, rewriter: PatternRewriter) -> None:
        """Match a reshape of a transposed input."""
        below = transposed(op.input)
        if below is None:
            return
        x, permutation = below
        source, result = shape_of(x), shape_of(op.output)
        if moves_only_ones(source, permutation):
            rewriter.replace(op, ktensor.ReshapeOp(x, result))
            return
        if _without_ones(shape_of(op.input)) != _without_ones(result):
            return
        # The axes of size 1 are put where the result has them, the others keep the order they have in x.
        moving = [axis for axis in permutation if source[axis] != 1]
        places = [axis for axis, size in enumerate(result) if size != 1]
        target = dict(zip(sorted(moving), places, strict=True))
        shape = list(result)
        for axis, place in target.items():
            shape[place] = source[axis]
        order = iter(target[axis] for axis in moving)
        back = tuple(axis if size == 1 else next(order) for axis, size in enumerate(result))
        moved = ktensor.ReshapeOp(x, shape)
        rewriter.replace(op, [moved, ktensor.TransposeOp(moved, back)])


class AbsorbIntoMatmul(RewritePattern):
    """matmul(reshape(transpose(x)), constant) => matmul(reshape(x), constant with its rows in another order).

    The flatten of a channels-last model before its fully connected layer.
    """

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.MatmulOp, rewriter: PatternRewriter) -> None:
        """Match a matmul whose left side flattens all but the first axis of a transpose that leaves that one alone."""
        flat, weight = op.lhs.owner, ktensor.constant_of(op.rhs)
        below = transposed(flat.input) if isinstance(flat, ktensor.ReshapeOp) else None
        if below is None or weight is None or weight.ndim != 2:
            return
        x, permutation = below
        shape, rows = permuted(shape_of(x), permutation), shape_of(op.lhs)
        if permutation[0] != 0 or rows != (shape[0], math.prod(shape[1:])):
            return
        order = [axis - 1 for axis in inverse(permutation)[1:]]
        moved = weight.reshape(*shape[1:], -1).transpose(*order, len(order)).reshape(weight.shape)
        kernel, view = ktensor.ConstantOp(moved), ktensor.ReshapeOp(x, rows)
        rewriter.replace(op, [kernel, view, ktensor.MatmulOp(view, kernel, op.bias)])


class TransposeToReshape(RewritePattern):
    """A transpose that only moves axes of size 1 => reshape."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.TransposeOp, rewriter: PatternRewriter) -> None:
        """Match a transpose that leaves all elements where they are."""
        if moves_only_ones(shape_of(op.input), permutation_of(op)):
            rewriter.replace(op, ktensor.ReshapeOp(op.input, shape_of(op.output)))


class SimplifyReshape(RewritePattern):
    """Drop a reshape to the same shape, merge two."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.ReshapeOp, rewriter: PatternRewriter) -> None:
        """Match every reshape."""
        if op.input.type == op.output.type:
            rewriter.replace(op, [], [op.input])
            return
        above = op.input.owner
        if isinstance(above, ktensor.ReshapeOp):
            rewriter.replace(op, ktensor.ReshapeOp(above.input, shape_of(op.output)))


def _without_ones(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)
