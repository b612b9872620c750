"""`kpu-legalize-kernels`: convolutions with kernels larger than 3x3, and dilated ones, become ones the KPU has.

Before: `ktensor.conv2d` of any kernel, dilation, padding and stride, with one group or depthwise. After: those the KPU
can do have kernels of at most 3x3 and no dilation; the others carry the reason as the attribute `kpu.reason`. Smaller
kernels too take such a form where that is faster than padding more than the KPU does itself (a causal convolution),
above all if rows so become longer than their lines: that is a way through main RAM.

* Shifted copies: layers with a single 1 in their kernels make copies of the input moved by some rows and columns, which
  are more input channels of a 3x3 convolution (`kpuir.passes.shifting`). Exact.
* A depthwise convolution so would no longer be one. Either it becomes a dense one, for a few channels at a time, or the
  sum of depthwise ones, each on a copy, added by a 1x1 convolution; each of these partial sums is rounded to a byte.
  With blocks of channels as images, copies and sums are the same few weights for all (`kpuir.passes.block_images`).
* One of stride 2 whose map is too large for the KPU becomes one of stride 1 on the phases of the map as channels
  (`kpuir.passes.phase_channels`), which the CPU sorts out.
* A dilated one becomes an ordinary one on the phases of the map as images of their own (`kpu.space_to_batch`), which
  the CPU sorts out.

    %y = ktensor.conv2d %x, %w {pads = array<i64: 0, 2, 0, 2>}                              // 1x5
      =>
    %l = kpu.conv2d %x, %right, %zero {depthwise = true, kpu.moves}                         // x(y - 1)
    %r = kpu.conv2d %x, %left, %zero {depthwise = true, kpu.moves}                          // x(y + 1)
    %c = kpu.concat %l, %x, %r
    %y = ktensor.conv2d %c, %v {pads = array<i64: 1, 1, 1, 1>}

What takes least time by `kpuir.analysis.estimates` is chosen, of what is about as fast the smallest.

Sources: lowering-facts.md 4, 9.1; `kpu-hardware.md` 10; `kmodel-v4.md` 9.3.
"""

from dataclasses import dataclass
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes import block_images, copies, phase_channels, phase_images, splitting
from kpuir.passes.axes import Axis
from kpuir.passes.convert_ktensor_to_kpu import embed_kernel
from kpuir.passes.forms import Form, Request
from kpuir.passes.moving import insert
from kpuir.passes.splitting import dense_weight, parts
from kpuir.target import k210

Dilation = Literal["auto", "copies", "space-to-batch"]
Depthwise = Literal["auto", "sum", "dense", "images"]


def _is_large(op: ktensor.Conv2dOp) -> bool:
    """Whether the kernel, with its dilation, covers more than 3x3."""
    extents = [(k - 1) * d + 1 for k, d in zip(op.kernel_shape, op.dilations.get_values(), strict=True)]
    return max(extents) > 3 or any(d > 1 < k for k, d in zip(op.kernel_shape, op.dilations.get_values(), strict=True))


def _milliseconds_padded(request: Request) -> float | None:
    """What a small kernel takes with padding in front or to longer lines; None where it needs no such padding.

    What maps below 4x4 are padded by costs nothing: neighbours are padded likewise (`kpu-cancel-crops`).
    """
    if request.depthwise or max(request.dilations) > 1 or max(request.strides) > 1:
        return None
    kernel, pads = embed_kernel(request.weight, request.pads)
    given, size = request.shape[2:], kernel.shape[2]
    axes = [Axis.plan(given[axis], size, pads[axis], pads[2 + axis], 1) for axis in (0, 1)]
    padded, wanted = ([getattr(axis, name) for axis in axes] for name in ("padded", "last"))
    in_front = any(axis.pad_low for axis in axes) or not k210.same_lines(given[1], padded[1])
    if not in_front or not k210.input_size_rule(*padded).ok:
        return None
    sources = [max(side, k210.K210.MIN_HEIGHT) for side in given]
    results = [max(last + 1 - axis.begin, k210.K210.MIN_HEIGHT) for last, axis in zip(wanted, axes, strict=True)]
    pads, crops = (
        (*before, *(max(all_ - some - first, 0) for all_, some, first in zip(padded, sizes, before, strict=True)))
        for sizes, before in ((sources, [a.pad_low for a in axes]), (results, [a.begin for a in axes]))
    )
    before, behind = (1, request.channels, *padded), (1, request.outputs, *padded)
    return (
        (estimates.border((1, request.channels, *sources), before, pads) if any(pads) else 0.0)
        + splitting.cost(before, request.outputs, size).milliseconds
        + (estimates.border(behind, (1, request.outputs, *results), crops) if any(crops) else 0.0)
    )


