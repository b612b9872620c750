"""`kpu-legalize-concats`: concats, slices and shuffles of channels cost nothing, or are a layer of zeros and ones.

Before: `ktensor.concat` and `ktensor.slice` of channels, and reshapes and transposes that bring channels into another
order (channel shuffle), between operations of the KPU. After, where the KPU is the better place:

* an ordinary convolution reads a `kpu.concat` of the maps its channels come from, or one of them, or a
  `kpu.channel_slice`, and its weights are in that order: zeros for channels it does not use. Exact, and free unless it
  leaves many unused;
* a depthwise convolution works on the `kpu.concat` if it uses all of it, and what reads its result is looked at next;
* pools behind a concat of convolutions are in front of it, that is, in the convolutions;
* all else reads the `kpu.concat` if no channel has to be moved, or a 1x1 layer that selects channels.

    %z = ktensor.concat %x, %y {axis = 1 : i64}                   // 3 and 5 channels, 20 wide: 2 channels a line
    %s = kpu.conv2d %z, %w, %b                                    // %w: [4, 8, 1, 1]
      =>
    %c = kpu.concat %x, %y                                        // 9 channels, number 3 of which holds anything
    %s = kpu.conv2d %c, %wider, %b                                // [4, 9, 1, 1], zeros for that one

A slice that is an operand of another concat, as in every unit of a ShuffleNet, would let the number of maps to be read
grow from unit to unit; it is selected first. Operations of the CPU keep their ktensor operands: for them nothing
changes. `concats=kpu` and `cpu` decide instead of the estimates.

Sources: `kpu-hardware.md` 2 (lines), lowering-facts.md 9.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern
from xdsl.rewriter import InsertPoint

from kpuir.analysis import estimates, residency
from kpuir.analysis.channels import Channels, channels_of, is_source
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes import moving
from kpuir.passes.layers import constants_of, replace_conv
from kpuir.target import k210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Choice: TypeAlias = Literal["auto", "kpu", "cpu"]

_MOST_RUNS = 8
"""A depthwise layer keeps the order of a concat if what reads it has at most so many pieces to look up."""


@dataclass(frozen=True)
class _Layout:
    """Maps, or parts of them that begin at a line, next to each other in KPU RAM, to be read as one.

    `position[i]` is where channel i is, -1 if it holds nothing.
    """

    operands: tuple[tuple[SSAValue, slice], ...]
    position: "NDArray[np.int64]"
    size: int

    @staticmethod
    def of(channels: Channels, tight: bool = True) -> "_Layout":
        """The sources of `channels`, if `tight` only those of their lines that are used (always if there is one)."""
        import numpy as np

        group = k210.row_layout(ktensor.shape_of(channels.sources[0])[3]).channels_per_line
        operands: list[tuple[SSAValue, slice]] = []
        position, begin = np.full(channels.count, -1), 0
        for number, value in enumerate(channels.sources):
            part = slice(0, ktensor.shape_of(value)[1])
            if tight or len(channels.sources) == 1:
                used = channels.used(number)
                part = slice(int(used[0]) // group * group, int(used[-1]) + 1)
            begin = -(-begin // group) * group
            mine = channels.source == number
            position[mine] = begin + channels.channel[mine] - part.start
            operands.append((value, part))
            begin += part.stop - part.start
        return _Layout(tuple(operands), position, begin)

    @property
    def is_plain(self) -> bool:
        """Whether channel i is at i, and nothing else is there."""
        return self.position.tolist() == list(range(self.size))

    @property
    def is_used(self) -> bool:
        """Whether every channel but those that fill up lines is used once."""
        import numpy as np

        filled = sum(part.stop - part.start for _, part in self.operands)
        return bool(np.unique(self.position).size == self.position.size == filled and self.position.min() >= 0)

    def emit(self, rewriter: PatternRewriter) -> SSAValue:
        """Insert the slices and the concat there have to be."""
        parts = [
            value if _is_all(value, part) else _channel_slice(rewriter, value, part) for value, part in self.operands
        ]
        return parts[0] if len(parts) == 1 else moving.insert(rewriter, kpu.ConcatOp(parts))

    def milliseconds(self) -> float:
        """Of uploads, and of the copies next to each other of what no layer has just made."""
        total = 0.0
        for value, part in self.operands:
            _, channels, *size = ktensor.shape_of(value)
            ready = residency.on_kpu(value)
            total += 0 if ready else estimates.upload((1, channels, *size))
            if len(self.operands) > 1 and not (ready and _is_all(value, part)):
                count = part.stop - part.start
                total += estimates.layer((1, count, *size), count, depthwise=True)
        return total


def _is_all(value: SSAValue, part: slice) -> bool:
    return part == slice(0, ktensor.shape_of(value)[1])


def _channel_slice(rewriter: PatternRewriter, value: SSAValue, part: slice) -> SSAValue:
    return moving.insert(rewriter, kpu.ChannelSliceOp(value, part.start, part.stop - part.start))


def _is_settled(value: SSAValue) -> bool:
    """Whether the KPU reads a map as it is: one a layer makes, a slice of it, or a concat of such."""
    op = value.owner
    if isinstance(op, kpu.ConcatOp):
        return all(not isinstance(part.owner, kpu.ConcatOp) and _is_settled(part) for part in op.inputs)
    return is_source(op.input) if isinstance(op, kpu.ChannelSliceOp) else is_source(value)


class SinkConcat(RewritePattern):
    """pool(concat(a, b)) is concat(pool(a), pool(b)), where convolutions make a and b for nothing else."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite a pool behind a concat of convolutions."""
        if not isinstance(op, ktensor.MaxPool2dOp | ktensor.AveragePool2dOp) or not op.input.has_one_use():
            return
        concat = op.input.owner
        if not isinstance(concat, ktensor.ConcatOp) or concat.axis.value.data != 1:
            return
        for value in concat.inputs:
            conv = value.owner
            if not isinstance(conv, kpu.Conv2dOp) or not value.has_one_use() or conv.pool_kind != kpu.PoolKind.BYPASS:
                return
        if not residency.is_map(op.output):
            return
        size = ktensor.shape_of(op.output)[2:]
        parts: list[SSAValue] = []
        for value in concat.inputs:
            kind = ktensor.tensor(ktensor.element_of(value), (1, ktensor.shape_of(value)[1], *size))
            pool = type(op).create(operands=[value], result_types=[kind], properties=op.properties)
            parts.append(moving.insert(rewriter, pool))
        rewriter.replace(op, ktensor.ConcatOp(parts, 1))
        rewriter.erase(concat)


