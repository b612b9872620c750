"""`ktensor-sink-depth-to-space`: layers work on pixels sorted by phase, so that maps need not be interleaved.

Before: `ktensor.depth_to_space`, of the model or of its transposed convolutions, and nearest upsampling by a whole
factor, anywhere. After: they have moved towards the results, or are gone. The CPU does them, and between two layers of
the KPU that is a way through main RAM: 172 ns a byte, 45 ms for a map of 16x128x128, where a layer takes one.

* Functions of single elements, and of channels, move in front of them.
* A convolution of depth_to_space(x) is depth_to_space of a convolution of x, with s * s times the channels on both
  sides: a kernel for each pair of phases. It costs the KPU s * s times as much. At stride s nothing is left to
  interleave; behind a repetition of pixels the kernels of all input phases add up, and it costs no more than before.
* It may stand behind concats and sums as well: what in them is not sorted becomes so by `ktensor.space_to_depth`, which
  the KPU can do.
* Other sums, products ... of two maps are done before interleaving.
* Of a convolution's result, two interleavings become one at the end, and mode crd becomes dcr, one transpose of the CPU
  instead of two: the output channels change places. Until then the mode is crd, in which groups stay groups.

    %u = ktensor.depth_to_space %x {block_size = 2 : i64}
    %y = ktensor.conv2d %u, %w {pads = array<i64: 1, 1, 1, 1>}              // 8 -> 4 channels
      =>
    %p = ktensor.conv2d %x, %v {pads = array<i64: 1, 1, 1, 1>}              // 32 -> 16 channels, half the size
    %y = ktensor.depth_to_space %p {block_size = 2 : i64}

A convolution is sunk through if estimates say so, looking ahead to where the interleaving would end. `sink` forces it
where it is legal ("always") or leaves convolutions and sums alone ("never"). No kernel gets more than `weight_bytes`.
What stays in front of a layer has the reason as `kpu.reason`.

Sources: lowering-facts.md 5 (the idea), `kpu-hardware.md` 10 (costs).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes.kpu_legalize_space_to_depth import sorting_milliseconds
from kpuir.passes.ktensor_lower_transposed_convs import cut, interleaved
from kpuir.passes.moving import insert
from kpuir.passes.sinking import Outlook, Sunk, is_layer, readers_of, saved_milliseconds, unsunk_milliseconds
from kpuir.passes.sorting import Phases, channels_of, spread_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Sink = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class _Spread:
    """A map that is interleaved or repeated pixels of `source`, perhaps with some rows and columns cut off."""

    source: SSAValue
    spreads: ktensor.DepthToSpaceOp | ktensor.ResizeOp
    slices: ktensor.SliceOp | None

    @staticmethod
    def of(value: SSAValue) -> "_Spread | None":
        """What `value` is made of; None where others need it too."""
        owner = value.owner
        slices = owner if isinstance(owner, ktensor.SliceOp) else None
        spreads = spread_of(value if slices is None else slices.input)
        if spreads is None or (slices is not None and isinstance(spreads, ktensor.ResizeOp)):
            return None
        is_alone = value.has_one_use() and spreads.output.has_one_use()
        return _Spread(spreads.input, spreads, slices) if is_alone else None

    def again(self, rewriter: PatternRewriter, source: SSAValue) -> SSAValue:
        """The same of another source."""
        value = source
        for op in (self.spreads, self.slices):
            if op is not None:
                value = insert(rewriter, op.clone({op.input: value}))
        return value

    def numbers(self, constant: SSAValue) -> "NDArray[np.float32] | None":
        """A constant, one number or one for each channel of the map, for the channels [1, C, 1, 1] of the source."""
        import numpy as np

        array, channels = ktensor.constant_of(constant), ktensor.shape_of(self.spreads.output)[1]
        if array is None or (array.size > 1 and (array.ndim < 3 or array.shape[-3] != channels)):
            return None
        if array.size not in (1, channels) or (self.slices and ktensor.shape_of(self.slices.output)[1] != channels):
            return None
        numbers = np.zeros(ktensor.shape_of(self.source)[1], np.float32)
        if isinstance(self.spreads, ktensor.DepthToSpaceOp):
            numbers[channels_of(self.spreads)] = array.reshape(-1)
        else:
            numbers[:] = array.reshape(-1)
        return numbers.reshape(1, -1, 1, 1)


class SinkThroughFunction(RewritePattern):
    """A function of single elements, or of channels, goes in front of the interleaving."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Move one activation, prelu, or arithmetic with constants."""
        if isinstance(op, ktensor.ActivationOp):
            if (spread := _Spread.of(op.input)) is not None:
                value = insert(rewriter, ktensor.ActivationOp(spread.source, op.function))
                rewriter.replace(op, [], [spread.again(rewriter, value)])
        elif isinstance(op, ktensor.PReluOp | ktensor.BinaryOp):
            for side, other in ((0, 1), (1, 0)) if isinstance(op, ktensor.BinaryOp) else ((0, 1),):
                spread = _Spread.of(op.operands[side])
                numbers = None if spread is None else spread.numbers(op.operands[other])
                if spread is None or numbers is None or op.operands[side].type != op.output.type:
                    continue
                constant = insert(rewriter, ktensor.ConstantOp(numbers))
                left, right = (spread.source, constant) if side == 0 else (constant, spread.source)
                is_prelu = isinstance(op, ktensor.PReluOp)
                moved = ktensor.PReluOp(left, right) if is_prelu else ktensor.BinaryOp(op.kind.data, left, right)
                rewriter.replace(op, [], [spread.again(rewriter, insert(rewriter, moved))])
                return


