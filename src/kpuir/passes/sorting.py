"""Values that are maps sorted by phase in disguise: depth_to_space, upsampling by repetition, what is made of them.

A pass that works on the sorted maps (`kpuir.passes.phases`) instead of on the maps asks `Phases.of`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.ir import SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from kpuir.analysis.instructions import axis_weights
from kpuir.dialects import ktensor
from kpuir.passes.moving import insert

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Channels = NDArray[np.intp]
    """[s * s, C]: the channel of a sorted map that holds a phase of a channel; -1 where it has none."""


def sorted_channels(channels: int, block: int) -> "Channels":
    """Where space_to_depth of mode crd puts each phase of each channel."""
    import numpy as np

    return np.arange(channels * block * block).reshape(channels, block * block).T


def channels_of(op: ktensor.DepthToSpaceOp) -> "Channels":
    """The channels of a depth_to_space's input."""
    import numpy as np

    block, channels = op.block_size.value.data, ktensor.shape_of(op.output)[1]
    if op.mode.data == ktensor.DepthMode.CRD:
        return sorted_channels(channels, block)
    return np.arange(channels * block * block).reshape(block * block, channels)


def repetition_of(op: ktensor.ResizeOp) -> int | None:
    """The number s if a resize repeats every pixel s x s times, else None."""
    import numpy as np

    if op.mode.data != ktensor.ResizeMode.NEAREST:
        return None
    sizes, wanted = ktensor.shape_of(op.input)[2:], ktensor.shape_of(op.output)[2:]
    factor = wanted[0] // sizes[0]
    if factor < 2 or wanted != tuple(size * factor for size in sizes):
        return None
    for axis in (0, 1):
        if not np.array_equal(axis_weights(op, axis).argmax(1), np.arange(wanted[axis]) // factor):
            return None
    return factor


def spread_of(value: SSAValue) -> ktensor.DepthToSpaceOp | ktensor.ResizeOp | None:
    """The operation that interleaves or repeats pixels to make `value`, if one does."""
    owner = value.owner
    if isinstance(owner, ktensor.ResizeOp):
        return owner if repetition_of(owner) is not None else None
    return owner if isinstance(owner, ktensor.DepthToSpaceOp) else None


@dataclass(frozen=True)
class Part:
    """A map at low resolution, `count` channels of which `channels` tells; `sorts` are the blocks to sort it by first.

    A part with sorts is at high resolution still.
    """

    value: SSAValue
    channels: "Channels"
    count: int
    sorts: tuple[int, ...] = ()

    def made(self, rewriter: PatternRewriter) -> SSAValue:
        """The map at low resolution."""
        value = self.value
        for block in self.sorts:
            value = insert(rewriter, ktensor.SpaceToDepthOp(value, block, ktensor.DepthMode.CRD))
        return value


@dataclass(frozen=True)
class Phases:
    """A map as the sum of parts, sorted by blocks of `block` x `block` pixels.

    `leaves` are the values that nobody needs any more if all readers take the parts.
    """

    block: int
    parts: tuple[Part, ...]
    leaves: tuple[SSAValue, ...]

    @staticmethod
    def of(value: SSAValue, known: Mapping[SSAValue, int] | None = None, *, deep: bool = True) -> "Phases | None":
        """What `value` is made of, None if it is no sorted map in disguise.

        Values of `known` are taken for sorted by the block given. `deep` looks through a depth_to_space of a
        depth_to_space.
        """
        known = known or {}
        if value in known:
            block, channels = known[value], ktensor.shape_of(value)[1]
            part = Part(value, sorted_channels(channels, block), channels * block * block)
            return Phases(block, (part,), (value,))
        match value.owner:
            case ktensor.DepthToSpaceOp() as op:
                inner = Phases.of(op.input, known) if deep else None
                return _behind(op.input, op.block_size.value.data, channels_of(op), inner, value)
            case ktensor.ResizeOp() as op if (block := repetition_of(op)) is not None:
                inner = Phases.of(op.input, known) if deep else None
                channels = sorted_channels(ktensor.shape_of(value)[1], 1).repeat(block * block, 0)
                return _behind(op.input, block, channels, inner, value)
            case ktensor.ConcatOp() as op if op.axis.value.data == 1:
                return _joined(tuple(op.inputs), known, deep, apart=True)
            case ktensor.BinaryOp() as op if is_sum(op):
                return _joined((op.lhs, op.rhs), known, deep, apart=False)
            case _:
                return None


def is_sum(op: ktensor.BinaryOp) -> bool:
    """Whether a binary adds two maps."""
    maps = op.lhs.type == op.rhs.type and all(ktensor.constant_of(value) is None for value in op.operands)
    return op.kind.data == ktensor.BinaryKind.ADD and maps and len(ktensor.shape_of(op.output)) == 4


def _behind(
    value: SSAValue, block: int, channels: "Channels", inner: "Phases | None", leaf: SSAValue
) -> "Phases | None":
    """A map sorted by `block` in `value`, which itself may be sorted."""
    if inner is None:
        return Phases(block, (Part(value, channels, ktensor.shape_of(value)[1]),), (leaf,))
    parts = tuple(
        Part(part.value, _composed(part.channels, channels, inner.block, block), part.count, part.sorts)
        for part in inner.parts
    )
    return Phases(inner.block * block, parts, (*inner.leaves, leaf))


def _composed(inner: "Channels", outer: "Channels", coarse: int, fine: int) -> "Channels":
    """The channels of a map sorted by `fine` into one that is sorted by `coarse`."""
    phases = inner[:, outer].reshape(coarse, coarse, fine, fine, -1)  # of row and column of the inner, of the outer
    return phases.transpose(0, 2, 1, 3, 4).reshape((coarse * fine) ** 2, -1)


def _joined(values: tuple[SSAValue, ...], known: Mapping[SSAValue, int], deep: bool, *, apart: bool) -> "Phases | None":
    """The concat (`apart`) or the sum of maps, at least one of them sorted; others are yet to be sorted."""
    found = [Phases.of(value, known, deep=deep) for value in values]
    blocks = {phases.block for phases in found if phases is not None}
    height, width = ktensor.shape_of(values[0])[2:]
    block = max(blocks, default=0)
    if len(blocks) != 1 or height % block or width % block:
        return None
    total = sum(ktensor.shape_of(value)[1] for value in values) if apart else ktensor.shape_of(values[0])[1]
    parts: list[Part] = []
    begin = 0
    for value, phases in zip(values, found, strict=True):
        channels = ktensor.shape_of(value)[1]
        for part in phases.parts if phases is not None else (_unsorted(value, block),):
            parts.append(Part(part.value, _placed(part.channels, begin, total), part.count, part.sorts))
        begin += channels if apart else 0
    leaves = tuple(leaf for phases in found if phases is not None for leaf in phases.leaves)
    return Phases(block, tuple(parts), leaves)


def _placed(channels: "Channels", begin: int, total: int) -> "Channels":
    import numpy as np

    behind = total - begin - channels.shape[1]
    return np.pad(channels, ((0, 0), (begin, behind)), constant_values=-1)


def _unsorted(value: SSAValue, block: int) -> Part:
    """A map that is to be sorted by `block`, in steps of 2 where possible."""
    channels = ktensor.shape_of(value)[1]
    sorts = tuple(_steps(block))
    placed, done, count = sorted_channels(channels, 1), 1, channels
    for step in sorts:
        placed = _composed(sorted_channels(count, step), placed, step, done)
        done, count = done * step, count * step * step
    return Part(value, placed, count, sorts)


def _steps(block: int) -> Iterator[int]:
    while block > 1:
        step = 2 if block % 2 == 0 else block
        yield step
        block //= step
