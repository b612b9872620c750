"""`ktensor-fuse-pads`: padding is done by the convolution or pooling behind it.

Before: any module at ktensor level. After: a `ktensor.pad` of height and width is gone where its user pads just so:

- conv2d: the pad's value is 0;
- average_pool2d: the value is 0 and padding counts as elements, or the pool had no padding of its own;
- max_pool2d (not dilated): the value is no larger than any value of the input, so that it never wins.

Poolings only where the padding is still smaller than their window.

    %p = ktensor.pad %x {low = array<i64: 0, 0, 1, 1>, high = array<i64: 0, 0, 1, 1>}
    %y = ktensor.conv2d %p, %w
      =>
    %y = ktensor.conv2d %x, %w {pads = array<i64: 1, 1, 1, 1>}
"""

from dataclasses import dataclass
from typing import TypeAlias

from xdsl.context import Context
from xdsl.dialects.builtin import AnyFloat, BoolAttr, ModuleOp
from xdsl.ir import Attribute, Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern

from kpuir.analysis.bounds import lower_bound
from kpuir.dialects import ktensor
from kpuir.ir.rewriting import rewrite

WindowOp: TypeAlias = ktensor.Conv2dOp | ktensor.AveragePool2dOp | ktensor.MaxPool2dOp


class FusePads(RewritePattern):
    """pad then a window op becomes the window op with larger pads."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one convolution or pooling."""
        if not isinstance(op, WindowOp):
            return
        pad = op.input.owner
        if not isinstance(pad, ktensor.PadOp) or not isinstance(ktensor.element_of(pad.input), AnyFloat):
            return
        pads = _sum_of_pads(op, pad)
        if pads is None:
            return
        changed = _changed_properties(op, pad, pads)
        if changed is None:
            return
        changed = {"pads": ktensor.int_array(pads), **changed}  # last: their place in the text is that of no default
        kept = {name: value for name, value in op.properties.items() if name not in changed}
        new = type(op).build(
            operands=[pad.input, *([op.weight, op.bias] if isinstance(op, ktensor.Conv2dOp) else [])],
            properties={**kept, **changed},
            result_types=[op.output.type],
        )
        new.location = op.location
        rewriter.replace(op, new)


def _sum_of_pads(op: WindowOp, pad: ktensor.PadOp) -> tuple[int, int, int, int] | None:
    """The pads of both, if the pad leaves batch and channels alone."""
    low, high = pad.low.get_values(), pad.high.get_values()
    if any(low[:2]) or any(high[:2]):
        return None
    top, left, bottom, right = op.pads.get_values()
    return top + low[2], left + low[3], bottom + high[2], right + high[3]


def _changed_properties(
    op: WindowOp,
    pad: ktensor.PadOp,
    pads: tuple[int, int, int, int],
) -> dict[str, Attribute] | None:
    """What else has to change for the op to compute the same with these pads; None where it cannot."""
    if isinstance(op, ktensor.Conv2dOp):
        return {} if pad.pad_value == 0 else None
    kernel_h, kernel_w = op.kernel_shape.get_values()
    if max(pads[0::2]) >= kernel_h or max(pads[1::2]) >= kernel_w:
        return None
    if isinstance(op, ktensor.AveragePool2dOp):
        counts = op.counts_padding or not any(op.pads.get_values())
        return {"count_include_pad": BoolAttr.from_bool(True)} if pad.pad_value == 0 and counts else None
    plain = op.dilations.get_values() == (1, 1)
    return {} if plain and pad.pad_value <= lower_bound(pad.input) else None


@dataclass(frozen=True)
class KTensorFusePadsPass(ModulePass):
    """Let convolutions and poolings do the padding before them."""

    name = "ktensor-fuse-pads"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Fuse everywhere in the module."""
        rewrite(op, FusePads())