@dataclass(frozen=True)
class OrderChannels(RewritePattern):
    """The convolution behind an interleaving gives its channels in the order of mode crd.

    `deep`: two interleavings, one of the other, become one of larger blocks.
    """

    deep: bool

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.DepthToSpaceOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite what is interleaved in another order, or twice."""
        phases = Phases.of(op.output, deep=self.deep)
        if phases is None or len(phases.parts) != 1 or not all(leaf.has_one_use() for leaf in phases.leaves[:-1]):
            return
        (part,) = phases.parts
        order, single = part.channels.T.reshape(-1), len(phases.leaves) == 1
        if len(order) != part.count or (single and op.mode.data == ktensor.DepthMode.CRD):
            return
        value = reordered(rewriter, part.value, order)
        if value is not None:
            rewriter.replace(op, [], [interleaved(rewriter, value, (phases.block, phases.block))])


class PhasesFirst(RewritePattern):
    """The convolution behind an interleaving gives its channels in the order of mode dcr: one transpose, not two."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.DepthToSpaceOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one interleaving of mode crd."""
        if op.mode.data is not ktensor.DepthMode.CRD or ktensor.shape_of(op.output)[1] == 1:
            return
        value = reordered(rewriter, op.input, channels_of(op).reshape(-1))
        if value is not None:
            rewriter.replace(op, ktensor.DepthToSpaceOp(value, op.block_size.value.data, ktensor.DepthMode.DCR))


def reordered(rewriter: PatternRewriter, value: SSAValue, order: "NDArray[np.intp]") -> SSAValue | None:
    """The channels of a convolution's result, or of functions of it, in another order; None where that is not free."""
    owner = value.owner
    if not value.has_one_use():
        return None
    if isinstance(owner, ktensor.ActivationOp):
        inner = reordered(rewriter, owner.input, order)
        return None if inner is None else insert(rewriter, owner.clone({owner.input: inner}))
    if not isinstance(owner, ktensor.Conv2dOp) or owner.group_count > 1:
        return None
    constants = [ktensor.constant_of(operand) for operand in owner.operands[1:]]
    if any(array is None for array in constants):
        return None
    moved = [insert(rewriter, ktensor.ConstantOp(array[order])) for array in constants if array is not None]
    conv = owner.clone(dict(zip(owner.operands[1:], moved, strict=True)))
    return insert(rewriter, conv)


@dataclass(frozen=True)
class SinkThroughMaps(RewritePattern):
    """A sum, product ... of two maps is done before interleaving: both are interleaved, or one can be sorted."""

    sink: Sink
    weight_bytes: int

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.BinaryOp, rewriter: PatternRewriter, /) -> None:
        """Move one operation on two maps of equal size."""
        if self.sink == "never" or op.lhs.type != op.rhs.type:
            return
        owners = [_interleaving(value) for value in op.operands]
        blocks = {owner.block_size.value.data for owner in owners if owner is not None}
        if len(blocks) != 1 or not all(ktensor.constant_of(value) is None for value in op.operands):
            return
        (block,) = blocks
        if None in owners and self.sink == "auto" and not self._pays(op, block):
            return
        sources = [
            owner.input
            if owner is not None
            else insert(rewriter, ktensor.SpaceToDepthOp(value, block, ktensor.DepthMode.CRD))
            for owner, value in zip(owners, op.operands, strict=True)
        ]
        value = insert(rewriter, ktensor.BinaryOp(op.kind.data, *sources))
        rewriter.replace(op, [], [interleaved(rewriter, value, (block, block))])

    def _pays(self, op: ktensor.BinaryOp, block: int) -> bool:
        shape = ktensor.shape_of(op.output)
        sorting = sorting_milliseconds(shape, (block,))
        behind = Outlook(self.weight_bytes).milliseconds(op.output, block)
        return sorting is not None and sorting + behind < estimates.detour(shape, shape)


