"""`ktensor-lower-average-pools`: means of up to 3x3 pixels are depthwise convolutions.

Before: a module at ktensor level. After: each `ktensor.average_pool2d` of up to 3x3 pixels that no pool code of the KPU
does is a depthwise `ktensor.conv2d` of the same window, strides and pads, whose weights are all the same, if
convolutions make what it reads or read what it makes. Those over whole maps are left to `kpu-legalize-global-pools`;
those with padding that does not count stay: their borders would need other weights than the rest.

    %y = ktensor.average_pool2d %x {kernel_shape = array<i64: 3, 3>, strides = array<i64: 2, 2>}       // 8 channels
      =>
    %w = ktensor.constant dense<0.111111112> : tensor<8x1x3x3xf32>
    %y = ktensor.conv2d %x, %w {strides = array<i64: 2, 2>, groups = 8 : i64}

A depthwise layer costs one pass over the map (`kpu-hardware.md` 10.2), less than its way to the CPU.
"""

import math
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes.kpu_fuse_pools import pool_code
from kpuir.target import k210

_LAYERS = (ktensor.Conv2dOp, ktensor.Conv2dTransposeOp)
_BETWEEN = (ktensor.ActivationOp, ktensor.MaxPool2dOp, ktensor.AveragePool2dOp, ktensor.BinaryOp, ktensor.ConcatOp)


def _is_made_by_layers(value: SSAValue) -> bool:
    """Whether a convolution makes a value, or what it is made of by something that may join a layer."""
    owner = value.owner
    return isinstance(owner, _LAYERS) or (
        isinstance(owner, _BETWEEN) and any(_is_made_by_layers(operand) for operand in owner.operands)
    )


def _is_read_by_layers(value: SSAValue) -> bool:
    users: list[Operation] = [use.operation for use in value.uses]
    return any(
        isinstance(user, _LAYERS) or (isinstance(user, _BETWEEN) and _is_read_by_layers(user.results[0]))
        for user in users
    )


class LowerAveragePool(RewritePattern):
    """A mean becomes a depthwise convolution."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.AveragePool2dOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one mean."""
        import numpy as np

        if kpu.REASON in op.attributes:
            return
        _, channels, height, width = ktensor.shape_of(op.input)
        window = op.kernel_shape.get_values()
        if max(window) > max(k210.K210.KERNEL_SIZES) or isinstance(pool_code(op), kpu.PoolKind):
            return
        if tuple(window) == (height, width) or (any(op.pads.get_values()) and not op.counts_padding):
            return
        small = k210.K210.MIN_HEIGHT, k210.K210.MIN_WIDTH
        size = max(height, small[0]), max(width, small[1])
        if not k210.layer_rules(channels, *size, channels, 3, depthwise=True).ok:
            return
        if not (_is_made_by_layers(op.input) or _is_read_by_layers(op.output)):
            return
        weight = np.full((channels, 1, *window), 1 / math.prod(window), np.float32)
        constant = ktensor.ConstantOp(weight)
        strides, pads = op.strides.get_values(), op.pads.get_values()
        rewriter.replace(
            op, (constant, ktensor.Conv2dOp(op.input, constant, strides=strides, pads=pads, groups=channels))
        )


@dataclass(frozen=True)
class KTensorLowerAveragePoolsPass(ModulePass):
    """Turn means of up to 3x3 pixels into depthwise convolutions."""

    name = "ktensor-lower-average-pools"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, LowerAveragePool(), recursive=False)
