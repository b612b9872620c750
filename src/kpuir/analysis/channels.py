"""Where the channels of a map come from, seen through concats, slices and shuffles of channels.

None of those computes anything, so whoever reads a map can as well read the maps its channels are of.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.ir import Operation, SSAValue

from kpuir.dialects import kpu, ktensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Channels:
    """The channels of a map: number i is channel `channel[i]` of `sources[source[i]]`, or holds nothing if that is -1.

    Every source is used.
    """

    sources: tuple[SSAValue, ...]
    source: "NDArray[np.int64]"
    channel: "NDArray[np.int64]"

    @staticmethod
    def all_of(value: SSAValue) -> "Channels":
        """The channels of a map as they are."""
        import numpy as np

        count = ktensor.shape_of(value)[1]
        return Channels((value,), np.zeros(count, np.int64), np.arange(count))

    @staticmethod
    def joined(parts: "list[Channels]") -> "Channels":
        """The channels of several maps one after the other."""
        import numpy as np

        sources = tuple(dict.fromkeys(value for part in parts for value in part.sources))
        source: list[NDArray[np.int64]] = []
        for part in parts:
            numbers = np.array([*(sources.index(value) for value in part.sources), -1])
            source.append(numbers[part.source])
        return Channels(sources, np.concatenate(source), np.concatenate([part.channel for part in parts]))

    def take(self, index: "NDArray[np.int64]") -> "Channels":
        """Some of the channels, in the order of `index`; -1 is a channel that holds nothing."""
        import numpy as np

        source = np.where(index < 0, -1, self.source[index])
        kept = [number for number in range(len(self.sources)) if (source == number).any()]
        renumbered = np.full(len(self.sources) + 1, -1)
        renumbered[kept] = np.arange(len(kept))
        return Channels(tuple(self.sources[number] for number in kept), renumbered[source], self.channel[index])

    @property
    def count(self) -> int:
        """How many channels there are."""
        return self.source.size

    def used(self, number: int) -> "NDArray[np.int64]":
        """The channels used of a source, in order."""
        import numpy as np

        return np.unique(self.channel[self.source == number])

    @property
    def is_whole(self) -> bool:
        """Whether every channel of every source is used."""
        return all(self.used(i).size == ktensor.shape_of(value)[1] for i, value in enumerate(self.sources))


def channels_of(value: SSAValue) -> Channels:
    """Where the channels of a map come from; the value itself where it is made by something else than moving them."""
    import numpy as np

    op = value.owner
    if len(ktensor.shape_of(value)) != 4 or ktensor.shape_of(value)[0] != 1 or not isinstance(op, Operation):
        return Channels.all_of(value)
    if isinstance(op, ktensor.ConcatOp) and op.axis.value.data == 1:
        return Channels.joined([channels_of(operand) for operand in op.inputs])
    if isinstance(op, kpu.ConcatOp):
        return _placed(op)
    if isinstance(op, kpu.ChannelSliceOp):
        return channels_of(op.input).take(np.arange(op.first, op.first + op.count))
    if isinstance(op, ktensor.SliceOp) and _slices_channels(op):
        return channels_of(op.input).take(np.arange(ktensor.shape_of(op.input)[1])[op.slices[1]])
    if isinstance(op, ktensor.ReshapeOp | ktensor.TransposeOp):
        found = _shuffled(value)
        if found is not None:
            return channels_of(found[0]).take(found[1])
    return Channels.all_of(value)


def is_source(value: SSAValue) -> bool:
    """Whether a map is made by something else than moving channels."""
    return channels_of(value).sources == (value,)


def _placed(op: kpu.ConcatOp) -> Channels:
    import numpy as np

    joined = Channels.joined([channels_of(operand) for operand in op.inputs])
    index = np.full(ktensor.shape_of(op.output)[1], -1)
    begin = 0
    for first, operand in zip(op.first_channels, op.inputs, strict=True):
        count = ktensor.shape_of(operand)[1]
        index[first : first + count] = np.arange(begin, begin + count)
        begin += count
    return joined.take(index)


def _slices_channels(op: ktensor.SliceOp) -> bool:
    """Whether a slice keeps all pixels, in order."""
    old, new, steps = ktensor.shape_of(op.input), ktensor.shape_of(op.output), op.steps.get_values()
    return (old[0], *old[2:]) == (new[0], *new[2:]) and min(steps[2:]) > 0


def _shuffled(value: SSAValue) -> "tuple[SSAValue, NDArray[np.int64]] | None":
    """The map that reshapes and transposes only bring into another order of channels, and that order."""
    import numpy as np

    shape, moves = ktensor.shape_of(value), list[ktensor.ReshapeOp | ktensor.TransposeOp]()
    source = value
    while isinstance(source.owner, ktensor.ReshapeOp | ktensor.TransposeOp) and (
        not moves or ktensor.shape_of(source) != shape
    ):
        moves.append(source.owner)
        source = source.owner.input
    if ktensor.shape_of(source) != shape:
        return None
    index = np.arange(int(np.prod(shape))).reshape(shape)
    for move in reversed(moves):
        if isinstance(move, ktensor.TransposeOp):
            index = index.transpose(move.permutation.get_values())
        index = index.reshape(ktensor.shape_of(move.output))
    pixels = shape[2] * shape[3]
    order = index[0, :, 0, 0] // pixels
    if (index.reshape(shape[1], pixels) != order[:, None] * pixels + np.arange(pixels)).any():
        return None
    return source, order
