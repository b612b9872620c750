"""Canonicalization patterns: chains of the same movement become one. Locations are kept."""

from itertools import pairwise

from xdsl.ir import Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.dialects.ktensor.attributes import ActivationAttr, ActivationKind, QuantizedType
from kpuir.dialects.ktensor.base import PATTERNS, is_quantized, shape_of
from kpuir.dialects.ktensor.elementwise import ActivationOp
from kpuir.dialects.ktensor.pooling import MaxPool2dOp, ReduceOp
from kpuir.dialects.ktensor.shape import ConcatOp, PadOp, ReshapeOp, SliceOp, TransposeOp


class ReshapeOfReshape(RewritePattern):
    """reshape(reshape(x)) -> reshape(x)."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ReshapeOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one op."""
        inner = op.input.owner
        if isinstance(inner, ReshapeOp):
            _replace(rewriter, op, ReshapeOp(inner.input, shape_of(op.output)))


class TransposeOfTranspose(RewritePattern):
    """transpose(transpose(x)) -> transpose(x) with the product of the permutations."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: TransposeOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one op."""
        inner = op.input.owner
        if not isinstance(inner, TransposeOp):
            return
        first = inner.permutation.get_values()
        _replace(rewriter, op, TransposeOp(inner.input, [first[axis] for axis in op.permutation.get_values()]))


class PadOfPad(RewritePattern):
    """pad(pad(x)) -> pad(x), both with the same value."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: PadOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one op."""
        inner = op.input.owner
        if not isinstance(inner, PadOp) or inner.value != op.value:
            return
        low = map(sum, zip(inner.low.get_values(), op.low.get_values(), strict=True))
        high = map(sum, zip(inner.high.get_values(), op.high.get_values(), strict=True))
        _replace(rewriter, op, PadOp(inner.input, list(low), list(high), op.pad_value))


class SliceOfSlice(RewritePattern):
    """slice(slice(x)) -> slice(x)."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: SliceOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one op."""
        inner = op.input.owner
        if not isinstance(inner, SliceOp):
            return
        outer_axes = zip(op.starts.get_values(), op.steps.get_values(), shape_of(op.output), strict=True)
        inner_axes = zip(inner.starts.get_values(), inner.steps.get_values(), strict=True)
        axes = [
            _taken(start + first * step, step * stride, count)
            for (start, step), (first, stride, count) in zip(inner_axes, outer_axes, strict=True)
        ]
        starts, ends, steps = zip(*axes, strict=True)
        _replace(rewriter, op, SliceOp(inner.input, starts, ends, steps))


class ConcatOfConcat(RewritePattern):
    """An input that is a concat along the same axis, used here only, gives its inputs to the outer one."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ConcatOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one op."""
        inputs = [part for value in op.inputs for part in _concat_parts(value, op)]
        if len(inputs) > len(op.inputs):
            _replace(rewriter, op, ConcatOp(inputs, op.axis.value.data))


class ConcatOfSlices(RewritePattern):
    """Neighbours that are slices of one value, and go on where the one before ends, are one slice."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ConcatOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one op."""
        axis, inputs = op.axis.value.data, list(op.inputs)
        for index, (first, second) in enumerate(pairwise([value.owner for value in inputs])):
            joined = _joined(first, second, axis)
            if joined is None:
                continue
            joined.location = op.location
            rewriter.insert(joined)
            inputs[index : index + 2] = [joined.output]
            if len(inputs) == 1:
                rewriter.replace(op, [], inputs)
            else:
                _replace(rewriter, op, ConcatOp(inputs, axis))
            return


def _joined(first: object, second: object, axis: int) -> SliceOp | None:
    """One slice of what two take of the same value, one behind the other along an axis; None where it is none."""
    if not isinstance(first, SliceOp) or not isinstance(second, SliceOp) or first.input != second.input:
        return None
    left, right = _axes(first), _axes(second)
    if left[:axis] + left[axis + 1 :] != right[:axis] + right[axis + 1 :]:
        return None
    (start, step, count), (second_start, second_step, second_count) = left[axis], right[axis]
    step = step or second_step or second_start - start
    if step == 0 or second_step not in (0, step) or second_start != start + step * count:
        return None
    left[axis] = (start, step, count + second_count)
    starts, ends, steps = zip(*(_taken(one, by or 1, size) for one, by, size in left), strict=True)
    return SliceOp(first.input, starts, ends, steps)


