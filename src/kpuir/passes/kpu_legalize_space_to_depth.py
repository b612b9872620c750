"""`kpu-legalize-space-to-depth`: pixels become channels inside of KPU RAM.

Before: `ktensor.space_to_depth` of a map that the KPU has made, or of an input that the KPU reads. After: those of
block size 2 (or 4, in two steps) are layers with a kernel of zeros and ones for each phase, whose pool code keeps every
second pixel: output channel (c, i, j) is the pixel i down and j right of the one that is kept.

    %y = ktensor.space_to_depth %x {block_size = 2 : i64}
      =>
    %y = kpu.conv2d %x, %ones, %zero {kpu.moves, pool = #kpu.pool<left_top_2_s2>}    // 3x3, C -> 4 C channels

One layer costs C * 4 C passes over the lines, so the map is cut into slices of channels that begin at a line, a layer
for each, as many as are cheapest; their results lie one behind the other, which is the order of mode crd. In mode dcr
the phases are layers of their own. Others, and those of maps the CPU has, stay and are done by the CPU.

Sources: `kpu-hardware.md` 2 (slices and concats are addresses), 7 (pool codes), 10 (times).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates, residency
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes.moving import insert, mover
from kpuir.target import k210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 2
_PHASES = _BLOCK * _BLOCK


@dataclass(frozen=True)
class Sorting:
    """How a map is sorted by blocks of 2x2: in slices of `width` channels, all phases at once or one at a time."""

    width: int
    at_once: bool
    milliseconds: float

    @staticmethod
    def plan(shape: tuple[int, ...], *, keeps_phases: bool) -> "Sorting | k210.Verdict":
        """The cheapest way, or the rule that forbids it; `keeps_phases` where channels are wanted phase by phase."""
        _, channels, height, width = shape
        verdict = k210.layer_rules(channels, height, width, channels, 3, pool=k210.PoolKind.LEFT_TOP_2_S2)
        if not verdict.ok:
            return verdict
        before, after = (k210.row_layout(size).channels_per_line for size in (width, width // _BLOCK))
        found: list[Sorting] = []
        for wide in range(before, channels + before, before):
            at_once = not keeps_phases or wide >= channels
            if not at_once and (channels % wide or wide % after):
                continue
            wide = min(wide, channels)
            outputs, layers = (wide * _PHASES, 1) if at_once else (wide, _PHASES)
            if k210.layer_rules(wide, height, width, outputs, 3, pool=k210.PoolKind.LEFT_TOP_2_S2).ok:
                count = layers * -(-channels // wide)
                found.append(Sorting(wide, at_once, estimates.layer((1, wide, height, width), outputs, 3, count=count)))
        if not found:
            return k210.channel_rule(channels, channels * _PHASES)
        return min(found, key=lambda one: one.milliseconds)


def sorting_milliseconds(shape: tuple[int, ...], blocks: tuple[int, ...]) -> float | None:
    """What it takes to sort a map in mode crd by one block after the other; None where the KPU cannot."""
    total = 0.0
    for block in blocks:
        plan = Sorting.plan(shape, keeps_phases=False) if block == _BLOCK else None
        if not isinstance(plan, Sorting):
            return None
        total += plan.milliseconds
        shape = (shape[0], shape[1] * _PHASES, shape[2] // _BLOCK, shape[3] // _BLOCK)
    return total


def phase_kernels(channels: int, phases: Sequence[int], *, phase_first: bool) -> "NDArray[np.float32]":
    """The weight [channels * phases, channels, 3, 3] that brings phases of 2x2 pixels to the one on top and left."""
    import numpy as np

    weight = np.zeros((channels, len(phases), channels, 3, 3), np.float32)
    every = np.arange(channels)
    for place, phase in enumerate(phases):
        weight[every, place, every, 1 + phase // _BLOCK, 1 + phase % _BLOCK] = 1
    return (weight.swapaxes(0, 1) if phase_first else weight).reshape(-1, channels, 3, 3)


def _on_kpu(value: SSAValue) -> bool:
    """Whether the KPU makes a map, apart from functions that its layers will take in."""
    owner = value.owner
    if isinstance(owner, ktensor.ActivationOp):
        return _on_kpu(owner.input)
    return isinstance(owner, Operation) and owner.name.startswith("kpu.")


class LegalizeSpaceToDepth(RewritePattern):
    """space_to_depth of a map of the KPU becomes layers that pick pixels."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.SpaceToDepthOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one space_to_depth, or record the rule it breaks."""
        is_input = isinstance(op.input.owner, Block) and residency.feeds_kpu(op.output)
        if kpu.REASON in op.attributes or not (is_input or _on_kpu(op.input)):
            return
        block, phases_first = op.block_size.value.data, op.mode.data == ktensor.DepthMode.DCR
        if block != _BLOCK:
            op.attributes[kpu.REASON] = StringAttr(f"blocks of {block}x{block}; the KPU picks one pixel of 2x2")
            return
        plan = Sorting.plan(ktensor.shape_of(op.input), keeps_phases=phases_first)
        if not isinstance(plan, Sorting):
            op.attributes[kpu.REASON] = StringAttr(plan.reason)
            return
        rewriter.replace(op, [], [_sorted(rewriter, op.input, plan, phases_first)])


def _sorted(rewriter: PatternRewriter, value: SSAValue, plan: Sorting, phases_first: bool) -> SSAValue:
    """Insert the layers of a plan and the concat of their results."""
    channels = ktensor.shape_of(value)[1]
    begins = range(0, channels, plan.width)
    slices = [value]
    if len(begins) > 1:
        widths = [min(plan.width, channels - begin) for begin in begins]
        slices = [
            insert(rewriter, kpu.ChannelSliceOp(value, begin, width))
            for begin, width in zip(begins, widths, strict=True)
        ]
    every = list(range(_PHASES))
    results = [
        mover(
            rewriter,
            part,
            phase_kernels(ktensor.shape_of(part)[1], phases, phase_first=phases_first),
            pool=kpu.PoolKind.LEFT_TOP_2_S2,
        )
        for phases in ([every] if plan.at_once else [[phase] for phase in every])
        for part in slices
    ]
    return results[0] if len(results) == 1 else insert(rewriter, kpu.ConcatOp(results))


@dataclass(frozen=True)
class KpuLegalizeSpaceToDepthPass(ModulePass):
    """Turn space_to_depth of the KPU's maps into layers that pick pixels."""

    name = "kpu-legalize-space-to-depth"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, LegalizeSpaceToDepth())