@dataclass(frozen=True)
class SelectOperands(RewritePattern):
    """A concat that leaves channels of its sources unused gets those operands selected that are parts of something."""

    choice: Choice

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.ConcatOp, rewriter: PatternRewriter, /) -> None:
        """Select what one concat takes parts of."""
        if self.choice == "cpu" or op.axis.value.data != 1 or not residency.is_map(op.output):
            return
        channels = channels_of(op.output)
        if channels.is_whole or not residency.feeds_kpu(op.output) or not _any_on_kpu(channels):
            return
        for index, value in enumerate(op.inputs):
            if channels_of(value).is_whole or _is_settled(value):
                continue
            rewriter.insertion_point = InsertPoint.before(op)
            selected = _select(rewriter, channels_of(value))
            if selected is not None:
                op.operands[index] = selected
                rewriter.notify_op_modified(op)


def _any_on_kpu(channels: Channels) -> bool:
    """Whether KPU RAM holds one of the maps: a layer's result, or an input of the function, which can be put there."""
    return any(residency.on_kpu(value) or not isinstance(value.owner, Operation) for value in channels.sources)


def _select(rewriter: PatternRewriter, channels: Channels) -> SSAValue | None:
    """A map with these channels: a slice, a concat, or else a layer that selects them; None where it cannot be."""
    if _Layout.of(channels).is_plain:
        return _Layout.of(channels).emit(rewriter)
    _, _, height, width = kpu.size4(channels.sources[0].type)
    layouts = [_Layout.of(channels, tight) for tight in (False, True)]
    legal = [one for one in layouts if k210.layer_rules(one.size, height, width, channels.count, 1).ok]
    if not legal:
        return None
    layout = min(legal, key=lambda one: _select_milliseconds(one, height, width))
    return moving.mover(rewriter, layout.emit(rewriter), moving.selection(layout.size, layout.position.tolist()))