def _axes(op: SliceOp) -> list[tuple[int, int, int]]:
    """Start, step and count of each axis; of a single element the step, which is any, is 0."""
    axes = zip(op.starts.get_values(), op.steps.get_values(), shape_of(op.output), strict=True)
    return [(start, step if count > 1 else 0, count) for start, step, count in axes]


class ReduceOfUnits(RewritePattern):
    """Reducing axes of size 1 without keeping them is a reshape."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ReduceOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one op."""
        shape = shape_of(op.input)
        if not op.keeps_dims and all(shape[axis] == 1 for axis in op.axes.get_values()):
            _replace(rewriter, op, ReshapeOp(op.input, shape_of(op.output)))


class ClampOfClamp(RewritePattern):
    """Two functions that limit a range, one after the other, are one clamp (or relu, relu6)."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ActivationOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one op."""
        inner = op.input.owner
        if not isinstance(inner, ActivationOp) or is_quantized(op.input):
            return
        first, second = limits(inner.function), limits(op.function)
        if first is None or second is None:
            return
        lo, hi = (min(max(value, second[0]), second[1]) for value in first)
        _replace(rewriter, op, ActivationOp(inner.input, limiting(lo, hi)))


class RoundingOfRounded(RewritePattern):
    """fake_quantize of what is rounded like that already is not needed, nor a clamp in front that it does itself."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ActivationOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one op."""
        element, inner = op.function.quantized, op.input.owner
        if element is None:
            return
        if rounding_of(op.input) == element:
            rewriter.replace(op, [], [op.input])
            return
        cut = limits(inner.function) if isinstance(inner, ActivationOp) else None
        low, high = element.bounds
        half = element.scale_value / 2
        if cut is not None and isinstance(inner, ActivationOp) and cut[0] <= low + half and high - half <= cut[1]:
            _replace(rewriter, op, ActivationOp(inner.input, op.function))


def rounding_of(value: SSAValue) -> QuantizedType | None:
    """The scale and zero point that every element of a value is rounded to, if a fake_quantize is known to have."""
    owner = value.owner
    match owner:
        case ActivationOp():
            return owner.function.quantized
        case ReshapeOp() | TransposeOp() | SliceOp() | MaxPool2dOp():
            return rounding_of(owner.input)
        case PadOp() if owner.pad_value == 0:
            return rounding_of(owner.input)
        case ConcatOp():
            kinds = {rounding_of(part) for part in owner.inputs}
            return kinds.pop() if len(kinds) == 1 else None
        case _:
            return None


def limits(function: ActivationAttr) -> tuple[float, float] | None:
    """The range a function cuts its argument to, or None where it does something else."""
    match function.kind, function.values:
        case ActivationKind.RELU, _:
            return 0.0, float("inf")
        case ActivationKind.RELU6, _:
            return 0.0, 6.0
        case ActivationKind.CLAMP, (lo, hi):
            return lo, hi
        case ActivationKind.MIN, (hi,):
            return float("-inf"), hi
        case ActivationKind.MAX, (lo,):
            return lo, float("inf")
        case _:
            return None


def limiting(lo: float, hi: float) -> ActivationAttr:
    """The function that cuts its argument to a range, by its shortest name."""
    if (lo, hi) == (0.0, float("inf")):
        return ActivationAttr.of(ActivationKind.RELU)
    if (lo, hi) == (0.0, 6.0):
        return ActivationAttr.of(ActivationKind.RELU6)
    return ActivationAttr.of(ActivationKind.CLAMP, lo, hi)


def _replace(rewriter: PatternRewriter, op: Operation, new: Operation) -> None:
    new.location = op.location
    rewriter.replace(op, new)


def _taken(start: int, step: int, count: int) -> tuple[int, int, int]:
    """The slice (start, end, step) of `count` elements."""
    last = start + (count - 1) * step
    return start, last + (1 if step > 0 else -1), step


def _concat_parts(value: SSAValue, outer: ConcatOp) -> list[SSAValue]:
    inner = value.owner
    if isinstance(inner, ConcatOp) and inner.axis == outer.axis and value.has_one_use():
        return list(inner.inputs)
    return [value]


PATTERNS.update(
    {
        ReshapeOp: (ReshapeOfReshape(),),
        TransposeOp: (TransposeOfTranspose(),),
        PadOp: (PadOfPad(),),
        SliceOp: (SliceOfSlice(),),
        ConcatOp: (ConcatOfConcat(), ConcatOfSlices()),
        ReduceOp: (ReduceOfUnits(),),
        ActivationOp: (ClampOfClamp(), RoundingOfRounded()),
    }
)