def _request(op: ktensor.Conv2dOp) -> Request | str:
    """The convolution in numbers, or why the KPU cannot do it."""
    import numpy as np

    weight = ktensor.constant_of(op.weight)
    bias = np.zeros(ktensor.shape_of(op.weight)[0], np.float32) if op.bias is None else ktensor.constant_of(op.bias)
    if weight is None or bias is None:
        return "the weights are computed by the model; the KPU needs constants"
    shape = ktensor.shape_of(op.input)
    if shape[0] != 1:
        return f"a batch of {shape[0]} images; only 1 is supported on the KPU"
    if op.group_count > 1 and not op.is_depthwise:
        weight = dense_weight(weight, op.group_count)
    pads, strides, dilations = (tuple(numbers.get_values()) for numbers in (op.pads, op.strides, op.dilations))
    return Request(shape, weight, bias, pads, strides, dilations, op.is_depthwise and op.group_count > 1)


@dataclass(frozen=True)
class LegalizeKernel(RewritePattern):
    """One convolution whose kernel covers more than 3x3."""

    dilation: Dilation
    depthwise: Depthwise

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite it in the form that takes least time, or record why there is none."""
        if kpu.REASON in op.attributes:
            return
        request = _request(op)
        if not _is_large(op):
            self._replace_small(op, request, rewriter)
            return
        if isinstance(request, str):
            op.attributes[kpu.REASON] = StringAttr(request)
            return
        forms = [*copies.forms(request), *block_images.forms(request), *phase_images.forms(request)]
        forms = forms or [*copies.forms(request, in_bands=True), *phase_channels.forms(request)]
        if not forms:
            op.attributes[kpu.REASON] = StringAttr(_reason(request))
            return
        asked_for = [form for form in forms if self._asked_for(form)]
        best = estimates.best(asked_for or forms, lambda form: form.cost)
        rewriter.replace(op, [], [best.build(rewriter, op.input)])

    def _replace_small(self, op: ktensor.Conv2dOp, request: Request | str, rewriter: PatternRewriter) -> None:
        """Rewrite a convolution with a small kernel, if that is faster than its padding, or its map is too wide."""
        if not isinstance(request, str) and request.shape[3] > k210.K210.MAX_WIDTH:
            for form in phase_channels.forms(request):
                rewriter.replace(op, [], [form.build(rewriter, op.input)])
            return
        plain = None if isinstance(request, str) else _milliseconds_padded(request)
        if isinstance(request, str) or plain is None:
            return
        faster = [form for form in copies.forms(request) if form.cost.milliseconds < plain]
        if faster:
            rewriter.replace(op, [], [estimates.best(faster, lambda form: form.cost).build(rewriter, op.input)])

    def _asked_for(self, form: Form) -> bool:
        """Whether the options allow a form."""
        if self.dilation != "auto" and (form.name == "space-to-batch") != (self.dilation == "space-to-batch"):
            return False
        return self.depthwise == "auto" or not form.name.startswith("depthwise") or form.name.endswith(self.depthwise)


class SplitDepthwise(RewritePattern):
    """A depthwise convolution with a large kernel, of more channels than a layer has: one for some channels each."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one."""
        channels = op.group_count
        weight = ktensor.constant_of(op.weight)
        bias = ktensor.constant_of(op.bias) if op.bias is not None else None
        wide = op.is_depthwise and channels > k210.K210.MAX_CHANNELS and _is_large(op)
        if kpu.REASON in op.attributes or not wide or weight is None or (op.bias is not None and bias is None):
            return
        settings = {name: getattr(op, name).get_values() for name in ("pads", "strides", "dilations")}
        results: list[SSAValue] = []
        for first, count in parts(channels, k210.K210.MAX_CHANNELS):
            arrays = [array[first : first + count] for array in (weight, bias) if array is not None]
            constants = [insert(rewriter, ktensor.ConstantOp(array)) for array in arrays]
            source = insert(rewriter, kpu.ChannelSliceOp(op.input, first, count))
            conv = ktensor.Conv2dOp(source, *constants, groups=count, **settings)
            results.append(insert(rewriter, conv))
        rewriter.replace(op, kpu.ConcatOp(results))


def _reason(request: Request) -> str:
    """The rule that keeps a convolution from the KPU in any form."""
    kernel = "x".join(str((k - 1) * d + 1) for k, d in zip(request.weight.shape[2:], request.dilations, strict=True))
    height, width = (max(size, k210.K210.MIN_HEIGHT) for size in request.shape[2:])
    size = k210.input_size_rule(height, width)
    if not size.ok:
        return size.reason
    channels = k210.channel_rule(request.channels, 1)
    if not channels.ok:
        return f"the kernel covers {kernel}, and {channels.reason}"
    return f"the kernel covers {kernel}; shifted copies of the input, for kernels of 3x3, do not fit KPU RAM"


@dataclass(frozen=True)
class KpuLegalizeKernelsPass(ModulePass):
    """Make large and dilated kernels 3x3 ones, on shifted copies or on phases of the map.

    `dilation`: what becomes of dilated convolutions, `depthwise`: of depthwise ones; "auto" takes what is faster, or
    smaller where that is about as fast. A
    form that is not possible is replaced by another.
    """

    name = "kpu-legalize-kernels"

    dilation: Dilation = "auto"
    depthwise: Depthwise = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, SplitDepthwise(), LegalizeKernel(self.dilation, self.depthwise))
