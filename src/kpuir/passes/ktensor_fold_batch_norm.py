"""`ktensor-fold-batch-norm`: scales and shifts of channels disappear into the weights of their neighbour.

Before: convolutions (of both directions) and matrix products with constant weights, with chains of add, sub, mul and
div by constants around them: one number, or one for each channel ([1, C, 1, 1], [C, 1, 1]; for a product [N]).
After: the chains behind them are gone, and those before them as far as that is exact: scaling always, shifting where
no padding would see it. Only operations with a single use are folded. Computed in double precision.

    %y = ktensor.conv2d %x, %w bias %b
    %z = ktensor.binary<mul> %y, %scale
      =>
    %z = ktensor.conv2d %x, %scaled_w bias %scaled_b

A batch normalization is such a mul and add for any mean and variance. Unlike a table of the KPU's, a channel that is
scaled by a negative number or by zero needs no care here.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from xdsl.context import Context
from xdsl.dialects.builtin import AnyFloat, ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis.functions import channel_affine
from kpuir.dialects import ktensor
from kpuir.ir.arrays import dtype_of
from kpuir.ir.locations import fused, layer_name
from kpuir.ir.rewriting import rewrite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Doubles: TypeAlias = NDArray[np.float64]

LinearOp: TypeAlias = ktensor.Conv2dOp | ktensor.Conv2dTransposeOp | ktensor.MatmulOp


class FoldAfter(RewritePattern):
    """linear then affine becomes linear."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.BinaryOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one scale or shift behind a convolution or product."""
        import numpy as np

        for value in (op.lhs, op.rhs):
            linear = value.owner
            if not isinstance(linear, LinearOp) or not value.has_one_use():
                continue
            affine = channel_affine(op, _channel_axis(linear))
            parts = _weight_and_bias(linear)
            if affine is None or affine.input is not value or parts is None:
                continue
            weight, bias = parts
            weight, bias = _scale_outputs(linear, weight, affine.scale), bias * affine.scale + affine.shift
            if np.isfinite(weight).all() and np.isfinite(bias).all():
                _replace(rewriter, op, linear, linear.operands[0], weight, bias, op)
                return


class FoldBefore(RewritePattern):
    """affine then linear becomes linear, where that is exact."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one convolution or product whose input is scaled or shifted."""
        import numpy as np

        if not isinstance(op, LinearOp):
            return
        source = op.operands[0]
        before = source.owner
        if not isinstance(before, ktensor.BinaryOp) or not source.has_one_use():
            return
        affine = channel_affine(before, _channel_axis(op))
        parts = _weight_and_bias(op)
        if affine is None or parts is None or (affine.shift.any() and not _may_shift_inputs(op)):
            return
        weight, bias = parts
        if affine.shift.any():
            bias = bias + _shifted_outputs(op, weight, affine.shift)
        weight = _scale_inputs(op, weight, affine.scale)
        if np.isfinite(weight).all() and np.isfinite(bias).all():
            _replace(rewriter, op, op, affine.input, weight, bias, before)


def _channel_axis(op: LinearOp) -> int:
    """Where the channels of input and output are."""
    return -1 if isinstance(op, ktensor.MatmulOp) else -3


def _weight_and_bias(op: LinearOp) -> "tuple[Doubles, Doubles] | None":
    """The constant weight and bias (zeros where there is none) of an operation on floats, else None."""
    import numpy as np

    weight = ktensor.constant_of(op.operands[1])
    bias = None if op.bias is None else ktensor.constant_of(op.bias)
    if weight is None or (op.bias is not None and bias is None):
        return None
    if not isinstance(ktensor.element_of(op.output), AnyFloat):
        return None
    channels = ktensor.shape_of(op.output)[_channel_axis(op)]
    return weight.astype(np.float64), np.zeros(channels) if bias is None else bias.astype(np.float64)


def _scale_outputs(op: LinearOp, weight: "Doubles", scale: "Doubles") -> "Doubles":
    """The weight that gives each output channel times its scale."""
    if isinstance(op, ktensor.MatmulOp):
        return weight * scale
    if isinstance(op, ktensor.Conv2dOp):
        return weight * scale[:, None, None, None]
    groups = op.group_count
    grouped = weight.reshape(groups, -1, *weight.shape[1:]) * scale.reshape(groups, 1, -1, 1, 1)
    return grouped.reshape(weight.shape)


def _scale_inputs(op: LinearOp, weight: "Doubles", scale: "Doubles") -> "Doubles":
    """The weight that takes input channels not yet scaled."""
    if isinstance(op, ktensor.MatmulOp):
        return weight * scale[:, None]
    if isinstance(op, ktensor.Conv2dTransposeOp):
        return weight * scale[:, None, None, None]
    return _by_input_channel(op, weight, scale)


def _by_input_channel(op: ktensor.Conv2dOp, weight: "Doubles", values: "Doubles") -> "Doubles":
    """Weight [OC, IC / groups, KH, KW] times the number of the input channel it is for."""
    groups = op.group_count
    grouped = weight.reshape(groups, -1, *weight.shape[1:]) * values.reshape(groups, 1, -1, 1, 1)
    return grouped.reshape(weight.shape)


def _may_shift_inputs(op: LinearOp) -> bool:
    """Whether every output sees its inputs through the whole kernel: no padding, no border of a transposed one."""
    if isinstance(op, ktensor.MatmulOp):
        return len(ktensor.shape_of(op.rhs)) == 2
    return isinstance(op, ktensor.Conv2dOp) and not any(op.pads.get_values())


def _shifted_outputs(op: LinearOp, weight: "Doubles", shift: "Doubles") -> "Doubles":
    """What a shift of the input channels adds to each output channel."""
    if isinstance(op, ktensor.MatmulOp):
        return shift @ weight
    assert isinstance(op, ktensor.Conv2dOp)
    return _by_input_channel(op, weight, shift).sum(axis=(1, 2, 3))


def _replace(
    rewriter: PatternRewriter,
    op: Operation,
    linear: LinearOp,
    source: SSAValue,
    weight: "Doubles",
    bias: "Doubles",
    other: Operation,
) -> None:
    """Put `linear` with another input, weight and bias in the place of `op`; `other` is what it takes in."""
    dtype = dtype_of(ktensor.element_of(linear.output))
    constants = [ktensor.ConstantOp(weight.astype(dtype))]
    if linear.bias is not None or bias.any():
        constants.append(ktensor.ConstantOp(bias.astype(dtype)))
    new = type(linear).build(
        operands=[source, constants[0], constants[1:]],
        properties=dict(linear.properties),
        result_types=[linear.output.type],
    )
    for constant in constants:
        constant.location = linear.location
    is_named = layer_name(other) in layer_name(linear).split("+")  # the mul and the add of one normalization
    new.location = linear.location if is_named else fused(linear.location, other.location)
    rewriter.replace(op, [*constants, new])


@dataclass(frozen=True)
class KTensorFoldBatchNormPass(ModulePass):
    """Fold scales and shifts of channels into the weights and biases of convolutions and matrix products."""

    name = "ktensor-fold-batch-norm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Fold everywhere in the module: first what follows a convolution, then what is left before one."""
        rewrite(op, FoldAfter())
        rewrite(op, FoldBefore())
