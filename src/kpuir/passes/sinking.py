"""A convolution on maps sorted by phase, and what keeping them sorted costs: what `ktensor-sink-depth-to-space` asks.

All times are milliseconds of `kpuir.analysis.estimates`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import ceil, prod
from typing import TYPE_CHECKING

from xdsl.ir import Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from kpuir.analysis import estimates
from kpuir.dialects import kpu, ktensor
from kpuir.passes.kpu_legalize_space_to_depth import sorting_milliseconds
from kpuir.passes.moving import insert
from kpuir.passes.phases import PhaseAxis, pads_of, phase_bias, phase_weight
from kpuir.passes.sorting import Part, Phases, is_sum, repetition_of, spread_of
from kpuir.passes.splitting import dense_weight
from kpuir.target import k210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KERNEL = max(k210.K210.KERNEL_SIZES)


@dataclass(frozen=True)
class Sunk:
    """A convolution that the KPU can do on the parts of its sorted input; its result is sorted by `block`."""

    conv: ktensor.Conv2dOp
    phases: Phases
    axes: tuple[PhaseAxis, PhaseAxis]

    @staticmethod
    def plan(conv: ktensor.Conv2dOp, phases: Phases, weight_bytes: int) -> "Sunk | str":
        """How `conv` is done on `phases`; else why not, by constants missing, the KPU's rules, or too large weights."""
        constants = [ktensor.constant_of(value) for value in conv.operands[1:]]
        batch, _, height, width = ktensor.shape_of(conv.input)
        if any(array is None for array in constants):
            return "the weights are computed by the model; the KPU needs constants"
        if batch != 1:
            return f"a batch of {batch} images; only 1 is supported on the KPU"
        rows, columns = (
            PhaseAxis.of_convolution(phases.block, size // phases.block, *axis)
            for size, *axis in zip(
                (height, width),
                ktensor.shape_of(conv.output)[2:],
                conv.kernel_shape,
                conv.strides.get_values(),
                conv.pads.get_values()[:2],
                conv.dilations.get_values(),
                strict=True,
            )
        )
        if rows is None or columns is None or rows.results != columns.results:
            strides = "x".join(map(str, conv.strides.get_values()))
            return f"pixels sorted by blocks of {phases.block} are not sorted any more behind strides of {strides}"
        sunk = Sunk(conv, phases, (rows, columns))
        return sunk._broken_rule(weight_bytes) or sunk

    @property
    def block(self) -> int:
        """What the result is sorted by; 1 where it is in order."""
        return self.axes[0].results

    @property
    def channels(self) -> tuple[int, int]:
        """How many channels it takes and gives."""
        return sum(part.count for part in self.phases.parts), ktensor.shape_of(self.conv.output)[1] * self.block**2

    @property
    def kernel(self) -> int:
        """The kernel of the KPU it takes, larger ones as they are."""
        largest = max(axis.kernel for axis in self.axes)
        return _KERNEL if 1 < largest < _KERNEL else largest

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input map with what is padded by more than the KPU does itself."""
        shape, own = ktensor.shape_of(self.conv.input)[2:], self.kernel // 2
        height, width = (
            size // self.phases.block + max(axis.low - own, 0) + max(axis.high - own, 0)
            for size, axis in zip(shape, self.axes, strict=True)
        )
        return height, width

    def _broken_rule(self, weight_bytes: int) -> str:
        """What forbids it, empty where nothing does."""
        (inputs, outputs), kernel = self.channels, self.kernel
        dilations = [axis.dilation for axis in self.axes if axis.kernel > 1]
        size = inputs * outputs * kernel**2
        verdict = k210.kernel_rule(kernel, kernel)
        if verdict.ok and max(dilations, default=1) > 1:
            verdict = k210.dilation_rule(*(axis.dilation for axis in self.axes))
        if verdict.ok:
            verdict = k210.layer_rules(inputs, *self.size, outputs, kernel)
        if verdict.ok:
            verdict = k210.band_rule(*((1, count, *self.size) for count in (inputs, outputs)))
        if not verdict.ok:
            return f"with pixels sorted by phase {verdict.reason}"
        if size > weight_bytes:
            return f"with pixels sorted by phase the weights take {size} bytes, allowed are {weight_bytes}"
        return "" if self.milliseconds is not None else "the KPU cannot sort a map beside it by phase"

    @property
    def milliseconds(self) -> float | None:
        """What it takes, with sorting what is not; None where the KPU cannot sort it."""
        inputs, outputs = self.channels
        total = estimates.layer((1, inputs, *self.size), outputs, self.kernel)
        for part in self.phases.parts:
            cost = sorting_milliseconds(ktensor.shape_of(part.value), part.sorts)
            if cost is None:
                return None
            total += cost
        return total

    def insert(self, rewriter: PatternRewriter) -> SSAValue:
        """The convolution of the parts, in groups where the channels allow it; its result is sorted."""
        import numpy as np

        weight, bias = (None if v is None else ktensor.constant_of(v) for v in (self.conv.weight, self.conv.bias))
        assert weight is not None
        parts, groups = self.phases.parts, self.conv.group_count
        if (group := _group_of(parts, groups)) is not None:
            kernel = _part_weight(phase_weight(weight, *self.axes), group)
        else:
            kernels, groups = phase_weight(dense_weight(weight, groups), *self.axes), 1
            kernel = np.concatenate([_part_weight(kernels, part) for part in parts], 1)
        addend = np.zeros(weight.shape[0], np.float32) if bias is None else bias
        constants = [ktensor.ConstantOp(kernel), ktensor.ConstantOp(phase_bias(addend, self.block**2))]
        values = [part.made(rewriter) for part in parts]
        value = values[0] if len(values) == 1 else insert(rewriter, ktensor.ConcatOp(values, 1))
        strides = [axis.stride for axis in self.axes]
        conv = ktensor.Conv2dOp(value, *constants, strides=strides, pads=pads_of(self.axes), groups=groups)
        return insert(rewriter, *constants, conv)


def _group_of(parts: tuple[Part, ...], groups: int) -> Part | None:
    """The channels of one group, if all of them lie together and in the same order in the only part."""
    import numpy as np

    (part,) = parts if len(parts) == 1 else (None,)
    if part is None or part.count % groups:
        return None
    count = part.count // groups
    within = part.channels.reshape(len(part.channels), groups, -1) - np.arange(groups)[:, None] * count
    together = within.min() >= 0 and within.max() < count and bool((within == within[:, :1]).all())
    return replace(part, channels=within[:, 0], count=count) if together else None


def _part_weight(kernels: "NDArray[np.float32]", part: Part) -> "NDArray[np.float32]":
    """The weight [OC, part.count, KH, KW] of one part, of kernels [OC, phases, IC, KH, KW]; equal channels add up."""
    import numpy as np

    weight = np.zeros((part.count, kernels.shape[0], *kernels.shape[3:]), np.float32)
    phase, channel = np.nonzero(part.channels >= 0)
    np.add.at(weight, part.channels[phase, channel], kernels.transpose(1, 2, 0, 3, 4)[phase, channel])
    return np.ascontiguousarray(weight.swapaxes(0, 1))


def unsunk_milliseconds(conv: ktensor.Conv2dOp) -> float:
    """What a convolution takes as it is: on the KPU, as several layers if its kernel is large, or else on the CPU."""
    (_, inputs, height, width), (outputs, group, *kernel) = (ktensor.shape_of(v) for v in (conv.input, conv.weight))
    size = 1 if kernel == [1, 1] else _KERNEL
    if k210.layer_rules(inputs, height, width, outputs, size, conv.is_depthwise).ok:
        count = prod(ceil(taps / _KERNEL) for taps in kernel)
        return estimates.layer((1, inputs, height, width), outputs, size, conv.is_depthwise, count)
    products = prod(ktensor.shape_of(conv.output)) * group * prod(kernel)
    return estimates.multiply_adds(products)


def readers_of(value: SSAValue) -> Iterator[Operation]:
    """The operations that read a value, those behind concats of channels and sums of maps in their place."""
    for reader in dict.fromkeys(use.operation for use in value.uses):
        joins = isinstance(reader, ktensor.ConcatOp) and reader.axis.value.data == 1
        if joins or (isinstance(reader, ktensor.BinaryOp) and is_sum(reader)):
            yield from readers_of(reader.results[0])
        else:
            yield reader


_LAYERS = (
    ktensor.Conv2dOp,
    ktensor.Conv2dTransposeOp,
    ktensor.MaxPool2dOp,
    ktensor.AveragePool2dOp,
    ktensor.BinaryOp,
    ktensor.ActivationOp,
    ktensor.PReluOp,
    ktensor.MatmulOp,
)


def is_layer(op: Operation) -> bool:
    """Whether the KPU does `op`, or may do it."""
    return isinstance(op, _LAYERS) and kpu.REASON not in op.attributes


def saved_milliseconds(phases: Phases) -> float:
    """What is no longer to be done for one reader of a sorted map if it takes the parts instead.

    The detour of each leaf, shared among the convolutions that read it; nothing where another layer needs it anyway.
    A part that is interleaved itself, and went no detour before, goes one now.
    """
    total = 0.0
    for part in phases.parts:
        if spread_of(part.value) is not None and not any(is_layer(reader) for reader in readers_of(part.value)):
            shape = ktensor.shape_of(part.value)
            total -= estimates.detour(shape, shape) - estimates.move(shape)
    for leaf in phases.leaves:
        readers = [reader for reader in readers_of(leaf) if is_layer(reader)]
        shape = ktensor.shape_of(leaf)
        if not readers:
            total += estimates.move(shape)
        elif all(isinstance(reader, ktensor.Conv2dOp) for reader in readers):
            owner = leaf.owner
            assert isinstance(owner, Operation)
            total += estimates.detour(ktensor.shape_of(owner.operands[0]), shape) / len(readers)
    return total


@dataclass(frozen=True)
class Outlook:
    """What is still to be done behind maps that are sorted; remembers what it has been asked."""

    weight_bytes: int
    known: dict[tuple[SSAValue, int], float] = field(default_factory=dict[tuple[SSAValue, int], float])

    def milliseconds(self, value: SSAValue, block: int) -> float:
        """For all readers of `value`, which stands sorted by `block`: extra work of layers, and interleaving."""
        if block == 1:
            return 0.0
        key = (value, block)
        if key not in self.known:
            self.known[key] = self._sum(value, block)
        return self.known[key]

    def _sum(self, value: SSAValue, block: int) -> float:
        shape, total, interleaved = ktensor.shape_of(value), 0.0, 0.0
        detour, move = estimates.detour(shape, shape), estimates.move(shape)
        for reader in readers_of(value):
            cost = self._behind(reader, value, block)
            if cost is not None and cost < detour:
                total += cost
            else:
                interleaved = max(interleaved, detour if cost is not None or is_layer(reader) else move)
        return total + interleaved

    def _behind(self, reader: Operation, value: SSAValue, block: int) -> float | None:
        """What a reader takes that stays sorted; None where it does not."""
        match reader:
            case ktensor.DepthToSpaceOp():
                return self._again(reader.output, block, reader.block_size.value.data)
            case ktensor.ResizeOp():
                factor = repetition_of(reader)
                return None if factor is None else self._again(reader.output, block, factor)
            case ktensor.ActivationOp() | ktensor.PReluOp() | ktensor.BinaryOp():
                beside = isinstance(reader.operands[0].owner, ktensor.ConcatOp)
                return None if beside else self.milliseconds(reader.results[0], block)
            case ktensor.Conv2dOp():
                phases = Phases.of(reader.input, {value: block})
                sunk = None if phases is None else Sunk.plan(reader, phases, self.weight_bytes)
                if not isinstance(sunk, Sunk) or sunk.milliseconds is None:
                    return None
                extra = max(sunk.milliseconds - unsunk_milliseconds(reader), 0.0)
                return extra + self.milliseconds(reader.output, sunk.block)
            case _:
                return None

    def _again(self, value: SSAValue, coarse: int, fine: int) -> float:
        """What it takes more to have a map sorted by both blocks than only by the one it is spread by in any case."""
        return max(self.milliseconds(value, coarse * fine) - self.milliseconds(value, fine), 0.0)