def _interleaving(value: SSAValue) -> ktensor.DepthToSpaceOp | None:
    """The depth_to_space of mode crd that makes a value for one reader alone."""
    owner = value.owner
    if not isinstance(owner, ktensor.DepthToSpaceOp) or owner.mode.data != ktensor.DepthMode.CRD:
        return None
    return owner if value.has_one_use() else None


@dataclass(frozen=True)
class SinkThroughConvolution(RewritePattern):
    """A convolution of an interleaved map becomes one of the sorted map, interleaved."""

    sink: Sink
    weight_bytes: int

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one convolution if that is legal, and pays or is wanted."""
        if self.sink == "never" or kpu.REASON in op.attributes:
            return
        sunk = max(self.plans(op), key=self.gain, default=None)
        if sunk is None or (self.sink == "auto" and self.gain(sunk) <= 0):
            return
        value = interleaved(rewriter, sunk.insert(rewriter), (sunk.block, sunk.block))
        rewriter.replace(op, [], [cut(rewriter, value, ktensor.shape_of(op.output)[2:])])

    def plans(self, op: ktensor.Conv2dOp) -> list[Sunk]:
        """The ways to sink: by all interleavings one behind the other, and by the last alone."""
        found = [Phases.of(op.input, deep=deep) for deep in (True, False)]
        plans = [Sunk.plan(op, phases, self.weight_bytes) for phases in found if phases is not None]
        return [plan for plan in plans if isinstance(plan, Sunk)]

    def gain(self, sunk: Sunk) -> float:
        """How much faster it is to sink, with all that follows from it."""
        behind = Outlook(self.weight_bytes).milliseconds(sunk.conv.output, sunk.block)
        before = unsunk_milliseconds(sunk.conv) + saved_milliseconds(sunk.phases)
        return before - (sunk.milliseconds or 0.0) - behind


@dataclass(frozen=True)
class ExplainInterleaving(RewritePattern):
    """What still stands between layers gets the reason why."""

    sink: SinkThroughConvolution

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Note why the first layer behind an interleaving or repetition needs its pixels in order."""
        if not isinstance(op, ktensor.DepthToSpaceOp | ktensor.ResizeOp) or kpu.REASON in op.attributes:
            return
        reader = next(filter(is_layer, readers_of(op.output)), None)
        if reader is not None and spread_of(op.output) is op:
            op.attributes[kpu.REASON] = StringAttr(self._reason(reader))
            rewriter.notify_op_modified(op)

    def _reason(self, reader: Operation) -> str:
        phases = Phases.of(reader.operands[0], deep=False) if isinstance(reader, ktensor.Conv2dOp) else None
        if phases is None or not isinstance(reader, ktensor.Conv2dOp):
            return f"{reader.name} needs its pixels in order"
        plan = Sunk.plan(reader, phases, self.sink.weight_bytes)
        if isinstance(plan, str):
            return plan
        if self.sink.sink == "never":
            return "sinking is switched off (sink=never)"
        return f"with pixels sorted by phase the layers behind take {-self.sink.gain(plan):.2f} ms longer"


@dataclass(frozen=True)
class KTensorSinkDepthToSpacePass(ModulePass):
    """Move interleaving of pixels towards the results, where that is faster."""

    name = "ktensor-sink-depth-to-space"
    sink: Sink = "auto"
    weight_bytes: int = 1 << 20

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        convolution = SinkThroughConvolution(self.sink, self.weight_bytes)
        rewrite(op, OrderChannels(deep=False))
        rewrite(op, SinkThroughFunction(), SinkThroughMaps(self.sink, self.weight_bytes), convolution)
        rewrite(op, OrderChannels(deep=True))
        rewrite(op, PhasesFirst())
        rewrite(op, ExplainInterleaving(convolution))