def _select_milliseconds(layout: _Layout, height: int, width: int) -> float:
    """Of a layer that selects channels, and what it takes to bring those together."""
    select = estimates.layer((1, layout.size, height, width), layout.position.size)
    return layout.milliseconds() + select


class _Plan(NamedTuple):
    """How convolutions are fed: milliseconds, the layout they read (None: what the CPU makes), whether selected."""

    milliseconds: float
    layout: _Layout | None
    selects: bool = False


@dataclass(frozen=True)
class FoldIntoConv(RewritePattern):
    """An ordinary convolution reads the maps its channels come from."""

    choice: Choice

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Change the input and the order of the weights of one convolution."""
        import numpy as np

        constants, move = constants_of(op), op.input.owner
        if op.is_depthwise or constants is None or _is_settled(op.input) or not isinstance(move, Operation):
            return
        plans = _plans(op, self.choice)
        best = min(plans, key=lambda plan: plan.milliseconds)
        if best.layout is None:
            move.attributes[kpu.REASON] = StringAttr(_reason(plans, best, self.choice))
            return
        if best.selects:
            _select_for_all(rewriter, op.input)
            return
        weight, bias = constants
        moved = np.zeros((weight.shape[0], best.layout.size, *weight.shape[2:]))
        there = best.layout.position >= 0
        np.add.at(moved.swapaxes(0, 1), best.layout.position[there], weight.swapaxes(0, 1)[there])
        replace_conv(rewriter, op, op, best.layout.emit(rewriter), moved, bias, op)


def _plans(op: kpu.Conv2dOp, choice: Choice) -> list[_Plan]:
    """The ways to feed the ordinary convolutions that read what `op` does."""
    channels, shape = channels_of(op.input), kpu.size4(op.input.type)
    _, count, height, width = shape
    readers = [user for use in op.input.uses if isinstance(user := use.operation, kpu.Conv2dOp)]
    convs = [(ktensor.shape_of(conv.weight)[0], conv.kernel_size) for conv in readers if not conv.is_depthwise]

    def layers(inputs: int) -> float:
        return sum(estimates.layer((1, inputs, height, width), outputs, kernel) for outputs, kernel in convs)

    plans: list[_Plan] = []
    for layout in [_Layout.of(channels, tight) for tight in (False, True)] if choice != "cpu" else []:
        if all(k210.layer_rules(layout.size, height, width, *conv).ok for conv in convs):
            plans.append(_Plan(layout.milliseconds() + layers(layout.size), layout))
        if k210.layer_rules(layout.size, height, width, count, 1).ok:
            plans.append(_Plan(_select_milliseconds(layout, height, width) + layers(count), layout, True))
    if not plans or (choice == "auto" and not isinstance(op.input.owner, kpu.ConcatOp)):
        downloads = sum(estimates.download(ktensor.shape_of(v)) for v in channels.sources if residency.on_kpu(v))
        plans.append(_Plan(downloads + estimates.move(shape) + estimates.upload(shape) + layers(count), None))
    return plans


def _reason(plans: list[_Plan], best: _Plan, choice: Choice) -> str:
    """Why channels are moved by the CPU."""
    if choice == "cpu":
        return "concats=cpu was asked for"
    ours = min((plan.milliseconds for plan in plans if plan is not best), default=None)
    most = f"the channels come from maps of more than {k210.K210.MAX_CHANNELS} channels together"
    return most if ours is None else estimates.slower_on_kpu(ours, best.milliseconds) or ""


@dataclass(frozen=True)
class FoldIntoDepthwise(RewritePattern):
    """A depthwise convolution works on channels in the order in which they lie in KPU RAM."""

    choice: Choice

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Change the input, the order of weights and bias, and look up the channels of the result."""
        import numpy as np

        constants, channels = constants_of(op), channels_of(op.input)
        if not op.is_depthwise or constants is None or _is_settled(op.input) or self.choice == "cpu":
            return
        layout = _Layout.of(channels)
        runs, (_, _, height, width) = _runs(layout.position), kpu.size4(op.input.type)
        if not layout.is_used or len(runs) > _MOST_RUNS or not _any_on_kpu(channels):
            return
        if not k210.layer_rules(layout.size, height, width, layout.size, op.kernel_size, True).ok:
            return
        weight, bias = constants
        moved, addend = np.zeros((layout.size, *weight.shape[1:]), np.float32), np.zeros(layout.size, np.float32)
        moved[layout.position], addend[layout.position] = weight, bias
        source = layout.emit(rewriter)
        value = moving.layer(rewriter, source, moved, addend, depthwise=True, activation=op.activation.data)
        assert isinstance(value.owner, Operation)
        value.owner.attributes.update(op.attributes)
        rewriter.replace(op, [], [value if layout.is_plain else _take_runs(rewriter, value, runs)])


