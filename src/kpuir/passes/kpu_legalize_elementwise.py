"""`kpu-legalize-elementwise`: functions, scales and shifts that stand alone become layers of one tap for each channel.

Before: scalar functions (`ktensor.activation`, `ktensor.unary`, `ktensor.binary` with one number) and scales and shifts
of channels (`ktensor.binary` with a constant [C, 1, 1]) on maps that the KPU makes or reads, where no convolution could
take them in. After:

* a scale or shift next to a linear convolution is in its weights and bias; in front of one a scale always, a shift
  only where no padding would see it;
* a function behind a concat of convolutions is in front of the concat, that is, in the convolutions;
* any other is a depthwise 1x1 `kpu.conv2d`: a scale is its weight, a shift its bias, functions are its activation. A
  chain becomes one layer: a scale, a shift, then functions.

    %y = ktensor.activation<sigmoid> %x                           // %x has other uses too
      =>
    %y = kpu.conv2d %x, %one, %zero {depthwise = true, activation = [#ktensor.activation<sigmoid>]}

A depthwise layer takes some 2 cycles a line, the cheapest the engine has; a way through main RAM takes 150 ns a byte.
Which is done is estimated, and `elementwise=kpu|cpu` decides otherwise. What stays has `kpu.reason`.

Sources: `kpu-hardware.md` 6.3, 8.3, 10; lowering-facts.md 7, 9.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates, residency
from kpuir.analysis.functions import channel_affine, scalar_function
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes import moving
from kpuir.passes.kpu_fuse_activations import FuseActivation, HoistActivation
from kpuir.passes.layers import constants_of, depthwise, is_linear, replace_conv
from kpuir.target import k210
from kpuir.target.k210 import CpuCosts

Choice: TypeAlias = Literal["auto", "kpu", "cpu"]

_CHEAP = ("relu", "relu6", "clamp", "abs", "neg", "square", "add", "sub", "rsub", "mul", "min", "max", "leaky_relu")


class FoldAffineAfter(RewritePattern):
    """A linear convolution takes in the scale or shift behind it."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.BinaryOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one scale or shift."""
        affine = channel_affine(op)
        conv = affine.input.owner if affine is not None else None
        if affine is None or not isinstance(conv, kpu.Conv2dOp) or not is_linear(conv):
            return
        constants = constants_of(conv)
        if constants is None or not affine.input.has_one_use():
            return
        weight, bias = constants
        weight, bias = weight * affine.scale[:, None, None, None], bias * affine.scale + affine.shift
        replace_conv(rewriter, op, conv, conv.input, weight, bias, op)


class FoldAffineBefore(RewritePattern):
    """A convolution takes in the scale of its input, and if it is 1x1 the shift."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one convolution."""
        before, constants = op.input.owner, constants_of(op)
        if not isinstance(before, ktensor.BinaryOp) or constants is None or not op.input.has_one_use():
            return
        affine = channel_affine(before)
        if affine is None or (affine.shift.any() and op.kernel_size != 1):
            return
        weight, bias = constants
        if op.is_depthwise:
            bias = bias + weight[:, 0, 0, 0] * affine.shift if affine.shift.any() else bias
            weight = weight * affine.scale[:, None, None, None]
        else:
            bias = bias + weight[:, :, 0, 0] @ affine.shift if affine.shift.any() else bias
            weight = weight * affine.scale[None, :, None, None]
        replace_conv(rewriter, op, op, affine.input, weight, bias, before)


class HoistThroughConcat(RewritePattern):
    """f(concat(a, b)) is concat(f(a), f(b)), where convolutions make a and b for nothing else."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite a scalar function behind a concat of convolutions."""
        found = scalar_function(op)
        concat = found[0].owner if found is not None else None
        if found is None or not isinstance(concat, ktensor.ConcatOp) or not found[0].has_one_use():
            return
        if not all(
            isinstance(value.owner, kpu.Conv2dOp)
            and value.owner.pool_kind == kpu.PoolKind.BYPASS
            and value.has_one_use()
            for value in concat.inputs
        ):
            return
        parts = [moving.insert(rewriter, ktensor.ActivationOp(value, found[1])) for value in concat.inputs]
        rewriter.replace(op, ktensor.ConcatOp(parts, concat.axis.value.data))
        rewriter.erase(concat)


@dataclass(frozen=True)
class MakeLayer(RewritePattern):
    """A function, scale or shift becomes a depthwise layer, where the KPU is the better place."""

    choice: Choice

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one operation, or record why it stays."""
        import numpy as np

        affine, function = channel_affine(op), scalar_function(op)
        source = affine.input if affine is not None else function[0] if function is not None else None
        if function is not None and function[1].quantized is not None:  # no function: how bytes are made
            return
        if source is None or kpu.REASON in op.attributes or not residency.is_map(source):
            return
        if not (residency.on_kpu(source) or residency.feeds_kpu(op.results[0])):
            return
        reason = _refusal(op, source, self.choice)
        if reason is not None:
            op.attributes[kpu.REASON] = StringAttr(reason)
            return
        channels = ktensor.shape_of(source)[1]
        if affine is not None:
            scale, shift, activation = affine.scale, affine.shift, ()
        else:
            scale, shift, activation = np.ones(channels), np.zeros(channels), function[1:] if function else ()
        rewriter.replace(op, [], [depthwise(rewriter, source, scale, shift, activation)])


def _chain(op: Operation) -> list[Operation]:
    """`op` and the element-wise operations behind it, each the only use of the one before."""
    chain = [op]
    while chain[-1].results[0].has_one_use():
        user = next(iter(chain[-1].results[0].uses)).operation
        if not residency.is_elementwise(user):
            break
        chain.append(user)
    return chain


def _refusal(op: Operation, source: SSAValue, choice: Choice) -> str | None:
    """Why a chain of functions that begins with `op` is left to the CPU, None if it is not."""
    if choice != "auto":
        return None if choice == "kpu" else "elementwise=cpu was asked for"
    chain, shape = _chain(op), ktensor.shape_of(source)
    result = chain[-1].results[0]
    room = k210.band_rule(shape, shape)
    if not room.ok:
        return room.reason
    ours = estimates.layer(shape, shape[1], depthwise=True) + residency.kpu_transfers([source], result)
    theirs = sum(_cpu_milliseconds(one) for one in chain) + residency.cpu_transfers([source], result)
    return estimates.slower_on_kpu(ours, theirs)


def _cpu_milliseconds(op: Operation) -> float:
    function = scalar_function(op)
    cheap = function is None or function[1].kind.value in _CHEAP
    return estimates.elements(ktensor.shape_of(op.results[0]), CpuCosts.ELEMENT if cheap else CpuCosts.TRANSCENDENTAL)


@dataclass(frozen=True)
class KpuLegalizeElementwisePass(ModulePass):
    """Make layers of functions, scales and shifts that stand alone; `elementwise`: where they run."""

    name = "kpu-legalize-elementwise"
    elementwise: Choice = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        fold = (FoldAffineAfter(), FoldAffineBefore(), FuseActivation(), HoistActivation(), HoistThroughConcat())
        rewrite(op, *fold)
        rewrite(op, *fold, MakeLayer(self.elementwise))