def _runs(position: "NDArray[np.int64]") -> list[slice]:
    """Pieces of consecutive numbers."""
    import numpy as np

    pieces = np.split(position, np.flatnonzero(np.diff(position) != 1) + 1)
    return [slice(int(piece[0]), int(piece[-1]) + 1) for piece in pieces]


def _take_runs(rewriter: PatternRewriter, value: SSAValue, runs: list[slice]) -> SSAValue:
    """Some pieces of the channels of a map, one after the other."""
    _, _, *size = ktensor.shape_of(value)
    parts = [
        moving.insert(rewriter, ktensor.SliceOp(value, (0, run.start, 0, 0), (1, run.stop, *size))) for run in runs
    ]
    return parts[0] if len(parts) == 1 else moving.insert(rewriter, ktensor.ConcatOp(parts, 1))


@dataclass(frozen=True)
class Materialize(RewritePattern):
    """What reads channels as they are gets them next to each other."""

    choice: Choice

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Make the map that one operation reads."""
        if self.choice == "cpu" or not _reads_as_is(op):
            return
        value = op.operands[0]
        if not _is_settled(value) and residency.is_map(value) and _any_on_kpu(channels_of(value)):
            _select_for_all(rewriter, value)


def _reads_as_is(op: Operation) -> bool:
    """Whether the KPU does `op`, and not as an ordinary convolution."""
    if isinstance(op, kpu.Conv2dOp):
        return op.is_depthwise
    if isinstance(op, kpu.PadOp | kpu.CropOp | kpu.StridedSliceOp | kpu.FoldRowsOp):
        return True
    return isinstance(op, ktensor.MaxPool2dOp | ktensor.AveragePool2dOp) and residency.is_map(op.output)


def _select_for_all(rewriter: PatternRewriter, value: SSAValue) -> None:
    """Make a map for everything on the KPU that reads `value`; the CPU goes on reading that."""
    assert isinstance(value.owner, Operation)
    rewriter.insertion_point = InsertPoint.after(value.owner)
    selected = _select(rewriter, channels_of(value))
    if selected is None:
        return
    for use in list(value.uses):
        if isinstance(use.operation, kpu.Conv2dOp) or _reads_as_is(use.operation):
            use.operation.operands[use.index] = selected
            rewriter.notify_op_modified(use.operation)


@dataclass(frozen=True)
class KpuLegalizeConcatsPass(ModulePass):
    """Let layers read the maps that their channels come from; `concats`: where channels are moved."""

    name = "kpu-legalize-concats"
    concats: Choice = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        choice = self.concats
        rewrite(op, SinkConcat())
        rewrite(op, SelectOperands(choice))
        rewrite(op, FoldIntoConv(choice), FoldIntoDepthwise(choice), Materialize(choice))
